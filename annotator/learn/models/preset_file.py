"""User-defined presets: TOML files that list the differences from a built-in preset.

For example, small models for a first look at an atlas::

    base = "default"        # or "paper"

    [network]
    epochs = 10

    [forest]
    trees = 50

    [sex.linear]            # for one field
    random_units = 500

    [disease]
    options_of = "sex"      # the built-in options of another field

A model kind with the value ``false`` is left out.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS
from annotator.errors import InputError
from annotator.learn.models.presets import PRESETS, preset_for
from annotator.learn.models.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from annotator.learn.models.preset import Preset

BASE, OPTIONS_OF = "base", "options_of"
_TAKEN = {BASE, *KINDS, "features", "balance_classes", "balance_datasets", "calibrate"}


def read_preset(path: Path, field: str, fields: Collection[str] = tuple(FIELDS)) -> Preset:
    """Read the preset for a field; its name is that of the file.

    Parameters
    ----------
    path
        A TOML file.
    field, fields
        The field, and all fields: the file may have one table per field.

    Raises
    ------
    InputError
        The file cannot be read, is not TOML, sets an unknown option or a name, or has the
        name of a built-in preset.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"preset {path}: {error}") from error
    if path.stem in PRESETS:
        raise InputError(f"preset {path}: {path.stem} is a built-in preset; rename the file")
    if twice := {*fields} & given.keys() & _TAKEN:
        raise InputError(
            f"preset {path}: {min(twice)} is a field and an option of presets; rename the field"
        )
    base = given.pop(BASE, "default")
    if base not in PRESETS:
        raise InputError(f"preset {path}: base is {base!r}, not one of {', '.join(PRESETS)}")
    of_field = given.pop(field, {})
    for name in fields:
        given.pop(name, None)
    if not isinstance(of_field, dict):
        raise InputError(f"preset {path}: {field} must be a table")
    if "name" in given or "name" in of_field:
        raise InputError(f"preset {path}: a preset has no 'name'; rename the file instead")
    like = of_field.pop(OPTIONS_OF, field)
    if like not in (field, *FIELDS):
        raise InputError(f"preset {path}: {OPTIONS_OF} is {like!r}, not one of {', '.join(FIELDS)}")
    try:
        preset = preset_for(base, like).changed(given).changed(of_field)
    except ValueError as error:
        raise InputError(f"preset {path}: {error}") from error
    return replace(preset, name=path.stem)
