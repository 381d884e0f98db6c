"""The neighbours model kind: classes of the training samples that a sample points towards.

The probability of a class is proportional to the sum over its training samples of
weight · exp(sharpness · cosine with the sample), after directions in which the
datasets of one class differ were shrunk (:mod:`annotator.learn.within_class`) and each
feature was scaled by how much it says of samples of other datasets
(:mod:`annotator.learn.feature_scales`). It errs elsewhere than models with coefficients
do, which is what a combination needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import ArtefactError
from annotator.learn.artefacts import read_tensors, write_tensors
from annotator.learn.feature_scales import fit_feature_scales
from annotator.learn.within_class import WithinClass, compared_datasets, within_class

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.options import NeighbourOptions

FILE = "neighbours.safetensors"
CHUNK = 1024  # samples predicted at a time


@dataclass(frozen=True, eq=False)
class NeighboursModel:
    """Training samples as directions, and what each counts for which class.

    Attributes
    ----------
    samples
        Shrunk and scaled inputs of the training samples, of length 1,
        ``(samples, features)``, float32.
    counts
        What each sample counts for each class, ``(samples, classes)``, float32.
    directions, factors
        What is shrunk in a new sample: ``(directions, features)`` and
        ``(directions,)``, float32.
    scales
        What each feature is multiplied by then, ``(features,)``, float32.
    sharpness
        Multiplies the cosine, ``(1,)``, float32.
    """

    samples: NDArray[np.float32]
    counts: NDArray[np.float32]
    directions: NDArray[np.float32]
    factors: NDArray[np.float32]
    scales: NDArray[np.float32]
    sharpness: NDArray[np.float32]

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        parts = [
            self._predict(inputs[start : start + CHUNK]) for start in range(0, len(inputs), CHUNK)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.counts.shape[1]))

    def _predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        shrink = WithinClass(self.directions.astype(float), self.factors.astype(float)).shrink
        rows = _of_length_one(shrink(inputs.astype(np.float64)) * self.scales).astype(np.float32)
        closeness = (rows @ self.samples.T).astype(np.float64) * self.sharpness
        closeness -= closeness.max(axis=1, keepdims=True)
        votes = np.exp(closeness) @ self.counts
        return np.asarray(votes / votes.sum(axis=1, keepdims=True), dtype=np.float64)

    def to_bytes(self) -> bytes:
        """Serialise as safetensors."""
        return write_tensors(
            {
                "samples": self.samples,
                "counts": self.counts,
                "directions": self.directions,
                "factors": self.factors,
                "scales": self.scales,
                "sharpness": self.sharpness,
            }
        )

    @classmethod
    def from_bytes(
        cls, content: bytes, features: int, classes: int, options: NeighbourOptions
    ) -> NeighboursModel:
        """Read a model and check it.

        Raises
        ------
        ArtefactError
            The bytes are damaged or do not fit the field's features and classes.
        """
        shapes: dict[str, tuple[int, ...]] = {
            "samples": (-1, features),
            "counts": (-1, classes),
            "directions": (-1, features),
            "factors": (-1,),
            "scales": (features,),
            "sharpness": (1,),
        }
        arrays = read_tensors(content, shapes, FILE)
        rows, counts = len(arrays["samples"]), arrays["counts"]
        fits = (
            0 < rows == len(counts) <= options.largest_cohort
            and len(arrays["directions"]) == len(arrays["factors"])
            and (counts >= 0).all()
            and (counts.sum(axis=1) > 0).all()
            and (arrays["scales"] > 0).all()
            and (arrays["sharpness"] > 0).all()
        )
        if not fits:
            raise ArtefactError(f"{FILE}: its arrays do not fit one another; retrain the field")
        return cls(**arrays)


def fit_neighbours(
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    leaf_index: NDArray[np.int64],
    weights: NDArray[np.float64],
    classes: int,
    options: NeighbourOptions,
    seed: int,
    dataset_index: NDArray[np.int64],
) -> NeighboursModel:
    """Keep the training samples.

    Parameters
    ----------
    inputs
        Shape ``(samples, features)``, float32.
    class_index, leaf_index, dataset_index
        Class, leaf and dataset of each sample, ``(samples,)``; datasets are compared
        without samples of the dataset -1.
    weights
        How much each sample counts, ``(samples,)``.
    classes
        Number of classes.
    options
        Sharpness, weights, normalisation, scales.
    seed
        Of the choice of samples where there are more than are kept or learned from.

    Returns
    -------
    NeighboursModel
    """
    values = inputs.astype(np.float64)
    found = within_class(values, leaf_index, dataset_index, options.within_class)
    values, votes = found.shrink(values), weights**options.weight_power
    many = compared_datasets(dataset_index) >= options.scale_datasets
    learned = fit_feature_scales(
        values,
        class_index,
        dataset_index,
        weights,
        votes,
        options.sharpness,
        options.scale_steps if many else 0,
        options.scale_penalty,
        seed,
    )
    rows = np.arange(len(values))
    if len(rows) > options.largest_cohort:
        rows = np.random.default_rng(seed).permutation(rows)[: options.largest_cohort]
        rows.sort()
    counts = np.zeros((len(rows), classes), dtype=np.float32)
    counts[np.arange(len(rows)), class_index[rows]] = votes[rows]
    return NeighboursModel(
        samples=_of_length_one(values[rows] * learned.scales).astype(np.float32),
        counts=counts,
        directions=found.directions.astype(np.float32),
        factors=found.factors.astype(np.float32),
        scales=learned.scales.astype(np.float32),
        sharpness=np.array([learned.sharpness], dtype=np.float32),
    )


def _of_length_one(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))
