"""The other samples in datasets of annotated samples, for pooling their probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.store.answers.work import SUSPECT_ATTEMPTS
from annotator.store.sample_rows import CHECKED_AGAIN, UNUSABLE, may_have_bad_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

# Samples that the release has learned from are left out, because it is more confident about
# them than about any new sample. So are those that may crash a worker.
_OTHERS = f"""
with not_learned as (
    select s.sample_id, s.dataset_id,
        row_number() over (
            partition by s.dataset_id order by s.sample_id::text collate "C"
        ) as place
    from annotator.sample_organism s
    where s.dataset_id = any (%(datasets)s::text[]) and s.sample_id <> ''
      and s.organism = (
        select r.organism from annotator.release r where r.release_id = %(release_id)s
    )
      and not exists (
        select from ({UNUSABLE}) unusable where unusable.sample_id = s.sample_id
    ) and not exists (
        select from annotator.learned_sample learned
        where learned.release_id = %(release_id)s and learned.sample_id = s.sample_id
    ) and not exists (
        select from annotator.quarantine q
        where q.sample_id = s.sample_id and q.field = %(field)s
          and (q.release_id is null or q.release_id = %(release_id)s)
          and q.sample_updated_at is not distinct from s.updated_at
          and q.code <> all ({CHECKED_AGAIN})
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
"""  # noqa: S608 constant text


@dataclass(frozen=True, slots=True)
class DatasetSample:
    """A sample whose probabilities are pooled with those of the others in its dataset."""

    sample_id: str
    dataset_id: str


def dataset_of_sample(conn: psycopg.Connection, sample_id: str) -> str | None:
    """Return the dataset of a sample, or ``None`` if the atlas has no such sample or dataset."""
    with conn.transaction():
        row = conn.execute(
            "select dataset_id from atlas.sample where sample_id::text = %s limit 1", (sample_id,)
        ).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def other_samples_in(
    conn: psycopg.Connection,
    field: str,
    release_id: int,
    dataset_ids: Sequence[str],
    most: int,
) -> list[DatasetSample]:
    """Find the samples in datasets that a release has not learned from, annotated or not.

    All are of the organism of the release. The result is the same for every batch of a
    dataset, whatever was annotated before. Quarantined samples, and those that were claimed
    repeatedly without a result, are left out.

    Parameters
    ----------
    conn
        Connection; the caller's transaction is used.
    field, release_id
        The field that is annotated, and the release that annotates it.
    dataset_ids
        The datasets.
    most
        Maximum number of samples per dataset: the first by the code points of their ids.
    """
    rows = conn.execute(
        _OTHERS,
        {
            "datasets": sorted(set(dataset_ids)),
            "field": field,
            "release_id": release_id,
            "most": most,
            "suspect_attempts": SUSPECT_ATTEMPTS,
            "bad_rows": may_have_bad_rows(conn),
        },
    ).fetchall()
    return [DatasetSample(*row) for row in rows]
