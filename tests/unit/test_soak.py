"""What the soak calls flat, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.soak import daemon as soak
from tests.support.soak.judge import Metric, judge, outcome_of

SECONDS = np.arange(0.0, 3600.0, 5.0)
WARM = np.minimum(SECONDS, 900) / 900  # what fills in the first quarter of an hour
NOISE = np.random.default_rng(3).normal(size=len(SECONDS))


def flat(values, share=0.05, least=0.0):
    return judge(SECONDS, values, share, least).flat


@pytest.mark.parametrize(
    "values",
    [
        300 + 0 * SECONDS,
        300 + 3 * NOISE,
        100 + 200 * WARM,
        300 - SECONDS / 100,
        300 + 40 * ((SECONDS // 5) % 24) / 24,  # a saw, as of what is vacuumed
        np.where(SECONDS % 120 == 0, 600, 300),  # peaks, as of retrainings
        np.where(SECONDS % 15 == 0, 300.0, np.nan),  # measured now and then
    ],
    ids=["constant", "noise", "warm-up", "shrinks", "saw", "peaks", "gaps"],
)
def test_what_does_not_grow_is_flat(values):
    assert flat(values)


@pytest.mark.parametrize(
    "values",
    [
        300 + 30 * SECONDS / 3600,  # 20 MB in the 40 minutes that are judged
        300 + 3 * NOISE + 30 * SECONDS / 3600,
        300 + 40 * ((SECONDS // 5) % 24) / 24 + 60 * SECONDS / 3600,
        np.where(SECONDS > 2900, 330, 300),  # only late
        np.where(SECONDS % 15 == 0, 300 + 30 * SECONDS / 3600, np.nan),
    ],
    ids=["leak", "leak in noise", "leak under a saw", "late step", "leak with gaps"],
)
def test_a_leak_is_a_leak(values):
    assert not flat(values)


def test_one_handle_an_hour_is_a_leak():
    handles = 8 + np.floor(SECONDS / 1300)
    assert not flat(handles, share=0, least=0.9)
    assert flat(8 + (SECONDS % 120 == 0), share=0, least=0.9)


def test_nothing_measured_is_not_flat():
    assert not flat(np.full(len(SECONDS), np.nan))
    assert not judge(SECONDS[:3], SECONDS[:3], 1, 1).flat


def test_a_row_of_the_table_says_how_much():
    metric = Metric("memory", "MB", "daemon_mb", 0.05, 0, "Memory")
    row = outcome_of(metric, SECONDS, 300 + 60 * SECONDS / 3600)
    assert (row.fault, row.tried, row.withstood) == ("memory", 480, 0)
    assert "growth +40 (17 allowed)" in row.remark


def test_what_fills_a_set_size_is_held_against_it():
    metric = Metric("cache", "MB", "server_shared_mb", 0, 0, "Memory", ceiling=150)
    row = outcome_of(metric, SECONDS, 20 + SECONDS / 30)
    assert row.tried == row.withstood == 480
    assert outcome_of(metric, SECONDS, 40 + SECONDS / 30).withstood == 0


def test_work_in_progress_is_no_leak_but_what_it_leaves_is():
    metric = Metric("files", "", "temporary_files", 0, 0.9, "Files", resting=True)
    busy = 1 + (SECONDS % 120 < 70) + (SECONDS > 1800) * (SECONDS % 120 < 100)
    assert judge(SECONDS, busy, 0, 0.9).growth >= 1
    row = outcome_of(metric, SECONDS, busy)
    assert row.tried == row.withstood == 10
    assert outcome_of(metric, SECONDS, busy + SECONDS // 1300).withstood == 0


def measured(number, leak):
    tables = ("prediction", "class_contribution", "event", "artefact")
    sizes = {f"annotator.{name}/{what}": 1e4 for name in tables for what in ("rows", "bytes")}
    flat_ones = {metric.key: 10.0 for metric in soak.METRICS}
    flat_ones |= {"connections": 1 + 2 * (number % 4 == 0), "server_processes": 11 + number % 4}
    growing = {"daemon_mb": 300 + leak * number, "kept_rows": 1000.0 * number}
    return {**flat_ones, **sizes, **growing, "seconds": 5.0 * number}


def test_a_leak_reaches_the_table_and_all_is_drawn(tmp_path):
    def odd(leak):
        outcomes = soak.flatness([measured(number, leak) for number in range(100)])
        return [one.fault for one in outcomes if one.tried != one.withstood]

    assert odd(0) == []
    assert odd(1) == ["memory of the daemon"]
    path = tmp_path / "soak.svg"
    soak.plot(path, [measured(number, 1) for number in range(1000)])
    assert path.read_text(encoding="utf-8").startswith("<?xml")
    assert path.stat().st_size < 150_000
