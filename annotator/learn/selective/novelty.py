"""How unlike everything in training a sample is.

Two things speak for a class that was not learned, or for no class at all: the
profile points away from every class, and the models cannot make up their minds.

Profiles, as logarithms, are first normalised by the within-class covariance, so
that what differs between the samples of one class counts little, and then
compared by angle rather than by length: the length of a profile's deviation from
the centre says how strongly a sample was processed, its direction what it is.
Euclidean and Mahalanobis distances, also relative to a common background (Ren et
al. 2021, "A simple fix to Mahalanobis distance for improving near-OOD detection",
arXiv:2106.09022), were clearly worse at telling samples of classes left out from
samples of new datasets of known classes, and so were the models' logits.

The doubt of the models is added in proportion to what the angle leaves open: a
sample that points away from all classes is novel, however sure models are of it,
as they are of profiles that make no biological sense.

The score is raw. What is usual is learned from samples of held-out datasets
(:mod:`annotator.learn.validation.selective_metrics`): training samples are always closer
to their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annotator.errors import ArtefactError
from annotator.learn.models.balanced_weights import balanced_weights

if TYPE_CHECKING:
    from collections.abc import Mapping


PSEUDOCOUNT = 10.0
"""Reads per million below which the logarithm flattens."""

CLIP = 5.0
"""Scaled values are held within ± this."""

SHRINKAGE = 0.5
"""How much of the within-class covariance is replaced by the same variance everywhere."""

DIRECTIONS = 256
"""Of the within-class covariance, those of greatest variance, that are kept."""

DOUBT = 0.7
"""How much complete doubt of the models takes off the similarity."""

FEW_CLASSES = 5
"""With fewer classes, the datasets of each class are compared with one by one."""


@dataclass(frozen=True, eq=False)
class Novelty:
    """Where the training samples lie, and which differences between samples are usual.

    Attributes
    ----------
    offset, scale
        ``(log(RPM + 10) - offset) * scale`` is the space that all else is in; the
        centre of the training samples is 0 there; each ``(features,)``, float32.
    directions
        In which the samples of one class differ most: orthonormal,
        ``(directions, features)``, float32.
    factors
        What is added to the part of a profile along each direction, relative to
        that part, between -1 and 0, ``(directions,)``, float32.
    references
        The classes' centroids, or those of their datasets, normalised and of length
        one, ``(references, features)``, float32.
    """

    offset: NDArray[np.float32]
    scale: NDArray[np.float32]
    directions: NDArray[np.float32]
    factors: NDArray[np.float32]
    references: NDArray[np.float32]

    def distances(self, log_rpm: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return 1 - cosine with the nearest reference, in [0, 2], ``(samples,)``.

        Parameters
        ----------
        log_rpm
            log2(1 + RPM), ``(samples, features)``, float32.
        """
        values = _scaled(_logarithms(log_rpm), self.offset, self.scale)
        directed = _directed(values, self.directions, self.factors)
        nearest = (directed @ self.references.T).max(axis=1)
        return np.asarray(np.clip(1 - nearest.astype(np.float64), 0, 2))

    def score(
        self,
        log_rpm: NDArray[np.float32],
        probabilities: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return the raw novelty of samples: larger is more unlike the training samples.

        Parameters
        ----------
        log_rpm
            log2(1 + RPM) of the model's features, ``(samples, features)``, float32.
        probabilities
            Of the classes, by all models together, ``(samples, classes)``; without
            them the distance alone decides.

        Returns
        -------
        NDArray[float64]
            Shape ``(samples,)``, in [0, 2]: 0 is exactly like a class and beyond
            doubt, 1 and more is like none.
        """
        distances = self.distances(log_rpm)
        if probabilities is None:
            return distances
        doubt = DOUBT * entropy(probabilities)
        return np.asarray(distances + doubt * np.maximum(0, 1 - distances))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return what :meth:`from_arrays` makes the same novelty from."""
        return {
            "novelty_offset": self.offset,
            "novelty_scale": self.scale,
            "novelty_directions": self.directions,
            "novelty_factors": self.factors,
            "novelty_references": self.references,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]]) -> Novelty:
        """Read :meth:`arrays`, whose shapes were checked against :func:`array_shapes`.

        Raises
        ------
        ArtefactError
            The arrays do not fit one another.
        """
        novelty = cls(*(arrays[name] for name in array_shapes(0)))
        if len(novelty.factors) != len(novelty.directions):
            raise ArtefactError(
                f"novelty: {len(novelty.factors)} factors for {len(novelty.directions)}"
                " directions; retrain the field"
            )
        if len(novelty.references) == 0:
            raise ArtefactError("novelty: nothing to compare samples with; retrain the field")
        return novelty


def array_shapes(features: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of :meth:`Novelty.arrays`; -1 is any length."""
    return {
        "novelty_offset": (features,),
        "novelty_scale": (features,),
        "novelty_directions": (-1, features),
        "novelty_factors": (-1,),
        "novelty_references": (-1, features),
    }


def entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of each row, 1 where all classes are as probable, ``(samples,)``."""
    classes = probabilities.shape[1]
    if classes < 2:
        return np.zeros(len(probabilities))
    logs = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return np.asarray(-(probabilities * logs).sum(axis=1) / np.log(classes), dtype=np.float64)


def fit_novelty(
    log_rpm: NDArray[np.float32],
    class_index: NDArray[np.int64],
    dataset_ids: NDArray[np.object_],
    classes: int,
) -> Novelty:
    """Learn where the training samples lie.

    Every class counts the same, and every dataset within a class.

    Parameters
    ----------
    log_rpm
        log2(1 + RPM) of the training samples, ``(samples, features)``, float32.
    class_index, dataset_ids
        Class and dataset of each sample, ``(samples,)``.
    classes
        Number of classes; every class has a sample.

    Returns
    -------
    Novelty
    """
    weights = balanced_weights(class_index, dataset_ids, True, True)
    weights /= weights.sum()
    values = _logarithms(log_rpm)
    offset = (weights @ values).astype(np.float32)
    spread = np.sqrt(values.std(axis=0, dtype=np.float64)).astype(np.float32)
    scale = np.divide(1, spread, out=np.ones_like(spread), where=spread > 0)
    scaled = _scaled(values, offset, scale)
    centre = (weights @ scaled).astype(np.float32)  # Not 0 only where values were clipped.
    scaled -= centre
    offset += centre / scale
    of_datasets, class_of_dataset = _dataset_means(scaled, class_index, dataset_ids)
    centroids = np.stack(
        [of_datasets[class_of_dataset == each].mean(axis=0) for each in range(classes)]
    )
    deviations = (scaled - centroids[class_index]) * np.sqrt(weights)[:, None].astype(np.float32)
    directions, factors = _normalisation(deviations)
    references = of_datasets if classes < FEW_CLASSES else centroids
    return Novelty(offset, scale, directions, factors, _directed(references, directions, factors))


def _logarithms(log_rpm: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn log2(1 + RPM) into log(RPM + 10): a few reads more or less are noise."""
    values = np.exp2(log_rpm)
    values += np.float32(PSEUDOCOUNT - 1)
    return np.asarray(np.log(values, out=values))


def _scaled(
    values: NDArray[np.float32], offset: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    scaled = (values - offset) * scale
    return np.asarray(np.clip(scaled, -CLIP, CLIP, out=scaled))


def _dataset_means(
    values: NDArray[np.float32], class_index: NDArray[np.int64], dataset_ids: NDArray[np.object_]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the mean of each class in each dataset, and the class of each mean."""
    datasets = np.unique(dataset_ids.astype(str), return_inverse=True)[1]
    pairs = class_index * (int(datasets.max()) + 1) + datasets
    _, first, pair, sizes = np.unique(
        pairs, return_index=True, return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, pair, values)
    return (sums / sizes[:, None]).astype(np.float32), class_index[first]


def _normalisation(
    deviations: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the main directions of weighted deviations, and how much each is shrunk.

    With the covariance S shrunk to (1 - a) S + a v I, v its mean variance, a profile
    is multiplied by its inverse square root, up to a common factor.
    """
    from scipy.linalg import eigh

    samples, features = deviations.shape
    # The smaller of the two products has the same eigenvalues.
    wide = samples < features
    product = deviations @ deviations.T if wide else deviations.T @ deviations
    size = len(product)
    most = min(DIRECTIONS, size)
    total = float(np.square(deviations, dtype=np.float64).sum())
    floor = SHRINKAGE * total / features
    variances, vectors = eigh(product.astype(np.float64), subset_by_index=(size - most, size - 1))
    kept = variances > 1e-6 * max(total, 1e-12)
    variances, vectors = variances[kept], vectors[:, kept]
    if wide:
        vectors = (deviations.T @ vectors) / np.sqrt(variances)
    factors = np.sqrt(floor / ((1 - SHRINKAGE) * variances + floor)) - 1
    return np.ascontiguousarray(vectors.T, dtype=np.float32), factors.astype(np.float32)


def _directed(
    values: NDArray[np.float32],
    directions: NDArray[np.float32],
    factors: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Normalise and bring to length one; what is at the very centre stays 0."""
    normalised = values + ((values @ directions.T) * factors) @ directions
    length = np.linalg.norm(normalised, axis=1, keepdims=True)
    return np.asarray(
        np.divide(normalised, length, out=np.zeros_like(normalised), where=length > 0)
    )
