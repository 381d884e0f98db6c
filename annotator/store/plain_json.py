"""JSON of what models say, whose numbers may be NumPy's."""

from __future__ import annotations

import json


def _plain(value: object) -> object:
    """Turn a NumPy scalar into what JSON knows."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} cannot be stored as JSON")
    return item()


def dumps(value: object) -> str:
    """Return a value as JSON text; numbers that are not finite raise ValueError."""
    return json.dumps(value, default=_plain, allow_nan=False)
