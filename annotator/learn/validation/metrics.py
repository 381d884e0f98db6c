"""Metrics of held-out predictions.

:class:`~annotator.domain.held_out.HeldOutPredictions` must only contain samples whose
class was in the training part of their fold; every metric here covers exactly these
samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import Metric
from annotator.learn.selective.calibration import expected_calibration_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain.held_out import HeldOutPredictions

SMALLEST_PROBABILITY = 1e-15
AT_EQUAL_PRIORS = frozenset({"majority", "known_fields"})
"""Baselines that are already the best rule under equal priors."""


def is_correct_at_equal_priors(predictions: HeldOutPredictions, kind: str) -> NDArray[np.bool_]:
    """Return whether the most probable class at equal priors is the true one, ``(samples,)``.

    Probabilities are divided by the shares of the classes among the held-out samples of
    the other folds. Calibrated probabilities favour frequent classes, which is right on
    average but wrong for balanced accuracy; dividing them allows a fair comparison with
    rules under equal priors, which are not changed (:data:`AT_EQUAL_PRIORS`).
    """
    if kind in AT_EQUAL_PRIORS:
        return predictions.correct(kind)
    truth = predictions.truth_index
    predicted = np.empty(len(truth), dtype=np.int64)
    for fold in np.unique(predictions.folds):
        own = predictions.folds == fold
        counts = np.bincount(truth[~own], minlength=len(predictions.classes))
        scaled = predictions.probabilities[kind][own] / np.maximum(counts, 1)
        predicted[own] = np.where(counts > 0, scaled, -1.0).argmax(axis=1)
    return np.asarray(predicted == truth)


def mean_over_groups(correct: NDArray[np.bool_], groups: NDArray[np.object_]) -> float:
    """Return the share that is correct within each group (class, dataset), then the mean.

    Parameters
    ----------
    correct, groups
        Shape ``(samples,)``.

    Returns
    -------
    float
        NaN if there are no samples.
    """
    if len(correct) == 0:
        return float("nan")
    return float(np.mean(list(_share_by(correct, groups).values())))


def area_under_roc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the area under the receiver operating characteristic.

    It is the probability that a random positive sample has a higher score than a random
    negative one, where ties count half (Hanley and McNeil 1982, Radiology 143:29-36).

    Parameters
    ----------
    scores, positive
        Shape ``(samples,)``.

    Returns
    -------
    float
        NaN if all samples are positive or none is.
    """
    from scipy.stats import rankdata

    if positive.all() or not positive.any():
        return float("nan")
    # From ranks, because the gate needs it for hundreds of draws: scikit-learn's takes 50 times
    # as long for a few hundred samples, most of it to check its input.
    above = rankdata(scores)[positive].sum() - rankdata(scores[positive]).sum()
    return float(above / (positive.sum() * (~positive).sum()))


def log_loss(probabilities: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """Return the mean negative natural logarithm of the true class's probability.

    Parameters
    ----------
    probabilities
        Shape ``(samples, classes)``; clipped at 1e-15.
    truth
        Column of the true class, shape ``(samples,)``.
    """
    of_truth = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(of_truth, SMALLEST_PROBABILITY, 1.0)).mean())


def metrics_of(predictions: HeldOutPredictions) -> tuple[Metric, ...]:
    """Compute every metric of every model kind.

    ``accuracy``
        Share of samples whose most probable class is the true one.
    ``balanced_accuracy``
        The same within each class, then the mean over classes.
    ``balanced_accuracy_at_equal_priors``
        Balanced accuracy of :func:`is_correct_at_equal_priors`.
    ``mean_over_datasets``
        The same within each dataset, then the mean over datasets.
    ``class_accuracy``
        For one class: the share of its samples for which it is predicted.
    ``class_precision``
        For one class: the share of the samples for which it is predicted that belong to
        it; missing if it is never predicted.
    ``class_accuracy_over_datasets``
        For one class: its ``class_accuracy`` in each dataset that has samples of it, then
        the mean over these datasets.
    ``mean_over_classes``
        Mean over classes of ``class_accuracy_over_datasets``.
    ``log_loss``, ``expected_calibration_error``
        Log loss and calibration error of the probabilities; the latter over 15 bins.
    ``auc``
        Area under the receiver operating characteristic, for two classes that
        both occur.

    Parameters
    ----------
    predictions
        Predictions for at least one sample.

    Returns
    -------
    tuple of Metric
        Kinds in their order in ``predictions``; the metrics of single classes last.
    """
    return tuple(
        metric for kind in predictions.probabilities for metric in _kind_metrics(predictions, kind)
    )


def number_metrics(predictions: HeldOutPredictions, kind: str) -> tuple[Metric, ...]:
    """Return the mean absolute error of predicted numbers, in their own unit.

    ``mean_absolute_error`` is given for ``kind``, the model kind that predicts them, and for
    ``known_fields``, the mean of the training samples with the same known field, over the
    samples whose number is known. The result is empty if no numbers are predicted.
    """
    if predictions.numbers is None:
        return ()
    known = np.isfinite(predictions.numbers).all(axis=1)
    if not known.any():
        return ()
    truth, predicted, baseline = predictions.numbers[known].T
    datasets = len(set(predictions.dataset_ids[known]))
    return tuple(
        Metric(
            name,
            "mean_absolute_error",
            None,
            float(np.abs(truth - values).mean()),
            len(truth),
            datasets,
        )
        for name, values in ((kind, predicted), ("known_fields", baseline))
    )


def _share_by(correct: NDArray[np.bool_], groups: NDArray[np.object_]) -> dict[str, float]:
    """Return the share that is correct in each group; groups are sorted."""
    return {group: float(correct[groups == group].mean()) for group in sorted(set(groups))}


def _kind_metrics(predictions: HeldOutPredictions, kind: str) -> list[Metric]:
    correct, truth = predictions.correct(kind), predictions.truth
    datasets, probabilities = predictions.dataset_ids, predictions.probabilities[kind]
    truth_index = predictions.truth_index
    of_class = {
        name: mean_over_groups(correct[held], datasets[held])
        for name in sorted(set(truth))
        for held in (truth == name,)
    }
    values = {
        "accuracy": float(correct.mean()),
        "balanced_accuracy": mean_over_groups(correct, truth),
        "balanced_accuracy_at_equal_priors": mean_over_groups(
            is_correct_at_equal_priors(predictions, kind), truth
        ),
        "mean_over_datasets": mean_over_groups(correct, datasets),
        "mean_over_classes": float(np.mean(list(of_class.values()))),
        "log_loss": log_loss(probabilities, truth_index),
        "expected_calibration_error": expected_calibration_error(probabilities, truth_index),
    }
    if len(predictions.classes) == 2 and len(of_class) == 2:
        values["auc"] = area_under_roc(probabilities[:, 1], truth_index == 1)
    n_datasets = len(set(datasets))
    result = [
        Metric(kind, name, None, value, len(truth), n_datasets) for name, value in values.items()
    ]
    predicted = predictions.predicted(kind)
    for metric, part_of in (("class_accuracy", truth), ("class_precision", predicted)):
        for name, value in _share_by(correct, part_of).items():
            result.append(_of_class(kind, metric, name, value, datasets[part_of == name]))
    for name, value in of_class.items():
        held = datasets[truth == name]
        result.append(_of_class(kind, "class_accuracy_over_datasets", name, value, held))
    return result


def _of_class(
    kind: str, metric: str, name: str, value: float, datasets: NDArray[np.object_]
) -> Metric:
    return Metric(kind, metric, name, value, len(datasets), len(set(datasets)))
