"""How well models of a field do on samples that they have not seen.

Everything that is fitted (normalisation, filters, scaling, feature selection,
weights, models, calibration) is fitted inside the training part of each fold.
The one thing that is decided on the whole cohort is which classes there are,
and that from the labels alone, as in the paper (section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain import Cohort, HeldOutPredictions, Metric
from annotator.errors import CohortError
from annotator.learn.baselines import baseline_predictions
from annotator.learn.folds import FoldData, FoldResult, fit_and_predict, take_cohort
from annotator.learn.labels import LabelOptions, LabelSet, Ontology, make_labels
from annotator.learn.metrics import class_index, metrics_of
from annotator.learn.parallel import Parallelism, run_all
from annotator.learn.splits import (
    cross_validation_folds,
    dataset_folds,
    describe_cross_validation,
    describe_dataset_folds,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.calibration import Calibration
    from annotator.learn.presets import Preset

__all__ = [
    "CROSS_VALIDATION",
    "ONE_DATASET_OUT",
    "Parallelism",
    "Validation",
    "cross_validate",
    "one_dataset_out",
    "release_calibration",
]

CROSS_VALIDATION = "cv"
ONE_DATASET_OUT = "one-dataset-out"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Validation:
    """What a validation found.

    Attributes
    ----------
    scheme
        :data:`CROSS_VALIDATION` or :data:`ONE_DATASET_OUT`.
    label_set
        The classes, and what became of each curated value.
    predictions
        Every model kind, calibrated where the preset calibrates, and
        ``"combined"``, for the samples that could be scored.
    raw
        The same samples: every model kind as it came out, not calibrated.
    baselines
        The same samples: what needs no expression (``majority`` and, where the
        field has some, ``known_fields``).
    metrics
        Of ``predictions``; ``metrics_of(baselines)`` gives those of the others.
    description
        How samples were held out, in words.
    """

    scheme: str
    label_set: LabelSet
    predictions: HeldOutPredictions
    raw: HeldOutPredictions
    baselines: HeldOutPredictions
    metrics: tuple[Metric, ...]
    description: str


def _no_progress(done: int, total: int) -> None:
    """Say nothing."""


def cross_validate(
    cohort: Cohort,
    ontology: Ontology,
    preset: Preset,
    label_options: LabelOptions,
    seed: int,
    folds: int = 5,
    parallel: Parallelism | None = None,
    progress: Progress = _no_progress,
) -> Validation:
    """Validate with samples held out at random (paper, section 2.3.3).

    Most datasets are on both sides of the split, so the figures say how well
    *known* datasets are told apart, not what to expect of a new one.

    Parameters
    ----------
    cohort, ontology, preset, label_options
        What models are made from and how.
    seed
        The same seed gives the same predictions, on any backend and any number
        of workers.
    folds
        How many parts samples are dealt into.
    parallel
        What folds run on; in this process by default.
    progress
        Called with the number of folds done and of all folds as folds end.

    Returns
    -------
    Validation

    Raises
    ------
    CohortError
        There are too few samples, classes or usable features.
    SettingsError
        The backend is not usable.
    """
    labelled, label_set, labels = _labelled(cohort, ontology, label_options)
    fold_of = cross_validation_folds(labels, folds, seed)
    description = describe_cross_validation(folds, len(labels))
    data = _fold_data(labelled, label_set, labels, fold_of, preset, seed, parallel)
    return _validate(
        CROSS_VALIDATION, description, labelled, label_set, ontology, data, parallel, progress
    )


def one_dataset_out(
    cohort: Cohort,
    ontology: Ontology,
    preset: Preset,
    label_options: LabelOptions,
    seed: int,
    folds: int | None = None,
    parallel: Parallelism | None = None,
    progress: Progress = _no_progress,
) -> Validation:
    """Validate with whole datasets held out (paper, section 2.3.3).

    A held-out sample is scored when its class still occurs in the training part.

    Parameters
    ----------
    cohort, ontology, preset, label_options, seed, parallel, progress
        As for :func:`cross_validate`.
    folds
        ``None`` for each dataset by itself, else how many folds datasets are
        grouped into.

    Returns
    -------
    Validation

    Raises
    ------
    CohortError
        There are too few samples, datasets, classes or usable features.
    SettingsError
        The backend is not usable.
    """
    labelled, label_set, labels = _labelled(cohort, ontology, label_options)
    fold_of = dataset_folds(labelled.dataset_ids, labels, folds, seed)
    description = describe_dataset_folds(fold_of, labelled.dataset_ids)
    data = _fold_data(labelled, label_set, labels, fold_of, preset, seed, parallel)
    return _validate(
        ONE_DATASET_OUT, description, labelled, label_set, ontology, data, parallel, progress
    )


def release_calibration(validation: Validation, preset: Preset) -> Calibration | None:
    """Fit the calibration that a release goes live with.

    It is fitted on the raw predictions for all held-out samples: each by a model
    that had not seen the sample.

    Parameters
    ----------
    validation
        By :func:`one_dataset_out`: random cross-validation is far too sure of
        itself on new datasets.
    preset
        Says whether there is a calibration at all.

    Returns
    -------
    Calibration or None
        ``None`` where the preset does not calibrate.

    Raises
    ------
    ValueError
        The validation did not hold whole datasets out.
    """
    from annotator.learn.calibration import fit_calibration

    if not preset.calibrate:
        return None
    if validation.scheme != ONE_DATASET_OUT:
        raise ValueError("a release is calibrated on datasets that its models had not seen")
    raw = validation.raw
    return fit_calibration(raw.probabilities, class_index(raw.truth, raw.classes))


def _labelled(
    cohort: Cohort, ontology: Ontology, options: LabelOptions
) -> tuple[Cohort, LabelSet, NDArray[np.object_]]:
    """Return the samples that have a class, the label set and their classes."""
    label_set, labels = make_labels(cohort, ontology, options)
    if len(label_set.classes) < 2:
        raise CohortError(
            f"{cohort.field}: {len(label_set.classes)} class(es) with at least"
            f" {options.minimum_samples} samples of {options.minimum_datasets} datasets among"
            f" {len(labels)} labelled samples, and at least 2 are needed; label more samples or"
            " lower minimum_samples or minimum_datasets"
        )
    rows = np.flatnonzero(labels != "")
    return take_cohort(cohort, rows), label_set, labels[rows]


def _fold_data(
    cohort: Cohort,
    label_set: LabelSet,
    labels: NDArray[np.object_],
    fold_of: NDArray[np.int64],
    preset: Preset,
    seed: int,
    parallel: Parallelism | None,
) -> FoldData:
    return FoldData(
        field=cohort.field,
        profiles=cohort.profiles,
        dataset_ids=cohort.dataset_ids,
        labels=labels,
        classes=label_set.classes,
        fold_of=fold_of,
        preset=preset,
        seed=seed,
        threads=(parallel or Parallelism()).threads,
    )


def _validate(
    scheme: str,
    description: str,
    cohort: Cohort,
    label_set: LabelSet,
    ontology: Ontology,
    data: FoldData,
    parallel: Parallelism | None,
    progress: Progress,
) -> Validation:
    numbers = [int(number) for number in np.unique(data.fold_of)]
    results = run_all(fit_and_predict, data, numbers, parallel or Parallelism(), progress)
    found = [result for result in results if len(result.rows) > 0]
    if not found:
        raise CohortError(
            f"{cohort.field}: no held-out sample could be scored, because no class occurs on both"
            " sides of a split; label samples of the same classes in more datasets"
        )
    predictions = _gather(cohort, data, found, lambda result: result.predictions)
    raw = _gather(cohort, data, found, lambda result: result.raw)
    return Validation(
        scheme=scheme,
        label_set=label_set,
        predictions=predictions,
        raw=raw,
        baselines=baseline_predictions(
            cohort, data.labels, data.fold_of, label_set.classes, ontology
        ),
        metrics=metrics_of(predictions),
        description=description,
    )


def _gather(
    cohort: Cohort,
    data: FoldData,
    results: list[FoldResult],
    part: Callable[[FoldResult], dict[str, NDArray[np.float64]]],
) -> HeldOutPredictions:
    """Put the folds' predictions together, in the cohort's order."""
    rows = np.concatenate([result.rows for result in results])
    order = np.argsort(rows)
    rows = rows[order]
    return HeldOutPredictions(
        sample_ids=cohort.profiles.sample_ids[rows],
        dataset_ids=cohort.dataset_ids[rows],
        truth=data.labels[rows],
        folds=data.fold_of[rows],
        classes=data.classes,
        probabilities={
            kind: np.concatenate([part(result)[kind] for result in results])[order]
            for kind in part(results[0])
        },
    )
