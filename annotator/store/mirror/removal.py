"""Removing datasets from the mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_COUNTS = """
with chosen as (select sample_id from atlas.sample where dataset_id = any (%(datasets)s))
select
    (select count(*) from chosen),
    (select coalesce(sum(e.nnz), 0) from atlas.expression e join chosen using (sample_id)),
    (select count(*) from atlas.annotation a join chosen using (sample_id))
"""


def missing_datasets(conn: psycopg.Connection, dataset_ids: Sequence[str]) -> list[str]:
    """Return the datasets that the mirror does not have, in the order given."""
    rows = conn.execute(
        "select given.dataset_id from unnest(%s::text[]) with ordinality as given (dataset_id, n)"
        " where not exists (select from atlas.dataset d where d.dataset_id = given.dataset_id)"
        " order by given.n",
        [[*dataset_ids]],
    ).fetchall()
    return [row[0] for row in rows]


def count_datasets(conn: psycopg.Connection, dataset_ids: Sequence[str]) -> tuple[int, int, int]:
    """Count the samples, stored counts and annotations of datasets."""
    row = conn.execute(_COUNTS, {"datasets": [*dataset_ids]}).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


def remove_datasets(conn: psycopg.Connection, dataset_ids: Sequence[str]) -> None:
    """Remove datasets with their samples, expression and annotations.

    This is part of the caller's transaction. Features and terms stay.
    """
    chosen = [[*dataset_ids]]
    conn.execute("delete from atlas.sample where dataset_id = any (%s)", chosen)
    conn.execute("delete from atlas.dataset where dataset_id = any (%s)", chosen)
