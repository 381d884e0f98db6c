"""Probabilities that mean what they say.

Networks and boosted trees are too sure of themselves on datasets they have not
seen; forests are not sure enough. Each model kind gets a temperature
(Guo et al. 2017, "On calibration of modern neural networks"), and the kinds
are combined by a weighted product of their probabilities (a logarithmic
opinion pool). A weighted mean of calibrated probabilities is always less sure
than it should be (Ranjan & Gneiting 2010); the product has no such bias, and
its likelihood is convex in the exponents, so that there is one best answer and
it is found every time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from annotator.learn.pooling import Pooling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FLOOR = 1e-4  # A forest of some hundred trees cannot tell less from nothing.
PRIOR_SAMPLES = 10.0  # What "no temperature, equal weights" is worth, in samples or datasets.
LARGEST_EXPONENT = 10.0


@dataclass(frozen=True)
class Calibration:
    """How raw probabilities become calibrated and combined ones.

    Attributes
    ----------
    temperatures
        Model kind to temperature: calibrated ∝ raw ** (1 / temperature).
    exponents
        Model kind to its exponent, not negative, in the combined probability,
        ∝ Π raw ** exponent.
    samples
        How many held-out predictions it was fitted on.
    pooling
        How much the other samples of a dataset count; not at all by default.
    """

    temperatures: Mapping[str, float]
    exponents: Mapping[str, float]
    samples: int
    pooling: Pooling = field(default_factory=Pooling)

    @property
    def weights(self) -> dict[str, float]:
        """The share of each model kind in the combined answer; they sum to one."""
        total = sum(self.exponents.values())
        return {kind: exponent / total for kind, exponent in self.exponents.items()}

    def apply(
        self,
        probabilities: Mapping[str, NDArray[np.float64]],
        dataset_ids: NDArray[np.object_] | None = None,
        speakers: NDArray[np.bool_] | None = None,
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.float64]]:
        """Calibrate, combine and pool.

        Parameters
        ----------
        probabilities
            Model kind to raw probabilities, ``(samples, classes)``. A class
            that every kind gives 0 keeps 0.
        dataset_ids, speakers
            As for :meth:`Pooling.apply`; without datasets every sample stands alone.

        Returns
        -------
        calibrated : dict
            Model kind to probabilities of the same shape, float64.
        combined : NDArray[float64]
            Shape ``(samples, classes)``; rows sum to one.

        Raises
        ------
        ValueError
            The model kinds are not those it was fitted on.
        """
        if set(probabilities) != set(self.temperatures):
            raise ValueError(
                f"calibrated for {sorted(self.temperatures)}, not for {sorted(probabilities)}"
            )
        logs = {kind: _logarithms(raw) for kind, raw in probabilities.items()}
        impossible = np.all([raw == 0 for raw in probabilities.values()], axis=0)
        calibrated = {
            kind: _softmax(value / self.temperatures[kind], impossible)
            for kind, value in logs.items()
        }
        pooled = np.sum([self.exponents[kind] * value for kind, value in logs.items()], axis=0)
        combined = _softmax(pooled, impossible)
        if dataset_ids is not None:
            combined = self.pooling.apply(combined, dataset_ids, speakers)
        return calibrated, combined

    def to_json(self) -> dict[str, Any]:
        """Return plain data for JSON; :meth:`from_json` reads it back unchanged."""
        return {
            "temperatures": dict(self.temperatures),
            "exponents": dict(self.exponents),
            "samples": self.samples,
            "pooling": self.pooling.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any) -> Calibration:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ValueError
            A part is missing, or not a finite number in its range.
        """
        try:
            temperatures = {str(kind): float(v) for kind, v in data["temperatures"].items()}
            exponents = {str(kind): float(v) for kind, v in data["exponents"].items()}
            samples = int(data["samples"])
            # Releases of before there was pooling have none.
            pooling = Pooling.from_json(data["pooling"]) if "pooling" in data else Pooling()
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a calibration: {error!r}") from error
        finite = all(map(math.isfinite, [*temperatures.values(), *exponents.values()]))
        if (
            not finite
            or not temperatures
            or set(temperatures) != set(exponents)
            or min(temperatures.values()) <= 0
            or min(exponents.values()) < 0
            or sum(exponents.values()) <= 0
        ):
            raise ValueError("not a calibration: numbers out of their range")
        return cls(temperatures, exponents, samples, pooling)


def _logarithms(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    floored = np.maximum(probabilities, FLOOR)
    return np.asarray(np.log(floored / floored.sum(axis=1, keepdims=True)))


def _softmax(logs: NDArray[np.float64], impossible: NDArray[np.bool_]) -> NDArray[np.float64]:
    possible = np.where(impossible, -np.inf, logs)
    return np.asarray(np.exp(possible - logsumexp(possible, axis=1, keepdims=True)))


def _fit_exponents(
    logs: NDArray[np.float64],
    truth: NDArray[np.int64],
    weights: NDArray[np.float64],
    independent: int,
) -> NDArray[np.float64]:
    """Minimise the weighted negative log likelihood of softmax(Σ exponent · log p).

    ``logs`` is ``(kinds, samples, classes)``. The penalty, worth ``PRIOR_SAMPLES`` of
    the ``independent`` ones, draws the exponents to one another and their sum to 1.
    """
    kinds, samples, _ = logs.shape
    rows = np.arange(samples)
    of_truth = logs[:, rows, truth]
    strength = PRIOR_SAMPLES / independent

    def loss(exponents: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        pooled = np.tensordot(exponents, logs, axes=1)
        normaliser = logsumexp(pooled, axis=1)
        share = np.exp(pooled - normaliser[:, None])
        value = weights @ (normaliser - pooled[rows, truth])
        slope = np.einsum("sc,ksc->ks", share, logs) - of_truth
        apart, excess = exponents - exponents.mean(), exponents.sum() - 1
        value += strength * (apart @ apart + excess**2) / 2
        return float(value), slope @ weights + strength * (apart + excess)

    found = minimize(
        loss,
        np.full(kinds, 1 / kinds),
        jac=True,
        method="L-BFGS-B",
        bounds=[(1e-3, LARGEST_EXPONENT)] * kinds,
        options={"maxiter": 500, "ftol": 1e-12, "gtol": 1e-9},
    )
    return np.asarray(found.x, dtype=np.float64)


def fit_calibration(
    probabilities: Mapping[str, NDArray[np.float64]],
    truth_index: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
    datasets: int | None = None,
) -> Calibration:
    """Fit temperatures and the combination on held-out predictions.

    How much each kind counts beside the others is fitted with ``weights``; how sure it
    and the combination are, with every sample counting the same, since that is how
    probabilities are read.

    Parameters
    ----------
    probabilities
        Model kind to raw probabilities for samples of datasets that the models
        had not seen, ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    weights
        How much each sample counts for the combination, ``(samples,)``; all the same by
        default.
    datasets
        How many datasets the samples are of, where samples of one are not independent.

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
    same = np.full(samples, 1 / samples)
    share = same if weights is None else np.asarray(weights, dtype=np.float64) / weights.sum()
    # An order of its own: the same figures whatever the order of the mapping.
    kinds = sorted(probabilities)
    logs = np.stack([_logarithms(probabilities[kind]) for kind in kinds])
    singles = [_fit_exponents(logs[[i]], truth_index, same, samples)[0] for i in range(len(kinds))]
    joint = _fit_exponents(logs, truth_index, share, datasets or samples)
    pooled = np.tensordot(joint, logs, axes=1)[None]
    joint = joint * _fit_exponents(pooled, truth_index, same, samples)[0]
    return Calibration(
        {kind: float(1 / single) for kind, single in zip(kinds, singles, strict=True)},
        {kind: float(exponent) for kind, exponent in zip(kinds, joint, strict=True)},
        samples,
    )


def expected_calibration_error(
    probabilities: NDArray[np.float64], truth_index: NDArray[np.int64], bins: int = 15
) -> float:
    """Return how far confidence and accuracy lie apart, on average.

    Samples are put into equally wide bins of their highest probability; the
    result is the mean over samples of |accuracy - confidence| of their bin
    (Naeini et al. 2015). NaN without samples.
    """
    if len(truth_index) == 0:
        return math.nan
    confidence = probabilities.max(axis=1)
    correct = (probabilities.argmax(axis=1) == truth_index).astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(truth_index))
