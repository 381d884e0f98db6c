"""Weights that balance classes and datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def balanced_weights(
    class_index: NDArray[np.int64],
    dataset_ids: NDArray[np.object_],
    balance_classes: bool,
    balance_datasets: bool,
) -> NDArray[np.float64]:
    """Weight samples so that large classes and datasets do not dominate small ones.

    With both options, every class has the same total weight, shared equally by the
    datasets that have samples of it, and within a dataset by those samples.

    Parameters
    ----------
    class_index
        The class of each sample, shape ``(samples,)``.
    dataset_ids
        The dataset of each sample, shape ``(samples,)``, dtype object (str).
    balance_classes, balance_datasets
        Whether to balance classes and datasets; with neither all weights are 1.

    Returns
    -------
    NDArray[float64]
        Shape ``(samples,)``, mean 1.
    """
    weights = np.ones(len(class_index), dtype=np.float64)
    datasets = np.unique(dataset_ids.astype(str), return_inverse=True)[1]
    if balance_datasets:
        pairs = class_index * (int(datasets.max(initial=0)) + 1) + datasets
        _, pair, size = np.unique(pairs, return_inverse=True, return_counts=True)
        weights /= size[pair]
        # Without class balance, a class keeps the total weight of its samples.
    totals = np.bincount(class_index, weights=weights)[class_index]
    if balance_classes:
        weights /= totals
    elif balance_datasets:
        weights *= np.bincount(class_index)[class_index] / totals
    mean: np.float64 = weights.mean() if len(weights) else np.float64(1)
    return weights / mean
