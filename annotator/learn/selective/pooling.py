"""The other samples of a dataset speak for a sample.

Most datasets are of one tissue, and what hides it in one sample need not hide it in
the next. So the logarithms of a sample's probabilities are blended with their mean
over the dataset's other samples, leaving the sample itself out:

    log q = (1 - w) · log p + w · mean of log p of the others,
    w = strength · (largest mean probability of the others)²

The others weigh less the less they point to one class, so that a dataset of several
tissues is left almost as it is. The strength is fitted on held-out predictions and is
0 where pooling is no better there beyond chance, as for a field in which the samples
of a dataset differ. No label is used, neither of the sample nor of the others.
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
"""That are tried. A sample's own profile never counts less than all others together."""

EXPONENTS = (0.1, 10.0)
PRIOR_SAMPLES = 10.0  # What "no exponent" is worth.
LARGEST_CHANCE = 0.05
MOST_CONTRIBUTING = 64
"""Samples of a dataset that speak for the others: the first, by their name."""


@dataclass(frozen=True, eq=False)
class Pooled:
    """Probabilities with what the other samples of each dataset contribute.

    The logarithms of the probabilities are, up to what all classes of a sample have in
    common, ``own_weights`` times those of the sample by itself, plus ``others``.

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
    """How much a dataset's other samples count.

    Attributes
    ----------
    strength
        Between 0, not at all, and 0.5.
    exponent
        Of the pooled probabilities, so that they mean what they say.
    """

    strength: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    exponent: Annotated[float, Meta(gt=0)] = 1.0

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
            Which samples speak for the others of their dataset, ``(samples,)``; by
            default the first :data:`MOST_CONTRIBUTING` of each.

        Returns
        -------
        NDArray[float64]
            Of the same shape; rows sum to one. A sample that nobody speaks for keeps
            its probabilities.
        """
        return self.pool(probabilities, dataset_ids, contributing).probabilities

    def pool(
        self,
        probabilities: NDArray[np.float64],
        dataset_ids: NDArray[np.object_],
        contributing: NDArray[np.bool_] | None = None,
    ) -> Pooled:
        """Do as :meth:`apply`, and return what the other samples contribute, too."""
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
    """Say which samples are among the first of their dataset, ``(samples,)``."""
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
    """Find the strength of :data:`STRENGTHS` with the highest likelihood.

    Every dataset counts the same. It is 0 unless the gain over no pooling is greater
    than chance makes it with probability :data:`LARGEST_CHANCE` (one-sided t test over
    the datasets of several samples).

    Parameters
    ----------
    probabilities
        Combined, for samples of datasets that the models had not seen,
        ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    dataset_ids
        The dataset of each sample, ``(samples,)``, samples in the order of their names.
    """
    contributing = first_of_datasets(dataset_ids)
    spoken_for = _blended(probabilities, dataset_ids, contributing, 0.0).has_others
    if not spoken_for.any():
        return Pooling()
    probabilities, truth_index = probabilities[spoken_for], truth_index[spoken_for]
    dataset_ids, contributing = dataset_ids[spoken_for], contributing[spoken_for]
    _, dataset = np.unique(dataset_ids.astype(str), return_inverse=True)

    def fitted(strength: float) -> tuple[float, NDArray[np.float64]]:
        """Return the exponent, and the mean logarithm of the truth in each dataset."""
        pooled = _blended(probabilities, dataset_ids, contributing, strength).logs
        exponent = _fitted_exponent(pooled, truth_index)
        sure = _powered(pooled, exponent, probabilities)[np.arange(len(pooled)), truth_index]
        return exponent, np.bincount(dataset, np.log(np.maximum(sure, FLOOR))) / np.bincount(
            dataset
        )

    # With an exponent of its own, too: what that alone gains is not pooling's.
    _, alone = fitted(0.0)
    best, best_gains = Pooling(), np.zeros(0)
    for strength in STRENGTHS:
        exponent, of_truth = fitted(strength)
        gains = of_truth - alone
        if gains.sum() > best_gains.sum():
            best, best_gains = Pooling(strength, exponent), gains
    return best if beyond_chance(best_gains) else Pooling()


def _fitted_exponent(logs: NDArray[np.float64], truth_index: NDArray[np.int64]) -> float:
    """Return the exponent of the highest likelihood, drawn a little to 1."""
    rows = np.arange(len(truth_index))
    of_truth = logs[rows, truth_index]

    def loss(exponent: float) -> float:
        fit = logsumexp(exponent * logs, axis=1) - exponent * of_truth
        return float(fit.sum() + PRIOR_SAMPLES * (exponent - 1) ** 2 / 2)

    return float(minimize_scalar(loss, bounds=EXPONENTS, method="bounded").x)


def beyond_chance(gains: NDArray[np.float64]) -> bool:
    """Return whether the mean of the datasets' gains is above 0 by more than chance.

    Chance makes it so with probability :data:`LARGEST_CHANCE` (one-sided t test).
    """
    datasets = len(gains)
    if datasets < 2:
        return False
    error = gains.std(ddof=1) / math.sqrt(datasets)
    return bool(gains.mean() > stdtrit(datasets - 1, 1 - LARGEST_CHANCE) * error)


@dataclass(frozen=True, eq=False)
class _Blend:
    """Blended logarithms, not normalised.

    Attributes
    ----------
    logs
        Shape ``(samples, classes)``.
    weights
        Of the others' mean logarithms, ``(samples, 1)``.
    mean_logs
        Of the others, ``(samples, classes)``.
    has_others
        Shape ``(samples,)``.
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
    # No single other sample may rule a class out.
    others, mean_logs = _means_of_others(np.maximum(own_logs, LOG_FLOOR), dataset, contributing)
    _, mean = _means_of_others(probabilities, dataset, contributing)
    weights = strength * mean.max(axis=1, keepdims=True) ** 2
    return _Blend((1 - weights) * own_logs + weights * mean_logs, weights, mean_logs, others > 0)


def _means_of_others(
    values: NDArray[np.float64], dataset: NDArray[np.int64], contributing: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return how many others speak for each sample, and the mean of what they say."""
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
