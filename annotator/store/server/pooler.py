"""Refuse a connection pool that gives the statements of one session to several servers.

Sessions hold state here: their settings, the role of ``annotator sql``, temporary tables of
imports, prepared statements, and the names that mark workers and retrainings as alive. A pool
in transaction mode would give a name to whichever client comes next. A pool in session mode, in
which a server connection belongs to one client at a time, works.

A pool shows in the process id that it made up when the client logged in: it is not the one of
the server. Its mode shows in the server connections that statements reach. Pools hand out
the connection that was returned last, which another session then gets, or the one that was
returned first, which the same session does not get at once. Each round tries both.
"""

from __future__ import annotations

import secrets
import selectors
import time
from contextlib import closing
from typing import TYPE_CHECKING

from psycopg.pq import ExecStatus

from annotator.errors import DatabaseUnavailableError, NeedsPersonError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

PATIENCE_SECONDS = 10.0
_ROUNDS = 20  # other clients may take the connection in between, several times in a row
_MARK = "select set_config('annotator.session', %s, false), pg_backend_pid()"
_READ_MARK = b"select current_setting('annotator.session', true)"


def check_pool(
    connection: psycopg.Connection,
    another: Callable[[], psycopg.Connection],
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Raise an error unless a session keeps its server connection.

    Parameters
    ----------
    connection
        Connection through the pool, with autocommit. Nothing but a mark is set in its session.
    another
        Opens a second one with autocommit, which is closed here.
    seconds
        How long to wait for the second one's server connection.

    Raises
    ------
    NeedsPersonError
        The pool is in transaction or statement mode.
    DatabaseUnavailableError
        The pool has no second server connection.
    """
    with closing(another()) as other:
        for _ in range(_ROUNDS):
            mark = secrets.token_hex(8)
            row = connection.execute(_MARK, (mark,), prepare=False).fetchone()
            same = connection.execute("select pg_backend_pid()", prepare=False).fetchone()
            assert row is not None
            assert same is not None
            if same[0] != row[1] or _answer(other, _READ_MARK, seconds) == mark:
                raise NeedsPersonError(
                    "the database is behind a connection pool in transaction mode (one session"
                    " reaches several server connections), which would break the locks of this"
                    " program: connect to PostgreSQL directly, or through a pool with pool_mode ="
                    " session, in ANNOTATOR_DATABASE_URL"
                )


def _answer(connection: psycopg.Connection, query: bytes, seconds: float) -> str:
    """Return the only value of a query; a pool without a free connection never answers."""
    server = connection.pgconn
    server.send_query(query)
    server.flush()
    give_up = time.monotonic() + seconds
    results = []
    with selectors.DefaultSelector() as selector:
        selector.register(server.socket, selectors.EVENT_READ)
        # Each result is waited for here: ``get_result`` would wait without end, deaf to signals.
        while True:
            while server.is_busy():
                if not selector.select(max(0.0, give_up - time.monotonic())):
                    raise DatabaseUnavailableError(
                        "the connection pool in front of the database has no second server"
                        f" connection ({seconds:.0f} seconds without an answer): raise its pool"
                        " size, or connect to PostgreSQL directly, in ANNOTATOR_DATABASE_URL"
                    )
                server.consume_input()
            if (result := server.get_result()) is None:
                break
            results.append(result)
    if not results or results[0].status != ExecStatus.TUPLES_OK:
        reason = " ".join(server.get_error_message().split())
        raise DatabaseUnavailableError(f"the connection pool in front of the database: {reason}")
    return (results[0].get_value(0, 0) or b"").decode()
