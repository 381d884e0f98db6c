"""A field model as the artefacts of a release, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.releases import Artefact
from annotator.errors import ArtefactError
from annotator.learn.features.matrix import FittedFeatures
from annotator.learn.models.options import configuration
from annotator.learn.models.registry import KINDS, kinds_of
from annotator.learn.models.tensors import (
    JSON_TYPE,
    SAFETENSORS_TYPE,
    by_name,
    read_tensors,
    write_json,
    write_tensors,
)
from annotator.learn.release.field_model import FieldModel
from annotator.learn.release.json_files import (
    CALIBRATION_FILE,
    FORMAT,
    MODEL_FILE,
    TRUST_FILE,
    read_calibration,
    read_description,
    read_trust,
)
from annotator.learn.selective.novelty import Novelty, array_shapes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from annotator.learn.models.options import Preset

FEATURES_FILE = "features.safetensors"


def write_model(model: FieldModel) -> tuple[Artefact, ...]:
    """Serialise a field model; nothing in the artefacts can run code."""
    description = {
        "format": FORMAT,
        "field": model.field,
        "classes": list(model.classes),
        "features": list(model.features),
        "lineages": {name: list(lineage) for name, lineage in model.lineages.items()},
        "configuration": configuration(model.preset),
        "usual_features": model.usual_features,
        "number_half_width": model.number_half_width,
        "seed": model.seed,
    }
    arrays = {
        "offset": model.fitted_features.offset,
        "scale": model.fitted_features.scale,
        **model.novelty_reference.arrays(),
    }
    artefacts = [
        Artefact(MODEL_FILE, JSON_TYPE, write_json(description)),
        Artefact(FEATURES_FILE, SAFETENSORS_TYPE, write_tensors(arrays)),
    ]
    if model.calibration is not None:
        content = write_json(model.calibration.to_json())
        artefacts.append(Artefact(CALIBRATION_FILE, JSON_TYPE, content))
    if model.trust is not None:
        artefacts.append(Artefact(TRUST_FILE, JSON_TYPE, write_json(model.trust.to_json())))
    for kind in model.kinds:
        content = model.models[kind].to_bytes()
        artefacts.append(Artefact(KINDS[kind].artefact, SAFETENSORS_TYPE, content))
    return tuple(artefacts)


def read_model(artefacts: Sequence[Artefact]) -> FieldModel:
    """Read a field model back.

    Parameters
    ----------
    artefacts
        All artefacts of a release, their hashes already checked.

    Raises
    ------
    ArtefactError
        An artefact is missing, unknown, damaged, or does not fit the others.
    """
    kind_files = {kind.artefact for kind in KINDS.values()}
    optional = kind_files | {CALIBRATION_FILE, TRUST_FILE}
    contents = by_name(artefacts, {MODEL_FILE, FEATURES_FILE}, optional)
    described = read_description(contents[MODEL_FILE])
    preset: Preset = described["preset"]
    classes, features = described["classes"], described["features"]
    options = kinds_of(preset)
    stored = {kind for kind in KINDS if KINDS[kind].artefact in contents}
    if stored != set(options):
        odd = sorted(stored ^ set(options))[0]
        raise ArtefactError(
            f"the model kind {odd!r} is stored or configured, not both; retrain the field"
        )
    shapes: dict[str, tuple[int, ...]] = {
        "offset": (len(features),),
        "scale": (len(features),),
        **array_shapes(len(features)),
    }
    arrays = read_tensors(contents[FEATURES_FILE], shapes, FEATURES_FILE)
    models = {
        kind: KINDS[kind].read(
            contents[KINDS[kind].artefact],
            len(features),
            len(classes),
            option,
        )
        for kind, option in options.items()
    }
    return FieldModel(
        field=described["field"],
        classes=classes,
        fitted_features=FittedFeatures(
            features, preset.features, arrays["offset"], arrays["scale"]
        ),
        preset=preset,
        models=models,
        lineages=described["lineages"],
        usual_features=described["usual_features"],
        novelty_reference=Novelty.from_arrays(arrays),
        seed=described["seed"],
        calibration=read_calibration(contents.get(CALIBRATION_FILE), set(options)),
        trust=read_trust(contents.get(TRUST_FILE)),
        number_half_width=described["number_half_width"],
    )
