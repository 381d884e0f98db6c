"""A server that cannot write, has no connection left or waits too long: nothing is lost."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script of that folder

import fault_limits
import pytest
from fault_atlas import own_database

from annotator.errors import DatabaseUnavailableError
from annotator.store.embedded import running_server


def test_the_live_release_outlives_every_limit_and_work_resumes(tmp_path):
    with own_database(tmp_path) as (database, settings):  # others use the server of the run
        outcomes = fault_limits.run_limits(database, settings, times=1, disks=False)
    assert len({outcome.fault for outcome in outcomes}) == 5
    assert [outcome for outcome in outcomes if outcome.withstood != outcome.tried] == []


def test_a_server_without_a_connection_left_is_not_called_dead(tmp_path):
    with (
        own_database(tmp_path) as (database, settings),
        fault_limits.no_connection_left(database),
        pytest.raises(DatabaseUnavailableError, match="no connection left"),
        running_server(settings.home_folder()),
    ):
        pass
