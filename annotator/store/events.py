"""Adding to the append-only event log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg


def add_event(
    conn: psycopg.Connection, kind: str, subject: str | None, detail: Mapping[str, Any]
) -> None:
    """Add a line to the event log, within whatever transaction is going on.

    Parameters
    ----------
    conn
        Connection.
    kind
        What happened, in one word; ``failure`` shows up in the status.
    subject
        What it happened to: a field or a sample.
    detail
        Everything else, as JSON.
    """
    conn.execute(
        "insert into annotator.event (kind, subject, detail) values (%s, %s, %s)",
        (kind, subject, Jsonb(dict(detail))),
    )
