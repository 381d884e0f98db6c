"""Run daemons whose hosts disagree about the time, after outages and across summer time."""

from __future__ import annotations

import itertools
import os
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator import daemon as daemon_module
from annotator.daemon import RETRAIN, Daemon
from annotator.domain.schedule import parse_schedule
from annotator.store.watch import daemons as service
from tests.support.faults.atlas import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.settings import Settings
    from annotator.store.server.connection import Database

NIGHTLY = "0 2 * * *"
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
MOST_HOURS_OFF = 26
_host = threading.local()


class _HostClock(datetime):
    """The clock of the host that a thread represents."""

    @classmethod
    def now(cls, zone: Any = None) -> datetime:
        return datetime.now(zone) + getattr(_host, "offset", timedelta(0))


@contextmanager
def wrong_clocks() -> Iterator[None]:
    """Give every daemon the clock of its thread's host."""
    right = daemon_module.datetime
    daemon_module.datetime = _HostClock  # type: ignore[misc]
    try:
        yield
    finally:
        daemon_module.datetime = right  # type: ignore[misc]


class _Counting(Daemon):
    """A daemon that records when it would retrain."""

    def __init__(self, database: Database, settings: Settings, log: list[datetime]) -> None:
        super().__init__(database, settings)
        self.worker, self.log = f"{self.worker}/{id(self)}", log

    def _retrain(self, due: datetime) -> int:
        self.log.append(due)
        return 0


def _one_round(
    database: Database, settings: Settings, daemons: int, days: float, random: np.random.Generator
) -> bool:
    """Start daemons together after an outage; return whether they retrained as they should."""
    log: list[datetime] = []
    with database.connect(autocommit=True) as connection:
        connection.execute("truncate annotator.tick")
        before = service.database_time(connection)
        schedule = parse_schedule(NIGHTLY)
        last = schedule.last(before - timedelta(days=days))
        service.take_tick(connection, RETRAIN, last, "long gone")
        service.finish_tick(connection, RETRAIN, last, "exit code 0")
    barrier = threading.Barrier(daemons)

    def run(hours: float) -> None:
        _host.offset = timedelta(hours=hours)
        one = _Counting(database, settings, log)
        barrier.wait()
        one.catch_up()
        one.retrain_when_due()

    threads = [
        threading.Thread(target=run, args=(hours,))
        for hours in random.uniform(-MOST_HOURS_OFF, MOST_HOURS_OFF, daemons)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.connect(autocommit=True) as connection:
        after = service.database_time(connection)
    due = {
        schedule.last(before),
        schedule.last(after),
    }  # the due time of 2:00 may pass meanwhile
    wanted = {moment for moment in due if moment > last}
    return len(log) == len(set(log)) and set(log) <= wanted and bool(log) == bool(wanted)


def across_summer_time(zone: str, years: int) -> Outcome:
    """Compute the last due time at every half hour of some years, on a host in a time zone."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        schedule = parse_schedule(NIGHTLY)
        start = datetime(2026, 1, 1, tzinfo=UTC)
        days = round(365.25 * years)
        found = [schedule.last(start + timedelta(minutes=30 * step)) for step in range(48 * days)]
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
    seen = sorted(set(found))
    steps = [later - earlier for earlier, later in itertools.pairwise(seen)]
    nights = sum(step == timedelta(days=1) for step in steps)
    return Outcome(f"nights in {zone}", days, nights, "one due time each, 24 h apart")


def run_clocks(
    database: Database, settings: Settings, rounds: int = 200, years: int = 2
) -> list[Outcome]:
    """Start daemons with wrong clocks after outages, and check due times across summer time.

    Parameters
    ----------
    database, settings
        A migrated database that nothing else uses.
    rounds
        Number of outages.
    years
        Number of years in which the due times are checked, in each time zone.
    """
    random = np.random.default_rng(1)
    outcomes = []
    with wrong_clocks():
        for days in (0, 1, 3, 7):
            good = sum(_one_round(database, settings, 5, days, random) for _ in range(rounds // 4))
            remark = "no retraining" if days == 0 else "exactly one retraining"
            outcomes.append(
                Outcome(
                    f"{days} days away, 5 daemons up to {MOST_HOURS_OFF} h off",
                    rounds // 4,
                    good,
                    remark,
                )
            )
    return outcomes + [across_summer_time(zone, years) for zone in ZONES]
