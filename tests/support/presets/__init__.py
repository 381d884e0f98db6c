"""Presets of small models, as files that settings can name."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

LIGHT = _FOLDER / "light.toml"
"""Small models of every kind of `default`, trained in seconds."""
LIGHT_WITHOUT_NETWORK = _FOLDER / "light_without_network.toml"
"""Small models without networks, so that TensorFlow is not loaded."""
LIGHT_PAPER = _FOLDER / "light_paper.toml"
"""The paper's preset with few trees and without the network."""
LINEAR_ONLY = _FOLDER / "linear_only.toml"
"""Linear models alone, which are fitted in no time."""
LIGHT_DEFAULT = _FOLDER / "light_default.toml"
"""Small models of every kind of `default`, large enough to find the markers planted in an atlas."""
LIGHT_FOREST = _FOLDER / "light_forest.toml"
"""A small forest beside linear models."""
