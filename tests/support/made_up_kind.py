"""A model kind that the program does not have: a file that defines a :class:`ModelKind`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from scipy.special import softmax

from annotator.explain.answer import KindExplainer
from annotator.learn.models.kind import ModelKind, TrainingPart
from annotator.learn.models.tensors import read_tensors, write_tensors


@dataclass(frozen=True, slots=True)
class MeansOptions:
    """How much a squared distance counts."""

    sharpness: Annotated[float, Meta(gt=0, le=1000)] = 0.01


@dataclass(frozen=True, eq=False)
class MeansModel:
    """Samples are like the classes whose means they are near to."""

    means: NDArray[np.float32]
    sharpness: float

    def scores(self, inputs: NDArray[np.float32], index) -> NDArray[np.float64]:
        """Of each feature for one class, or for one class per sample, ``(samples, features)``."""
        means = self.means[index].astype(np.float64)
        # Relative to an input of 0, which contributes 0.
        return -self.sharpness * ((inputs - means) ** 2 - means**2)

    def at_zero(self) -> NDArray[np.float64]:
        """Return the score of each class where every input is 0, ``(classes,)``."""
        return -self.sharpness * np.sum(self.means.astype(np.float64) ** 2, axis=1)

    def largest_score(self, largest: NDArray[np.float32]) -> float:
        """Return a limit of the absolute scores of samples with inputs up to the largest."""
        away = largest + np.abs(self.means, dtype=np.float64)
        return float(self.sharpness * np.max(np.sum(away**2, axis=1)))

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = [self.scores(inputs, index).sum(axis=1) for index in range(len(self.means))]
        return np.asarray(softmax(np.array(scores).T + self.at_zero(), axis=1))

    def to_bytes(self) -> bytes:
        return write_tensors({"means": self.means})


@dataclass(frozen=True)
class MeansExplainer:
    model: MeansModel

    def contributions(self, inputs, target_class) -> NDArray[np.float32]:
        # Centred over the classes, so that contributions above 0 support a class.
        classes = range(len(self.model.means))
        mean = sum(self.model.scores(inputs, index) for index in classes) / len(classes)
        return (self.model.scores(inputs, target_class) - mean).astype(np.float32)

    def references(self, classes) -> NDArray[np.float64]:
        return self.model.at_zero()[classes]


def fit_means(part: TrainingPart, options: MeansOptions, seed: int, threads: int) -> MeansModel:
    del seed, threads
    means = [
        np.average(part.inputs[held], axis=0, weights=part.weights[held])
        for held in (part.class_index == each for each in range(part.classes))
    ]
    return MeansModel(np.array(means, dtype=np.float32), options.sharpness)


def read_means(content: bytes, features: int, classes: int, options: MeansOptions) -> MeansModel:
    arrays = read_tensors(content, {"means": (classes, features)}, "means.safetensors")
    return MeansModel(arrays["means"], options.sharpness)


MEANS = ModelKind(
    name="means",
    unit="scaled squared distance",
    options=MeansOptions,
    fit=fit_means,
    read=read_means,
    explain=lambda model, _features, _classes: KindExplainer("distance", MeansExplainer(model)),
    largest_score=lambda model, largest: model.largest_score(largest),
)
