"""Transactions that do not depend on what the connection did before."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def committed(conn: psycopg.Connection) -> Iterator[None]:
    """Run the block as one transaction that is durable when the block ends.

    Without autocommit a mere SELECT leaves a transaction open, and
    ``conn.transaction()`` would then only set a savepoint that nobody commits.
    So what is open is committed first. Inside a ``conn.transaction()`` block of
    the caller the outermost block decides, as always.

    Parameters
    ----------
    conn
        Any connection, with or without autocommit.
    """
    with suppress(psycopg.ProgrammingError):  # forbidden inside a transaction block only
        conn.commit()
    with conn.transaction():
        yield
