"""Processes and servers that go away: nothing is lost, nothing twice, and work goes on."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script of that folder

from fault_atlas import own_database
from fault_crowd import run_crowd
from fault_kills import run_kills
from fault_retraining import run_retraining
from fault_server import run_server


@pytest.fixture(scope="module")
def own():
    """A server that can be restarted without harm to other tests; its socket's path is short."""
    with (
        tempfile.TemporaryDirectory(prefix="kills-") as folder,
        own_database(Path(folder)) as database_and_settings,
    ):
        yield database_and_settings


@pytest.mark.parametrize(
    ("experiment", "count"),
    [
        pytest.param(run_kills, 6, id="killed while annotating"),
        pytest.param(run_server, 1, id="server away"),
        pytest.param(run_crowd, 1, id="daemons side by side"),
        pytest.param(run_retraining, 3, id="killed while retraining"),
    ],
)
def test_is_withstood(own, experiment, count):
    outcomes = experiment(*own, count)
    assert [outcome for outcome in outcomes if outcome.withstood != outcome.tried] == []
    assert all(outcome.tried > 0 for outcome in outcomes[:1])
