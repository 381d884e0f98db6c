"""How unlike everything in training a sample is.

Plain and cheap: one minus the Pearson correlation, on log2(1 + RPM) of the
model's features, with the nearest class centroid, expressed as a quantile of
the same figure among the training samples. 0.5 is as usual as can be, 1 is
farther away than every training sample. For a training sample its own dataset
is left out of its class's centroid, since a new sample's is not in there either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUANTILES = 101


@dataclass(frozen=True, eq=False)
class Novelty:
    """Class centroids and the distances that are usual.

    Attributes
    ----------
    centroids
        Mean log2(1 + RPM) of each class, ``(classes, features)``, float32.
    distances
        Quantiles 0, 0.01, ... 1 of the training samples' distances, float32.
    """

    centroids: NDArray[np.float32]
    distances: NDArray[np.float32]

    def quantile(self, log_rpm: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the share of training samples that are less novel, ``(samples,)``."""
        nearest = _distances(log_rpm, self.centroids).min(axis=1)
        below = np.searchsorted(self.distances, nearest, side="left")
        above = np.searchsorted(self.distances, nearest, side="right")
        return np.asarray((below + above) / 2 / len(self.distances), dtype=np.float64)


def _standardised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0))


def _distances(rows: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 - Pearson correlation, ``(samples, centroids)``; 1 for a constant row."""
    return np.asarray(1 - _standardised(rows) @ _standardised(centroids).T, dtype=np.float32)


def fit_novelty(
    log_rpm: NDArray[np.float32],
    class_index: NDArray[np.int64],
    dataset_ids: NDArray[np.object_],
    classes: int,
) -> Novelty:
    """Learn what is usual.

    Parameters
    ----------
    log_rpm
        Of the training samples, ``(samples, features)``, float32.
    class_index, dataset_ids
        Class and dataset of each sample, ``(samples,)``.
    classes
        Number of classes; every class has a sample.

    Returns
    -------
    Novelty
    """
    members = [np.flatnonzero(class_index == position) for position in range(classes)]
    sums = np.stack([log_rpm[rows].sum(axis=0, dtype=np.float64) for rows in members])
    centroids = (sums / np.array([[len(rows)] for rows in members])).astype(np.float32)
    distances = _distances(log_rpm, centroids)
    datasets = dataset_ids.astype(str)
    for position, rows in enumerate(members):
        for dataset in np.unique(datasets[rows]):
            own = rows[datasets[rows] == dataset]
            if len(own) == len(rows):
                continue  # The class's only dataset: there is nothing else to compare with.
            rest = sums[position] - log_rpm[own].sum(axis=0, dtype=np.float64)
            centroid = (rest / (len(rows) - len(own))).astype(np.float32)
            distances[own, position] = _distances(log_rpm[own], centroid[None, :])[:, 0]
    usual = np.quantile(distances.min(axis=1), np.linspace(0, 1, QUANTILES))
    return Novelty(centroids, usual.astype(np.float32))
