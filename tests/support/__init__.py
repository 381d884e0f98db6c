"""Support shared by several test modules: atlases, presets, releases, faults and load."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
