"""A job of the daemon that fails is shown by the status until it succeeds."""

from __future__ import annotations

import pytest

from annotator.daemon import Daemon
from annotator.jobs.watch.status import read_status
from tests.support.store import add_release, add_samples, execute, rows

FAILURES = "select subject, detail ->> 'reason' from annotator.event where kind = 'failure'"

REFUSES = """
create function annotator.refuse() returns trigger language plpgsql as
$$ begin raise exception 'the queue is full' using detail = 'secret row'; end $$;
create trigger refuse before insert on annotator.work execute function annotator.refuse();
"""


@pytest.fixture
def daemon(database, settings, connection):
    """A daemon whose database refuses to queue the only sample."""
    add_samples(connection, "a")
    add_release(connection)
    execute(database, REFUSES)
    daemon = Daemon(database, settings)
    daemon._guarded("poll", daemon.poll)()
    return daemon


def test_the_status_has_the_problem_and_the_job(database, settings, daemon):
    daemon.beat()
    report = read_status(database, settings)
    assert any("needs a person" in problem for problem in report.problems)
    assert not report.daemon_here
    assert [event.subject for event in report.snapshot.failures] == ["job poll"]


def test_the_event_log_has_the_reason_once_and_no_row(database, daemon):
    daemon._guarded("poll", daemon.poll)()
    ((subject, reason),) = rows(database, FAILURES)
    assert subject == "job poll"
    assert "the queue is full" in reason
    assert "secret" not in reason


def test_the_state_ends_with_the_problem(database, settings, daemon):
    execute(database, "drop trigger refuse on annotator.work")
    daemon._guarded("poll", lambda: None)()
    daemon.beat()
    assert read_status(database, settings).problems == ()
