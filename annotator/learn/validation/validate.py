"""How well models of a field do on samples that they have not seen.

Everything that models are fitted with (normalisation, filters, scaling, feature
selection, weights) is fitted inside the training part of each fold. The few
numbers on top of them (a slope per model kind, the threshold, the size of prediction
sets) are cross-fitted: for the samples of a fold
they come from the held-out predictions for the other folds. The one thing that
is decided on the whole cohort is which classes there are, and that from the
labels alone, as in the paper (section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.fields import FIELDS, LabelScheme
from annotator.domain.held_out import CROSS_VALIDATION, ONE_DATASET_OUT, HeldOutPredictions, Metric
from annotator.errors import CohortError
from annotator.learn.labels.classes import (
    LabelOptions,
    LabelSet,
    lineages_of,
    make_labels,
    training_numbers,
)
from annotator.learn.validation.baselines import (
    LOGISTIC_REGRESSION,
    baseline_predictions,
    known_means,
)
from annotator.learn.validation.cross_calibration import cross_calibrated
from annotator.learn.validation.folds import FoldData, FoldResult, fit_and_predict, take_cohort
from annotator.learn.validation.metrics import metrics_of, number_metrics
from annotator.learn.validation.parallel import Parallelism, run_all
from annotator.learn.validation.splits import (
    cross_validation_folds,
    dataset_folds,
    describe_cross_validation,
    describe_dataset_folds,
    scored_mask,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain.fields import FeatureKind
    from annotator.domain.profiles import Cohort
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.models.options import Preset
    from annotator.learn.validation.cross_calibration import Part
    from annotator.learn.validation.folds import Inspect
    from annotator.learn.validation.selective_metrics import TrustOptions

__all__ = [
    "Parallelism",
    "Validation",
    "cross_validate",
    "one_dataset_out",
    "raw_predictions",
]


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
        field has some, ``known_fields``), and a plain ``logistic_regression``.
    metrics
        Of ``predictions``, and of what is answered where that was asked for;
        ``metrics_of(baselines)`` gives those of the others.
    description
        How samples were held out, in words.
    balanced_training
        Whether classes counted the same in training; else probabilities favour
        frequent classes as the cohort does.
    inspected
        What ``inspect`` returned for each fold in which something could be scored, in
        the order of the folds; empty without it.
    parts
        The parts of the folds that share a calibration.
    trust
        What was asked of the answers, and what their threshold was fitted for.
    notes
        Sentences about the cohort that the reader of the metrics has to know.
    """

    scheme: str
    label_set: LabelSet
    predictions: HeldOutPredictions
    raw: HeldOutPredictions
    baselines: HeldOutPredictions
    metrics: tuple[Metric, ...]
    description: str
    balanced_training: bool = True
    inspected: tuple[Any, ...] = ()
    parts: tuple[Part, ...] = ()
    trust: TrustOptions | None = None
    notes: tuple[str, ...] = ()


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
    feature_kinds: tuple[FeatureKind, ...] | None = None,
    trust: TrustOptions | None = None,
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
    feature_kinds
        Features that models may use; those of the field by default.
    trust
        Also measure when samples would be answered and how right the answers are.

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
    data = _fold_data(
        labelled,
        label_set,
        labels,
        fold_of,
        preset,
        seed,
        parallel,
        feature_kinds,
        label_options,
    )
    return _validate(
        CROSS_VALIDATION,
        description,
        labelled,
        label_set,
        ontology,
        data,
        parallel,
        progress,
        trust,
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
    feature_kinds: tuple[FeatureKind, ...] | None = None,
    trust: TrustOptions | None = None,
    inspect: Inspect | None = None,
) -> Validation:
    """Validate with whole datasets held out (paper, section 2.3.3).

    A held-out sample is scored when its class still occurs in the training part.

    Parameters
    ----------
    cohort, ontology, preset, label_options, seed, parallel, progress, feature_kinds, trust
        As for :func:`cross_validate`.
    folds
        ``None`` for each dataset by itself, else how many folds datasets are
        grouped into.
    inspect
        A function of a module, called in the worker with each fold's model, its
        training samples and their classes, ``(samples,)``; what it returns is in
        ``Validation.inspected``.

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
    data = _fold_data(
        labelled,
        label_set,
        labels,
        fold_of,
        preset,
        seed,
        parallel,
        feature_kinds,
        label_options,
    )
    return _validate(
        ONE_DATASET_OUT,
        description,
        labelled,
        label_set,
        ontology,
        replace(data, inspect=inspect),
        parallel,
        progress,
        trust,
    )


def _labelled(
    cohort: Cohort, ontology: Ontology, options: LabelOptions
) -> tuple[Cohort, LabelSet, NDArray[np.object_]]:
    """Return the samples that have a class, the label set and their classes."""
    label_set, labels = make_labels(cohort, ontology, options)
    if len(label_set.classes) < 2:
        left_out = f", {label_set.left_out} left out" if label_set.left_out else ""
        raise CohortError(
            f"{cohort.field}: {len(label_set.classes)} class(es) with at least"
            f" {options.minimum_samples} samples of {options.minimum_datasets} datasets among"
            f" {len(labels)} labelled samples{left_out}, and at least 2 are needed; label more"
            " samples or lower minimum_samples or minimum_datasets"
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
    feature_kinds: tuple[FeatureKind, ...] | None,
    options: LabelOptions,
) -> FoldData:
    numbers, limits = training_numbers(cohort, label_set, options)
    return FoldData(
        field=cohort.field,
        profiles=cohort.profiles,
        dataset_ids=cohort.dataset_ids,
        labels=labels,
        numbers=numbers,
        limits=limits,
        feature_kinds=feature_kinds,
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
    trust: TrustOptions | None,
) -> Validation:
    numbers = [int(number) for number in np.unique(data.fold_of)]
    results = run_all(fit_and_predict, data, numbers, parallel or Parallelism(), progress)
    found = [result for result in results if len(result.rows) > 0]
    if not found:
        raise CohortError(
            f"{cohort.field}: no held-out sample could be scored, because no class occurs on both"
            " sides of a split; label samples of the same classes in more datasets"
        )
    raw = raw_predictions(cohort, data, found)
    predictions, parts = cross_calibrated(raw, data.preset)
    baselines = baseline_predictions(cohort, data.labels, data.fold_of, label_set.classes, ontology)
    reference = np.concatenate([result.reference for result in found])[_order(found)]
    metrics = metrics_of(predictions) + number_metrics(predictions)
    if trust is not None and data.preset.calibrate:
        from annotator.learn.validation.selective_metrics import cross_fitted, reached_precision

        lineages = lineages_of(
            label_set.classes, ontology, FIELDS[cohort.field], label_set.too_general
        )
        trust = reached_precision(predictions, parts, lineages, trust)
        new_terms = _new_terms(cohort, data, found)
        metrics += cross_fitted(predictions, parts, lineages, trust, new_terms)
    else:
        trust = None
    return Validation(
        scheme=scheme,
        label_set=label_set,
        predictions=predictions,
        raw=raw,
        baselines=replace(
            baselines, probabilities={**baselines.probabilities, LOGISTIC_REGRESSION: reference}
        ),
        metrics=metrics,
        description=description,
        balanced_training=data.preset.balance_classes,
        inspected=_inspected(data, found),
        parts=parts,
        trust=trust,
    )


def _new_terms(
    cohort: Cohort, data: FoldData, results: list[FoldResult]
) -> NDArray[np.bool_] | None:
    """Say of each scored sample whether no training sample had its curated value.

    ``None`` for a field whose values are no terms.
    """
    if FIELDS[cohort.field].scheme is not LabelScheme.ONTOLOGY:
        return None
    rows = np.concatenate([result.rows for result in results])[_order(results)]
    return np.asarray(~scored_mask(cohort.values, data.fold_of)[rows], dtype=np.bool_)


def _inspected(data: FoldData, results: list[FoldResult]) -> tuple[Any, ...]:
    # Folds end in any order.
    in_order = sorted(results, key=lambda result: result.fold)
    return tuple(result.inspected for result in in_order) if data.inspect else ()


def _order(results: list[FoldResult]) -> NDArray[np.int64]:
    return np.argsort(np.concatenate([result.rows for result in results]))


def raw_predictions(
    cohort: Cohort, data: FoldData, results: list[FoldResult]
) -> HeldOutPredictions:
    """Put the folds' raw predictions together, in the cohort's order.

    Parameters
    ----------
    cohort
        The labelled samples that ``data`` was made from.
    data, results
        The folds, and what came of each in which something could be scored.
    """
    order = _order(results)
    rows = np.concatenate([result.rows for result in results])[order]
    numbers = None
    if data.numbers is not None and all(result.numbers is not None for result in results):
        predicted = np.concatenate(
            [result.numbers for result in results if result.numbers is not None]
        )
        baseline = known_means(cohort, data.numbers, data.fold_of)[rows]
        numbers = np.stack([data.numbers[rows], predicted[order], baseline], axis=1)
    return HeldOutPredictions(
        sample_ids=cohort.profiles.sample_ids[rows],
        dataset_ids=cohort.dataset_ids[rows],
        truth=data.labels[rows],
        folds=data.fold_of[rows],
        classes=data.classes,
        probabilities={
            kind: np.concatenate([result.raw[kind] for result in results])[order]
            for kind in results[0].raw
        },
        novelty=np.concatenate([result.novelty for result in results])[order],
        numbers=numbers,
    )
