"""Compute intervals of metrics by resampling whole datasets.

Samples of one dataset are alike, so datasets are drawn with replacement (the cluster
bootstrap; Davison and Hinkley 1997, section 3.8; Field and Welsh 2007, J. R. Statist.
Soc. B 69:369-390), and percentile intervals are used. Every metric is a function of one
weight per dataset, the number of times it was drawn, and all replicates are computed at
once. Two presets get the same draws, so that difficulties of a dataset that affect both
cancel in their difference.

Two caveats apply. A replicate leaves out a class that none of its datasets contains, so
means over classes vary less than with classes that are never lost. And the calibration
error, a sum of absolute values, is larger in replicates than in the data: its interval
is biased upwards and may lie above the metric itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import HeldOutPredictions
from annotator.learn.validation.metrics import is_correct_at_equal_priors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

BASELINE = "baseline "  # prefix of baselines among the models
REPLICATES = 1000
LEVEL = 0.95
BINS = 15
METRICS = (
    "accuracy",
    "mean_over_datasets",
    "mean_over_classes",
    "balanced_accuracy",
    "balanced_accuracy_at_equal_priors",
    "auc",
    "expected_calibration_error",
)
LESS_IS_BETTER = frozenset({"expected_calibration_error"})
CHUNK = 4_000_000  # number of sample weights in memory at a time


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out samples with the predictions of each model.

    Attributes
    ----------
    sample_ids, dataset_ids
        Shape ``(samples,)``, dtype object (str).
    truth
        Column of the true class, ``(samples,)``, int64.
    folds
        The fold in which each sample was held out, ``(samples,)``, int64.
    classes
        The class of each column.
    probabilities
        Model to ``(samples, classes)``, float64.
    """

    sample_ids: NDArray[np.object_]
    dataset_ids: NDArray[np.object_]
    truth: NDArray[np.int64]
    folds: NDArray[np.int64]
    classes: tuple[str, ...]
    probabilities: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric with its interval; the bounds are NaN if too few replicates have a value."""

    value: float
    low: float
    high: float


def draws(datasets: int, replicates: int = REPLICATES, seed: int = 0) -> NDArray[np.float64]:
    """Return how often each dataset is drawn, shape ``(1 + replicates, datasets)``.

    The first row is the original data: every dataset once.
    """
    random = np.random.default_rng(seed)
    drawn = random.multinomial(datasets, np.full(datasets, 1 / datasets), size=replicates)
    return np.vstack([np.ones((1, datasets)), drawn]).astype(np.float64)


def estimate(values: NDArray[np.float64]) -> Estimate:
    """Return the first value with the percentile interval of the others."""
    others = values[1:][np.isfinite(values[1:])]
    if len(others) < 2:
        return Estimate(float(values[0]), float("nan"), float("nan"))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(others, [tail, 100 - tail])
    return Estimate(float(values[0]), float(low), float(high))


def replicated(held_out: HeldOut, model: str, weights: NDArray[np.float64]) -> dict[str, NDArray]:
    """Compute every metric of a model under each row of dataset weights.

    Parameters
    ----------
    held_out
        At least one sample.
    model
        A key of its probabilities.
    weights
        From :func:`draws`; columns are the datasets in the order of their names.

    Returns
    -------
    dict
        Metric to ``(1 + replicates,)``; ``auc`` only for two classes that both occur.
        The value is NaN for a replicate without the samples that a metric needs. At
        equal priors, the class of each sample is that of
        :func:`annotator.learn.validation.metrics.is_correct_at_equal_priors` on all samples, the
        same in every replicate.
    """
    names, place = np.unique(held_out.dataset_ids.astype(str), return_inverse=True)
    probabilities, truth = held_out.probabilities[model], held_out.truth
    correct = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    shape = (len(names), len(held_out.classes))
    cell = place * shape[1] + truth
    size = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    right = np.bincount(cell, weights=correct, minlength=shape[0] * shape[1]).reshape(shape)
    fair = _correct_at_equal_priors(held_out, model).astype(np.float64)
    fairly_right = np.bincount(cell, weights=fair, minlength=shape[0] * shape[1]).reshape(shape)
    of_dataset, holds = size.sum(axis=1), (size > 0).astype(np.float64)
    share = np.divide(right, size, out=np.zeros(shape), where=size > 0)
    found = {
        "accuracy": _ratio(weights @ right.sum(axis=1), weights @ of_dataset),
        "mean_over_datasets": _ratio(
            weights @ (right.sum(axis=1) / of_dataset), weights.sum(axis=1)
        ),
        "mean_over_classes": _mean(_ratio(weights @ share, weights @ holds)),
        "balanced_accuracy": _mean(_ratio(weights @ right, weights @ size)),
        "balanced_accuracy_at_equal_priors": _mean(_ratio(weights @ fairly_right, weights @ size)),
    }
    if shape[1] == 2 and (size.sum(axis=0) > 0).all():
        found["auc"] = _areas(probabilities[:, 1], truth == 1, place, weights)
    found["expected_calibration_error"] = _calibration_errors(
        probabilities.max(axis=1), correct, place, weights
    )
    return found


def _correct_at_equal_priors(held_out: HeldOut, model: str) -> NDArray[np.bool_]:
    names = np.array(held_out.classes, dtype=object)
    kind = model.removeprefix(BASELINE)
    predictions = HeldOutPredictions(
        sample_ids=held_out.sample_ids,
        dataset_ids=held_out.dataset_ids,
        truth=names[held_out.truth],
        folds=held_out.folds,
        classes=held_out.classes,
        probabilities={kind: held_out.probabilities[model]},
    )
    return is_correct_at_equal_priors(predictions, kind)


def shares(
    part: NDArray[np.float64],
    whole: NDArray[np.float64],
    dataset_ids: NDArray[np.object_],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the sum of ``part`` over that of ``whole`` under each row of dataset weights."""
    names, place = np.unique(dataset_ids.astype(str), return_inverse=True)
    return _ratio(
        weights @ np.bincount(place, weights=part, minlength=len(names)),
        weights @ np.bincount(place, weights=whole, minlength=len(names)),
    )


def gain(
    ours: NDArray[np.float64], theirs: list[NDArray[np.float64]], metric: str
) -> NDArray[np.float64]:
    """Return the gain of ours over the best of theirs in each replicate."""
    best = np.min(theirs, axis=0) if metric in LESS_IS_BETTER else np.max(theirs, axis=0)
    difference: NDArray[np.float64] = ours - best
    return -difference if metric in LESS_IS_BETTER else difference


def _ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row, ignoring NaN."""
    there = np.isfinite(values)
    return _ratio(np.where(there, values, 0).sum(axis=1), there.sum(axis=1).astype(np.float64))


def _calibration_errors(
    confidence: NDArray[np.float64],
    correct: NDArray[np.float64],
    place: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    datasets = weights.shape[1]
    bin_of = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(
        place * BINS + bin_of, weights=correct - confidence, minlength=datasets * BINS
    ).reshape(datasets, BINS)
    size = np.bincount(place, minlength=datasets)
    return _ratio(np.abs(weights @ gap).sum(axis=1), weights @ size.astype(np.float64))


def _areas(
    scores: NDArray[np.float64],
    positive: NDArray[np.bool_],
    place: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the area under the ROC curve under each row of weights; ties count half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    is_positive, dataset = positive[order], place[order]
    areas = []
    step = max(1, CHUNK // len(scores))
    for first in range(0, len(weights), step):
        of_sample = weights[first : first + step][:, dataset]
        positives = np.add.reduceat(of_sample * is_positive, starts, axis=1)
        negatives = np.add.reduceat(of_sample * ~is_positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        areas.append(
            _ratio((positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1))
        )
    return np.concatenate(areas)
