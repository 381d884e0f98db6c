"""The comparisons of the gate from before a release was promoted or rejected, as rows."""

from __future__ import annotations

from dataclasses import astuple, fields
from typing import TYPE_CHECKING

from annotator.domain.releases import Comparison

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_COLUMNS = tuple(field.name for field in fields(Comparison))


def insert_comparisons(
    conn: psycopg.Connection, release_id: int, comparisons: Sequence[Comparison]
) -> None:
    """Store comparisons in their order, in the current transaction."""
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy annotator.release_comparison"
            f" (release_id, position, {', '.join(_COLUMNS)}) from stdin".encode()
        ) as copy,
    ):
        for position, comparison in enumerate(comparisons, start=1):
            copy.write_row((release_id, position, *astuple(comparison)))


def read_comparisons(conn: psycopg.Connection, release_id: int) -> tuple[Comparison, ...]:
    """Read the comparisons of the gate, in their order.

    There are none for a candidate, and for a release from before comparisons were stored.
    """
    with conn.transaction():
        rows = conn.execute(
            f"select {', '.join(_COLUMNS)} from annotator.release_comparison"  # noqa: S608 constant
            " where release_id = %s order by position",
            (release_id,),
        ).fetchall()
    return tuple(Comparison(*row) for row in rows)
