"""JSON text from data that may contain NumPy numbers, such as predictions."""

from __future__ import annotations

import json


def _plain(value: object) -> object:
    """Convert a NumPy scalar to a Python object."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} cannot be stored as JSON")
    return item()


def dumps(value: object) -> str:
    """Return a value as JSON text; raise ValueError for numbers that are not finite."""
    return json.dumps(value, default=_plain, allow_nan=False)
