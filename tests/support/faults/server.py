"""Restart the server of a daemon, and cut its connections, while it annotates."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import psycopg

from annotator.store.server import binaries
from tests.support.faults.atlas import Outcome
from tests.support.faults.processes import wait_for
from tests.support.faults.rows import one_number, ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from annotator.settings import Settings
    from annotator.store.server.connection import Database
    from tests.support.faults.processes import Process

SAMPLES = 2000
FEWEST = 600  # so that a pass outlasts the waits: an idle daemon has no connection to cut
WITHIN = 30.0
# The program's defaults except for the batch size: one poll per minute, leases of ten minutes.
SETTINGS = {"ANNOTATOR_POLL_SECONDS": "60", "ANNOTATOR_HEARTBEAT_SECONDS": "10"}

_CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
where starts_with(application_name, 'annotator') and backend_type = 'client backend'
order by random() limit 1
"""
_A_BACKEND = (
    "select pid from pg_stat_activity where starts_with(application_name, 'annotator') limit 1"
)
_BATCHES = "select count(*) from annotator.event where kind = 'annotated'"
_TOUCH = "update atlas.sample set updated_at = clock_timestamp()"


def restart(settings: Settings, mode: str) -> None:
    """Restart the embedded server as an administrator would."""
    assert settings.home is not None
    cluster = settings.home / "cluster"
    account, programs = binaries.server_account(cluster), binaries.folder()
    if account is not None:
        programs = binaries.reachable(programs)
    binaries.call(
        programs / "pg_ctl",
        ("--wait", "--silent", "--log", "server.log", "--mode", mode, "restart"),
        cluster,
        account,
        settings.home / "pg_ctl.log",
    )


def connected(database: Database) -> psycopg.Connection:
    """Connect as soon as the server accepts connections."""

    def attempt() -> psycopg.Connection | None:
        try:
            return psycopg.connect(
                database.conninfo, autocommit=True, application_name="experiment"
            )
        except psycopg.OperationalError:
            return None

    return wait_for(attempt, 120, "the server")


def _crash(connection: psycopg.Connection) -> None:
    """Kill a session's process on the server, which then ends all others and recovers."""
    row = connection.execute(_A_BACKEND).fetchone()
    if row is not None:
        os.kill(row[0], signal.SIGKILL)
        time.sleep(0.2)


def _recovery(database: Database, daemon: Process) -> float:
    """Return the seconds until the daemon has written another batch."""
    began = time.monotonic()
    with connected(database) as connection:
        before = one_number(connection, _BATCHES)

        def written() -> bool | None:
            assert daemon.code() is None, daemon.output()
            return one_number(connection, _BATCHES) > before or None

        wait_for(written, 4 * WITHIN, "a batch")
    return time.monotonic() - began


def _restart_in_order(settings: Settings, _connection: psycopg.Connection, _number: int) -> None:
    restart(settings, "fast")


def _fall_over(settings: Settings, connection: psycopg.Connection, number: int) -> None:
    if number % 2:
        _crash(connection)
    else:
        restart(settings, "immediate")


def _cut(_settings: Settings, connection: psycopg.Connection, _number: int) -> None:
    wait_for(lambda: connection.execute(_CUT).fetchone(), 60, "a connection of the daemon")


def _again_and_again(
    database: Database,
    settings: Settings,
    daemon: Process,
    fault: Callable[[Settings, psycopg.Connection, int], None],
    waits: list[float],
) -> list[float]:
    """Repeat a fault after each of some waits; return the seconds until a batch was written."""
    seconds = []
    for number, wait in enumerate(waits):
        with connected(database) as connection:
            connection.execute(_TOUCH)
            time.sleep(wait)
            fault(settings, connection, number)
        seconds.append(_recovery(database, daemon))
    return seconds


def run_server(
    database: Database, settings: Settings, restarts: int = 20, cuts: int | None = None
) -> list[Outcome]:
    """Restart the server, and end connections, at random moments.

    Parameters
    ----------
    database, settings
        A migrated embedded database that nothing else uses.
    restarts
        Number of restarts of the server.
    cuts
        Number of ended connections; five per restart by default.
    """
    random = np.random.default_rng(10)
    outcomes = []
    with ready(database, min(SAMPLES, max(FEWEST, 100 * restarts)), **SETTINGS) as at_work:
        daemon = at_work.start.start("serve")
        wait_for(
            lambda: one_number(at_work.connection, "select count(*) from annotator.work") or None,
            60,
            "work",
        )
        for what, fault, times in (
            ("server restarted in order", _restart_in_order, restarts - restarts // 2),
            ("server fell over", _fall_over, restarts // 2),
            ("connection cut", _cut, 5 * restarts if cuts is None else cuts),
        ):
            waits = random.uniform(0, 0.5, times).tolist()
            seconds = _again_and_again(database, settings, daemon, fault, waits)
            kept = sum(second <= WITHIN for second in seconds)
            remark = f"works again within {max(seconds, default=0):.1f} s at most"
            outcomes.append(Outcome(what, times, kept, remark))
        with connected(database) as connection:
            at_work = at_work._replace(connection=connection)
            at_work.wait_for_all()
            daemon.send(signal.SIGTERM)
            ended = daemon.wait() == 0 and "Traceback" not in daemon.output()
            outcomes.append(Outcome("the daemon", 1, int(ended), "the same process to the end"))
            outcomes.append(at_work.judged()[0])
    return outcomes
