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
    """Add an event to the event log, within the current transaction.

    Parameters
    ----------
    conn
        Connection.
    kind
        Kind of the event; events of kind ``failure`` are shown in the status.
    subject
        The field or sample that it is about.
    detail
        Everything else, as JSON.
    """
    conn.execute(
        "insert into annotator.event (kind, subject, detail) values (%s, %s, %s)",
        (kind, subject, Jsonb(dict(detail))),
    )
