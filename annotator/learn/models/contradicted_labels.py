"""How far the other samples of its dataset support a sample's label.

A wrong label mostly stands alone in its dataset, among samples that are labelled
otherwise. Comparing datasets (:mod:`annotator.learn.models.dataset_shift`) suffers most from it,
since there one sample of a class in a dataset counts as much as many: directions that tell
classes apart look as if datasets differed in them.

The samples of a dataset vote for one another by their cosine, each leaving itself out.
What they say of a class is believed as far as it is right among the dataset's own labels,
so that a dataset with one sample of each class contradicts none of them. The only sample
of its class among many of another is contradicted however unlike them it is, since nobody
is there to vote for it. Wrong labels of samples that look alike support one another and
are not noticed.
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
"""A label with less is more likely wrong than right."""

PRIOR_VOTES = 1.0  # For a class, all of them wrong, that every dataset starts with.
CHUNK = 256  # samples voted for at a time


def compared_index(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    dataset_index: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the dataset of each sample, -1 where its label has not :data:`LEAST_SUPPORT`.

    Parameters are those of :func:`label_support`. Where no label of a class has that much,
    all of them keep their dataset. Fewer than half of a dataset are ever left aside: the
    more its labels contradict one another, the less they are believed.
    """
    supported = label_support(inputs, class_index, dataset_index) >= LEAST_SUPPORT
    held = np.bincount(class_index, weights=supported)[class_index] > 0
    return np.where(supported | ~held, dataset_index, -1)


def label_support(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    dataset_index: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return how far each label is supported.

    Parameters
    ----------
    inputs
        Shape ``(samples, features)``, centred: a cosine of 0 is what any two samples have.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``.

    Returns
    -------
    NDArray[float64]
        Between 0 and 1, ``(samples,)``: 1 - Σ share of a sample's votes that are for
        another class · share of all votes for that class, and :data:`PRIOR_VOTES`, that
        go to samples labelled so. It is 1 for a sample that is alone or one of two in its
        dataset.
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
    """Do as :func:`label_support` for one dataset."""
    from sklearn.preprocessing import normalize

    unit = normalize(inputs)
    belongs = np.eye(int(label.max()) + 1)[label]
    said = np.concatenate([_votes(unit, start) @ belongs for start in range(0, len(unit), CHUNK)])
    right = (said * belongs).sum(axis=0) / (said.sum(axis=0) + PRIOR_VOTES)
    return np.asarray(1 - (said * (1 - belongs)) @ right)


def _votes(unit: NDArray[np.float32], start: int) -> NDArray[np.float64]:
    """Return what every sample's vote counts for some samples; their own counts nothing."""
    closeness = SHARPNESS * (unit[start : start + CHUNK] @ unit.T).astype(np.float64)
    some = np.arange(len(closeness))
    closeness[some, start + some] = -np.inf
    return np.asarray(softmax(closeness, axis=1))
