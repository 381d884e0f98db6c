"""Sets of classes that hold the true one as often as they say, on new datasets too.

Split-conformal prediction promises its coverage for a sample that is
exchangeable with those it was calibrated on. Samples of one dataset are alike
and those of a new dataset are not like them, so it is the *datasets* that are
exchangeable here. Hierarchical conformal prediction (Lee, Barber & Willett
2023, "Distribution-free inference with hierarchical data", arXiv:2306.06342;
earlier Dunn, Wasserman & Ramdas 2023, J. Am. Stat. Assoc. 118:2491) gives each
of K calibration datasets the weight 1/(K+1), shared by its samples, and the
remaining 1/(K+1) to the dataset to come, at infinity: a random sample of a new
dataset is covered with the probability asked for. Few datasets therefore mean
wide sets: for 90 % less than nine datasets can promise nothing but all classes.

The sets are the least ambiguous ones (Sadinle, Lei & Wasserman 2019, J. Am.
Stat. Assoc. 114:223): all classes with at least a certain probability, and
always the most probable one.

MAPIE and crepes do not fit: both weigh calibration samples alike and promise
coverage for a further sample that is exchangeable with them, or, by category
(Mondrian), for categories that calibration has seen; a new dataset is none.

One thing here is an approximation: the scores of the calibration samples come
from several models, each of which had not seen the sample's dataset, and new
samples get their probabilities from one model trained on all of them (as with
cross-conformal prediction, Vovk 2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1e-9


@dataclass(frozen=True)
class PredictionSets:
    """How probable a class must be to be in the set.

    Attributes
    ----------
    coverage
        The share of a new dataset's samples whose set should hold the true class.
    limit
        A class is in the set when 1 - its probability is at most this; ``None`` where the
        datasets are too few, so that every class is.
    contiguous
        For classes in order: a set that leaves a class out between two others
        takes it in.
    """

    coverage: Annotated[float, Meta(gt=0, lt=1)]
    limit: Annotated[float, Meta(ge=0)] | None
    contiguous: bool = False

    def sets(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which classes are in the set of each sample.

        Parameters
        ----------
        p
            Probabilities, ``(samples, classes)``.

        Returns
        -------
        NDArray[bool]
            Of the same shape; every row has at least the most probable class.
        """
        limit = math.inf if self.limit is None else self.limit
        inside: NDArray[np.bool_] = 1 - p <= limit + ROUNDING
        inside[np.arange(len(p)), p.argmax(axis=1)] = True
        if self.contiguous:
            before = np.logical_or.accumulate(inside, axis=1)
            after = np.logical_or.accumulate(inside[:, ::-1], axis=1)[:, ::-1]
            inside = before & after
        return inside


def dataset_quantile(
    scores: NDArray[np.float64], dataset_ids: NDArray[np.object_], coverage: float
) -> float:
    """Return what the score of a sample of a new dataset stays below, as often as asked.

    Parameters
    ----------
    scores
        One for each held-out sample, e.g. how far a predicted number is off (the
        result is then the half-width of an interval), ``(samples,)``.
    dataset_ids
        The dataset of each sample, ``(samples,)``. With K datasets each weighs
        1/(K+1), shared by its samples.
    coverage
        Share of the samples of a new dataset, between 0 and 1.

    Returns
    -------
    float
        The smallest of the scores that will do; infinite where K/(K+1) is less
        than the coverage.

    Raises
    ------
    ValueError
        The coverage is not between 0 and 1, or a score is not a number.
    """
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, not {coverage}")
    if np.isnan(scores).any():
        raise ValueError("scores must be numbers")
    if len(scores) == 0:
        return math.inf
    _, dataset, size = np.unique(dataset_ids.astype(str), return_inverse=True, return_counts=True)
    weights = 1 / ((len(size) + 1) * size[dataset])
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(weights[order]) >= coverage - ROUNDING
    return float(scores[order[reached.argmax()]]) if reached.any() else math.inf


def fit_prediction_sets(
    probabilities: NDArray[np.float64],
    truth_index: NDArray[np.int64],
    dataset_ids: NDArray[np.object_],
    coverage: float,
    contiguous: bool = False,
) -> PredictionSets:
    """Fit prediction sets on held-out predictions.

    Parameters
    ----------
    probabilities
        For samples of datasets that the models had not seen, ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    dataset_ids
        Shape ``(samples,)``.
    coverage
        Share of the samples of a new dataset, between 0 and 1.
    contiguous
        Whether the classes stand in order and sets shall have no gaps.

    Returns
    -------
    PredictionSets
        Of all classes where there are too few datasets.

    Raises
    ------
    ValueError
        The coverage is not between 0 and 1.
    """
    scores = 1 - probabilities[np.arange(len(truth_index)), truth_index]
    limit = dataset_quantile(np.maximum(scores, 0.0), dataset_ids, coverage)
    return PredictionSets(coverage, limit if math.isfinite(limit) else None, contiguous)
