"""A model kind that the program does not have: a file that defines a :class:`ModelKind`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from annotator.explain.answer import KindExplainer
from annotator.learn.models.kind import ModelKind, TrainingPart
from annotator.learn.models.tensors import read_tensors, write_tensors


@dataclass(frozen=True, slots=True)
class MeansOptions:
    """How much a squared distance counts."""

    sharpness: float = 0.01


@dataclass(frozen=True, eq=False)
class MeansModel:
    """Samples are like the classes whose means they are near to."""

    means: NDArray[np.float32]
    sharpness: float

    def scores(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Of each feature for each class, ``(samples, classes, features)``."""
        away = inputs[:, None, :].astype(np.float64) - self.means
        # Relative to an input of 0, which contributes 0.
        scores = -self.sharpness * (away**2 - self.means.astype(np.float64) ** 2)
        # Centred over the classes, so that contributions above 0 support a class.
        return np.asarray(scores - scores.mean(axis=1, keepdims=True))

    def at_zero(self) -> NDArray[np.float64]:
        """Return the score of each class where every input is 0, ``(classes,)``."""
        return -self.sharpness * np.sum(self.means.astype(np.float64) ** 2, axis=1)

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(softmax(self.scores(inputs).sum(axis=2) + self.at_zero(), axis=1))

    def to_bytes(self) -> bytes:
        return write_tensors({"means": self.means})


@dataclass(frozen=True)
class MeansExplainer:
    model: MeansModel

    def contributions(self, inputs, target_class) -> NDArray[np.float32]:
        scores = self.model.scores(inputs)[np.arange(len(inputs)), target_class]
        return scores.astype(np.float32)

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
)
