"""A daemon under load for a few seconds: all that the soak is made of does happen."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks.soak.daemon import read, series
from tests.support.faults.atlas import own_database
from tests.support.soak.load import EVERYTHING, Pace, soak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
# The daemon catches up with what was due while it was away; no other time is due meanwhile.
PACE = Pace(
    minutes=0.1,
    turn=0.5,
    scrape=2,
    status=4,
    lifetime=5,
    retrain_cron="0 2 * * *",
    fields=("tissue",),
    network=False,
)


def test_samples_come_and_go_curators_decide_and_the_daemon_retrains(tmp_path):
    record = tmp_path / "soak.jsonl"
    with own_database(tmp_path / "own") as (database, settings):
        soaked = soak(database, settings, PACE, record)
    assert [outcome for outcome in soaked.outcomes if outcome.withstood != outcome.tried] == []
    done = soaked.done
    assert done["releases"] >= 1
    for what in EVERYTHING:
        assert done[what] > 0, what
    assert done["scrapes"] > 1
    assert done["statuses"] > 0

    values = series(read(record).measurements)
    assert len(values["seconds"]) == len(soaked.measurements) > 10
    for what in ("daemon_mb", "daemon_handles", "server_private_mb", "passing_mb", "kept_rows"):
        # Not a number in turns in which it was not measured.
        measured = values[what][np.isfinite(values[what])]
        assert measured[-1] > 0 or measured[-3:].max() > 0, what
