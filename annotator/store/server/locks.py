"""Locks that only the roles of this program can take.

Any role may take any advisory lock, so a reader could stop every job with a few of them. Our
locks are rows of ``annotator.lock``, which readers and curators can neither change nor lock.
A lock of a transaction is a lock on its row. A lock of a session names the session in its row
and is free once that session has ended: no transaction stays open for the hours of a retraining,
in which it would hold back VACUUM, and nothing has to be renewed.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from annotator.store.server.connection import check_writable
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Iterator

# A process id alone could come back, or be kept by a connection pool. A pool resets the name.
_NAME_SESSION = """
select set_config('application_name', case
    when starts_with(current_setting('application_name'), 'annotator lock ')
    then current_setting('application_name')
    else 'annotator lock ' || gen_random_uuid()
end, false)
"""
_TAKE = """
insert into annotator.lock (name, pid, role, session, taken_at)
select %(name)s, pg_backend_pid(), session_user, current_setting('application_name'),
    clock_timestamp()
on conflict (name) do update set
    pid = excluded.pid, role = excluded.role, session = excluded.session,
    taken_at = excluded.taken_at
where not exists (
    select from pg_stat_activity a
    where a.pid = lock.pid and a.usename = lock.role and a.application_name = lock.session
)
"""
_HOLDER = """
select pid, role, extract(epoch from clock_timestamp() - taken_at)::double precision
from annotator.lock where name = %(name)s and pid is not null
"""
_FREE = """
update annotator.lock set pid = null, role = null, session = null, taken_at = null
where name = %(name)s and pid = pg_backend_pid() and session = current_setting('application_name')
"""


class Holder(NamedTuple):
    """The session that holds a lock, and for how many seconds by the database's clock."""

    pid: int
    role: str
    seconds: float


def wait_for_lock(conn: psycopg.Connection, name: str) -> None:
    """Take a lock until the transaction ends, and wait for it if others hold it.

    Parameters
    ----------
    conn
        Connection in a transaction, of the owner of the schema or a daemon.
    name
        Name of the lock.
    """
    while (
        conn.execute("select from annotator.lock where name = %s for update", (name,)).fetchone()
        is None
    ):
        conn.execute(
            "insert into annotator.lock (name) values (%s) on conflict do nothing", (name,)
        )


@contextmanager
def session_lock(conn: psycopg.Connection, name: str) -> Iterator[Holder | None]:
    """Hold a lock for as long as the block and the connection last.

    Parameters
    ----------
    conn
        A connection for nothing but such locks: they are released with it, so that another
        daemon can take over from one that crashed. Its ``application_name`` is changed.
    name
        Name of the lock.

    Yields
    ------
    Holder or None
        ``None`` if we got the lock, else who has it; the function does not wait.
    """
    names = {"name": name}
    holder = None
    while True:
        with committed(conn):
            conn.execute(_NAME_SESSION)
            if conn.execute(_TAKE, names).rowcount == 1:
                break
        with committed(conn):
            found = conn.execute(_HOLDER, names).fetchone()
        if found is not None:  # else it was released in between
            holder = Holder(*found)
            break
    try:
        yield holder
    finally:
        if holder is None and not conn.closed:
            # If the connection was lost, the lock is free already, and the work is finished.
            with suppress(psycopg.OperationalError), committed(conn):
                conn.execute(_FREE, names)


def lock_schema(conn: psycopg.Connection) -> None:
    """Wait for other migrations and whoever holds the schema; lock them out until the end.

    Parameters
    ----------
    conn
        Connection of the owner, in a transaction that has not done anything yet.

    Raises
    ------
    ReadOnlyError
        The database accepts no changes.
    """
    check_writable(conn)
    while True:
        try:
            # Before 0002 there is no table of locks. An empty database has neither, and the
            # second to create the schema waits for the first.
            for table in ("alembic_version", "lock"):
                name = f"annotator.{table}"
                found = conn.execute("select to_regclass(%s) is not null", (name,)).fetchone()
                if found == (True,):
                    conn.execute(f"lock table {name} in share row exclusive mode".encode())
                elif table == "alembic_version":
                    conn.execute("create schema if not exists annotator")
        except (psycopg.errors.UniqueViolation, psycopg.errors.UndefinedTable):
            conn.rollback()  # another migration has just ended
        else:
            return
