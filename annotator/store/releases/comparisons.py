"""The gate's comparisons, kept as data in the append-only event log."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from annotator.domain.releases import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

PROMOTED, REJECTED = "promoted", "rejected"
"""Kinds of the events that carry the gate's verdict on a release."""


def as_json(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """Return comparisons as JSON has them: a number that is not finite is null."""
    return [
        {name: None if _is_broken(value) else value for name, value in asdict(each).items()}
        for each in comparisons
    ]


def _is_broken(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def read_comparisons(conn: psycopg.Connection, release_id: int) -> tuple[Comparison, ...]:
    """Read what the gate compared, in its order; a null is NaN again.

    Empty for a release that nobody has decided on, and for one made before comparisons
    were kept.
    """
    with conn.transaction():
        # The first word counts: a live release may be rejected later, for damaged files.
        row = conn.execute(
            "select detail -> 'comparisons' from annotator.event"
            " where kind = any (%s) and detail ->> 'release_id' = %s order by event_id limit 1",
            ([PROMOTED, REJECTED], str(release_id)),
        ).fetchone()
    return tuple(_from_json(each) for each in (row[0] if row and row[0] else ()))


def _from_json(found: dict[str, Any]) -> Comparison:
    broken = {name: math.nan for name in ("ours", "theirs") if found[name] is None}
    return Comparison(**found | broken)
