"""Transactions that do not depend on earlier use of the connection."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def committed(conn: psycopg.Connection) -> Iterator[None]:
    """Run the block as one transaction that is committed when the block ends.

    Without autocommit even a SELECT leaves a transaction open, and
    ``conn.transaction()`` would then only set a savepoint that is never committed.
    So an open transaction is committed first. Inside a ``conn.transaction()`` block
    of the caller, the outermost block commits, as always.

    Parameters
    ----------
    conn
        Any connection, with or without autocommit.
    """
    with suppress(psycopg.ProgrammingError):  # forbidden only inside a transaction block
        conn.commit()
    with conn.transaction():
        yield
