"""The record of releases that are being loaded into memory.

A release that ends the process loading it, for example by taking all memory, would end the
next one, too. So whoever loads a release is recorded until loading is over, with the session.
A record whose session has ended is a death. A single death may have had
another cause, so it takes two in succession until a release is not loaded again.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotator.errors import ArtefactError
from annotator.store.server.locks import wait_for_lock
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

MOST_DEATHS = 2

# A process id alone could come back, or be kept by a connection pool. A pool resets the name.
_NAME_SESSION = """
select set_config('application_name', 'annotator loading ' || gen_random_uuid(), false)
where current_setting('application_name') = 'annotator'
"""
_BEFORE = """
select l.process, l.started_at, l.deaths, not exists (
    select from pg_stat_activity a
    where a.pid = l.pid and a.usename = l.role and a.application_name = l.session
)
from annotator.release_loading l
where l.release_id = %s
"""
_RECORD = """
insert into annotator.release_loading (release_id, process, deaths, pid, role, session)
values (%s, %s, %s, pg_backend_pid(), session_user, current_setting('application_name'))
on conflict (release_id) do update set
    process = excluded.process, started_at = excluded.started_at, deaths = excluded.deaths,
    pid = excluded.pid, role = excluded.role, session = excluded.session
"""


@contextmanager
def recorded_loading(conn: psycopg.Connection, release_id: int, process: str) -> Iterator[None]:
    """Record that a process loads a release while the block runs; committed.

    On a read-only server nothing is recorded.

    Parameters
    ----------
    conn
        Connection, which lasts as long as the block.
    release_id
        The release.
    process
        Unique name of the process.

    Raises
    ------
    ArtefactError
        Loading the release ended :data:`MOST_DEATHS` processes in succession.
    """
    recorded = _begin(conn, release_id, process)
    try:
        yield
    finally:
        if recorded and not conn.closed:
            with committed(conn):
                wait_for_lock(conn, _lock_of(release_id))
                # Unless another process has begun to load it since.
                conn.execute(
                    "delete from annotator.release_loading where release_id = %s and process = %s",
                    (release_id, process),
                )


def _begin(conn: psycopg.Connection, release_id: int, process: str) -> bool:
    with committed(conn):
        row = conn.execute("select current_setting('transaction_read_only')::boolean").fetchone()
        if row is None or row[0]:
            return False
        wait_for_lock(conn, _lock_of(release_id))
        conn.execute(_NAME_SESSION)
        row = conn.execute(_BEFORE, (release_id,)).fetchone()
        before, started_at, deaths, is_gone = row or (process, None, 0, False)
        if before != process and deaths < MOST_DEATHS and is_gone:
            deaths += 1
        if deaths < MOST_DEATHS:
            conn.execute(_RECORD, (release_id, process, deaths))
        else:
            conn.execute(
                "update annotator.release_loading set deaths = %s where release_id = %s",
                (deaths, release_id),
            )
    if deaths >= MOST_DEATHS:
        raise ArtefactError(
            f"release {release_id}: {deaths} processes in succession ended while they loaded it,"
            f" most recently {before}, since {started_at:%Y-%m-%d %H:%M:%S} UTC; retrain the field,"
            " or delete the row of annotator.release_loading to have it loaded again"
        )
    return True


def _lock_of(release_id: int) -> str:
    return f"loading of release {release_id}"
