"""The share of suggestions that were right, by labels that came later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.answers import LiveAccuracy

if TYPE_CHECKING:
    import psycopg


def live_accuracy_of(conn: psycopg.Connection, release_id: int) -> LiveAccuracy | None:
    """Read the live accuracy of a release, ``None`` while no suggestion was judged."""
    with conn.transaction():
        field = conn.execute(
            "select field from annotator.release where release_id = %s", (release_id,)
        ).fetchone()
        if field is None:
            return None
        # Restricted to its field, so that labels of other fields are not read.
        row = conn.execute(
            "select release_id, judged, confirmed, lowest, highest from annotator.live_accuracy"
            " where release_id = %s and field = %s and judged > 0",
            (release_id, *field),
        ).fetchone()
    return None if row is None else LiveAccuracy(*row)
