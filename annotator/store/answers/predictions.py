"""Writing the results for a batch of samples, all or nothing."""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.types.json import Jsonb

from annotator.domain.statuses import PredictionStatus
from annotator.errors import LeaseLostError
from annotator.store.events import add_event
from annotator.store.plain_json import dumps
from annotator.store.server.copy_format import encode_contributions
from annotator.store.server.schema import hold_schema
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import psycopg

    from annotator.domain.answers import ClassContributions, QuarantinedSample, SamplePrediction

_LOCK_WORK = """
select w.sample_id
from annotator.work w
where w.field = %(field)s and w.sample_id = any (%(samples)s)
  and w.release_id = %(release_id)s and w.leased_by = %(worker)s
order by w.sample_id
for update
"""

_REMOVED = """
select given.sample_id
from unnest(%(lost)s::text[]) as given (sample_id)
where not exists (
    select from annotator.work w
    where w.sample_id = given.sample_id and w.field = %(field)s
) and not exists (select from atlas.sample s where s.sample_id = given.sample_id)
"""

# In the order in which annotator.accept_dataset locks them: no deadlock with a curator.
_LOCK_CURRENT = """
select p.prediction_id
from annotator.prediction p
where p.field = %(field)s and p.sample_id = any (%(samples)s) and p.is_current
order by p.prediction_id
for update
"""

_DECIDED = """
select distinct r.sample_id
from annotator.review r
where r.field = %(field)s and r.sample_id = any (%(samples)s)
  and r.decision in ('accepted', 'corrected')
"""

_HIDE_CURRENT = """
update annotator.prediction set is_current = false
where field = %(field)s and sample_id = any (%(samples)s) and is_current
"""

_SHOW_AGAIN = """
update annotator.prediction p set
    is_current = true, sample_updated_at = again.sample_updated_at
from unnest(%(samples)s::text[], %(hashes)s::text[], %(updated)s::timestamptz[])
    as again (sample_id, input_hash, sample_updated_at)
where p.sample_id = again.sample_id and p.field = %(field)s
  and p.release_id = %(release_id)s and p.input_hash = again.input_hash
returning p.sample_id
"""

# The name of each column and its type in the binary format, where enums are sent as text.
_COLUMNS = {
    "sample_id": "text",
    "dataset_id": "text",
    "field": "text",
    "release_id": "int8",
    "input_hash": "text",
    "sample_updated_at": "timestamptz",
    "value": "text",
    "lineage": "text[]",
    "confidence": "float8",
    "status": "text",
    "reason": "text",
    "novelty": "float8",
    "models": "jsonb",
    "top_features": "text[]",
    "annotation_run_id": "int8",
    "prediction_set": "text[]",
    "set_coverage": "float8",
    "known_features": "float8",
    "number": "float8",
    "number_low": "float8",
    "number_high": "float8",
    "class_probabilities": "float4[]",
}
_COPY_PREDICTIONS = f"copy annotator.prediction ({', '.join(_COLUMNS)}) from stdin (format binary)"

# The old predictions are hidden by now, and those shown again are left out: only new ones remain.
_NEW_IDS = """
select p.sample_id, p.prediction_id
from annotator.prediction p
where p.field = %(field)s and p.sample_id = any (%(samples)s) and p.is_current
"""

_QUARANTINE = """
insert into annotator.quarantine (sample_id, field, release_id, sample_updated_at, code, reason)
values (%s, %s, %s, %s, %s, %s)
on conflict do nothing
"""

_COPY_CONTRIBUTIONS = """
copy annotator.class_contribution
    (prediction_id, model_kind, method, class, class_rank, features, scores, expression,
     other_samples)
from stdin (format binary)
"""


def start_annotation_run(conn: psycopg.Connection, worker: str, host: str) -> int:
    """Record the start of a worker's pass through the pending samples; committed.

    Returns
    -------
    int
        ``annotation_run_id``, to be stored with the predictions of the pass.
    """
    with committed(conn):
        row = conn.execute(
            "insert into annotator.annotation_run (worker, host) values (%s, %s)"
            " returning annotation_run_id",
            (worker, host),
        ).fetchone()
    assert row is not None
    return int(row[0])


def finish_annotation_run(conn: psycopg.Connection, annotation_run_id: int) -> None:
    """Record the end of a pass; committed."""
    with committed(conn):
        conn.execute(
            "update annotator.annotation_run set finished_at = clock_timestamp()"
            " where annotation_run_id = %s and finished_at is null",
            (annotation_run_id,),
        )


def write_batch(
    conn: psycopg.Connection,
    worker: str,
    release_id: int,
    annotation_run_id: int,
    predictions: Sequence[SamplePrediction],
    quarantined: Sequence[QuarantinedSample],
    *,
    batch: str | None = None,
) -> None:
    """Write the results of claimed samples and end the claim, in one transaction.

    Older predictions are kept as history. If a release gets the same input again,
    its earlier prediction becomes current again instead of being stored twice. If a
    curator accepted or corrected a sample while the batch was processed, that
    decision stands and the new result is dropped; so are results for samples that were
    removed from the mirror meanwhile.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    worker
        The worker that holds the leases on all samples.
    release_id
        The release that made the predictions; it must still be live.
    annotation_run_id
        From :func:`start_annotation_run`.
    predictions, quarantined
        Results, all for the field of the release, with no sample twice.
    batch
        Name of the batch in log lines; stored in its event, too.

    Raises
    ------
    LeaseLostError
        The worker no longer holds the lease on a sample, or the release is no longer
        live. Nothing was written.
    SchemaError
        The database was migrated in the meantime. Nothing was written.
    """
    samples = sorted(
        [item.sample_id for item in predictions] + [item.sample_id for item in quarantined]
    )
    if not samples:
        return
    with committed(conn):
        hold_schema(conn)
        field = _live_field(conn, release_id)
        names = {"field": field, "samples": samples, "release_id": release_id, "worker": worker}
        dropped = _keep_lease(conn, names)
        conn.execute(_LOCK_CURRENT, names)
        # A separate statement, so that it sees decisions that the lock had to wait for.
        dropped |= {row[0] for row in conn.execute(_DECIDED, names)}
        predictions = [item for item in predictions if item.sample_id not in dropped]
        quarantined = [item for item in quarantined if item.sample_id not in dropped]
        open_samples = [sample for sample in samples if sample not in dropped]
        conn.execute(_HIDE_CURRENT, names | {"samples": open_samples})
        _write_predictions(conn, field, release_id, annotation_run_id, predictions)
        _write_quarantine(conn, release_id, quarantined)
        conn.execute(
            "delete from annotator.work where field = %(field)s and sample_id = any (%(samples)s)",
            names,
        )
        conn.execute("select annotator.recount_samples(%(samples)s, %(field)s)", names)
        named = {"worker": worker} if batch is None else {"worker": worker, "batch": batch}
        _count(conn, named, release_id, annotation_run_id, field, predictions, quarantined)


def _live_field(conn: psycopg.Connection, release_id: int) -> str:
    """Return the field of a live release and keep it live until the transaction ends."""
    row = conn.execute(
        "select field from annotator.release where release_id = %s and status = 'live' for share",
        (release_id,),
    ).fetchone()
    if row is None:
        raise LeaseLostError(
            f"release {release_id} is no longer live; nothing was written,"
            " the samples go to its successor"
        )
    return str(row[0])


def _keep_lease(conn: psycopg.Connection, names: dict[str, Any]) -> set[str]:
    """Lock the work rows, which the worker must still hold; return samples that were removed."""
    held = {row[0] for row in conn.execute(_LOCK_WORK, names)}
    lost = [sample for sample in names["samples"] if sample not in held]
    removed = {row[0] for row in conn.execute(_REMOVED, names | {"lost": lost})} if lost else set()
    lost = [sample for sample in lost if sample not in removed]
    if lost:
        raise LeaseLostError(
            f"{names['field']}: worker {names['worker']} no longer holds {len(lost)} of"
            f" {len(names['samples'])} samples ({lost[0]}, ...); nothing was written"
        )
    return removed


def _row(
    prediction: SamplePrediction, release_id: int, annotation_run_id: int
) -> dict[str, object]:
    return {
        "sample_id": prediction.sample_id,
        "dataset_id": prediction.dataset_id,
        "field": prediction.field,
        "release_id": release_id,
        "input_hash": prediction.input_hash,
        "sample_updated_at": prediction.sample_updated_at,
        "value": prediction.value,
        "lineage": list(prediction.lineage),
        "confidence": prediction.confidence,
        "status": prediction.status,
        "reason": prediction.reason,
        "novelty": prediction.novelty,
        "models": Jsonb(
            {kind: dict(result) for kind, result in prediction.models.items()}, dumps=dumps
        ),
        "top_features": list(prediction.top_features),
        "annotation_run_id": annotation_run_id,
        "prediction_set": list(prediction.prediction_set),
        "set_coverage": prediction.set_coverage,
        "known_features": prediction.known_features,
        "number": prediction.number,
        "number_low": prediction.number_low,
        "number_high": prediction.number_high,
        # In single precision: PostgreSQL refuses doubles that underflow a float4.
        "class_probabilities": array("f", prediction.class_probabilities).tolist() or None,
    }


def _write_predictions(
    conn: psycopg.Connection,
    field: str,
    release_id: int,
    annotation_run_id: int,
    predictions: Sequence[SamplePrediction],
) -> None:
    """Write predictions for samples that have no current prediction."""
    names: dict[str, Any] = {
        "field": field,
        "release_id": release_id,
        "samples": [prediction.sample_id for prediction in predictions],
        "hashes": [prediction.input_hash for prediction in predictions],
        "updated": [prediction.sample_updated_at for prediction in predictions],
    }
    shown_again = {row[0] for row in conn.execute(_SHOW_AGAIN, names)}
    fresh = [item for item in predictions if item.sample_id not in shown_again]
    if not fresh:
        return
    with conn.cursor() as cursor:
        with cursor.copy(_COPY_PREDICTIONS) as copy:
            copy.set_types([*_COLUMNS.values()])
            for prediction in fresh:
                row = _row(prediction, release_id, annotation_run_id)
                copy.write_row([row[column] for column in _COLUMNS])
        new = names | {"samples": [prediction.sample_id for prediction in fresh]}
        identifiers: dict[str, int] = dict(cursor.execute(_NEW_IDS, new).fetchall())
        _copy_contributions(
            cursor,
            [
                (identifiers[prediction.sample_id], item)
                for prediction in fresh
                for item in prediction.contributions
            ],
        )


def _copy_contributions(
    cursor: psycopg.Cursor, items: Sequence[tuple[int, ClassContributions]]
) -> int:
    """Store the contributions for predictions and return how many there are."""
    with cursor.copy(_COPY_CONTRIBUTIONS) as copy:
        for message in encode_contributions(items):
            copy.write(message)
    return sum(len(item.features) for _, item in items)


def _write_quarantine(
    conn: psycopg.Connection, release_id: int, quarantined: Sequence[QuarantinedSample]
) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            _QUARANTINE,
            [
                (
                    sample.sample_id,
                    sample.field,
                    release_id if sample.only_this_release else None,
                    sample.sample_updated_at,
                    sample.code,
                    sample.reason,
                )
                for sample in quarantined
            ],
        )


def _count(
    conn: psycopg.Connection,
    named: Mapping[str, str],
    release_id: int,
    annotation_run_id: int,
    field: str,
    predictions: Collection[SamplePrediction],
    quarantined: Collection[QuarantinedSample],
) -> None:
    """Add the batch to its annotation run and to the event log."""
    conn.execute(
        "update annotator.annotation_run set"
        " predicted = predicted + %s, quarantined = quarantined + %s"
        " where annotation_run_id = %s",
        (len(predictions), len(quarantined), annotation_run_id),
    )
    detail = {
        **named,
        "release_id": release_id,
        "annotation_run_id": annotation_run_id,
        "suggested": sum(p.status == PredictionStatus.SUGGESTED for p in predictions),
        "abstained": sum(p.status == PredictionStatus.ABSTAINED for p in predictions),
        "quarantined": len(quarantined),
    }
    add_event(conn, "annotated", field, detail)


class CurrentPrediction(NamedTuple):
    """The current prediction for a sample and field."""

    prediction_id: int
    release_id: int
    input_hash: str


def current_prediction(
    conn: psycopg.Connection, sample_id: str, field: str
) -> CurrentPrediction | None:
    """Return the current prediction for a sample, or ``None`` if there is none."""
    with conn.transaction():
        row = conn.execute(
            "select prediction_id, release_id, input_hash from annotator.prediction"
            " where sample_id = %s and field = %s and is_current",
            (sample_id, field),
        ).fetchone()
    return None if row is None else CurrentPrediction(*row)


def add_contributions(
    conn: psycopg.Connection, prediction_id: int, contributions: Iterable[ClassContributions]
) -> int:
    """Store contributions to classes for which a prediction has none of their model kind yet.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    prediction_id
        A stored prediction.
    contributions
        The contributions of a model kind to a class are skipped if any are stored
        already: those computed when the sample was annotated are kept. New classes
        are ranked after the stored ones, in their order, because the other samples in
        the dataset may have changed since.

    Returns
    -------
    int
        Number of rows stored, one per feature.
    """
    with committed(conn), conn.cursor() as cursor:
        # Concurrent callers wait for one another.
        cursor.execute(
            "select from annotator.prediction where prediction_id = %s for update",
            (prediction_id,),
        )
        cursor.execute(
            "select model_kind, class, class_rank from annotator.class_contribution"
            " where prediction_id = %s",
            (prediction_id,),
        )
        new = _ranked_behind(cursor.fetchall(), contributions)
        return _copy_contributions(cursor, [(prediction_id, item) for item in new])


def _ranked_behind(
    stored: Iterable[tuple[str, str, int]], contributions: Iterable[ClassContributions]
) -> Iterator[ClassContributions]:
    """Yield contributions to classes that are not stored yet, with the first free ranks."""
    classes: defaultdict[str, set[str]] = defaultdict(set)
    ranks: defaultdict[str, set[int]] = defaultdict(set)
    for kind, class_name, rank in stored:
        classes[kind].add(class_name)
        ranks[kind].add(rank)
    for item in sorted(contributions, key=lambda each: each.class_rank):
        if item.class_name not in classes[item.model_kind]:
            taken = ranks[item.model_kind]
            rank = next(free for free in count(1) if free not in taken)
            taken.add(rank)
            yield replace(item, class_rank=rank)
