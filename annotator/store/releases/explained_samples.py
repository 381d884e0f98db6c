"""Samples that a release annotated, with the contributions that are stored for them."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from annotator.domain.answers import ClassContributions
from annotator.domain.explanations import ExplainedSample

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

# Per predicted class two samples: one that is confirmed, else the most confident; and one that
# is contradicted, else the least confident.
_CHOSEN = """
with explained as (
    select
        p.prediction_id, p.sample_id, p.dataset_id, first.class, p.confidence,
        p.status <> 'abstained' as is_answered, j.label, j.is_right, first.model_kind,
        row_number() over (
            partition by first.class
            order by j.is_right is not true, p.confidence desc nulls last, p.sample_id
        ) as best,
        row_number() over (
            partition by first.class
            order by j.is_right is distinct from false, p.confidence nulls first, p.sample_id
        ) as worst
    from annotator.prediction p
    cross join lateral (
        select c.class, c.model_kind
        from annotator.class_contribution c
        where c.prediction_id = p.prediction_id and c.class_rank = 1
          and c.model_kind in ('combined', 'network')
        order by c.model_kind <> 'combined'
        limit 1
    ) first
    left join annotator.judged_suggestion j
        on j.prediction_id = p.prediction_id and j.release_id = p.release_id and j.field = p.field
    where p.release_id = %(release)s and p.field = %(field)s
)
select
    e.sample_id, e.dataset_id, e.class, e.confidence, e.is_answered, e.label, e.is_right,
    c.model_kind, c.method, c.class, c.class_rank, c.features, c.scores, c.expression,
    c.other_samples
from explained e
join annotator.class_contribution c
    on c.prediction_id = e.prediction_id and c.model_kind = e.model_kind
where e.best = 1 or e.worst = 1
order by e.class, e.best, e.prediction_id, c.class_rank
"""


def read_explained_samples(
    conn: psycopg.Connection, release_id: int, field: str
) -> tuple[ExplainedSample, ...]:
    """Read up to two samples per class that a release predicted, with their contributions.

    Parameters
    ----------
    conn
        Connection.
    release_id, field
        The release and its field.

    Returns
    -------
    tuple of ExplainedSample
        By predicted class: first one that a later label confirmed, or else the most
        confident; then one that a later label contradicted, or else the least confident.
    """
    with conn.transaction():
        rows = conn.execute(_CHOSEN, {"release": release_id, "field": field}).fetchall()
    samples: list[ExplainedSample] = []
    for of_sample, of_class in groupby(rows, key=lambda row: row[:7]):
        sample_id, dataset_id, name, confidence, is_answered, label, is_right = of_sample
        contributions = tuple(_contributions(row[7:]) for row in of_class)
        samples.append(
            ExplainedSample(
                sample_id, dataset_id, name, confidence, is_answered, label, is_right, contributions
            )
        )
    return tuple(samples)


def _contributions(row: Sequence[Any]) -> ClassContributions:
    kind, method, name, rank, features, scores, expression, other_samples = row
    return ClassContributions(
        kind, method, name, rank, tuple(features), tuple(scores), tuple(expression), other_samples
    )
