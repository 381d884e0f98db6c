"""Uncertainty of accuracies: 95 % intervals over resampled datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotator.domain.held_out import HeldOutPredictions

Interval = tuple[float, float]

FEWEST_DATASETS: Final = 5
DRAWS: Final = 1000


def intervals(held_out: HeldOutPredictions | None, metric: str) -> Mapping[str, Interval]:
    """Return the 95 % interval of a figure for each model kind.

    Samples of one dataset go wrong together, so datasets are drawn with replacement, not
    samples (percentile bootstrap, Efron 1979), always the same draws.

    Parameters
    ----------
    held_out
        Predictions on whole datasets held out.
    metric
        ``accuracy`` or ``mean_over_classes``, as validation figures define them.

    Returns
    -------
    mapping
        Model kind to the limits; empty where there are no predictions, fewer than 5
        datasets, or for any other figure.
    """
    if held_out is None or metric not in ("accuracy", "mean_over_classes"):
        return {}
    datasets, dataset = np.unique(held_out.dataset_ids.astype(str), return_inverse=True)
    if len(datasets) < FEWEST_DATASETS:
        return {}
    classes, truth = np.unique(held_out.truth.astype(str), return_inverse=True)
    shape = (len(datasets), len(classes))
    size = np.zeros(shape)
    np.add.at(size, (dataset, truth), 1.0)
    draws = np.random.default_rng(0).multinomial(
        len(datasets), np.full(len(datasets), 1 / len(datasets)), size=DRAWS
    )
    names = np.array(held_out.classes, dtype=object)
    result = {}
    for kind, probabilities in held_out.probabilities.items():
        correct = names[probabilities.argmax(axis=1)] == held_out.truth
        right = np.zeros(shape)
        np.add.at(right, (dataset, truth), correct.astype(np.float64))
        if metric == "accuracy":
            values = draws @ right.sum(axis=1) / (draws @ size.sum(axis=1))
        else:
            there = size > 0
            share = np.divide(right, size, out=np.zeros(shape), where=there)
            weight = draws @ there
            of_class = np.divide(
                draws @ share, weight, out=np.full(weight.shape, np.nan), where=weight > 0
            )
            values = np.nanmean(of_class, axis=1)
        low, high = np.percentile(values, [2.5, 97.5])
        result[kind] = (float(low), float(high))
    return result
