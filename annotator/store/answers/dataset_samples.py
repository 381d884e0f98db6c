"""The other samples of a dataset, whose expression speaks for those that are annotated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.store.answers.work import SUSPECT_ATTEMPTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

# Samples that the release has learned from stay out: it is surer of them than of any new
# sample. So do those that may end a worker.
_OTHERS = """
with not_learned as (
    select s.sample_id, s.dataset_id,
        row_number() over (
            partition by s.dataset_id order by s.sample_id::text collate "C"
        ) as place
    from atlas.sample s
    where s.dataset_id = any (%(datasets)s::text[])
      and not exists (
        select from annotator.learned_sample learned
        where learned.release_id = %(release_id)s and learned.sample_id = s.sample_id
    ) and not exists (
        select from annotator.quarantine q
        where q.sample_id = s.sample_id and q.field = %(field)s
          and (q.release_id is null or q.release_id = %(release_id)s)
          and q.sample_updated_at is not distinct from s.updated_at
    ) and not exists (
        select from annotator.work w
        where w.sample_id = s.sample_id and w.field = %(field)s
          and w.attempts >= %(suspect_attempts)s
          and (w.attempts > %(suspect_attempts)s or w.leased_until is null
               or w.leased_until <= statement_timestamp())
    )
)
select sample_id, dataset_id from not_learned where place <= %(most)s
order by dataset_id::text collate "C", place
"""


@dataclass(frozen=True, slots=True)
class DatasetSample:
    """A sample that speaks for the others of its dataset."""

    sample_id: str
    dataset_id: str


def dataset_of_sample(conn: psycopg.Connection, sample_id: str) -> str | None:
    """Return the dataset of a sample, ``None`` where the atlas has no such sample."""
    with conn.transaction():
        row = conn.execute(
            "select dataset_id from atlas.sample where sample_id::text = %s limit 1", (sample_id,)
        ).fetchone()
    return None if row is None else str(row[0])


def other_samples_in(
    conn: psycopg.Connection,
    field: str,
    release_id: int,
    dataset_ids: Sequence[str],
    most: int,
) -> list[DatasetSample]:
    """Find the samples of datasets that a release has not learned from, answered or not.

    The same for every batch of a dataset, whatever was annotated before. Left out are
    samples in quarantine, and those that were claimed again and again without a result.

    Parameters
    ----------
    conn
        Read in the caller's transaction.
    field, release_id
        What is annotated, by which release.
    dataset_ids
        The datasets.
    most
        Samples of a dataset at most: the first by the code points of their ids.
    """
    rows = conn.execute(
        _OTHERS,
        {
            "datasets": sorted(set(dataset_ids)),
            "field": field,
            "release_id": release_id,
            "most": most,
            "suspect_attempts": SUSPECT_ATTEMPTS,
        },
    ).fetchall()
    return [DatasetSample(*row) for row in rows]
