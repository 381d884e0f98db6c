"""The model kinds, in one table: what fits one, and what reads one back.

A new kind needs a module with a ``fit`` function and a model class like those
here, a field of :class:`~annotator.learn.models.presets.Preset` of the same name, and
a row in :data:`KINDS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from annotator.learn.models.boosting import BoostingModel, fit_boosting
from annotator.learn.models.forest import ForestModel, fit_forest
from annotator.learn.models.linear import LinearModel, fit_linear, fit_linear_of_units
from annotator.learn.models.network import NetworkModel, fit_network
from annotator.learn.models.random_units import completed_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from annotator.learn.models.options import Preset


class KindModel(Protocol):
    """What every fitted model can do."""

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""

    def to_bytes(self) -> bytes:
        """Serialise the model in a format that cannot run code."""


@dataclass(frozen=True, eq=False)
class TrainingPart:
    """What models of every kind are fitted on.

    Attributes
    ----------
    inputs
        Shape ``(samples, features)``, float32.
    class_index, dataset_index
        Class and dataset of each sample, ``(samples,)``, int64.
    compared_index
        The dataset again, -1 for a sample that is left aside when datasets are compared
        (:func:`annotator.learn.models.contradicted_labels.compared_index`).
    weights
        How much each sample counts, ``(samples,)``, float64.
    classes
        Number of classes, each with a sample.
    numbers
        The number of each sample for a field of intervals, ``(samples,)``, NaN where
        only its interval is known; ``None`` for another field, or where none is known.
    limits
        Limits of the classes' intervals, ``classes + 1`` of them, with ``numbers``.
    linear
        The fitted linear kind, once there is one: the wide path of a network.
    """

    inputs: NDArray[np.float32]
    class_index: NDArray[np.int64]
    dataset_index: NDArray[np.int64]
    compared_index: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: int
    numbers: NDArray[np.float64] | None = None
    limits: tuple[float, ...] = ()
    linear: LinearModel | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One model kind.

    Attributes
    ----------
    fit
        ``(training, options, seed, threads)`` to a model.
    read
        ``(content, features, classes, options)`` to a model; raises
        :class:`~annotator.errors.ArtefactError`.
    artefact
        The file that holds the model in a release, safetensors.
    """

    fit: Callable[..., KindModel]
    read: Callable[[bytes, int, int, Any], KindModel]
    artefact: str


def _network(training: TrainingPart, options: Any, seed: int, threads: int) -> KindModel:
    part = training
    return fit_network(
        part.inputs,
        part.class_index,
        part.weights,
        part.classes,
        options,
        seed,
        part.compared_index,
        part.linear,
        threads,
    )


def _forest(training: TrainingPart, options: Any, seed: int, threads: int) -> KindModel:
    part = training
    return fit_forest(
        part.inputs, part.class_index, part.weights, part.classes, options, seed, threads
    )


def _boosting(training: TrainingPart, options: Any, seed: int, threads: int) -> KindModel:
    part = training
    return fit_boosting(
        part.inputs, part.class_index, part.weights, part.classes, options, seed, threads
    )


def _linear(training: TrainingPart, options: Any, seed: int, threads: int) -> KindModel:  # noqa: ARG001
    part = training
    of_samples = (part.inputs, part.class_index, part.weights, part.classes, options)
    if not options.random_units:
        return fit_linear(*of_samples, part.compared_index)
    numbers = None
    if part.numbers is not None:
        numbers = completed_numbers(part.numbers, part.class_index, part.limits)
    return fit_linear_of_units(*of_samples, seed, part.dataset_index, numbers)


KINDS: Mapping[str, Kind] = {
    "network": Kind(_network, NetworkModel.from_bytes, "network.safetensors"),
    "forest": Kind(_forest, ForestModel.from_bytes, "forest.safetensors"),
    "boosting": Kind(_boosting, BoostingModel.from_bytes, "boosting.safetensors"),
    "linear": Kind(_linear, LinearModel.from_bytes, "linear.safetensors"),
}


def kinds_of(preset: Preset) -> dict[str, Any]:
    """Return the options of each model kind that a preset has, in a fixed order."""
    options = {kind: getattr(preset, kind) for kind in KINDS}
    return {kind: option for kind, option in options.items() if option is not None}
