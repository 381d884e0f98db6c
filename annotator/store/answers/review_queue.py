"""Keeping the order of the review queue, and comparing the labels in the mirror with suggestions.

Open samples are looked up whenever the queue is read; only the order of datasets is stored
(``annotator.queue_group``). Nothing here waits for a lock: rows that others hold are skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    import psycopg

GROUPS_AT_A_TIME = 200


def refresh_queue(conn: psycopg.Connection) -> int:
    """Compute the places of datasets that changed; committed in parts.

    Returns
    -------
    int
        Number of pairs of dataset and field whose place was computed.
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
    """Record what changed in the mirror, and bring the order of the queue up to date.

    The mirror may consist of views, on which triggers cannot report changes. So the labels of
    samples with a prediction are compared with those seen last, samples that moved to another
    dataset are moved in the queue, and the places computed longest ago are recomputed.

    Parameters
    ----------
    conn
        Connection; committed in parts.

    Returns
    -------
    int
        Number of changes found in the mirror.
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
