"""Reading and writing the files of a release, none of which can run code.

The files come from a database that others can write to. Every reader checks
sizes before it parses, and names, shapes, types and values before anything is used, and
raises :class:`~annotator.errors.ArtefactError` for unknown content.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import ArtefactError, NewerReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.releases import Artefact

JSON_TYPE = "application/json"
SAFETENSORS_TYPE = "application/vnd.safetensors"

LARGEST_JSON = 32 * 1024**2
LARGEST_HEADER = 64 * 1024  # of safetensors, which lists the arrays


def by_name(
    artefacts: Sequence[Artefact], required: set[str], optional: set[str]
) -> dict[str, bytes]:
    """Return the content of each artefact.

    Raises
    ------
    ArtefactError
        A name is missing or given twice.
    NewerReleaseError
        A name is unknown.
    """
    contents = {artefact.name: artefact.content for artefact in artefacts}
    unknown = sorted(contents.keys() - required - optional)
    missing = sorted(required - contents.keys())
    if unknown:
        raise NewerReleaseError(
            f"the release has an unknown artefact {unknown[0]!r}: a version with another model kind"
            " made it; install that version, or retrain the field"
        )
    if missing:
        raise ArtefactError(f"the release lacks its artefact {missing[0]!r}; retrain the field")
    if len(contents) != len(artefacts):
        raise ArtefactError("the release has two artefacts of the same name; retrain the field")
    return contents


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a finite number")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("a key occurs twice")
    return data


def write_json(data: Any) -> bytes:
    """Write plain data as JSON; the same data give the same bytes."""
    return json.dumps(data, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()


def read_json(content: bytes, what: str, largest: int = LARGEST_JSON) -> dict[str, Any]:
    """Read a JSON object of at most ``largest`` bytes.

    Parsed data can take thirty times as much memory as their text.

    Raises
    ------
    ArtefactError
        The content is too large, not JSON, or not an object, or a key occurs twice.
    """
    if len(content) > largest:
        raise ArtefactError(
            f"{what}: {len(content)} bytes, more than {largest} allowed for this release;"
            " retrain the field"
        )
    try:
        data = json.loads(
            content.decode(), parse_constant=_refuse_constant, object_pairs_hook=_distinct
        )
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{what}: damaged, not JSON: {error}; retrain the field") from error
    if not isinstance(data, dict):
        raise ArtefactError(f"{what}: damaged, not a JSON object; retrain the field")
    return data


def write_tensors(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Write arrays as safetensors."""
    from safetensors.numpy import save

    content: bytes = save({name: np.ascontiguousarray(each) for name, each in tensors.items()})
    return content


def read_tensors(
    content: bytes,
    shapes: Mapping[str, tuple[int, ...]],
    what: str,
    integers: Mapping[str, type[np.integer[Any]]] = MappingProxyType({}),
) -> dict[str, NDArray[Any]]:
    """Read arrays of known names and shapes from safetensors.

    Parameters
    ----------
    content
        The bytes from :func:`write_tensors`.
    shapes
        The shape of each array by name; -1 stands for any length.
    what
        The name of the file, for messages.
    integers
        The type of each array that is not float32, by name.

    Raises
    ------
    ArtefactError
        The bytes are not safetensors; an array is missing, unknown, or of the wrong
        shape or type; or a value is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if int.from_bytes(content[:8], "little") > LARGEST_HEADER:
        raise ArtefactError(f"{what}: damaged, its list of arrays is too long; retrain the field")
    try:
        tensors: dict[str, NDArray[Any]] = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtefactError(f"{what}: damaged, not safetensors: {error}; retrain") from error
    if tensors.keys() != shapes.keys():
        odd = sorted(tensors.keys() ^ shapes.keys())[0]
        raise ArtefactError(f"{what}: array {odd!r} is missing or unknown; retrain the field")
    for name, tensor in tensors.items():
        dtype = np.dtype(integers.get(name, np.float32))
        if not _fits(tensor.shape, shapes[name]) or tensor.dtype != dtype:
            raise ArtefactError(
                f"{what}: array {name!r} is {tensor.dtype} {tensor.shape},"
                f" not {dtype} {tuple(shapes[name])}; retrain the field"
            )
        if not np.isfinite(tensor).all():
            raise ArtefactError(f"{what}: array {name!r} has values that are not finite; retrain")
    return tensors


def _fits(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(shape) == len(expected) and all(
        wanted in (-1, found) for found, wanted in zip(shape, expected, strict=True)
    )
