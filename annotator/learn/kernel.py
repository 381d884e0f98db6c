"""The kernel model kind: ridge regression with a Laplace kernel on weighted features.

For a weak signal that is spread over many features, as sex and age are. Features
weigh as much as they correlate with the target, which is one step of a recursive
feature machine (Radhakrishnan et al. 2024, Science 383:1461). The target is the
number itself where the field has one (age in years), so that the order of its
intervals is kept; else one indicator a class.

What the regression says becomes probabilities by its own errors on datasets that
it did not see. They come from one fit, in closed form: with ``A = K + ridge`` and
``a = A⁻¹ y`` the residuals of a left-out dataset D are ``(A⁻¹[D, D])⁻¹ a[D]``
(Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, section
5.4.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from annotator.errors import ArtefactError
from annotator.learn.artefacts import read_tensors, write_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.options import KernelOptions

FILE = "kernel.safetensors"
QUANTILES = 201
SMALLEST_PROBABILITY = 1e-4
CHUNK = 2048  # samples predicted at a time, so that distances stay small


@dataclass(frozen=True, eq=False)
class KernelModel:
    """Weighted training samples and their dual coefficients.

    Attributes
    ----------
    feature_weights
        ``(features,)``, float32.
    samples
        Weighted inputs of the training samples, ``(samples, features)``, float32.
    duals
        ``(samples, targets)``, float32; one target for a number, else one a class.
    means
        Mean of each target, ``(targets,)``, float32.
    rate
        Kernel: exp(-rate · distance).
    slopes, intercepts
        Class logits are ``intercepts + slopes @ scores``: ``(classes, classes)`` and
        ``(classes,)``; empty for a number.
    limits, residuals
        For a number: the limits of the classes' intervals, ``(classes + 1,)``, and the
        quantiles of true minus predicted number on unseen datasets, ``(201,)``; else empty.
    """

    feature_weights: NDArray[np.float32]
    samples: NDArray[np.float32]
    duals: NDArray[np.float32]
    means: NDArray[np.float32]
    rate: float
    slopes: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    limits: NDArray[np.float32]
    residuals: NDArray[np.float32]

    @property
    def of_number(self) -> bool:
        """Whether it predicts a number."""
        return len(self.limits) > 0

    def scores(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the regression's values, ``(samples, targets)``."""
        weighted = inputs * self.feature_weights
        parts = [
            _laplace(weighted[start : start + CHUNK], self.samples, self.rate) @ self.duals
            for start in range(0, len(weighted), CHUNK)
        ]
        found = np.concatenate(parts) if parts else np.zeros((0, self.duals.shape[1]))
        return np.asarray(found, dtype=np.float64) + self.means

    def numbers(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the predicted number of each sample, ``(samples,)``."""
        return np.asarray(self.scores(inputs)[:, 0], dtype=np.float64)

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        scores = self.scores(inputs)
        if self.of_number:
            return interval_probabilities(scores[:, 0], self.limits, self.residuals)
        return np.asarray(
            softmax(scores @ self.slopes.T.astype(np.float64) + self.intercepts, axis=1),
            dtype=np.float64,
        )

    def to_bytes(self) -> bytes:
        """Serialise as safetensors."""
        return write_tensors(
            {
                "feature_weights": self.feature_weights,
                "samples": self.samples,
                "duals": self.duals,
                "means": self.means,
                "rate": np.array([self.rate], dtype=np.float32),
                "slopes": self.slopes,
                "intercepts": self.intercepts,
                "limits": self.limits,
                "residuals": self.residuals,
            }
        )

    @classmethod
    def from_bytes(
        cls,
        content: bytes,
        features: int,
        classes: int,
        options: KernelOptions,
    ) -> KernelModel:
        """Read a model and check it.

        Raises
        ------
        ArtefactError
            The bytes are damaged or do not fit the field's features and classes.
        """
        shapes: dict[str, tuple[int, ...]] = {
            "feature_weights": (features,),
            "samples": (-1, features),
            "duals": (-1, -1),
            "means": (-1,),
            "rate": (1,),
            "slopes": (-1, -1),
            "intercepts": (-1,),
            "limits": (-1,),
            "residuals": (-1,),
        }
        arrays = read_tensors(content, shapes, FILE)
        rows, of_number = len(arrays["samples"]), len(arrays["limits"]) > 0
        targets, own = (1, 0) if of_number else (classes, classes)
        fits = (
            0 < rows <= options.largest_cohort
            and arrays["duals"].shape == (rows, targets)
            and arrays["means"].shape == (targets,)
            and arrays["slopes"].shape == (own, own)
            and arrays["intercepts"].shape == (own,)
            and len(arrays["limits"]) == (classes + 1 if of_number else 0)
            and len(arrays["residuals"]) == (QUANTILES if of_number else 0)
        )
        if not fits:
            raise ArtefactError(f"{FILE}: its arrays do not fit one another; retrain the field")
        rate = float(arrays.pop("rate")[0])
        if rate <= 0:
            raise ArtefactError(f"{FILE}: rate {rate}; retrain the field")
        return cls(rate=rate, **arrays)


def interval_probabilities(
    predicted: NDArray[np.float64],
    limits: NDArray[np.floating[Any]],
    residuals: NDArray[np.floating[Any]],
) -> NDArray[np.float64]:
    """Return the probability of each interval of a predicted number.

    Parameters
    ----------
    predicted
        Shape ``(samples,)``.
    limits
        Ascending, ``(intervals + 1,)``; what lies beyond the outer ones counts to
        the outer intervals.
    residuals
        Equally spaced quantiles of true minus predicted.

    Returns
    -------
    NDArray[float64]
        Shape ``(samples, intervals)``; rows sum to one.
    """
    shares = np.linspace(0, 1, len(residuals))
    inner = np.asarray(limits[1:-1], dtype=np.float64)
    below = np.interp(inner[None, :] - predicted[:, None], residuals, shares)
    edges = np.hstack([np.zeros((len(below), 1)), below, np.ones((len(below), 1))])
    found = np.maximum(np.diff(edges, axis=1), SMALLEST_PROBABILITY)
    return np.asarray(found / found.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_kernel(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    classes: int,
    options: KernelOptions,
    seed: int,
    dataset_index: NDArray[np.int64],
    numbers: NDArray[np.float64] | None = None,
    limits: tuple[float, ...] = (),
) -> KernelModel:
    """Fit the regression and what turns its values into probabilities.

    Parameters
    ----------
    inputs
        Shape ``(samples, features)``, float32.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``.
    classes
        Number of classes.
    options
        Ridge, rate, weights.
    seed
        Of the choice of samples where there are more than ``largest_cohort``.
    numbers
        The true numbers, ``(samples,)``, all finite, for a field of intervals.
    limits
        Their intervals' limits.

    Returns
    -------
    KernelModel
    """
    if len(inputs) > options.largest_cohort:
        rows = np.random.default_rng(seed).permutation(len(inputs))[: options.largest_cohort]
        rows.sort()
        inputs, class_index, dataset_index = inputs[rows], class_index[rows], dataset_index[rows]
        numbers = numbers[rows] if numbers is not None else None
    targets = np.eye(classes)[class_index] if numbers is None else numbers[:, None]
    means = targets.mean(axis=0)
    centred = targets - means
    weights = _feature_weights(inputs, centred, options.weight_power)
    samples = (inputs * weights).astype(np.float32)
    rate = options.rate / max(float(np.sqrt((samples.astype(np.float64) ** 2).sum(1).mean())), 1e-9)
    duals, unseen = _solve(samples, rate, options.ridge, centred, dataset_index)
    nothing = np.zeros(0, dtype=np.float32)
    slopes, intercepts = np.zeros((0, 0), dtype=np.float32), nothing
    limits_, residuals = nothing, nothing
    if numbers is None:
        slopes, intercepts = _to_logits(centred - unseen + means, class_index, classes)
    else:
        residuals = np.quantile(unseen[:, 0], np.linspace(0, 1, QUANTILES)).astype(np.float32)
        limits_ = np.asarray(limits, dtype=np.float32)
    return KernelModel(
        feature_weights=weights,
        samples=samples,
        duals=duals.astype(np.float32),
        means=means.astype(np.float32),
        rate=rate,
        slopes=slopes,
        intercepts=intercepts,
        limits=limits_,
        residuals=residuals,
    )


def _feature_weights(
    inputs: NDArray[np.float32], targets: NDArray[np.float64], power: float
) -> NDArray[np.float32]:
    """Return |correlation| ** power of each feature; of several targets the root mean square."""
    centred = inputs - inputs.mean(axis=0)
    covariance = centred.T.astype(np.float64) @ targets
    spread = np.sqrt((centred.astype(np.float64) ** 2).sum(0))[:, None] * np.sqrt(
        (targets**2).sum(0)
    )
    correlation = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)
    weights: NDArray[np.float64] = np.sqrt((correlation**2).mean(axis=1)) ** power
    largest = weights.max(initial=0.0)
    if largest <= 0:
        return np.ones(inputs.shape[1], dtype=np.float32)
    return np.asarray(weights / largest, dtype=np.float32)


def _laplace(
    first: NDArray[np.float32], second: NDArray[np.float32], rate: float
) -> NDArray[np.float32]:
    squares = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    distances = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    distances *= np.float32(-rate)
    return np.asarray(np.exp(distances, out=distances))


def _solve(
    samples: NDArray[np.float32],
    rate: float,
    ridge: float,
    targets: NDArray[np.float64],
    dataset_index: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return dual coefficients and every sample's residual with its dataset left out."""
    from scipy.linalg import cho_factor, cho_solve
    from scipy.linalg.lapack import spotri

    matrix = _laplace(samples, samples, rate)
    matrix[np.diag_indices(len(matrix))] = np.float32(1 + ridge)
    factor, lower = cho_factor(matrix, lower=True, overwrite_a=True)
    duals = np.asarray(cho_solve((factor, lower), targets.astype(np.float32)), dtype=np.float64)
    inverse, _ = spotri(factor, lower=1, overwrite_c=True)
    unseen = np.empty_like(targets)
    for dataset in np.unique(dataset_index):
        rows = np.flatnonzero(dataset_index == dataset)
        block = np.tril(inverse[np.ix_(rows, rows)]).astype(np.float64)
        block += np.tril(block, -1).T
        unseen[rows] = np.linalg.solve(block, duals[rows])
    return duals, unseen


def _to_logits(
    scores: NDArray[np.float64], class_index: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit the logistic regression from scores on unseen datasets to classes."""
    from sklearn.linear_model import LogisticRegression

    regression: Any = LogisticRegression(C=100.0, max_iter=500).fit(scores, class_index)
    slopes, intercepts = regression.coef_, regression.intercept_
    if classes == 2:
        slopes = np.concatenate([-slopes / 2, slopes / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    return slopes.astype(np.float32), intercepts.astype(np.float32)
