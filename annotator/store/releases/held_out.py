"""Held-out predictions, curves and suspect labels, stored for the gate and for curators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from annotator.domain.held_out import HeldOutPredictions
from annotator.errors import NeedsPersonError
from annotator.store.plain_json import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import psycopg
    from numpy.typing import NDArray

    from annotator.domain.held_out import Curve, LabelSuspicion


def _held_out_rows(run_id: int, held_out: HeldOutPredictions) -> Iterator[tuple[object, ...]]:
    """Yield the rows of ``validation_prediction``, arrays as PostgreSQL literals."""
    novelty = [None] * len(held_out.sample_ids)
    if held_out.novelty is not None:
        novelty = held_out.novelty.tolist()
    for kind, probabilities in held_out.probabilities.items():
        best = probabilities.argmax(axis=1).tolist()
        highest = probabilities.max(axis=1).tolist()
        stored = probabilities.astype("float32").tolist()
        for position, sample_id in enumerate(held_out.sample_ids):
            yield (
                run_id,
                sample_id,
                held_out.dataset_ids[position],
                kind,
                int(held_out.folds[position]),
                held_out.truth[position],
                held_out.classes[best[position]],
                highest[position],
                "{" + ",".join(map(repr, stored[position])) + "}",
                novelty[position],
            )


def copy_held_out(conn: psycopg.Connection, run_id: int, held_out: HeldOutPredictions) -> None:
    """Store the held-out predictions of a run, in the current transaction."""
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy annotator.validation_prediction (run_id, sample_id, dataset_id, model_kind,"
            " fold, truth, value, probability, probabilities, novelty) from stdin"
        ) as copy,
    ):
        for row in _held_out_rows(run_id, held_out):
            copy.write_row(row)


def insert_curves(
    conn: psycopg.Connection, run_id: int, scheme: str, curves: Sequence[Curve]
) -> None:
    """Store the curves of a validation scheme, in the current transaction."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into annotator.validation_curve"
            " (run_id, scheme, model_kind, curve, position, x, y, samples)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    run_id,
                    scheme,
                    curve.model_kind,
                    curve.name,
                    position,
                    point.x,
                    point.y,
                    point.samples,
                )
                for curve in curves
                for position, point in enumerate(curve.points, start=1)
            ],
        )


def copy_suspicions(
    conn: psycopg.Connection,
    run_id: int,
    held_out: HeldOutPredictions,
    suspicions: Sequence[LabelSuspicion],
) -> None:
    """Store suspect labels, in the current transaction.

    Raises
    ------
    NeedsPersonError
        A sample with a suspect label was not held out.
    """
    dataset_of = dict(zip(held_out.sample_ids, held_out.dataset_ids, strict=True))
    unknown = [item.sample_id for item in suspicions if item.sample_id not in dataset_of]
    if unknown:
        raise NeedsPersonError(
            f"{len(unknown)} suspect labels belong to samples that were not held out"
            f" ({unknown[0]}, ...); retrain"
        )
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy annotator.label_suspicion (run_id, sample_id, dataset_id, label, predicted,"
            " suspicion, rank, evidence) from stdin"
        ) as copy,
    ):
        for item in suspicions:
            copy.write_row(
                (
                    run_id,
                    item.sample_id,
                    dataset_of[item.sample_id],
                    item.label,
                    item.predicted,
                    float(item.suspicion),
                    int(item.rank),
                    Jsonb(dict(item.evidence), dumps=dumps),
                )
            )


def held_out_of(conn: psycopg.Connection, run_id: int) -> HeldOutPredictions | None:
    """Read the held-out predictions behind a release.

    Parameters
    ----------
    conn
        Connection.
    run_id
        The run that made the release.

    Returns
    -------
    HeldOutPredictions or None
        Predictions of all model kinds, ordered by sample, with float32 precision;
        ``None`` if the run made no release or stored no predictions. Novelty
        is ``None`` unless every sample has one; ``numbers`` are not stored.
    """
    import numpy as np

    with conn.transaction(), conn.cursor(binary=True) as cursor:
        release = cursor.execute(
            "select classes from annotator.release where run_id = %s", (run_id,)
        ).fetchone()
        if release is None:
            return None
        by_kind: dict[str, list[tuple[Any, ...]]] = {}
        for kind, *row in cursor.execute(
            "select model_kind, sample_id, dataset_id, truth, fold, novelty, probabilities"
            " from annotator.validation_prediction where run_id = %s"
            " order by model_kind, sample_id",
            (run_id,),
        ):
            by_kind.setdefault(kind, []).append(tuple(row))
    if not by_kind:
        return None
    samples, datasets, truth, folds, novelty, _ = zip(*next(iter(by_kind.values())), strict=True)

    def column(values: Sequence[str]) -> NDArray[np.object_]:
        return np.array(values, dtype=object)

    return HeldOutPredictions(
        sample_ids=column(samples),
        dataset_ids=column(datasets),
        truth=column(truth),
        folds=np.array(folds, dtype=np.int64),
        classes=tuple(release[0]),
        probabilities={
            kind: np.array([row[-1] for row in rows], dtype=np.float64)
            for kind, rows in by_kind.items()
        },
        novelty=None if None in novelty else np.array(novelty, dtype=np.float64),
    )
