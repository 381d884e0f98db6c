"""Named sets of features, and the GMT files that they come in.

GMT (Gene Matrix Transposed) is the exchange format of gene and miRNA set
collections: one line per set, with name, description and members, separated by tabs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.values.lengths import length_problem
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a ZIP archive (or a spreadsheet)",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_LEAST_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Some features that belong together.

    Attributes
    ----------
    name
        Unique within its source.
    description
        The meaning or the origin of the set; may be empty.
    features
        Names without duplicates, in the order of the source and in its namespace.
    """

    name: str
    description: str
    features: tuple[str, ...]


def sets_of(groups: Mapping[str, Iterable[str]], description: str = "") -> tuple[FeatureSet, ...]:
    """Make one set per group of names, such as the categories of the paper's Table 4.

    Parameters
    ----------
    groups
        The features of each set, by its name; a feature may be in several sets.
    description
        The description of all sets.
    """
    return tuple(
        FeatureSet(name, description, tuple(dict.fromkeys(features)))
        for name, features in groups.items()
    )


def read_gmt(path: Path) -> tuple[FeatureSet, ...]:
    """Read a GMT file.

    The file is UTF-8 text; each line has a set's name, its description (which may be
    empty) and at least one feature, separated by tabs. Blank lines, empty cells
    at the end, repeated features, a byte order mark and Windows line endings are
    accepted.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple of FeatureSet
        The sets in the order of the file.

    Raises
    ------
    InputError
        The file cannot be read, is not a GMT file, has no set, or has a set twice; with
        the line.
    """
    line_of: dict[str, int] = {}
    sets = []
    for line, text in enumerate(_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        found = _parsed(text.removesuffix("\r"), path, line)
        before = line_of.setdefault(found.name, line)
        if before != line:
            raise InputError(
                f"set {found.name!r} is already in line {before}; give each set once",
                source=str(path),
                line=line,
            )
        sets.append(found)
    if not sets:
        raise InputError("there is no set in this file", source=str(path))
    return tuple(sets)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # a path with a NUL byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be read: {reason}", source=str(path)) from error
    for start, name in _OTHER_FORMATS.items():
        if data.startswith(start):
            raise InputError(f"this is {name}; text in UTF-8 is needed", source=str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "this is not UTF-8; save the file in UTF-8",
            source=str(path),
            line=data.count(b"\n", 0, error.start) + 1,
        ) from error


def _parsed(text: str, path: Path, line: int) -> FeatureSet:
    name, *rest = (cell.strip() for cell in text.split("\t"))
    features = tuple(dict.fromkeys(cell for cell in rest[1:] if cell))
    if not name:
        raise InputError("the set has no name", source=str(path), line=line, column=1)
    if problem := length_problem(name):
        raise InputError(f"the name is {problem}", source=str(path), line=line, column=1)
    if not features:
        columns = 1 + len(rest)
        raise InputError(
            f"set {name!r} has no feature in column {_LEAST_COLUMNS} or later ({columns} columns);"
            " each line must have name, description and features, separated by tabs",
            source=str(path),
            line=line,
        )
    return FeatureSet(name, rest[0], features)
