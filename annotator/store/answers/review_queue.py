"""Keeping the order of the review queue, and watching the mirror for what it makes of suggestions.

What is open is always looked up when the queue is read; only the order of datasets is kept
(``annotator.queue_group``). Nobody waits for anybody here: what another holds is left to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    import psycopg

GROUPS_AT_A_TIME = 200


def refresh_queue(conn: psycopg.Connection) -> int:
    """Work out where the datasets stand that changed; committed in parts.

    Returns
    -------
    int
        Datasets and fields whose place was worked out.
    """
    total = done = 0
    while total == 0 or done == GROUPS_AT_A_TIME:
        with committed(conn):
            done = _number(conn, "select annotator.refresh_queue(%s)", GROUPS_AT_A_TIME)
        total += done
        if done == 0:
            break
    return total


def look_after_queue(conn: psycopg.Connection) -> int:
    """Write down what changed in the mirror, and bring the order of the queue up to date.

    The mirror may consist of views, which tell nobody of a change. So the labels of samples
    with a prediction are compared with what was seen last, samples that moved to another
    dataset are followed, and the places that were worked out longest ago are worked out anew.

    Parameters
    ----------
    conn
        Connection; committed in parts.

    Returns
    -------
    int
        Changes that were seen in the mirror.
    """
    with committed(conn):
        seen = _number(conn, "select annotator.watch_mirror()")
    refresh_queue(conn)
    with committed(conn):
        conn.execute("select annotator.recheck_queue(%s)", (GROUPS_AT_A_TIME,))
    return seen


def _number(conn: psycopg.Connection, query: str, *values: int) -> int:
    row = conn.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])
