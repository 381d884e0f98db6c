"""Validation of the models of a field on held-out samples.

Everything in the models (normalisation, filters, scaling, feature selection,
weights) is fitted inside the training part of each fold. The few parameters on top
of the models (a slope per model kind, the threshold, the size of prediction sets)
are cross-fitted: for the samples of a fold they come from the held-out predictions
for the other folds. Only the classes are determined on the whole cohort, from the
labels alone, as in the paper (section 2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.fields import LabelScheme
from annotator.domain.held_out import CROSS_VALIDATION, ONE_DATASET_OUT, HeldOutPredictions, Metric
from annotator.errors import CohortError
from annotator.learn.labels.classes import (
    LabelSet,
    lineages_of,
    make_labels,
    training_numbers,
)
from annotator.learn.labels.spelling import spelled_alike
from annotator.learn.models.registry import KINDS
from annotator.learn.release.fitting import TrainingSamples
from annotator.learn.running.parallel import IN_THIS_PROCESS, run_all
from annotator.learn.validation.baselines import (
    LOGISTIC_REGRESSION,
    baseline_predictions,
    known_means,
)
from annotator.learn.validation.cross_calibration import Part, cross_calibrated
from annotator.learn.validation.drawing import drawn_rows
from annotator.learn.validation.folds import FoldData, FoldResult, fit_and_predict
from annotator.learn.validation.metrics import metrics_of, number_metrics
from annotator.learn.validation.selective_metrics import cross_fitted, reached_precision
from annotator.learn.validation.splits import (
    cross_validation_folds,
    dataset_folds,
    describe_cross_validation,
    describe_dataset_folds,
    scored_mask,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain.profiles import Cohort
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.labels.roll_up import LabelOptions
    from annotator.learn.running.parallel import Parallelism
    from annotator.learn.selective.policy import SelectiveOptions
    from annotator.learn.validation.folds import Inspect
    from annotator.learn.validation.plan import ModelPlan

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Validation:
    """The result of a validation.

    Attributes
    ----------
    scheme
        :data:`CROSS_VALIDATION` or :data:`ONE_DATASET_OUT`.
    label_set
        The classes, and the class of each curated value, or the reason why it has none.
    predictions
        Predictions for the samples that could be scored, of every model kind, calibrated
        if the preset calibrates, and ``"combined"``.
    raw
        Uncalibrated predictions of every model kind for the same samples.
    baselines
        Predictions of the baselines for the same samples: ``majority``, ``known_fields`` if
        the field has some, and a plain ``logistic_regression``.
    metrics
        The metrics of ``predictions``, and of selective prediction if it was requested;
        ``metrics_of(baselines)`` gives those of the baselines.
    description
        A description in words of how samples were held out.
    balanced_training
        Whether classes had equal weights in training; else probabilities favour
        frequent classes as the cohort does.
    inspected
        The result of ``inspect`` for each fold in which a sample could be scored, in
        the order of the folds; empty without it.
    parts
        The parts of the folds that share a calibration.
    selective
        The requirements for answers, with the precision that the threshold is fitted for.
    notes
        Sentences about the cohort that readers of the metrics have to know.
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
    selective: SelectiveOptions | None = None
    notes: tuple[str, ...] = ()


def _no_progress(done: int, total: int) -> None:
    """Report no progress."""


def cross_validate(
    cohort: Cohort,
    ontology: Ontology,
    plan: ModelPlan,
    *,
    folds: int = 5,
    parallel: Parallelism = IN_THIS_PROCESS,
    progress: Progress = _no_progress,
) -> Validation:
    """Validate with samples held out at random (paper, section 2.3.3).

    Most datasets are on both sides of the split, so the metrics show how good
    predictions are for *known* datasets, not for new ones.

    Parameters
    ----------
    cohort, ontology, plan
        The labelled samples, the ontology, and the options of the models.
    folds
        Number of folds.
    parallel
        The backend that folds run on; this process by default.
    progress
        Called after each fold with the number of finished folds and of all folds.

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
    labelled = labelled_samples(cohort, ontology, plan.labels)
    split = Split(
        CROSS_VALIDATION,
        describe_cross_validation(folds, len(labelled.labels)),
        cross_validation_folds(labelled.labels, folds, plan.seed),
    )
    return _validate(labelled, ontology, plan, split, parallel, progress)


def one_dataset_out(
    cohort: Cohort,
    ontology: Ontology,
    plan: ModelPlan,
    *,
    folds: int | None = None,
    parallel: Parallelism = IN_THIS_PROCESS,
    progress: Progress = _no_progress,
    inspect: Inspect | None = None,
) -> Validation:
    """Validate with whole datasets held out (paper, section 2.3.3).

    A held-out sample is scored if its class still occurs in the training part.

    Parameters
    ----------
    cohort, ontology, plan, parallel, progress
        As for :func:`cross_validate`.
    folds
        ``None`` to hold out each dataset by itself, else the number of folds into which
        datasets are grouped.
    inspect
        A function at module level, called in the worker with each fold's model, its
        training samples and their classes, ``(samples,)``; its results are in
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
    labelled = labelled_samples(cohort, ontology, plan.labels)
    dataset_ids = labelled.cohort.dataset_ids
    fold_of = dataset_folds(dataset_ids, labelled.labels, folds, plan.seed)
    split = Split(ONE_DATASET_OUT, describe_dataset_folds(fold_of, dataset_ids), fold_of)
    return _validate(labelled, ontology, plan, split, parallel, progress, inspect)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The samples of a cohort that have a class.

    Attributes
    ----------
    cohort
        These samples.
    labels
        The class of each, ``(samples,)``, dtype object (str).
    label_set
        The classes, and the class of each curated value, or the reason why it has none.
    """

    cohort: Cohort
    labels: NDArray[np.object_]
    label_set: LabelSet

    def drawn(self, plan: ModelPlan) -> Labelled:
        """Return the samples that models are fitted on if nothing is held out."""
        most = plan.preset.training_samples
        rows = drawn_rows(self.labels, self.cohort.dataset_ids, most, plan.seed)
        if len(rows) == len(self.labels):
            return self
        return replace(self, cohort=self.cohort.take(rows), labels=self.labels[rows])

    def training_samples(self) -> TrainingSamples:
        """Return the samples in the form that models are fitted on."""
        numbers, limits = training_numbers(self.cohort, self.label_set)
        return TrainingSamples(
            self.cohort.profiles,
            self.labels,
            self.cohort.dataset_ids,
            self.label_set.classes,
            numbers,
            limits,
        )


@dataclass(frozen=True, eq=False)
class Split:
    """The scheme, its description in words, and the fold of each sample, ``(samples,)``."""

    scheme: str
    description: str
    fold_of: NDArray[np.int64]


def labelled_samples(cohort: Cohort, ontology: Ontology, options: LabelOptions) -> Labelled:
    """Return the samples that have a class.

    Raises
    ------
    CohortError
        There are fewer than two classes.
    """
    label_set, labels = make_labels(cohort, ontology, options)
    if len(label_set.classes) < 2:
        left_out = f", {label_set.left_out} left out" if label_set.left_out else ""
        raise CohortError(
            f"{cohort.field}: {len(label_set.classes)} class(es) with at least"
            f" {options.minimum_samples} samples of {options.minimum_datasets} datasets among"
            f" {len(labels)} labelled samples{left_out}, and at least 2 are needed; label more"
            " samples or lower minimum_samples or minimum_datasets"
        )
    known = {name: spelled_alike(values, ontology) for name, values in cohort.known.items()}
    rows = np.flatnonzero(labels != "")
    return Labelled(replace(cohort, known=known).take(rows), labels[rows], label_set)


def _validate(
    labelled: Labelled,
    ontology: Ontology,
    plan: ModelPlan,
    split: Split,
    parallel: Parallelism,
    progress: Progress,
    inspect: Inspect | None = None,
) -> Validation:
    cohort, label_set, preset = labelled.cohort, labelled.label_set, plan.preset
    data = FoldData(
        samples=labelled.training_samples(),
        definition=cohort.definition,
        fold_of=split.fold_of,
        preset=preset,
        seed=plan.seed,
        threads=parallel.threads,
        device=parallel.device,
        inspect=inspect,
    )
    numbers = [int(number) for number in np.unique(data.fold_of)]
    results = run_all(fit_and_predict, data, numbers, parallel, progress)
    found = [result for result in results if len(result.rows) > 0]
    if not found:
        raise CohortError(
            f"{cohort.field}: no held-out sample could be scored, because no class occurs on both"
            " sides of a split; label samples of the same classes in more datasets"
        )
    raw = raw_predictions(cohort, data, found)
    predictions, parts = cross_calibrated(raw, preset)
    baselines = baseline_predictions(
        cohort, labelled.labels, data.fold_of, label_set.classes, ontology
    )
    reference = np.concatenate([result.reference for result in found])[_order(found)]
    metrics = metrics_of(predictions)
    if (kind := next((name for name in preset.kinds if KINDS[name].number), None)) is not None:
        metrics += number_metrics(predictions, kind)
    selective = plan.selective if preset.calibrate else None
    if selective is not None:
        lineages = lineages_of(
            label_set.classes, ontology, cohort.definition, label_set.too_general
        )
        selective = reached_precision(predictions, parts, lineages, selective)
        new_terms = _new_terms(cohort, ontology, data, found)
        metrics += cross_fitted(predictions, parts, lineages, selective, new_terms)
    return Validation(
        scheme=split.scheme,
        label_set=label_set,
        predictions=predictions,
        raw=raw,
        baselines=replace(
            baselines, probabilities={**baselines.probabilities, LOGISTIC_REGRESSION: reference}
        ),
        metrics=metrics,
        description=split.description,
        balanced_training=preset.balance_classes,
        inspected=_inspected(data, found),
        parts=parts,
        selective=selective,
        notes=_drawing_notes(labelled, plan),
    )


def _drawing_notes(labelled: Labelled, plan: ModelPlan) -> tuple[str, ...]:
    """Return a sentence on how many samples models are fitted on, unless on all."""
    drawn = labelled.drawn(plan)
    if drawn is labelled:
        return ()
    return (
        f"Models are fitted on {len(drawn.labels)} of {len(labelled.labels)} samples, drawn so that"
        " the largest datasets and classes lose most (option training_samples of the preset);"
        " in validation as many are drawn of those that are not held out.",
    )


def _new_terms(
    cohort: Cohort, ontology: Ontology, data: FoldData, results: list[FoldResult]
) -> NDArray[np.bool_] | None:
    """Return for each scored sample whether no training sample had its curated term.

    The result is ``None`` for a field whose values are not ontology terms.
    """
    if cohort.definition.scheme is not LabelScheme.ONTOLOGY:
        return None
    rows = np.concatenate([result.rows for result in results])[_order(results)]
    terms = spelled_alike(cohort.values, ontology)
    return np.asarray(~scored_mask(terms, data.fold_of)[rows], dtype=np.bool_)


def _inspected(data: FoldData, results: list[FoldResult]) -> tuple[Any, ...]:
    # Folds finish in any order.
    in_order = sorted(results, key=lambda result: result.fold)
    return tuple(result.inspected for result in in_order) if data.inspect else ()


def _order(results: list[FoldResult]) -> NDArray[np.int64]:
    return np.argsort(np.concatenate([result.rows for result in results]))


def raw_predictions(
    cohort: Cohort, data: FoldData, results: list[FoldResult]
) -> HeldOutPredictions:
    """Concatenate the folds' raw predictions, in the cohort's order.

    Parameters
    ----------
    cohort
        The labelled samples that ``data`` was made from.
    data, results
        The data of the folds, and the results of those in which a sample could be scored.
    """
    order = _order(results)
    rows = np.concatenate([result.rows for result in results])[order]
    numbers = None
    if data.samples.numbers is not None and all(result.numbers is not None for result in results):
        predicted = np.concatenate(
            [result.numbers for result in results if result.numbers is not None]
        )
        baseline = known_means(cohort, data.samples.numbers, data.fold_of)[rows]
        numbers = np.stack([data.samples.numbers[rows], predicted[order], baseline], axis=1)
    return HeldOutPredictions(
        sample_ids=cohort.profiles.sample_ids[rows],
        dataset_ids=cohort.dataset_ids[rows],
        truth=data.samples.labels[rows],
        folds=data.fold_of[rows],
        classes=data.samples.classes,
        probabilities={
            kind: np.concatenate([result.raw[kind] for result in results])[order]
            for kind in results[0].raw
        },
        novelty=np.concatenate([result.novelty for result in results])[order],
        numbers=numbers,
    )
