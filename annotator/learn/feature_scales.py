"""How much each feature counts when samples of unseen datasets are compared.

The scales are learned by leaving out the votes of every training sample's whole
dataset: a sample is given probabilities by the votes of the samples of all other
datasets, and the scales, with the votes' sharpness, are moved to make the probability
of its class higher. What holds only within a dataset is of no use for that. This is
neighbourhood components analysis (Goldberger et al. 2005, "Neighbourhood components
analysis", NeurIPS 17) of a diagonal metric with cosines, over datasets instead of
samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 0.02
"""Of Adam: a logarithm of a scale moves by about so much a step."""

MOMENTUM, SQUARE_MOMENTUM = 0.9, 0.999  # Adam's own (Kingma and Ba 2015)
MOST_SAMPLES = 2000
"""That are learned from: the time of a step grows with their number squared."""


@dataclass(frozen=True, eq=False)
class FeatureScales:
    """What was learned.

    Attributes
    ----------
    scales
        Each feature is multiplied by its own, ``(features,)``, float64, positive.
    sharpness
        Votes are exp(sharpness · cosine).
    """

    scales: NDArray[np.float64]
    sharpness: float


def fit_feature_scales(
    values: NDArray[np.float64],
    class_index: NDArray[np.int64],
    dataset_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    votes: NDArray[np.float64],
    sharpness: float,
    steps: int,
    penalty: float,
    seed: int,
) -> FeatureScales:
    """Learn the scales.

    Parameters
    ----------
    values
        Shape ``(samples, features)``.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``; samples of the dataset -1 are
        left aside.
    weights
        How much each sample's own probability counts, ``(samples,)``, positive.
    votes
        What each sample's vote counts for others, ``(samples,)``, positive.
    sharpness
        To start from.
    steps
        Of Adam, from scales of 1; with 0 nothing is learned.
    penalty
        Times the sum of the scales' squared logarithms, divided by the mean number of
        datasets of a class: the more datasets show what classes are, the less it is.
    seed
        Of the choice of samples where there are more than :data:`MOST_SAMPLES`.

    Returns
    -------
    FeatureScales
        Scales of 1 where no class is in two datasets.
    """
    unlearned = FeatureScales(np.ones(values.shape[1]), sharpness)
    if steps == 0:
        return unlearned
    rows = np.flatnonzero(dataset_index >= 0)
    if len(rows) > MOST_SAMPLES:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST_SAMPLES])
    objective = _objective(
        values[rows].astype(np.float32),
        class_index[rows],
        dataset_index[rows],
        weights[rows],
        votes[rows],
        penalty,
    )
    if objective is None:
        return unlearned
    parameters = np.zeros(values.shape[1] + 1, dtype=np.float32)
    parameters[-1] = np.log(sharpness)
    mean, square = np.zeros_like(parameters), np.zeros_like(parameters)
    for step in range(1, steps + 1):
        slope = objective.slope(parameters)
        mean = MOMENTUM * mean + (1 - MOMENTUM) * slope
        square = SQUARE_MOMENTUM * square + (1 - SQUARE_MOMENTUM) * slope**2
        spread = np.sqrt(square / (1 - SQUARE_MOMENTUM**step))
        parameters -= (RATE * mean / (1 - MOMENTUM**step) / (spread + 1e-7)).astype(np.float32)
    exact = np.exp(parameters.astype(np.float64))
    return FeatureScales(exact[:-1], float(exact[-1]))


@dataclass(frozen=True, eq=False)
class _Objective:
    """Weighted mean of -log of the own class's probability, by votes of other datasets.

    The penalty comes on top. ``judged`` are the rows whose class is in another dataset,
    ``share`` what each counts, ``log_votes`` ``(judged, samples)`` with -inf within a
    dataset, ``same`` whether class is the same and dataset another.
    """

    values: NDArray[np.float32]
    judged: NDArray[np.int64]
    share: NDArray[np.float32]
    log_votes: NDArray[np.float32]
    same: NDArray[np.bool_]
    penalty: float

    def slope(self, parameters: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the derivative by the logarithms of the scales and of the sharpness."""
        logarithms, sharpness = parameters[:-1], np.exp(parameters[-1])
        scaled = self.values * np.exp(logarithms)
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        unit = scaled / lengths
        closeness = sharpness * (unit[self.judged] @ unit.T)
        said = closeness + self.log_votes
        right = np.where(self.same, said, -np.inf)
        by_closeness = self.share * (softmax(said, axis=1) - softmax(right, axis=1))
        by_unit = by_closeness.T @ unit[self.judged]
        by_unit[self.judged] += by_closeness @ unit
        by_unit *= sharpness
        by_scaled = (by_unit - unit * (unit * by_unit).sum(axis=1, keepdims=True)) / lengths
        by_logarithms = (by_scaled * scaled).sum(axis=0) + 2 * self.penalty * logarithms
        return np.append(by_logarithms, (by_closeness * closeness).sum()).astype(np.float32)


def _objective(
    values: NDArray[np.float32],
    class_index: NDArray[np.int64],
    dataset_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    votes: NDArray[np.float64],
    penalty: float,
) -> _Objective | None:
    other = dataset_index[:, None] != dataset_index
    same = other & (class_index[:, None] == class_index)
    judged = np.flatnonzero(same.any(axis=1))
    if len(judged) == 0:
        return None
    pairs = np.unique(np.stack([class_index, dataset_index]), axis=1).shape[1]
    datasets_of_a_class = pairs / len(np.unique(class_index))
    share = weights[judged] / weights[judged].sum()
    with np.errstate(divide="ignore"):
        log_votes = np.log(np.where(other[judged], votes, 0.0))
    return _Objective(
        values=values,
        judged=judged,
        share=share[:, None].astype(np.float32),
        log_votes=log_votes.astype(np.float32),
        same=same[judged],
        penalty=penalty / datasets_of_a_class,
    )
