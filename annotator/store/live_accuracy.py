"""How often suggestions turned out right, by labels that came later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class LiveAccuracy:
    """What became of the suggestions of one release.

    Attributes
    ----------
    judged, confirmed
        Suggestions whose sample got a label later, in the mirror or by a review, and
        those of them that were right: the label itself or a broader term of it.
    lowest, highest
        95 % interval of the share that is right (Wilson 1927), samples taken as
        independent.
    """

    release_id: int
    judged: int
    confirmed: int
    lowest: float
    highest: float


def live_accuracy_of(conn: psycopg.Connection, release_id: int) -> LiveAccuracy | None:
    """Read what became of the suggestions of a release; ``None`` while none was judged."""
    with conn.transaction():
        row = conn.execute(
            "select release_id, judged, confirmed, lowest, highest from annotator.live_accuracy"
            " where release_id = %s and judged > 0",
            (release_id,),
        ).fetchone()
    return None if row is None else LiveAccuracy(*row)
