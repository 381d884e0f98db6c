"""Presets of small models: files that settings can name, and one as a value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from annotator.learn.models.presets import PRESETS

_FOLDER = Path(__file__).parent

LIGHT = _FOLDER / "light.toml"
"""Small models of every kind, trained in seconds."""
LIGHT_WITHOUT_NETWORK = _FOLDER / "light_without_network.toml"
"""The same without networks, so that TensorFlow is not loaded."""
LINEAR_ONLY = _FOLDER / "linear_only.toml"
"""Linear models alone, which are fitted at once."""

_DEFAULT = PRESETS["default"]
LIGHT_DEFAULT = replace(
    _DEFAULT,
    network=replace(_DEFAULT.network, hidden_units=(24,), dropout=(0.2,), epochs=25),
    forest=replace(_DEFAULT.forest, first_trees=10, trees=30),
    boosting=replace(_DEFAULT.boosting, rounds=15),
)
"""The default preset with small models, large enough to find what is planted in an atlas."""
