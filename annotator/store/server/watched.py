"""Connections that find out what they wait for.

After a lock timeout the server no longer knows who held the lock, so whoever is in the way is
looked up during the wait, on another connection.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import TupleRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.abc import RV, PQGen

GRACE_SECONDS = 10.0
"""How long after its statement timeout the server may be silent."""

# The server hides the start of other roles' transactions from most roles, but a transaction
# that we wait for was open when we began to wait.
_IN_THE_WAY = """
select format(
    'process %%s of role %%s (%%s) has had a transaction open since %%s or earlier;'
    ' to end it: select pg_terminate_backend(%%s)',
    blocker.pid, a.usename, a.application_name,
    date_trunc('second', coalesce(least(a.xact_start, l.waitstart), clock_timestamp())), blocker.pid
)
from pg_locks l
cross join lateral unnest(pg_blocking_pids(l.pid)) as blocker (pid)
left join pg_stat_activity a on a.pid = blocker.pid
where l.pid = %s and not l.granted
order by blocker.pid limit 1
"""


class WatchedConnection(psycopg.Connection[TupleRow]):
    """A connection whose lock timeouts name the session that was in the way, as a note."""

    _backend = 0
    _another: Callable[[], psycopg.Connection] | None = None
    _look_after = _give_up_after = float("inf")

    def watch(
        self,
        backend: int,
        another: Callable[[], psycopg.Connection],
        lock_timeout: int,
        statement_timeout: int,
    ) -> None:
        """Watch the statements that follow.

        Parameters
        ----------
        backend
            Process id of the server process, also behind a connection pool.
        another
            Opens a second connection with autocommit, which is closed here.
        lock_timeout, statement_timeout
            Timeouts of the session in seconds; 0 for none.
        """
        self._backend, self._another = backend, another
        if lock_timeout:
            self._look_after = lock_timeout / 2  # at least once during each wait
        if statement_timeout:
            self._give_up_after = statement_timeout + GRACE_SECONDS

    def wait(self, gen: PQGen[RV], *arguments: Any, **options: Any) -> RV:
        """Carry out an operation; psycopg wakes it ten times per second while it waits.

        Raises
        ------
        psycopg.OperationalError
            The server is silent although the statement timeout has passed: its process is
            stopped. The connection is closed.
        """
        return super().wait(self._watched(gen), *arguments, **options)

    def _watched(self, gen: PQGen[RV]) -> PQGen[RV]:
        started = time.monotonic()
        look_at = started + self._look_after
        in_the_way = None
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready:
                    now = time.monotonic()
                    if now > started + self._give_up_after:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(
                            f"server process {self._backend} has not answered for"
                            f" {now - started:.0f} seconds: is it stopped?"
                        )
                    if now > look_at:
                        in_the_way = self._look() or in_the_way
                        look_at = time.monotonic() + self._look_after
                wanted = gen.send(ready)
        except StopIteration as done:
            result: RV = done.value
            return result
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
            if in_the_way is not None:
                error.add_note(in_the_way)
            raise

    def _look(self) -> str | None:
        """Describe the session that the running statement waits for, if any."""
        assert self._another is not None
        with suppress(Exception), self._another() as connection:
            row = connection.execute(_IN_THE_WAY, (self._backend,)).fetchone()
            return None if row is None else str(row[0])
        return None
