"""The linear model kind: multinomial logistic regression that knows what a dataset is.

Before the fit, directions of the input space in which the datasets of one and
the same class differ are shrunk, so that what varies from study to study is not
mistaken for what tells classes apart: within-class covariance normalisation, as
it is used to recognise speakers over many recordings (Hatch, Kajarekar and
Stolcke 2006, "Within-class covariance normalization for SVM-based speaker
recognition", Interspeech). It is folded into the coefficients afterwards, so
that the stored model is plainly linear in the inputs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from annotator.learn.artefacts import read_tensors, write_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.presets import LinearOptions

FILE = "linear.safetensors"
MOST_ITERATIONS = 300


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
        Class and dataset of each sample, ``(samples,)``.
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
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    values = inputs.astype(np.float64)
    directions, factors = shrunk_directions(
        values, class_index, dataset_index, options.within_class
    )
    regression: Any = LogisticRegression(C=options.penalty, max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings():
        # The penalty, not the last digits of the optimum, decides what it predicts.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(_shrink(values, directions, factors), class_index, sample_weight=weights)
    found, intercepts = regression.coef_, regression.intercept_
    if classes == 2:  # scikit-learn keeps one row for two classes
        found = np.concatenate([-found / 2, found / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    coefficients = _shrink(found, directions, factors)
    coefficients -= coefficients.mean(axis=0)
    return LinearModel(
        coefficients.astype(np.float32), (intercepts - intercepts.mean()).astype(np.float32)
    )


def shrunk_directions(
    values: NDArray[np.float64],
    class_index: NDArray[np.int64],
    dataset_index: NDArray[np.int64],
    strength: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the directions in which datasets of the same class differ.

    Every dataset counts once in each class it holds, however many samples it has.

    Parameters
    ----------
    values
        Shape ``(samples, features)``.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``.
    strength
        A direction of the variance v is multiplied by 1 / sqrt(1 + strength · v /
        mean of v).

    Returns
    -------
    directions : NDArray[float64]
        Orthonormal rows, ``(directions, features)``; none where no class is in two
        datasets.
    factors : NDArray[float64]
        In (0, 1], ``(directions,)``.
    """
    deviations = []
    for name in np.unique(class_index):
        of_class = class_index == name
        means = np.stack(
            [
                values[of_class & (dataset_index == dataset)].mean(axis=0)
                for dataset in np.unique(dataset_index[of_class])
            ]
        )
        if len(means) > 1:
            deviations.append(means - means.mean(axis=0))
    if not deviations or strength == 0:
        return np.zeros((0, values.shape[1])), np.zeros(0)
    _, lengths, directions = np.linalg.svd(np.concatenate(deviations), full_matrices=False)
    variances = lengths**2
    relative = np.divide(
        variances, variances.mean(), out=np.zeros_like(variances), where=variances.mean() > 0
    )
    return directions, 1 / np.sqrt(1 + strength * relative)


def _shrink(
    rows: NDArray[np.float64], directions: NDArray[np.float64], factors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Multiply what rows have of each direction by its factor."""
    return np.asarray(rows + ((rows @ directions.T) * (factors - 1)) @ directions)
