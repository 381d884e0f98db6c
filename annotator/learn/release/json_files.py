"""The JSON files of a field model: what it is, its calibration, and when to trust it."""

from __future__ import annotations

from typing import Any

from annotator.domain.fields import FIELDS
from annotator.errors import ArtefactError
from annotator.learn.models.options import preset_from_configuration
from annotator.learn.models.tensors import read_json
from annotator.learn.selective.calibration import Calibration
from annotator.learn.selective.policy import Trust

FORMAT = 4
MODEL_FILE = "model.json"
CALIBRATION_FILE = "calibration.json"
TRUST_FILE = "trust.json"


def read_calibration(content: bytes | None, kinds: set[str]) -> Calibration | None:
    """Read the calibration of these model kinds, ``None`` where a release has none.

    Raises
    ------
    ArtefactError
        It is damaged or for other model kinds.
    """
    if content is None:
        return None
    try:
        calibration = Calibration.from_json(read_json(content, CALIBRATION_FILE))
    except ValueError as error:
        raise ArtefactError(f"{CALIBRATION_FILE}: {error}; retrain the field") from error
    if set(calibration.slopes) != kinds:
        raise ArtefactError(f"{CALIBRATION_FILE}: is for other model kinds; retrain the field")
    return calibration


def read_trust(content: bytes | None) -> Trust | None:
    """Read when answers are to be trusted, ``None`` where a release does not say.

    Raises
    ------
    ArtefactError
        It is damaged.
    """
    if content is None:
        return None
    try:
        return Trust.from_json(read_json(content, TRUST_FILE))
    except ValueError as error:
        raise ArtefactError(f"{TRUST_FILE}: {error}; retrain the field") from error


def _texts(value: Any, what: str, least: int) -> tuple[str, ...]:
    """Check for a list of distinct texts."""
    if (
        not isinstance(value, list)
        or len(value) < least
        or not all(isinstance(each, str) and each for each in value)
        or len(set(value)) != len(value)
    ):
        raise ValueError(f"{what} is not a list of at least {least} distinct names")
    return tuple(value)


def read_description(content: bytes) -> dict[str, Any]:
    """Read and check ``model.json``.

    Returns
    -------
    dict
        ``field``, ``classes``, ``features``, ``lineages``, ``preset``,
        ``usual_features``, ``number_half_width`` and ``seed``, as :class:`FieldModel`
        has them.

    Raises
    ------
    ArtefactError
        Something is missing, unknown or out of its range.
    """
    data = read_json(content, MODEL_FILE)
    expected = {
        "format",
        "field",
        "classes",
        "features",
        "lineages",
        "configuration",
        "usual_features",
        "number_half_width",
        "seed",
    }
    try:
        if data.keys() != expected:
            raise ValueError(f"{sorted(data.keys() ^ expected)[0]!r} is missing or unknown")
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}, this version reads {FORMAT}")
        if data["field"] not in FIELDS:
            raise ValueError(f"unknown field {data['field']!r}")
        classes = _texts(data["classes"], "classes", 2)
        lineages = data["lineages"]
        if not isinstance(lineages, dict) or lineages.keys() != set(classes):
            raise ValueError("lineages are not those of the classes")
        usual = data["usual_features"]
        if not isinstance(usual, int | float) or usual < 0 or not isinstance(data["seed"], int):
            raise ValueError("usual_features or seed is not a number in its range")
        half_width = data["number_half_width"]
        if half_width is not None and (not isinstance(half_width, int | float) or half_width < 0):
            raise ValueError("number_half_width is not a number in its range")
        if not isinstance(data["configuration"], dict):
            raise ValueError("configuration is not an object")
        return {
            "field": data["field"],
            "classes": classes,
            "features": _texts(data["features"], "features", 1),
            "lineages": {name: _texts(lineages[name], "a lineage", 1) for name in classes},
            "number_half_width": None if half_width is None else float(half_width),
            "preset": preset_from_configuration(data["configuration"]),
            "usual_features": float(usual),
            "seed": data["seed"],
        }
    except (ValueError, TypeError) as error:
        raise ArtefactError(f"{MODEL_FILE}: {error}; retrain the field") from error
