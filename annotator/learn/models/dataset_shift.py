"""Directions of the input space in which the datasets of one class differ.

What varies from dataset to dataset within a class must not be mistaken for what
tells classes apart. Shrinking these directions before a model is fitted is
within-class covariance normalisation, as it is used to recognise speakers over
many recordings (Hatch, Kajarekar and Stolcke 2006, "Within-class covariance
normalization for SVM-based speaker recognition", Interspeech).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class WithinClass:
    """The directions and how much each is shrunk.

    Attributes
    ----------
    directions
        Orthonormal rows, ``(directions, features)``; none where no class is in two
        datasets.
    factors
        In (0, 1], ``(directions,)``.
    """

    directions: NDArray[np.float64]
    factors: NDArray[np.float64]

    def shrink(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Multiply what rows, ``(rows, features)``, have of each direction by its factor.

        The map is symmetric, so that a linear model of shrunk inputs is a model of the
        inputs themselves with shrunk coefficients.
        """
        return np.asarray(
            rows + ((rows @ self.directions.T) * (self.factors - 1)) @ self.directions
        )


def compared_datasets(dataset_index: NDArray[np.int64]) -> int:
    """Return how many datasets there are, without -1."""
    return len(np.unique(dataset_index[dataset_index >= 0]))


def within_class(
    values: NDArray[np.float64],
    class_index: NDArray[np.int64],
    dataset_index: NDArray[np.int64],
    strength: float,
) -> WithinClass:
    """Find the directions in which datasets of the same class differ.

    Every dataset counts once in each class it holds, however many samples it has.

    Parameters
    ----------
    values
        Shape ``(samples, features)``.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``; samples of the dataset -1 are
        left aside.
    strength
        A direction of the variance v is multiplied by 1 / sqrt(1 + strength · v /
        mean of v).

    Returns
    -------
    WithinClass
    """
    none = WithinClass(np.zeros((0, values.shape[1])), np.zeros(0))
    if strength == 0:
        return none
    deviations = []
    for name in np.unique(class_index[dataset_index >= 0]):
        of_class = (class_index == name) & (dataset_index >= 0)
        means = np.stack(
            [
                values[of_class & (dataset_index == dataset)].mean(axis=0)
                for dataset in np.unique(dataset_index[of_class])
            ]
        )
        if len(means) > 1:
            deviations.append(means - means.mean(axis=0))
    if not deviations:
        return none
    _, lengths, directions = np.linalg.svd(np.concatenate(deviations), full_matrices=False)
    variances = lengths**2
    relative = np.divide(
        variances, variances.mean(), out=np.zeros_like(variances), where=variances.mean() > 0
    )
    return WithinClass(directions, 1 / np.sqrt(1 + strength * relative))
