"""A release whose loading ended two processes in succession is not loaded again."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack

import pytest

from annotator.errors import ArtefactError, NewerReleaseError
from annotator.jobs.annotate.fallback import fallback_release
from annotator.jobs.annotate.live_models import LiveModels
from annotator.learn.release.json_files import FORMAT, MODEL_FILE
from annotator.store.releases.loading import recorded_loading
from annotator.store.releases.registry import live_release
from tests.support.faults.processes import wait_for
from tests.support.store import run
from tests.support.stored_releases import put_live, stored

# A process that is killed when it begins to read the files of the live release.
KILLED = """
import os, signal, sys
from annotator.jobs.annotate import live_models
from annotator.store.releases.registry import live_release
from annotator.store.server.connection import Database
live_models.read_model = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with Database(sys.argv[1]).connect(application_name="killed") as connection:
    live_models.LiveModels().load(connection, live_release(connection, "tissue"))
"""
RECORDS = "select release_id, deaths from annotator.release_loading"


@pytest.fixture
def earlier(connection) -> int:
    """The fallback release."""
    return put_live(connection, stored(FORMAT))


@pytest.fixture
def live(connection, earlier):
    """The live release."""
    put_live(connection, stored(FORMAT))
    return live_release(connection, "tissue")


@pytest.fixture
def gone(connection):
    """Wait until the server has noticed that sessions have ended."""
    query = (
        "select from pg_stat_activity"
        " where application_name = 'killed' and datname = current_database()"
    )
    return lambda: wait_for(lambda: not run(connection, query) or None, 60, "the end of sessions")


@pytest.fixture
def die(database, live, gone):
    """Kill a process that loads the live release."""

    def kill() -> None:
        command = [sys.executable, "-c", KILLED, database.conninfo]
        assert subprocess.run(command, check=False).returncode == -9
        gone()

    return kill


def load(connection, release) -> None:
    LiveModels().load(connection, release)


def test_one_death_is_forgiven(daemon, live, die) -> None:
    die()
    load(daemon, live)
    assert run(daemon, RECORDS) == []


def test_after_two_deaths_it_is_not_loaded(daemon, live, die) -> None:
    die()
    die()
    for _ in range(2):
        with pytest.raises(ArtefactError, match="2 processes in succession"):
            load(daemon, live)
    assert run(daemon, RECORDS) == [(live.release_id, 2)]


def test_a_death_after_a_success_is_the_first_again(daemon, live, die) -> None:
    die()
    load(daemon, live)
    die()
    load(daemon, live)


def test_the_fallback_release_replaces_it_and_the_next_retraining_is_not_skipped(
    daemon, live, earlier, die
) -> None:
    die()
    die()
    assert fallback_release(daemon, LiveModels(), live).release_id == earlier
    ((status, reason),) = run(
        daemon, "select status, reason from annotator.training_run where run_id = %s", live.run_id
    )
    assert status == "failed"
    assert "2 processes" in reason


@pytest.mark.parametrize("newer", ["a format", "a model kind"])
def test_a_release_of_a_newer_version_stays_live(connection, daemon, earlier, newer) -> None:
    contents = dict(stored(FORMAT))
    if newer == "a format":
        described = json.loads(contents[MODEL_FILE]) | {"format": FORMAT + 1}
        contents[MODEL_FILE] = json.dumps(described).encode()
    else:
        contents["means.safetensors"] = contents["forest.safetensors"]
    release_id = put_live(connection, contents)
    with pytest.raises(NewerReleaseError):
        fallback_release(daemon, LiveModels(), live_release(daemon, "tissue"))
    still = live_release(daemon, "tissue")
    assert still is not None
    assert still.release_id == release_id


def test_a_person_can_have_it_loaded_again(daemon, live, die) -> None:
    die()
    die()
    run(daemon, "delete from annotator.release_loading where release_id = %s", live.release_id)
    load(daemon, live)


def test_a_process_that_still_loads_it_is_no_death(database, daemon, live) -> None:
    with (
        database.connect() as other,
        recorded_loading(other, live.release_id, "other"),
        database.connect() as another,
        recorded_loading(another, live.release_id, "another"),
    ):
        load(daemon, live)
    assert run(daemon, RECORDS) == []


def test_processes_that_die_together_are_one_death(database, daemon, live, gone) -> None:
    """As when their machine fails just after a release went live."""
    with ExitStack() as stack:
        for name in ("one", "two", "three"):
            session = stack.enter_context(database.connect(application_name="killed"))
            stack.enter_context(recorded_loading(session, live.release_id, name))
            stack.callback(session.close)
    gone()
    load(daemon, live)


def test_a_process_that_lost_its_connection_while_loading_did_not_die(
    database, daemon, live, gone
) -> None:
    for _ in range(3):
        with (
            database.connect(application_name="killed") as session,
            recorded_loading(session, live.release_id, "steady"),
        ):
            session.close()
        gone()
    with recorded_loading(daemon, live.release_id, "steady"):
        load(daemon, live)


def test_files_that_are_refused_leave_no_record(connection, daemon) -> None:
    put_live(connection, stored(FORMAT) | {"calibration.json": b"{}"})
    with pytest.raises(ArtefactError, match=r"calibration\.json"):
        load(daemon, live_release(connection, "tissue"))
    assert run(daemon, RECORDS) == []


def test_nothing_is_recorded_where_nothing_can_be_written(daemon, live) -> None:
    daemon.commit()
    daemon.read_only = True
    load(daemon, live)
