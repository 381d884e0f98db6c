"""The computations of the benchmark of several daemons, which itself runs daemons."""

from __future__ import annotations

import json

import pytest

from benchmarks.speed.daemons import Moment, batch_seconds, measured, table


def moment(at, done, writing, *, is_any_unclaimed=True, waits=()):
    """A moment at which two daemons have used 3 ms of CPU time per sample and the server 1 ms."""
    return Moment(
        at, done, writing, is_any_unclaimed, True, 5.0 + 0.003 * done, 9.0 + 0.001 * done, waits
    )


RUN = [
    moment(0.0, 0, 0, waits=("Lock: tuple",)),
    moment(2.0, 100, 1),
    moment(6.0, 300, 2),
    moment(8.0, 500, 2, waits=("Lock: tuple", "LWLock: WALWrite")),
    moment(10.0, 700, 2, waits=("Lock: tuple",)),
    moment(12.0, 900, 2),
    moment(18.0, 1000, 2, is_any_unclaimed=False, waits=("Lock: tuple",)),
]


def test_only_the_time_counts_in_which_all_daemons_are_at_work():
    found = measured(RUN, 2, [1.0, 3.0])
    assert found is not None
    assert (found.seconds, found.samples, found.rate, found.of_batch) == (6.0, 600, 100.0, 2.0)
    assert found.of_daemons == pytest.approx(0.003)
    assert found.of_server == pytest.approx(0.001)
    # Of four moments in which two daemons could have waited.
    assert found.waits == {"Lock: tuple": 2 / 8, "LWLock: WALWrite": 1 / 8}
    assert found.waiting("Lock") == 0.25


def test_nothing_is_measured_with_too_few_samples_for_so_many_daemons():
    assert measured([RUN[0], RUN[-1]], 2, [1.0]) is None
    assert measured(RUN, 2, []) is None
    assert measured(RUN[:4], 2, [1.0]) is None  # a burst of two seconds


def test_rates_are_compared_with_the_first_row():
    one, faster = measured(RUN, 2, [1.0]), measured([*RUN[:3], moment(12.0, 1500, 2)], 2, [1.0])
    assert one is not None
    assert faster is not None
    rows = table([one, faster]).splitlines()[2:]
    assert [row.split("|")[3].strip() for row in rows] == ["1.00", "2.00"]


def test_the_first_batch_of_each_daemon_is_left_out(tmp_path):
    def log(name, *seconds):
        lines = [{"level": "info", "message": "the daemon is running"}]
        lines += [
            {"level": "info", "message": "wrote a batch", "seconds": each} for each in seconds
        ]
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    assert batch_seconds([log("a", 9.0, 1.0, 2.0), log("b", 8.0), log("c")]) == [1.0, 2.0]


def test_a_daemon_that_failed_ends_the_measurement(tmp_path):
    path = tmp_path / "log"
    path.write_text(json.dumps({"level": "error", "message": "no"}) + "\n")
    with pytest.raises(SystemExit, match="failed"):
        batch_seconds([path])
