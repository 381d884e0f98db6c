"""Migrations from every earlier revision, back, and killed on the way."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script of that folder

import fault_migrations
import pytest

from annotator.daemon import Daemon
from annotator.jobs.status import NEEDS_A_PERSON


@pytest.mark.parametrize("revision", fault_migrations.EARLIER)
def test_rows_of_every_earlier_revision_go_up_and_back(database, revision):
    outcomes = fault_migrations.up_and_down(database, revision)
    assert [outcome for outcome in outcomes if outcome.withstood != outcome.tried] == []


def test_a_killed_migration_leaves_the_old_schema_or_the_whole_new_one(database):
    outcomes = fault_migrations.killed(database, fault_migrations.EARLIER[-1], times=2)
    assert [outcome for outcome in outcomes if outcome.withstood != outcome.tried] == []


def test_a_daemon_that_was_overtaken_by_a_migration_writes_nothing(database, settings, caplog):
    daemon = Daemon(database, settings)
    with database.connect(autocommit=True) as connection:
        connection.execute("update annotator.alembic_version set version_num = '9999'")
        before = fault_migrations.rows(database)
        daemon._guarded("poll", daemon.poll)()
        assert "update annotator" in caplog.text
        assert "Traceback" not in caplog.text
        assert daemon._state() == NEEDS_A_PERSON
    assert fault_migrations.rows(database) == before
