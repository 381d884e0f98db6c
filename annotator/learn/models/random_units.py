"""Ridge regression on random ReLU units, for a weak signal that many features share.

Sex and age are such signals. A hidden layer of random weights, which is never trained,
turns the inputs into units in which a linear model is as flexible as a kernel method
(Cho and Saul 2009, "Kernel methods for deep learning"), while the cost per sample does
not grow with the cohort and the model remains a plain ReLU network that DeepLIFT
explains. Inputs are weighted by their absolute correlation with the target first, and
then, in as many steps as are wanted, by the root mean square slope of the fitted scores, as
in a recursive feature machine (Radhakrishnan et al. 2024, Science 383:1461).

The target is the number itself where the field has one (age in years), so that the order
of its intervals is kept; else one indicator per class. Scores become logits by a logistic
regression on the scores that each dataset gets from a fit without it. These come from the
one fit in closed form: with hat matrix ``H``, the residuals of a left-out dataset D are
``(I - H[D, D])⁻¹ r[D]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.models.kind import TrainingPart

CORRELATION_POWER = 0.75
BIAS_SPREAD = 0.3
"""Standard deviation of the units' random biases, relative to that of what they add to."""


@dataclass(frozen=True, slots=True)
class UnitOptions:
    """Number of random units, penalty of the regression, and steps of learning feature weights."""

    random_units: int
    ridge: float
    feature_steps: int


@dataclass(frozen=True, eq=False)
class RandomUnits:
    """A fitted regression, folded so that it takes the inputs as they are.

    Attributes
    ----------
    kernel, bias
        Of the random units, ``(features, units)`` and ``(units,)``.
    coefficients, intercepts
        Of the class logits, ``(classes, units)`` and ``(classes,)``.
    number
        Of the predicted number: a coefficient per unit and the intercept,
        ``(units + 1,)``; empty where no number is predicted.
    """

    kernel: NDArray[np.float64]
    bias: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    number: NDArray[np.float64]


def correlation_weights(
    inputs: NDArray[np.float32], targets: NDArray[np.float64], power: float
) -> NDArray[np.float64]:
    """Return |correlation| ** power of each feature with the targets, the largest being 1.

    Parameters
    ----------
    inputs
        Shape ``(samples, features)``.
    targets
        Shape ``(samples, targets)``; of several, the root mean square correlation counts.
    power
        0 gives every feature the weight 1.
    """
    values = inputs - inputs.mean(axis=0)
    centred = targets - targets.mean(axis=0)
    covariance = values.T.astype(np.float64) @ centred
    lengths = np.sqrt((values.astype(np.float64) ** 2).sum(axis=0))
    spread = lengths[:, None] * np.sqrt((centred**2).sum(axis=0))
    correlation = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)
    weights = np.sqrt((correlation**2).mean(axis=1)) ** power
    largest = weights.max(initial=0.0)
    return np.asarray(weights / largest if largest > 0 else np.ones(inputs.shape[1]))


def completed_numbers(
    numbers: NDArray[np.float64], class_index: NDArray[np.int64], limits: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return the numbers, and for samples of which only the interval is known its usual one.

    Parameters
    ----------
    numbers, class_index
        Number, NaN where there is none, and interval of each sample, ``(samples,)``.
    limits
        Of the intervals, ascending.

    Returns
    -------
    NDArray[float64]
        Finite: the mean of the known numbers of a sample's interval, or the middle of the
        interval where none is known.
    """
    known = np.isfinite(numbers)
    usual = np.array(
        [
            numbers[known & (class_index == each)].mean()
            if (known & (class_index == each)).any()
            else (limits[each] + limits[each + 1]) / 2
            for each in range(len(limits) - 1)
        ]
    )
    return np.where(known, numbers, usual[class_index])


def fit_random_units(
    part: TrainingPart,
    options: UnitOptions,
    seed: int,
    numbers: NDArray[np.float64] | None = None,
) -> RandomUnits:
    """Fit the regression and what turns its scores into logits.

    Parameters
    ----------
    part
        What it is fitted on.
    options
        Number of random units, penalty, and steps of learning feature weights.
    seed
        Of the units.
    numbers
        The number of each sample, finite, ``(samples,)``; ``None``: classes are learned.
    """
    inputs, weights = part.inputs, part.weights
    targets = np.eye(part.classes)[part.class_index] if numbers is None else numbers[:, None]
    feature_weights = correlation_weights(inputs, targets, CORRELATION_POWER)
    random = np.random.default_rng(seed)
    directions = random.standard_normal((inputs.shape[1], options.random_units))
    biases = random.standard_normal(options.random_units) * BIAS_SPREAD
    kernel, bias = _scaled(inputs, feature_weights, directions, biases)
    for _ in range(options.feature_steps):
        hidden = np.maximum(inputs @ kernel + bias, 0.0)
        coefficients = _ridge(hidden, targets, weights, options.ridge).coefficients
        slopes = _mean_slopes(hidden > 0, directions, coefficients)
        feature_weights = feature_weights * slopes
        kernel, bias = _scaled(inputs, feature_weights, directions, biases)
    hidden = np.maximum(inputs @ kernel + bias, 0.0)
    solved = _ridge(hidden, targets, weights, options.ridge)
    held_out = targets - _held_out_residuals(solved, weights, part.dataset_index)
    slopes, intercepts = _to_logits(held_out, part.class_index, weights, part.classes)
    offsets = solved.means - solved.centre @ solved.coefficients
    number = np.zeros(0)
    if numbers is not None:
        number = np.append(solved.coefficients[:, 0], offsets[0])
    return RandomUnits(
        kernel,
        bias,
        slopes @ solved.coefficients.T,
        intercepts + slopes @ offsets,
        number,
    )


def _scaled(
    inputs: NDArray[np.float32],
    feature_weights: NDArray[np.float64],
    directions: NDArray[np.float64],
    biases: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return kernel and bias of the units, for weighted inputs of length 1 on average."""
    length = float(np.sqrt(((inputs * feature_weights) ** 2).sum(axis=1).mean()))
    gain = 1 / np.sqrt(directions.shape[1])
    scale = feature_weights * (gain / length if length > 0 else gain)
    return directions * scale[:, None], biases * gain


def _mean_slopes(
    active: NDArray[np.bool_], directions: NDArray[np.float64], coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the root mean square slope of the scores in each weighted feature, at most 1.

    Parameters
    ----------
    active
        Which units are above 0 for each sample, ``(samples, units)``.
    directions
        Shape ``(features, units)``.
    coefficients
        Shape ``(units, targets)``.
    """
    squares = np.zeros(len(directions))
    for target in coefficients.T:
        slopes = (active * target) @ directions.T
        squares += (slopes**2).mean(axis=0)
    largest = squares.max(initial=0.0)
    return np.asarray(np.sqrt(squares / largest) if largest > 0 else np.ones(len(directions)))


@dataclass(frozen=True, eq=False)
class _Solved:
    """A ridge regression of centred units on centred targets, samples by their weights.

    Attributes
    ----------
    coefficients
        Shape ``(units, targets)``.
    centre, means
        What units and targets are centred by, ``(units,)`` and ``(targets,)``.
    factor
        Cholesky factor of the penalised Gram matrix, and whether it is the lower one.
    values, residuals
        Centred units and residuals, times the roots of the weights: ``(samples, units)``
        and ``(samples, targets)``.
    """

    coefficients: NDArray[np.float64]
    centre: NDArray[np.float64]
    means: NDArray[np.float64]
    factor: tuple[NDArray[np.float64], bool]
    values: NDArray[np.float64]
    residuals: NDArray[np.float64]


def _ridge(
    hidden: NDArray[np.float64],
    targets: NDArray[np.float64],
    weights: NDArray[np.float64],
    ridge: float,
) -> _Solved:
    centre = np.average(hidden, axis=0, weights=weights)
    means = np.average(targets, axis=0, weights=weights)
    root = np.sqrt(weights)[:, None]
    values, wanted = (hidden - centre) * root, (targets - means) * root
    gram = values.T @ values
    gram[np.diag_indices(len(gram))] += ridge
    factor = cho_factor(gram, lower=True, overwrite_a=True)
    coefficients = np.asarray(cho_solve(factor, values.T @ wanted), dtype=np.float64)
    return _Solved(coefficients, centre, means, factor, values, wanted - values @ coefficients)


def _held_out_residuals(
    solved: _Solved, weights: NDArray[np.float64], dataset_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return every sample's residual with its dataset left out, ``(samples, targets)``."""
    held_out = np.empty_like(solved.residuals)
    for dataset in np.unique(dataset_index):
        rows = np.flatnonzero(dataset_index == dataset)
        values = solved.values[rows]
        hat = values @ cho_solve(solved.factor, values.T)
        held_out[rows] = np.linalg.solve(np.eye(len(rows)) - hat, solved.residuals[rows])
    return np.asarray(held_out / np.sqrt(weights)[:, None])


def _to_logits(
    scores: NDArray[np.float64],
    class_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slopes ``(classes, targets)`` and intercepts that turn scores into logits."""
    from sklearn.linear_model import LogisticRegression

    # With hardly any penalty: slopes of years are small numbers.
    spread = scores.std(axis=0)
    spread[spread == 0] = 1.0
    regression: Any = LogisticRegression(C=100.0, max_iter=500)
    regression.fit(scores / spread, class_index, sample_weight=weights)
    slopes, intercepts = regression.coef_ / spread, regression.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        slopes = np.concatenate([-slopes / 2, slopes / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    return slopes, intercepts
