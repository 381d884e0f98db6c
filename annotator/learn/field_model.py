"""The models of one field, as a release holds them (signatures; bodies follow)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain import Artefact, Profiles
from annotator.learn.calibration import Calibration
from annotator.learn.features import FittedFeatures
from annotator.learn.presets import Preset

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMBINED = "combined"


@dataclass(frozen=True, eq=False)
class FieldModel:
    field: str
    classes: tuple[str, ...]
    fitted_features: FittedFeatures
    preset: Preset
    calibration: Calibration | None
    lineages: Mapping[str, tuple[str, ...]]

    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def kinds(self) -> tuple[str, ...]: ...  # the model kinds it holds, in fixed order
    def predict(self, profiles: Profiles) -> Mapping[str, NDArray[np.float64]]: ...
    def predict_raw(self, profiles: Profiles) -> Mapping[str, NDArray[np.float64]]: ...  # per kind, uncalibrated, no combined
    def predict_inputs(self, inputs: NDArray[np.float32]) -> Mapping[str, NDArray[np.float64]]: ...  # as predict, from .inputs(profiles)
    def with_calibration(self, calibration: Calibration | None) -> FieldModel: ...
    def inputs(self, profiles: Profiles) -> NDArray[np.float32]: ...
    def expression(self, profiles: Profiles) -> NDArray[np.float32]: ...  # RPM of the model's features
    def known_features(self, profiles: Profiles) -> NDArray[np.float64]: ...
    def novelty(self, profiles: Profiles) -> NDArray[np.float64]: ...
    def to_artefacts(self) -> tuple[Artefact, ...]: ...
    @classmethod
    def from_artefacts(cls, artefacts: Sequence[Artefact]) -> FieldModel: ...


def fit_field_model(
    profiles: Profiles,
    labels: NDArray[np.object_],
    dataset_ids: NDArray[np.object_],
    classes: Sequence[str],
    field: str,
    preset: Preset,
    seed: int,
    calibration: Calibration | None = None,
    *,
    lineages: Mapping[str, tuple[str, ...]] | None = None,
    threads: int = 0,
) -> FieldModel: ...
