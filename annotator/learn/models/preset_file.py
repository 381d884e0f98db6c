"""User-defined presets: TOML files that list the differences from a built-in preset.

For example, small models for a first look at an atlas::

    base = "default"        # or "paper"

    [network]
    epochs = 10

    [forest]
    trees = 50

    [sex.linear]            # for one field
    random_units = 500

A model kind that is set to ``false`` is left out.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from annotator.domain.fields import FIELDS
from annotator.errors import InputError
from annotator.learn.models.options import Preset, configuration, preset_from_configuration
from annotator.learn.models.presets import PRESETS, preset_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BASE = "base"


def read_preset(path: Path, field: str) -> Preset:
    """Read a preset as it is for a field; its name is that of the file.

    Parameters
    ----------
    path
        A TOML file.
    field
        A key of :data:`annotator.domain.fields.FIELDS`.

    Raises
    ------
    InputError
        The file cannot be read, is not TOML, sets an unknown option, or has the name of a
        built-in preset.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"preset {path}: {error}") from error
    if path.stem in PRESETS:
        raise InputError(f"preset {path}: {path.stem} is a built-in preset; rename the file")
    base = given.pop(BASE, "default")
    if base not in PRESETS:
        raise InputError(f"preset {path}: base is {base!r}, not one of {', '.join(PRESETS)}")
    of_fields = {name: given.pop(name, {}) for name in FIELDS}
    described = configuration(preset_for(base, field)) | {"name": path.stem}
    try:
        _change(described, given)
        _change(described, of_fields[field])
        return preset_from_configuration(described)
    except ValueError as error:
        raise InputError(f"preset {path}: {error}") from error


def _change(described: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Apply the given options to the configuration of a preset."""
    for name, value in given.items():
        if name not in described or name == "name":
            raise ValueError(f"a preset has no {name!r}")
        if value is False and isinstance(described[name], dict | None):
            described[name] = None
        elif isinstance(value, dict):
            described[name] = _changed_part(name, described[name], value)
        else:
            described[name] = value


def _changed_part(
    name: str, described: dict[str, Any] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    if not isinstance(described, dict):
        raise ValueError(f"{name!r} of the base has nothing to change")
    unknown = sorted(given.keys() - described.keys())
    if unknown:
        raise ValueError(f"{name} has no {unknown[0]!r}")
    return {**described, **given}
