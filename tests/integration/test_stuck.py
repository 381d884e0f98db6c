"""Jobs that make no progress: who reports them, and how they are ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest

from annotator import stopping
from annotator.daemon import Daemon
from annotator.errors import DatabaseUnavailableError
from annotator.jobs.watch.status import STUCK, read_status
from annotator.store.server import watched
from annotator.store.server.connection import translating
from tests.support import ROOT
from tests.support.faults.processes import launcher, wait_for

WAITS = (
    "select pid from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock'"
)


def waiting_process(watch: psycopg.Connection) -> int:
    """Wait for a server process that waits for a lock; return its id."""

    def found() -> int | None:
        row = watch.execute(WAITS).fetchone()
        return None if row is None else int(row[0])

    return wait_for(found, 120, "a process that waits for a lock")


@pytest.fixture
def port() -> int:
    """A free port for metrics."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def commands(database, tmp_path, port):
    """Starts processes of the command, impatient daemons among them."""
    settings = {"ANNOTATOR_LEASE_SECONDS": "1", "ANNOTATOR_LOCK_TIMEOUT": "10"}
    settings["ANNOTATOR_METRICS_PORT"] = str(port)
    with launcher(tmp_path, database, models=False, **settings) as one:
        yield one


@pytest.fixture
def stuck(database, commands):
    """A daemon whose server process is stopped while it polls."""
    with database.connect(autocommit=True) as watch:
        with database.connect() as blocker:
            blocker.execute("lock table annotator.work in share row exclusive mode")
            daemon = commands.start("serve")
            pid = waiting_process(watch)
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(
                lambda: watch.execute(
                    "select from annotator.heartbeat where state = %s", (STUCK,)
                ).fetchone(),
                120,
                "a heartbeat",
            )
            yield daemon
        finally:
            os.kill(pid, signal.SIGCONT)


def test_a_job_without_progress_is_a_problem_for_whoever_asks(stuck, commands, port):
    shown = commands.run("status")
    assert shown.code() == 1
    assert "is stuck" in shown.output()
    assert commands.run("status", "--daemon").code() == 1
    assert commands.run("doctor", "--quick").code() == 1
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        assert 'annotator_daemons{state="stuck"} 1.0' in answer.read().decode()


def test_a_second_signal_ends_a_daemon_that_cannot_stop(stuck):
    def ended() -> int | None:
        stuck.send(signal.SIGTERM)
        with suppress(TimeoutError):
            return stuck.wait(stopping.ONE_REQUEST_SECONDS)
        return None

    assert wait_for(ended, 60, "the end of the daemon") == 128 + signal.SIGTERM


def test_the_failure_names_who_is_in_the_way_until_the_job_succeeds(database, settings):
    impatient = replace(settings, lease_seconds=1, lock_timeout=1)
    daemon = Daemon(replace(database, lock_timeout=1), impatient)
    poll = daemon._guarded("poll", daemon.poll)
    with database.connect() as blocker:
        blocker.execute("lock table annotator.work in share row exclusive mode")

        def is_stuck() -> bool | None:
            poll()
            daemon.beat()
            return daemon._state() == STUCK or None

        wait_for(is_stuck, 120, "a job that is stuck")
        report = read_status(database, settings)
        assert report.problems
        assert not report.daemon_here
        (failure,) = report.snapshot.failures
        assert f"process {blocker.info.backend_pid} " in failure.detail["reason"]
    poll()
    daemon.beat()
    assert read_status(database, settings).problems == ()


def test_a_retraining_that_does_not_end_is_a_problem(database, connection, settings):
    connection.execute(
        "insert into annotator.training_run (field, preset, seed, host, started_at)"
        " values ('sex', 'default', 1, 'here', now() - interval '25 hours')"
    )
    connection.commit()
    assert any("retrain_hours" in problem for problem in read_status(database, settings).problems)
    patient = replace(settings, retrain_hours=26)
    assert read_status(database, patient).problems == ()


def test_a_stopped_server_process_ends_a_statement_with_a_timeout(database, monkeypatch):
    monkeypatch.setattr(watched, "GRACE_SECONDS", 0.5)
    with replace(database, statement_timeout=1).connect(autocommit=True) as connection:
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with (
                pytest.raises(DatabaseUnavailableError, match=f"process {pid} has not answered"),
                translating(),
            ):
                connection.execute("select 1")
        finally:
            os.kill(pid, signal.SIGCONT)


_SLEEPS = """
import signal, sys
from annotator.stopping import end_later
from annotator.store.server.connection import database_from_url
signal.signal(signal.SIGTERM, lambda number, frame: end_later(number, 0.1))
with database_from_url(sys.argv[1]).connect(autocommit=True) as connection:
    connection.execute("select pg_sleep(600)")
"""


def test_the_end_of_the_grace_period_cancels_statements(database):
    sleeping = (
        "select pid from pg_stat_activity"
        " where datname = current_database() and wait_event = 'PgSleep'"
    )
    process = subprocess.Popen([sys.executable, "-c", _SLEEPS, database.conninfo], cwd=ROOT)
    with database.connect(autocommit=True) as watch:
        wait_for(lambda: watch.execute(sleeping).fetchone(), 120, "a statement")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
        wait_for(
            lambda: None if watch.execute(sleeping).fetchone() else True, 60, "a cancelled one"
        )
