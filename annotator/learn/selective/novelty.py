"""Novelty measures how much a sample differs from all training samples.

Two observations suggest a class that was not learned, or no class at all: the
profile points away from every class, and the models are uncertain.

Log-transformed profiles are first normalised by the within-class covariance, so
that variation between the samples of one class counts little. They are then
compared by angle rather than by length: the length of a profile's deviation from
the centre reflects how strongly a sample was processed, its direction reflects
the class. Euclidean and Mahalanobis distances, also relative to a common
background (Ren et al. 2021, "A simple fix to Mahalanobis distance for improving
near-OOD detection", arXiv:2106.09022), were clearly worse at telling samples of
left-out classes from samples of new datasets of known classes, and so were the
models' logits.

The uncertainty of the models is added in proportion to the similarity that
remains: a sample that points away from all classes is novel, however confident
the models are, since they are also confident about profiles that make no
biological sense.

The score is raw. Its usual distribution comes from samples of held-out datasets
(:mod:`annotator.learn.validation.selective_metrics`), because training samples are
always closer to their own centroids.
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
"""Scaled values are clipped to ± this."""

SHRINKAGE = 0.5
"""The share of the within-class covariance that is replaced by a uniform variance."""

DIRECTIONS = 256
"""The number of directions of greatest within-class variance that are kept."""

DOUBT = 0.7
"""The share of the similarity that is lost when the models are completely uncertain."""

ROUNDING = 1e-3
"""Tolerance of the lengths of stored directions and references."""

FEW_CLASSES = 5
"""With fewer classes, samples are compared with each dataset of each class."""


@dataclass(frozen=True, eq=False)
class Novelty:
    """The location of the training samples, and the usual differences within a class.

    Attributes
    ----------
    offset, scale
        They map profiles to the space of the other attributes, in which the centre of the
        training samples is 0: ``(log(RPM + 10) - offset) * scale``; each ``(features,)``,
        float32.
    directions
        The directions in which the samples of one class differ most: orthonormal,
        ``(directions, features)``, float32.
    factors
        The relative change of a profile's component along each direction, between -1
        and 0, ``(directions,)``, float32.
    references
        The centroids of the classes, or of their datasets, normalised and of length
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
        """Return the raw novelty of samples; larger means less like the training samples.

        Parameters
        ----------
        log_rpm
            log2(1 + RPM) of the model's features, ``(samples, features)``, float32.
        probabilities
            The mean class probabilities of all models, ``(samples, classes)``; without
            them the score is the distance alone.

        Returns
        -------
        NDArray[float64]
            Shape ``(samples,)``, in [0, 2]: at 0 the sample is exactly like a class and
            the models are certain; from 1 on it is like no class.
        """
        distances = self.distances(log_rpm)
        if probabilities is None:
            return distances
        doubt = DOUBT * entropy(probabilities)
        return np.asarray(distances + doubt * np.maximum(0, 1 - distances))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays from which :meth:`from_arrays` restores the novelty."""
        return {
            "novelty_offset": self.offset,
            "novelty_scale": self.scale,
            "novelty_directions": self.directions,
            "novelty_factors": self.factors,
            "novelty_references": self.references,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.float32]]) -> Novelty:
        """Restore a novelty from :meth:`arrays`, already checked against :func:`array_shapes`.

        Raises
        ------
        ArtefactError
            The arrays do not match one another.
        """
        novelty = cls(*(arrays[name] for name in array_shapes(0)))
        if len(novelty.factors) != len(novelty.directions):
            raise ArtefactError(
                f"novelty: {len(novelty.factors)} factors for {len(novelty.directions)}"
                " directions; retrain the field"
            )
        if len(novelty.references) == 0:
            raise ArtefactError("novelty: nothing to compare samples with; retrain the field")
        if (
            _longest(novelty.directions) > 1 + ROUNDING
            or _longest(novelty.references) > 1 + ROUNDING
            or not ((novelty.factors >= -1 - ROUNDING) & (novelty.factors <= ROUNDING)).all()
        ):
            raise ArtefactError(
                "novelty: damaged, its arrays are not normalised; retrain the field"
            )
        return novelty


def array_shapes(features: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of :meth:`Novelty.arrays`; -1 stands for any length."""
    return {
        "novelty_offset": (features,),
        "novelty_scale": (features,),
        "novelty_directions": (-1, features),
        "novelty_factors": (-1,),
        "novelty_references": (-1, features),
    }


def _longest(vectors: NDArray[np.float32]) -> float:
    with np.errstate(over="ignore"):
        return float(np.linalg.norm(vectors, axis=1).max(initial=0))


def entropy(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the normalised entropy of each row, ``(samples,)``.

    It is 1 where all classes are equally probable.
    """
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
    """Fit the novelty on training samples.

    All classes have equal weights, and so have all datasets within a class.

    Parameters
    ----------
    log_rpm
        log2(1 + RPM) of the training samples, ``(samples, features)``, float32.
    class_index, dataset_ids
        The class and dataset of each sample, ``(samples,)``.
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
    centre = (weights @ scaled).astype(np.float32)  # It is 0 unless values were clipped.
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
    """Turn log2(1 + RPM) into log(RPM + 10), since differences of a few reads are noise."""
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
    """Return the main directions of weighted deviations, and the factor of each.

    The covariance S is shrunk to (1 - a) S + a v I, where v is its mean variance. Profiles
    are multiplied by the inverse square root of the result, up to a common factor.
    """
    from scipy.linalg import eigh

    samples, features = deviations.shape
    # Both products have the same non-zero eigenvalues, and the smaller one is cheaper.
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
    """Normalise profiles and scale them to length one; a profile at the centre stays 0."""
    normalised = values + ((values @ directions.T) * factors) @ directions
    length = np.linalg.norm(normalised, axis=1, keepdims=True)
    return np.asarray(
        np.divide(normalised, length, out=np.zeros_like(normalised), where=length > 0)
    )
