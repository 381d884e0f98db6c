"""Prediction sets contain the true class with a set probability, on new datasets too.

Split-conformal prediction guarantees its coverage for a sample that is
exchangeable with the calibration samples. Samples of one dataset are alike and
differ from those of a new dataset, so only the *datasets* are exchangeable
here. Hierarchical conformal prediction (Lee, Barber & Willett
2023, "Distribution-free inference with hierarchical data", arXiv:2306.06342;
earlier Dunn, Wasserman & Ramdas 2023, J. Am. Stat. Assoc. 118:2491) gives each
of K calibration datasets the weight 1/(K+1), shared by its samples, and puts
the remaining 1/(K+1), of the new dataset, at infinity: a random sample of a new
dataset is then covered with the requested probability. Few datasets therefore
mean large sets: with fewer than nine datasets only the set of all classes
guarantees 90 %.

The sets are the least ambiguous ones (Sadinle, Lei & Wasserman 2019, J. Am.
Stat. Assoc. 114:223): all classes with at least a certain probability, and
always the most probable one.

MAPIE and crepes do not fit this case: both give calibration samples equal weights
and guarantee coverage for a further sample that is exchangeable with them or, by
category (Mondrian), for categories seen in calibration; a new dataset is not one.

One step is an approximation: the scores of the calibration samples come from
several models, each fitted without the sample's dataset, whereas new samples get
their probabilities from one model trained on all datasets (as in cross-conformal
prediction, Vovk 2015).
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
    """The rule by which classes are included in prediction sets.

    Attributes
    ----------
    coverage
        The share of a new dataset's samples whose set should contain the true class.
    limit
        A class is in the set if 1 - its probability is at most this; ``None`` if there are
        too few datasets, so that the set contains all classes.
    contiguous
        Whether gaps in a set of ordered classes are filled: a class between two others
        is included.
    """

    coverage: Annotated[float, Meta(gt=0, lt=1)]
    limit: Annotated[float, Meta(ge=0)] | None
    contiguous: bool = False

    def sets(self, p: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return the classes in the prediction set of each sample.

        Parameters
        ----------
        p
            Probabilities, ``(samples, classes)``.

        Returns
        -------
        NDArray[bool]
            An array of the same shape; every row has at least the most probable class.
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
    """Return the bound that the score of a new dataset's sample meets with a set probability.

    Parameters
    ----------
    scores
        One score per held-out sample, for example the absolute error of a predicted
        number (the result is then the half-width of an interval), ``(samples,)``.
    dataset_ids
        The dataset of each sample, ``(samples,)``. Each of K datasets has the weight
        1/(K+1), shared by its samples.
    coverage
        The share of a new dataset's samples for which the bound holds, between 0 and 1.

    Returns
    -------
    float
        The smallest sufficient score; infinite if K/(K+1) is less than the coverage.

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
        Probabilities for samples of held-out datasets, ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    dataset_ids
        The dataset of each sample, ``(samples,)``.
    coverage
        The share of a new dataset's samples to cover, between 0 and 1.
    contiguous
        Whether the classes are ordered and sets must have no gaps.

    Returns
    -------
    PredictionSets
        They contain all classes if there are too few datasets.

    Raises
    ------
    ValueError
        The coverage is not between 0 and 1.
    """
    scores = 1 - probabilities[np.arange(len(truth_index)), truth_index]
    limit = dataset_quantile(np.maximum(scores, 0.0), dataset_ids, coverage)
    return PredictionSets(coverage, limit if math.isfinite(limit) else None, contiguous)
