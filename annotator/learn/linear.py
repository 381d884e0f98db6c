"""The linear model kind: multinomial logistic regression that knows what a dataset is.

Before the fit, directions in which the datasets of one and the same class differ
are shrunk (:mod:`annotator.learn.within_class`). Features may be scaled in more
than one way; the coefficients of these fits are averaged. All of it is folded into
the coefficients, so that the stored model is plainly linear in the inputs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from annotator.learn.artefacts import read_tensors, write_tensors
from annotator.learn.within_class import within_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.options import LinearOptions

FILE = "linear.safetensors"
MOST_ITERATIONS = 100


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Coefficients of a multinomial logistic regression.

    Attributes
    ----------
    coefficients
        ``(classes, features)``, float32; their mean over the classes is 0.
    intercepts
        ``(classes,)``, float32.
    """

    coefficients: NDArray[np.float32]
    intercepts: NDArray[np.float32]

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        logits = inputs.astype(np.float64) @ self.coefficients.T.astype(np.float64)
        return np.asarray(softmax(logits + self.intercepts, axis=1), dtype=np.float64)

    def contributions(
        self, inputs: NDArray[np.float32], target_class: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return how much each feature adds to the logit of a class.

        Exact: coefficient times input. The inputs are 0 for a sample that is
        average in every feature, and the coefficients are centred over classes,
        so that the scores say how much a feature speaks for the class rather than
        for the others.

        Parameters
        ----------
        inputs
            Shape ``(samples, features)``.
        target_class
            The class of each sample to explain, ``(samples,)``.
        """
        return np.asarray(inputs * self.coefficients[target_class], dtype=np.float64)

    def to_bytes(self) -> bytes:
        """Serialise as safetensors."""
        return write_tensors({"coefficients": self.coefficients, "intercepts": self.intercepts})

    @classmethod
    def from_bytes(
        cls,
        content: bytes,
        features: int,
        classes: int,
        options: LinearOptions,  # noqa: ARG003 - every kind is read with the same arguments
    ) -> LinearModel:
        """Read a model and check it.

        Raises
        ------
        ArtefactError
            The bytes are damaged or do not fit the field's features and classes.
        """
        shapes: dict[str, tuple[int, ...]] = {
            "coefficients": (classes, features),
            "intercepts": (classes,),
        }
        arrays = read_tensors(content, shapes, FILE)
        return cls(arrays["coefficients"], arrays["intercepts"])


def fit_linear(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
    options: LinearOptions,
    dataset_index: NDArray[np.int64],
) -> LinearModel:
    """Fit the regression.

    Parameters
    ----------
    inputs
        Shape ``(samples, features)``, float32.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``; datasets are compared without
        samples of the dataset -1.
    weights
        How much each sample counts, ``(samples,)``.
    classes
        Number of classes, each with a sample.
    options
        Penalty and within-class normalisation.

    Returns
    -------
    LinearModel
    """
    members = [
        _fit_scaled(
            inputs, class_index, weights, classes, options.within_class, dataset_index, *member
        )
        for member in zip(options.scale_powers, options.penalties, strict=True)
    ]
    coefficients = np.mean([each[0] for each in members], axis=0)
    intercepts = np.mean([each[1] for each in members], axis=0)
    coefficients -= coefficients.mean(axis=0)
    return LinearModel(
        coefficients.astype(np.float32), (intercepts - intercepts.mean()).astype(np.float32)
    )


def _fit_scaled(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
    strength: float,
    dataset_index: NDArray[np.int64],
    power: float,
    penalty: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients ``(classes, features)`` and intercepts for the inputs as given."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scale = inverse_power(inputs, power)
    values = inputs * scale
    found_directions = within_class(values, class_index, dataset_index, strength)
    shrunk = found_directions.shrink(values)
    basis = None
    if shrunk.shape[1] > shrunk.shape[0]:  # the samples' own span holds all there is to learn
        left, lengths, basis = np.linalg.svd(shrunk, full_matrices=False)
        shrunk = left * lengths
    regression: Any = LogisticRegression(C=penalty, max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings():
        # The penalty, not the last digits of the optimum, decides what it predicts.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(shrunk, class_index, sample_weight=weights)
    found, intercepts = regression.coef_, regression.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        found = np.concatenate([-found / 2, found / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    if basis is not None:
        found = found @ basis
    return found_directions.shrink(found) * scale, intercepts


def inverse_power(inputs: NDArray[np.float32], power: float) -> NDArray[np.float64]:
    """Return each feature's standard deviation to minus a power; 1 for a constant feature."""
    spread = inputs.std(axis=0, dtype=np.float64)
    return np.asarray(np.where(spread > 0, np.where(spread > 0, spread, 1.0) ** -power, 1.0))
