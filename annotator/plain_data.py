"""Conversion between plain and typed data: settings, presets and the JSON files of releases.

msgspec converts and validates. This module adds checks that it lacks for dataclasses: unknown
keys and numbers that are not finite are refused instead of ignored.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeVar

import msgspec

Kind = TypeVar("Kind")


def typed(data: Any, kind: type[Kind], *, from_text: bool = False) -> Kind:
    """Convert plain data to a dataclass or another annotated type.

    Parameters
    ----------
    data
        Mappings, lists, text, numbers, booleans and ``None``.
    kind
        The type; its annotations may contain limits (:class:`msgspec.Meta`).
    from_text
        Whether numbers and booleans may be given as text.

    Raises
    ------
    ValueError
        A key is unknown or missing, or a value is of another type or out of range; the
        message names the place.
    """
    try:
        value = msgspec.convert(data, kind, strict=not from_text, dec_hook=_path_of_text)
    except msgspec.ValidationError as error:
        words = str(error).replace(" - at `$.", " at `").replace(" - at `$[", " at `[")
        raise ValueError(words) from error
    _check(data, plain(value), "")
    return value


def plain(value: Any) -> Any:
    """Return a dataclass as plain data; equal values give equal data."""
    return msgspec.to_builtins(value, enc_hook=str)


def _path_of_text(kind: type, value: Any) -> Any:
    if kind is not Path or not isinstance(value, str) or not value.strip():
        raise ValueError(f"Expected `{'path' if kind is Path else kind.__name__}`")
    try:
        return Path(value.strip()).expanduser()
    except RuntimeError as error:  # ~nobody has no home
        raise ValueError(str(error)) from error


def _check(data: Any, converted: Any, place: str) -> None:
    """Check that the conversion dropped no key and gave only finite numbers."""
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ValueError(f"{converted} is not a finite number{place and f' at `{place}`'}")
    if isinstance(converted, dict) and isinstance(data, dict):
        unknown = sorted(str(key) for key in data.keys() - converted.keys())
        if unknown:
            raise ValueError(f"{unknown[0]!r} is unknown{place and f' in `{place}`'}")
        for key in data:
            _check(data[key], converted[key], f"{place}.{key}".lstrip("."))
    if isinstance(converted, list | tuple) and isinstance(data, list | tuple):
        for position, (given, each) in enumerate(zip(data, converted, strict=True)):
            _check(given, each, f"{place}[{position}]")
