"""Conversion of a field model to the artefacts of a release, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.releases import Artefact
from annotator.errors import ArtefactError
from annotator.learn.features.matrix import FittedFeatures
from annotator.learn.models.preset import configuration, preset_from_configuration
from annotator.learn.models.registry import KINDS
from annotator.learn.models.tensors import (
    JSON_TYPE,
    LARGEST_JSON,
    SAFETENSORS_TYPE,
    by_name,
    read_tensors,
    write_tensors,
)
from annotator.learn.release.field_model import FieldModel
from annotator.learn.release.json_files import (
    CALIBRATION_FILE,
    MODEL_FILE,
    POLICY_FILE,
    Description,
    read_file,
    write_file,
)
from annotator.learn.release.trial import try_out
from annotator.learn.selective.calibration import Calibration
from annotator.learn.selective.novelty import Novelty, array_shapes
from annotator.learn.selective.policy import SelectivePolicy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotator.learn.models.preset import Preset

FEATURES_FILE = "features.safetensors"

# Largest number of bytes of a JSON file, and what each class and feature adds to it.
SMALL_JSON, OF_CLASS, OF_FEATURE = 64 * 1024, 16 * 1024, 512


def write_model(model: FieldModel) -> tuple[Artefact, ...]:
    """Serialise a field model; nothing in the artefacts can run code."""
    description = Description(
        field=model.field,
        classes=model.classes,
        features=model.features,
        lineages=model.lineages,
        configuration=configuration(model.preset),
        usual_features=model.usual_features,
        number_half_width=model.number_half_width,
        seed=model.seed,
        organism=model.organism,
    )
    arrays = {
        "offset": model.fitted_features.offset,
        "scale": model.fitted_features.scale,
        **model.novelty_reference.arrays(),
    }
    artefacts = [
        Artefact(MODEL_FILE, JSON_TYPE, write_file(description)),
        Artefact(FEATURES_FILE, SAFETENSORS_TYPE, write_tensors(arrays)),
    ]
    for name, content in ((CALIBRATION_FILE, model.calibration), (POLICY_FILE, model.policy)):
        if content is not None:
            artefacts.append(Artefact(name, JSON_TYPE, write_file(content)))
    for kind in model.kinds:
        content_of_kind = model.models[kind].to_bytes()
        artefacts.append(Artefact(KINDS[kind].artefact, SAFETENSORS_TYPE, content_of_kind))
    return tuple(artefacts)


def read_model(
    artefacts: Sequence[Artefact], classes: Sequence[str] | None = None, features: int | None = None
) -> FieldModel:
    """Read a field model back, and try it out.

    Parameters
    ----------
    artefacts
        All artefacts of a release, their hashes already checked.
    classes, features
        The classes and the number of features that the models must have; the sizes of the JSON
        files are limited accordingly before they are parsed. Arrays take as much memory
        as their files.

    Raises
    ------
    ArtefactError
        An artefact is missing, unknown, damaged, too large, or does not fit the others, or
        the models give no usable prediction.
    """
    kind_files = {kind.artefact for kind in KINDS.values()}
    optional = kind_files | {CALIBRATION_FILE, POLICY_FILE}
    contents = by_name(artefacts, {MODEL_FILE, FEATURES_FILE}, optional)
    described = _described(contents[MODEL_FILE], classes, features)
    preset = _preset(described, contents)
    inputs, outputs = len(described.features), len(described.classes)
    shapes: dict[str, tuple[int, ...]] = {
        "offset": (inputs,),
        "scale": (inputs,),
        **array_shapes(inputs),
    }
    arrays = read_tensors(contents[FEATURES_FILE], shapes, FEATURES_FILE)
    models = {
        name: KINDS[name].read(contents[KINDS[name].artefact], inputs, outputs, options)
        for name, options in preset.kinds.items()
    }
    model = FieldModel(
        field=described.field,
        classes=described.classes,
        fitted_features=FittedFeatures(
            described.features, preset.features, arrays["offset"], arrays["scale"]
        ),
        preset=preset,
        models=models,
        lineages=described.lineages,
        usual_features=described.usual_features,
        novelty_reference=Novelty.from_arrays(arrays),
        seed=described.seed,
        calibration=_calibration(contents.get(CALIBRATION_FILE), preset),
        policy=(
            read_file(contents[POLICY_FILE], SelectivePolicy, POLICY_FILE, SMALL_JSON)
            if POLICY_FILE in contents
            else None
        ),
        number_half_width=described.number_half_width,
        organism=described.organism,
    )
    try_out(model)
    return model


def _described(content: bytes, classes: Sequence[str] | None, features: int | None) -> Description:
    largest = LARGEST_JSON
    if classes is not None and features is not None:
        largest = SMALL_JSON + OF_CLASS * len(classes) + OF_FEATURE * features
    described = read_file(content, Description, MODEL_FILE, largest)
    if classes is not None and described.classes != tuple(classes):
        raise ArtefactError(f"{MODEL_FILE}: the classes are not the release's; retrain the field")
    if features is not None and len(described.features) != features:
        raise ArtefactError(
            f"{MODEL_FILE}: {len(described.features)} features, the release has {features};"
            " retrain the field"
        )
    return described


def _preset(described: Description, contents: Mapping[str, bytes]) -> Preset:
    """Return the preset, whose model kinds must be the stored ones."""
    try:
        preset = preset_from_configuration(described.configuration)
    except ValueError as error:
        raise ArtefactError(f"{MODEL_FILE}: {error}; retrain the field") from error
    stored = {name for name, kind in KINDS.items() if kind.artefact in contents}
    if odd := sorted(stored ^ preset.kinds.keys()):
        raise ArtefactError(
            f"the model kind {odd[0]!r} is either stored or configured, but not both;"
            " retrain the field"
        )
    return preset


def _calibration(content: bytes | None, preset: Preset) -> Calibration | None:
    if content is None:
        return None
    calibration = read_file(content, Calibration, CALIBRATION_FILE, SMALL_JSON)
    if calibration.slopes.keys() != preset.kinds.keys():
        raise ArtefactError(
            f"{CALIBRATION_FILE}: the calibration is for other model kinds; retrain the field"
        )
    return calibration
