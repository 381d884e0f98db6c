"""Calibration turns the scores of the model kinds into probabilities, and combines them.

Networks and boosted trees are overconfident on held-out datasets; forests are
underconfident. Each model kind gets one parameter, fitted on held-out predictions: a
slope for its log-probabilities (the inverse of a temperature; Guo et al. 2017, "On calibration
of modern neural networks") or for a forest's shares of votes (Platt 1999, "Probabilistic
outputs for support vector machines"; Niculescu-Mizil and Caruana 2005 find this the right
form for forests). The combination is the product of the calibrated probabilities, raised to
one more fitted power: unlike a mean, a product is not biased towards underconfidence (Ranjan
and Gneiting 2010). The network, the linear model and the trees have equal weights, and the
two kinds of trees share theirs; no weight is fitted (``benchmarks/accuracy/divisions.py``
compares the alternatives).

The combination is linear in the totals that the explanations of the kinds add up to (logits,
votes, margins), so its log-odds have additive contributions, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from annotator.learn.models.registry import KINDS
from annotator.learn.selective.pooling import Pooling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

# A fitted value is at most the usual one times exp(LARGEST_LOG_SLOPE).
Positive = Annotated[float, Meta(gt=0, le=1000)]

SMALLEST = 1e-300
USUAL_SLOPE_OF_VOTES = 10.0
PRIOR_SAMPLES = 10.0
"""Strength of the prior for the usual slope (1 for log-probabilities), in samples."""
LARGEST_LOG_SLOPE = 4.0


@dataclass(frozen=True)
class Calibration:
    """The parameters that calibrate and combine raw probabilities.

    Attributes
    ----------
    slopes
        The factor of each model kind's scores: calibrated ∝ exp(slope · score). Scores are
        log-probabilities, or shares of votes for kinds that vote.
    sharpness
        The factor of the weighted mean of the kinds' calibrated logits.
    samples
        Number of held-out predictions that it was fitted on.
    pooling
        The weight of the other samples in the dataset; none by default.
    """

    slopes: Annotated[Mapping[str, Positive], Meta(min_length=1)]
    sharpness: Positive
    samples: Annotated[int, Meta(ge=0)]
    pooling: Pooling = field(default_factory=Pooling)

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each model kind in the combination; weights sum to one."""
        return shares(self.slopes)

    @property
    def factors(self) -> dict[str, float]:
        """The factor of each kind's scores in the logits of the combination."""
        weights = self.weights
        return {kind: self.sharpness * weights[kind] * slope for kind, slope in self.slopes.items()}

    def apply(
        self, probabilities: Mapping[str, NDArray[np.float64]]
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
        """Calibrate and combine probabilities; :attr:`pooling` is applied to the second result.

        Parameters
        ----------
        probabilities
            The raw probabilities of each model kind, ``(samples, classes)``. If all kinds
            give a class the probability 0, it stays 0.

        Returns
        -------
        calibrated : dict
            The probabilities of each model kind, of the same shape, float64.
        alone : NDArray[float64]
            The combination before pooling, ``(samples, classes)``; rows sum to one.

        Raises
        ------
        ValueError
            The model kinds are not those that the calibration was fitted on.
        """
        if probabilities.keys() != self.slopes.keys():
            raise ValueError(
                f"the calibration is for {sorted(self.slopes)}, not for {sorted(probabilities)}"
            )
        impossible = _impossible(probabilities)
        scores = {kind: scores_of(kind, p) for kind, p in probabilities.items()}
        calibrated = {
            kind: _softmax(self.slopes[kind] * each, impossible) for kind, each in scores.items()
        }
        factors = self.factors
        # Summed in a fixed order, so that the order of the mapping makes no difference.
        logits = sum(factors[kind] * scores[kind] for kind in sorted(scores))
        return calibrated, _softmax(np.asarray(logits), impossible)


def shares(kinds: Iterable[str]) -> dict[str, float]:
    """Return the weight of each kind in the combination: all families have equal weights."""
    family_of = {kind: KINDS[kind].family or kind for kind in kinds}
    families = list(family_of.values())
    return {
        kind: 1 / len(set(families)) / families.count(family) for kind, family in family_of.items()
    }


def scores_of(kind: str, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores that a kind's calibrated logits are proportional to.

    The shape is ``(samples, classes)``.
    """
    if KINDS[kind].votes:
        return probabilities
    return np.asarray(np.log(np.maximum(probabilities, SMALLEST)))


def _impossible(probabilities: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return where all kinds give 0, ``(samples, classes)``: the class was not learned."""
    return np.asarray(np.all([p == 0 for p in probabilities.values()], axis=0), dtype=np.bool_)


def _log_softmax(logits: NDArray[np.float64], impossible: NDArray[np.bool_]) -> NDArray[np.float64]:
    possible = np.where(impossible, -np.inf, logits)
    return np.asarray(possible - logsumexp(possible, axis=1, keepdims=True))


def _softmax(logits: NDArray[np.float64], impossible: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.exp(_log_softmax(logits, impossible)))


def _fit_slope(
    scores: NDArray[np.float64],
    truth_index: NDArray[np.int64],
    impossible: NDArray[np.bool_],
    usual: float,
) -> float:
    """Return the slope with the highest likelihood, shrunk slightly towards the usual one."""
    # A class of probability 0 stays impossible at any slope, so such samples are left out.
    rows = np.flatnonzero(~impossible[np.arange(len(truth_index)), truth_index])
    scores, impossible, truth_index = scores[rows], impossible[rows], truth_index[rows]

    def loss(log_slope: float) -> float:
        logs = _log_softmax(usual * math.exp(log_slope) * scores, impossible)
        of_truth = logs[np.arange(len(rows)), truth_index]
        return float(-of_truth.sum() + PRIOR_SAMPLES * log_slope**2 / 2)

    bounds = (-LARGEST_LOG_SLOPE, LARGEST_LOG_SLOPE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return usual * math.exp(float(found.x))


def fit_calibration(
    probabilities: Mapping[str, NDArray[np.float64]], truth_index: NDArray[np.int64]
) -> Calibration:
    """Fit the slopes and the sharpness on held-out predictions.

    All samples have equal weights, because probabilities are read per sample.

    Parameters
    ----------
    probabilities
        The raw probabilities of each model kind for samples of held-out datasets,
        ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        There are no samples or no model kinds.
    """
    samples = len(truth_index)
    if samples == 0 or not probabilities:
        raise ValueError("a calibration needs held-out predictions")
    impossible = _impossible(probabilities)
    kinds = sorted(probabilities)
    scores = {kind: scores_of(kind, probabilities[kind]) for kind in kinds}
    slopes = {
        kind: _fit_slope(
            scores[kind],
            truth_index,
            impossible,
            USUAL_SLOPE_OF_VOTES if KINDS[kind].votes else 1.0,
        )
        for kind in kinds
    }
    weights = shares(kinds)
    mean = np.sum([weights[kind] * slopes[kind] * scores[kind] for kind in kinds], axis=0)
    return Calibration(slopes, _fit_slope(mean, truth_index, impossible, 1.0), samples)


def expected_calibration_error(
    probabilities: NDArray[np.float64], truth_index: NDArray[np.int64], bins: int = 15
) -> float:
    """Return how far the most probable classes' probabilities are from the share that is right.

    Samples are put into equally wide bins by their highest probability; the
    result is the mean over samples of the absolute difference between the mean highest
    probability in their bin and the share of its most probable classes that are right
    (Naeini et al. 2015). It is NaN without samples.
    """
    if len(truth_index) == 0:
        return math.nan
    confidence = probabilities.max(axis=1)
    correct = (probabilities.argmax(axis=1) == truth_index).astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(truth_index))
