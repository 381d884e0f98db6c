"""The meaning of the columns of a sample table: ids, datasets, organisms and fields."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS, OTHER_COLUMNS
from annotator.errors import InputError
from annotator.reading.text.tables import ROW_NAMES, column_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from annotator.domain.fields import FieldDefinition

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "sample_id": (
        *("run", "geo accession", "gsm", "sample", "samples", "sample name", "srr"),
        *("sample accession", "biosample", "library", "library name", "sampleid", ROW_NAMES),
        *("col names", "id", "name", "barcode", "file name"),
    ),
    "dataset_id": (
        *("dataset", "study", "series id", "gse", "series", "bioproject", "sra study"),
        *("study accession", "study id", "project", "project id", "datasetid"),
    ),
    "organism": ("organism ch1", "species", "scientific name", "organism name"),
}
"""Other names of the columns that are no fields, the most telling first, as :func:`column_key`
returns them."""

_OFFERED: Mapping[str, tuple[str, ...]] = {
    "tissue": ("source name", "source name ch1", "cell type", "isolation source"),
    "sample_id": ("title", "sample title"),
}
"""Names of columns that may have a meaning, but are often something else: only offered."""

_UNITS = re.compile(
    r"(?P<name>.+?)[ _]*(?:in )?(?P<unit>years?|yrs?|y|months?|mo|weeks?|wks?|days?)"
)
_PAIRS = re.compile(r"(\w+)\s*[=:]\s*([^\W_]+)|(?<![^\W_])(\d+)([^\W\d_]+)")


@dataclass(frozen=True)
class Column:
    """The column of one meaning.

    Attributes
    ----------
    name
        As in the file.
    unit
        The unit in its name, such as ``months``; empty if there is none.
    codes
        Values that its name explains, such as 1 for male.
    """

    name: str
    unit: str = ""
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Meanings:
    """The columns that are used, by meaning, and what is worth knowing about the choice."""

    columns: Mapping[str, Column]
    notes: tuple[str, ...]


def column_meanings(
    columns: Sequence[str], fields: Mapping[str, FieldDefinition], given: Mapping[str, str]
) -> Meanings:
    """Find the columns for ids, datasets, organisms and fields.

    In order of preference: what ``given`` orders; the exact name; the name in another
    spelling, or with a unit or codes; one of the other names in common use, or of those that the
    field is declared with.

    Parameters
    ----------
    columns
        The columns of the file.
    fields
        Name to definition of the fields that may have a column.
    given
        Column of the file to meaning.

    Raises
    ------
    InputError
        ``given`` names a column that is not in the file, or something that no column means.
    """
    meanings = (*OTHER_COLUMNS, *fields)
    others = {**_SYNONYMS, **{name: each.columns for name, each in fields.items()}}
    chosen = _given(columns, meanings, given)
    notes = [f"column {column.name!r} is read as {name}" for name, column in chosen.items()]
    for meaning in meanings:
        if meaning in chosen:
            continue
        free = [name for name in columns if name not in {one.name for one in chosen.values()}]
        if meaning in free:
            chosen[meaning] = Column(meaning)
            continue
        candidates = _candidates(free, meaning, meanings, others.get(meaning, ()))
        if candidates:
            chosen[meaning] = candidates[0]
            notes.append(_taken(meaning, candidates))
        notes += _offers(free, meaning, fields) if meaning not in chosen else []
    return Meanings(chosen, tuple(notes))


def _given(
    columns: Sequence[str], meanings: Sequence[str], given: Mapping[str, str]
) -> dict[str, Column]:
    chosen: dict[str, Column] = {}
    for name, meaning in given.items():
        if meaning not in meanings:
            raise InputError(
                f"--map {name}={meaning}: a column can mean {', '.join(meanings)},"
                f" but not {meaning!r}"
            )
        if name not in columns:
            close = get_close_matches(name, columns, n=3)
            hint = f"; similar: {', '.join(map(repr, close))}" if close else ""
            raise InputError(f"--map {name}={meaning}: there is no column {name!r}{hint}")
        if meaning in chosen:
            raise InputError(f"--map gives two columns for {meaning}")
        chosen[meaning] = _column(name, meaning) or Column(name)
    return chosen


def _candidates(
    columns: Sequence[str], meaning: str, meanings: Iterable[str], others: Iterable[str]
) -> list[Column]:
    """Return the columns that may have a meaning, the most likely first."""
    spellings = (meaning, *others)
    exact = set(meanings)
    found: list[tuple[int, Column]] = []
    for name in columns:
        if name in exact:
            continue
        for rank, spelling in enumerate(spellings):
            column = _column(name, spelling)
            if column is not None:
                found.append((rank, column))
                break
    return [column for _, column in sorted(found, key=lambda each: each[0])]


def _column(name: str, spelling: str) -> Column | None:
    """Return a column if its name is a spelling, perhaps followed by a unit or codes."""
    wanted = column_key(spelling)
    plain = column_key(name)
    if plain == wanted:
        return Column(name)
    unit = _UNITS.fullmatch(plain)
    if unit is not None and unit["name"] == wanted:
        return Column(name, unit=unit["unit"])
    if plain.startswith(wanted + " "):
        rest = name[len(wanted) :]
        codes = {
            (first or third).casefold(): (second or fourth)
            for first, second, third, fourth in _PAIRS.findall(rest.replace("_", " "))
        }
        if len(codes) > 1:
            return Column(name, codes=codes)
    return None


def _taken(meaning: str, candidates: Sequence[Column]) -> str:
    first = candidates[0]
    extra = f", in {first.unit}" if first.unit else ""
    if first.codes:
        extra = ", " + ", ".join(f"{code} for {value}" for code, value in first.codes.items())
    note = f"column {first.name!r} is read as {meaning}{extra}"
    if len(candidates) > 1:
        others = ", ".join(repr(one.name) for one in candidates[1:])
        note += f", and not {others} (--map COLUMN={meaning} chooses another)"
    return note


def _offers(columns: Sequence[str], meaning: str, fields: Collection[str]) -> list[str]:
    offered = _OFFERED.get(meaning, ())
    if meaning in fields and meaning not in FIELDS:
        wanted = column_key(meaning).split()
        offered = tuple(key for key in map(column_key, columns) if {*wanted} <= {*key.split()})
    return [
        f"column {name!r} may be {meaning}: if so, add --map {_quoted(name)}={meaning}"
        for name in columns
        if column_key(name) in offered
    ]


def _quoted(name: str) -> str:
    return f"'{name}'" if " " in name else name
