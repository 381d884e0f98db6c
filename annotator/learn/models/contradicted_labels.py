"""Contradicted labels differ from those of the nearest samples in the same dataset.

A wrong label is mostly the only one of its kind in its dataset, among samples with other
labels. The comparison of datasets (:mod:`annotator.learn.models.dataset_shift`) suffers most
from wrong labels, because one sample of a class in a dataset has the same weight there as
many: directions that separate classes look like differences between datasets.

The samples of a dataset vote for one another's labels, weighted by their cosine; no sample
votes for itself. The votes for a class are trusted as far as they are right for the labels
of the dataset, so that a dataset with one sample per class contradicts none of them. The
only sample of its class among many of another is contradicted however different it is,
because no other sample can vote for it. Wrong labels of similar samples support one another
and are not detected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARPNESS = 30.0
"""Votes are exp(sharpness · cosine)."""

LEAST_SUPPORT = 0.5
"""A label with less support is more likely wrong than right."""

PRIOR_VOTES = 1.0  # Votes for each class, all of them wrong, that every dataset starts with.
CHUNK = 256  # samples that receive votes at a time


def compared_index(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    dataset_index: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the dataset of each sample, -1 if its label is contradicted.

    A label is contradicted if its support is below :data:`LEAST_SUPPORT`. The parameters are
    those of :func:`label_support`. If all labels of a class are contradicted, they all keep
    their dataset. Fewer than half of a dataset's samples are ever left out, because its labels
    are trusted less the more they contradict one another.
    """
    supported = label_support(inputs, class_index, dataset_index) >= LEAST_SUPPORT
    held = np.bincount(class_index, weights=supported)[class_index] > 0
    return np.where(supported | ~held, dataset_index, -1)


def label_support(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    dataset_index: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the support of each label by the other samples in the dataset.

    Parameters
    ----------
    inputs
        Shape ``(samples, features)``, centred, so that the cosine of two samples is 0 on
        average.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``.

    Returns
    -------
    NDArray[float64]
        Between 0 and 1, ``(samples,)``: 1 - Σ over the other classes of (share of the
        sample's votes for that class) · (share of all votes for that class, including
        :data:`PRIOR_VOTES`, that go to samples with that label). It is 1 for a sample in a
        dataset of one or two samples.
    """
    support = np.ones(len(class_index))
    order = np.argsort(dataset_index, kind="stable")
    starts = np.flatnonzero(np.diff(dataset_index[order])) + 1
    for rows in np.split(order, starts):
        if len(rows) > 2:
            _, label = np.unique(class_index[rows], return_inverse=True)
            support[rows] = _within(inputs[rows], label)
    return support


def _within(inputs: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the support of each label in one dataset, as :func:`label_support` does."""
    from sklearn.preprocessing import normalize

    unit = normalize(inputs)
    belongs = np.eye(int(label.max()) + 1)[label]
    votes = np.concatenate([_votes(unit, start) @ belongs for start in range(0, len(unit), CHUNK)])
    right = (votes * belongs).sum(axis=0) / (votes.sum(axis=0) + PRIOR_VOTES)
    return np.asarray(1 - (votes * (1 - belongs)) @ right)


def _votes(unit: NDArray[np.float32], start: int) -> NDArray[np.float64]:
    """Return the weight of every sample's vote for some samples; 0 for their own votes."""
    closeness = SHARPNESS * (unit[start : start + CHUNK] @ unit.T).astype(np.float64)
    some = np.arange(len(closeness))
    closeness[some, start + some] = -np.inf
    return np.asarray(softmax(closeness, axis=1))
