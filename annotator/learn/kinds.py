"""The model kinds, in one table: what fits one, and what reads one back.

A new kind needs a module with a ``fit`` function and a model class like those
here, a field of :class:`~annotator.learn.presets.Preset` of the same name, and
a row in :data:`KINDS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from annotator.learn.artefacts import SAFETENSORS_TYPE, SKOPS_TYPE, UBJSON_TYPE
from annotator.learn.boosting import BoostingModel, fit_boosting
from annotator.learn.forest import ForestModel, fit_forest
from annotator.learn.kernel import KernelModel, fit_kernel
from annotator.learn.linear import LinearModel, fit_linear
from annotator.learn.neighbours import NeighboursModel, fit_neighbours
from annotator.learn.network import NetworkModel, fit_network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from annotator.learn.options import Preset


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
    class_index, leaf_index, dataset_index
        Class, leaf and dataset of each sample, ``(samples,)``, int64. For a kind that
        learns leaves these are the classes.
    compared_index
        The dataset again, -1 for a sample that is left aside when datasets are compared
        (:func:`annotator.learn.label_support.compared_index`): by the labels' classes,
        also for a kind that learns leaves.
    weights
        How much each sample counts, ``(samples,)``, float64.
    classes
        Number of classes, each with a sample.
    numbers
        The number behind each class of a field of intervals, ``(samples,)``; ``None``
        for another field, or where one is not known.
    limits
        Limits of the classes' intervals, ``classes + 1`` of them, with ``numbers``.
    """

    inputs: NDArray[np.float32]
    class_index: NDArray[np.int64]
    leaf_index: NDArray[np.int64]
    dataset_index: NDArray[np.int64]
    compared_index: NDArray[np.int64]
    weights: NDArray[np.float64]
    classes: int
    numbers: NDArray[np.float64] | None = None
    limits: tuple[float, ...] = ()


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
    artefact, media_type
        The file that holds the model in a release.
    """

    fit: Callable[..., KindModel]
    read: Callable[[bytes, int, int, Any], KindModel]
    artefact: str
    media_type: str


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
    return fit_linear(
        part.inputs, part.class_index, part.weights, part.classes, options, part.compared_index
    )


def _neighbours(training: TrainingPart, options: Any, seed: int, threads: int) -> KindModel:  # noqa: ARG001
    part = training
    return fit_neighbours(
        part.inputs,
        part.class_index,
        part.leaf_index,
        part.weights,
        part.classes,
        options,
        seed,
        part.compared_index,
    )


def _kernel(training: TrainingPart, options: Any, seed: int, threads: int) -> KindModel:  # noqa: ARG001
    part = training
    return fit_kernel(
        part.inputs,
        part.class_index,
        part.classes,
        options,
        seed,
        part.dataset_index,
        part.numbers,
        part.limits,
    )


KINDS: Mapping[str, Kind] = {
    "network": Kind(_network, NetworkModel.from_bytes, "network.safetensors", SAFETENSORS_TYPE),
    "forest": Kind(_forest, ForestModel.from_bytes, "forest.skops", SKOPS_TYPE),
    "boosting": Kind(_boosting, BoostingModel.from_bytes, "boosting.ubj", UBJSON_TYPE),
    "linear": Kind(_linear, LinearModel.from_bytes, "linear.safetensors", SAFETENSORS_TYPE),
    "neighbours": Kind(
        _neighbours, NeighboursModel.from_bytes, "neighbours.safetensors", SAFETENSORS_TYPE
    ),
    "kernel": Kind(_kernel, KernelModel.from_bytes, "kernel.safetensors", SAFETENSORS_TYPE),
}


def kinds_of(preset: Preset) -> dict[str, Any]:
    """Return the options of each model kind that a preset has, in a fixed order."""
    options = {kind: getattr(preset, kind) for kind in KINDS}
    return {kind: option for kind, option in options.items() if option is not None}
