"""Pooling blends a sample's probabilities with those of the other samples in its dataset.

Most datasets are of one tissue, and an artefact that obscures it in one sample may be
absent from the next. So the logarithms of a sample's probabilities are blended with their
mean over the other samples in the dataset:

    log q = exponent · ((1 - w) · log p + w · mean of log p of the others) + a constant,
    w = strength · (largest mean probability of the others)²

where each log p of the others is at least log 0.0001, and the exponent calibrates the result.

The others have less weight the less they agree on one class, so that a dataset of several
tissues hardly changes. The strength is fitted on held-out predictions and is 0 unless
pooling improves them by more than chance, which it does not for a field in which the
samples of a dataset differ. No labels are used, neither of the sample nor of the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, stdtrit

FLOOR = 1e-4
LOG_FLOOR = math.log(FLOOR)
SMALLEST = 1e-300
STRENGTHS = (0.1, 0.2, 0.3, 0.5)
"""The strengths to try. A sample itself always has at least the weight of all others."""

EXPONENTS = (0.1, 10.0)
PRIOR_SAMPLES = 10.0  # Strength of the prior for an exponent of 1, in samples.
LARGEST_CHANCE = 0.05
MOST_CONTRIBUTING = 64
"""Number of samples per dataset that contribute to the others: the first ones by name."""


@dataclass(frozen=True, eq=False)
class Pooled:
    """Pooled probabilities, and the contribution of the other samples in the dataset.

    The logarithms of the probabilities are ``own_weights`` times those of the sample alone,
    plus ``others``, up to a constant per sample.

    Attributes
    ----------
    probabilities
        Shape ``(samples, classes)``; rows sum to one.
    own_weights
        Shape ``(samples,)``; 1 for a sample without others.
    others
        Shape ``(samples, classes)``, centred over the classes; 0 for a sample without others.
    """

    probabilities: NDArray[np.float64]
    own_weights: NDArray[np.float64]
    others: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pooling:
    """The weight of the other samples in the dataset.

    Attributes
    ----------
    strength
        Between 0 (no pooling) and 0.5.
    exponent
        The exponent of the pooled probabilities, which calibrates them.
    """

    strength: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    exponent: Annotated[float, Meta(gt=0, le=100)] = 1.0

    def apply(
        self,
        probabilities: NDArray[np.float64],
        dataset_ids: NDArray[np.object_],
        contributing: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.float64]:
        """Pool the samples of each dataset.

        Parameters
        ----------
        probabilities
            Shape ``(samples, classes)``; a 0 stays 0.
        dataset_ids
            The dataset of each sample, ``(samples,)``.
        contributing
            Whether each sample contributes to the others of its dataset, ``(samples,)``; by
            default the first :data:`MOST_CONTRIBUTING` of each dataset do.

        Returns
        -------
        NDArray[float64]
            An array of the same shape; rows sum to one. A sample to which no other
            contributes keeps its probabilities.
        """
        return self.pool(probabilities, dataset_ids, contributing).probabilities

    def pool(
        self,
        probabilities: NDArray[np.float64],
        dataset_ids: NDArray[np.object_],
        contributing: NDArray[np.bool_] | None = None,
    ) -> Pooled:
        """Pool as :meth:`apply` does, and also return the contributions of other samples."""
        samples = len(probabilities)
        if self.strength == 0 or samples == 0:
            return Pooled(probabilities, np.ones(samples), np.zeros_like(probabilities))
        if contributing is None:
            contributing = first_of_datasets(dataset_ids)
        blend = _blended(probabilities, dataset_ids, contributing, self.strength)
        with_others = blend.has_others[:, None]
        powered = _powered(blend.logs, self.exponent, probabilities)
        others = self.exponent * blend.weights * blend.mean_logs
        others -= others.mean(axis=1, keepdims=True)
        own_weights = self.exponent * (1 - blend.weights)
        return Pooled(
            np.where(with_others, powered, probabilities),
            np.where(with_others, own_weights, 1.0)[:, 0],
            np.where(with_others, others, 0.0),
        )


def first_of_datasets(
    dataset_ids: NDArray[np.object_], most: int = MOST_CONTRIBUTING
) -> NDArray[np.bool_]:
    """Return whether each sample is among the first of its dataset, ``(samples,)``."""
    _, dataset = np.unique(dataset_ids.astype(str), return_inverse=True)
    order = np.argsort(dataset, kind="stable")
    starts = np.searchsorted(dataset[order], dataset[order])
    first = np.zeros(len(dataset), dtype=np.bool_)
    first[order] = np.arange(len(dataset)) - starts < most
    return first


def fit_pooling(
    probabilities: NDArray[np.float64],
    truth_index: NDArray[np.int64],
    dataset_ids: NDArray[np.object_],
) -> Pooling:
    """Find the strength among :data:`STRENGTHS` with the highest likelihood.

    All datasets have equal weights. The strength is 0 unless the gain over no pooling is
    significant at the level :data:`LARGEST_CHANCE` (one-sided t test over the datasets of
    several samples).

    Parameters
    ----------
    probabilities
        Combined probabilities for samples of held-out datasets, ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    dataset_ids
        The dataset of each sample, ``(samples,)``; samples are in the order of their names.
    """
    contributing = first_of_datasets(dataset_ids)
    has_others = _blended(probabilities, dataset_ids, contributing, 0.0).has_others
    if not has_others.any():
        return Pooling()
    probabilities, truth_index = probabilities[has_others], truth_index[has_others]
    dataset_ids, contributing = dataset_ids[has_others], contributing[has_others]
    _, dataset = np.unique(dataset_ids.astype(str), return_inverse=True)

    def fitted(strength: float) -> tuple[float, NDArray[np.float64]]:
        """Return the exponent, and each dataset's mean log-probability of the true class."""
        pooled = _blended(probabilities, dataset_ids, contributing, strength).logs
        exponent = _fitted_exponent(pooled, truth_index)
        of_truth = _powered(pooled, exponent, probabilities)[np.arange(len(pooled)), truth_index]
        logs = np.log(np.maximum(of_truth, FLOOR))
        return exponent, np.bincount(dataset, logs) / np.bincount(dataset)

    # No pooling gets an exponent, too, so that the exponent's gain is not credited to pooling.
    _, alone = fitted(0.0)
    best, best_gains = Pooling(), np.zeros(0)
    for strength in STRENGTHS:
        exponent, of_truth = fitted(strength)
        gains = of_truth - alone
        if gains.sum() > best_gains.sum():
            best, best_gains = Pooling(strength, exponent), gains
    return best if beyond_chance(best_gains) else Pooling()


def _fitted_exponent(logs: NDArray[np.float64], truth_index: NDArray[np.int64]) -> float:
    """Return the exponent with the highest likelihood, shrunk slightly towards 1."""
    rows = np.arange(len(truth_index))
    of_truth = logs[rows, truth_index]

    def loss(exponent: float) -> float:
        fit = logsumexp(exponent * logs, axis=1) - exponent * of_truth
        return float(fit.sum() + PRIOR_SAMPLES * (exponent - 1) ** 2 / 2)

    return float(minimize_scalar(loss, bounds=EXPONENTS, method="bounded").x)


def beyond_chance(gains: NDArray[np.float64]) -> bool:
    """Return whether the mean of the datasets' gains is significantly above 0.

    The test is a one-sided t test at the level :data:`LARGEST_CHANCE`.
    """
    datasets = len(gains)
    if datasets < 2:
        return False
    error = gains.std(ddof=1) / math.sqrt(datasets)
    return bool(gains.mean() > stdtrit(datasets - 1, 1 - LARGEST_CHANCE) * error)


@dataclass(frozen=True, eq=False)
class _Blend:
    """Blended logarithms before normalisation.

    Attributes
    ----------
    logs
        Shape ``(samples, classes)``.
    weights
        The weight of ``mean_logs``, ``(samples, 1)``.
    mean_logs
        The mean logarithms of the other samples, ``(samples, classes)``.
    has_others
        Whether other samples contribute, ``(samples,)``.
    """

    logs: NDArray[np.float64]
    weights: NDArray[np.float64]
    mean_logs: NDArray[np.float64]
    has_others: NDArray[np.bool_]


def _blended(
    probabilities: NDArray[np.float64],
    dataset_ids: NDArray[np.object_],
    contributing: NDArray[np.bool_],
    strength: float,
) -> _Blend:
    _, dataset = np.unique(dataset_ids.astype(str), return_inverse=True)
    own_logs = np.log(np.maximum(probabilities, SMALLEST))
    # No other sample may rule a class out on its own.
    others, mean_logs = _means_of_others(np.maximum(own_logs, LOG_FLOOR), dataset, contributing)
    _, mean = _means_of_others(probabilities, dataset, contributing)
    weights = strength * mean.max(axis=1, keepdims=True) ** 2
    return _Blend((1 - weights) * own_logs + weights * mean_logs, weights, mean_logs, others > 0)


def _means_of_others(
    values: NDArray[np.float64], dataset: NDArray[np.int64], contributing: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how many other samples contribute to each sample, and the mean of their values."""
    datasets = int(dataset.max()) + 1
    total = np.zeros((datasets, values.shape[1]))
    np.add.at(total, dataset[contributing], values[contributing])
    count = np.bincount(dataset[contributing], minlength=datasets)[dataset] - contributing
    rest = total[dataset] - np.where(contributing[:, None], values, 0.0)
    return count, rest / np.maximum(count, 1)[:, None]


def _powered(
    logs: NDArray[np.float64], exponent: float, probabilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    possible = np.where(probabilities == 0, -np.inf, exponent * logs)
    return np.asarray(np.exp(possible - logsumexp(possible, axis=1, keepdims=True)))
