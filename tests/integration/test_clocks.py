"""Daemons agree through the database's clock, whatever their hosts' say."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from annotator.daemon import RETRAIN, Daemon
from annotator.store.watch import daemons as service
from tests.support.faults import clocks as fault_clocks


def test_after_any_outage_exactly_one_daemon_retrains_exactly_once(database, settings):
    outcomes = fault_clocks.run_clocks(database, settings, rounds=12, years=1)
    assert [outcome.tried for outcome in outcomes[:4]] == [3] * 4
    nights = outcomes[4:]
    assert {outcome.tried for outcome in nights} == {365}
    # The first night of the first day belongs to the day before.
    assert [outcome for outcome in outcomes if outcome.withstood < outcome.tried] == []


def test_a_first_start_does_not_retrain_for_what_was_due_before(database, settings):
    log = []
    one = fault_clocks._Counting(database, settings, log)
    one.catch_up()
    one.retrain_when_due()
    assert log == []
    with database.connect() as connection:
        due = one.schedule.last(service.database_time(connection))
        ticks = connection.execute("select due_at, outcome from annotator.tick").fetchall()
    assert ticks == [(due, "before the first start")]


@pytest.mark.parametrize("cron", ["0 2 1 * *", "@yearly"])
def test_a_rare_due_time_that_nobody_saw_is_made_up_for_once(database, settings, cron):
    log = []
    one = fault_clocks._Counting(database, replace(settings, retrain_cron=cron), log)
    with database.connect(autocommit=True) as connection:
        due = one.schedule.last(service.database_time(connection))
        before = one.schedule.last(due - timedelta(seconds=1))
        service.take_tick(connection, RETRAIN, before, "long gone")
        service.finish_tick(connection, RETRAIN, before, "exit code 0")
    one.catch_up()
    one.retrain_when_due()
    assert log == [due]


def test_a_new_schedule_does_not_make_up_for_times_before_the_last_retraining(database, settings):
    log = []
    yearly = fault_clocks._Counting(database, replace(settings, retrain_cron="@yearly"), log)
    with database.connect(autocommit=True) as connection:
        nightly = service.database_time(connection)
        service.take_tick(connection, RETRAIN, nightly, "of the schedule before")
        service.finish_tick(connection, RETRAIN, nightly, "exit code 0")
    yearly.catch_up()
    assert log == []


def test_a_retraining_that_found_no_database_is_tried_again(database, settings, monkeypatch):
    """A job that ended with "try again" leaves its due time open, and others wait their turn."""
    with database.connect(autocommit=True) as connection:
        now = service.database_time(connection)
        service.take_tick(connection, RETRAIN, now - timedelta(days=3), "long gone")
        service.finish_tick(connection, RETRAIN, now - timedelta(days=3), "exit code 0")
    codes = iter([4, 0])
    tried = []

    def retrain(self, due):
        tried.append(due)
        return next(codes)

    monkeypatch.setattr(Daemon, "_retrain", retrain)
    one = Daemon(database, settings)
    one.catch_up()
    one.retrain_when_due()  # too soon
    assert len(tried) == 1
    with database.connect(autocommit=True) as connection:
        connection.execute(
            "update annotator.tick set taken_at = taken_at - make_interval(secs => %s)"
            " where outcome is null",
            (2 * service.ABANDONED_AFTER_SECONDS,),
        )
    one.retrain_when_due()
    one.retrain_when_due()
    assert len(tried) == 2
    assert len(set(tried)) == 1


@pytest.mark.parametrize(("stopping", "level"), [(True, logging.INFO), (False, logging.ERROR)])
def test_a_retraining_that_ends_as_it_was_told_is_no_error(
    database, settings, monkeypatch, caplog, stopping, level
):
    """A stop ends it with a code above zero, which needs nobody's attention."""
    daemon = Daemon(database, settings)
    command = [
        sys.executable,
        "-c",
        "import time; time.sleep(60)" if stopping else "raise SystemExit(3)",
    ]
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _command, **options: real(command, **options))
    if stopping:
        daemon.stopping.set()
    with caplog.at_level(logging.INFO, logger="annotator.daemon"):
        assert daemon._retrain(datetime(2026, 1, 1, tzinfo=UTC)) != 0
    (ended,) = [record for record in caplog.records if record.message == "retraining ended"]
    assert ended.levelno == level
