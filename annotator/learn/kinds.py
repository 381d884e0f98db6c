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
from annotator.learn.network import NetworkModel, fit_network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from annotator.learn.presets import Preset


class KindModel(Protocol):
    """What every fitted model can do."""

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""

    def to_bytes(self) -> bytes:
        """Serialise the model in a format that cannot run code."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One model kind.

    Attributes
    ----------
    fit
        ``(inputs, class_index, weights, classes, options, seed, threads)`` to
        a model.
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


KINDS: Mapping[str, Kind] = {
    "network": Kind(fit_network, NetworkModel.from_bytes, "network.safetensors", SAFETENSORS_TYPE),
    "forest": Kind(fit_forest, ForestModel.from_bytes, "forest.skops", SKOPS_TYPE),
    "boosting": Kind(fit_boosting, BoostingModel.from_bytes, "boosting.ubj", UBJSON_TYPE),
}


def kinds_of(preset: Preset) -> dict[str, Any]:
    """Return the options of each model kind that a preset has, in a fixed order."""
    options = {kind: getattr(preset, kind) for kind in KINDS}
    return {kind: option for kind, option in options.items() if option is not None}
