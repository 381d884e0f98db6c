"""Processes and servers that go away: nothing is lost, nothing twice, and work goes on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.support.faults.atlas import own_database
from tests.support.faults.crowd import run_crowd
from tests.support.faults.kills import run_kills
from tests.support.faults.overtaken import overtaken
from tests.support.faults.retraining import run_retraining
from tests.support.faults.server import run_server


@pytest.fixture(scope="module")
def own():
    """A server that can be restarted without harm to other tests; its socket's path is short."""
    with (
        tempfile.TemporaryDirectory(prefix="kills-") as folder,
        own_database(Path(folder)) as database_and_settings,
    ):
        yield database_and_settings


def failed(outcomes):
    assert outcomes
    return [outcome for outcome in outcomes if outcome.withstood != outcome.tried]


def test_a_daemon_killed_while_annotating_leaves_whole_batches(own):
    assert failed(run_kills(*own, 4)) == []


def test_a_daemon_outlives_its_server_and_its_connections(own):
    assert failed(run_server(*own, 1, cuts=1)) == []


def test_daemons_share_the_work_and_a_stale_batch_is_refused(own):
    assert failed(run_crowd(*own, 1, samples=80)) == []


def test_a_daemon_and_a_retraining_that_a_migration_overtakes_write_nothing_more(own):
    outcomes = overtaken(own[0], rounds=1)
    assert failed(outcomes) == []
    assert {outcome.fault for outcome in outcomes} >= {
        "a daemon overtaken by a migration",
        "a retraining overtaken by a migration",
    }


def test_a_retraining_killed_at_any_moment_leaves_one_whole_release_live(own):
    outcomes = run_retraining(*own, 3)
    assert failed(outcomes) == []
    assert {outcome.fault for outcome in outcomes} >= {"candidates without a run"}
