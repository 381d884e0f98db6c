"""The predictions and decisions of samples that leave the mirror.

Both are history and stay: predictions are no longer current, and decisions are undone, so
that they do not count for other samples that are given the same ids later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from annotator.store.server.locks import wait_for_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

# Behind a common table expression, so that every statement finds the samples in the same way.
_CHOSEN = (
    "with chosen as (select sample_id from atlas.sample where dataset_id = any (%(datasets)s))"
)

_COUNTS = f"""
{_CHOSEN}
select
    (select count(*) from annotator.prediction p join chosen using (sample_id) where p.is_current),
    (select count(*) from annotator.review r join chosen using (sample_id)),
    array(
        select distinct r.release_id
        from annotator.release r
        join annotator.training_run t using (run_id)
        join annotator.cohort_sample c using (cohort_id)
        join chosen on chosen.sample_id = c.sample_id
        where r.status = 'live'
        order by r.release_id
    )
"""  # noqa: S608 constant text

# Workers that queue samples wait, and do not see these samples afterwards.
_QUEUES = "select distinct 'queue ' || field from annotator.release order by 1"

# As when a batch is written: first the work, then predictions in the order of their ids.
_REMOVE_WORK = f"""
{_CHOSEN}, locked as (
    select w.sample_id, w.field
    from annotator.work w
    join chosen using (sample_id)
    order by w.field, w.sample_id
    for update of w
)
delete from annotator.work w using locked
where (w.sample_id, w.field) = (locked.sample_id, locked.field)
"""  # noqa: S608 constant text

_LOCK_PREDICTIONS = f"""
{_CHOSEN}
select p.prediction_id
from annotator.prediction p
join chosen using (sample_id)
order by p.prediction_id
for update of p
"""  # noqa: S608 constant text

_UNDO = f"""
{_CHOSEN}, standing as materialized (
    select r.review_id from annotator.review r join chosen using (sample_id) order by 1
)
select count(undone.review_id)
from standing
cross join lateral annotator.undo_review(standing.review_id, %(note)s) undone
"""  # noqa: S608 constant text

_HIDE = f"""
{_CHOSEN}
update annotator.prediction p set is_current = false
from chosen where p.sample_id = chosen.sample_id and p.is_current
"""  # noqa: S608 constant text


class AnswerCounts(NamedTuple):
    """Current predictions and decisions for samples, and live releases that learned from them."""

    predictions: int
    decisions: int
    releases: tuple[int, ...]


def count_answers(conn: psycopg.Connection, dataset_ids: Sequence[str]) -> AnswerCounts:
    """Count the current predictions and the decisions for the samples of datasets."""
    row = conn.execute(_COUNTS, {"datasets": [*dataset_ids]}).fetchone()
    assert row is not None
    return AnswerCounts(int(row[0]), int(row[1]), tuple(row[2]))


def retire_answers(conn: psycopg.Connection, dataset_ids: Sequence[str], note: str) -> None:
    """End the claims on the samples of datasets, hide predictions, and undo decisions.

    This is part of the caller's transaction, which removes the samples afterwards.

    Parameters
    ----------
    conn
        Connection.
    dataset_ids
        The datasets, which are still in the mirror.
    note
        Reason that is stored with undone decisions.
    """
    names = {"datasets": [*dataset_ids], "note": note}
    for (queue,) in conn.execute(_QUEUES).fetchall():
        wait_for_lock(conn, queue)
    conn.execute(_REMOVE_WORK, names)
    conn.execute(_LOCK_PREDICTIONS, names)
    # A separate statement, so that it sees decisions that the lock had to wait for.
    conn.execute(_UNDO, names)
    conn.execute(_HIDE, names)
