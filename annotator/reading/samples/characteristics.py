"""Cells of the form ``key: value`` as columns of their own, as GEO describes samples."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.reading.text.expansion import check_cells
from annotator.reading.text.tables import column_key

if TYPE_CHECKING:
    from pathlib import Path

    from annotator.reading.samples.layout import SampleTable

_KEYED_COLUMN = re.compile(r"characteristics", re.IGNORECASE)
_PAIR = re.compile(r"\s*([^:]{1,80}?)\s*:\s*(.*\S)\s*", re.DOTALL)
_GEOQUERY = re.compile(r"(.+)[:.]ch\d+")  # R writes a point for the colon
_UNKEYED = "characteristics"


@dataclass
class NamedColumns:
    """The columns of a table under names that do not repeat.

    Attributes
    ----------
    values
        Name to one text per sample, empty where there is none.
    conflicts
        Name to the number of samples for which the table has two different values; the
        first is kept, and the other stands in a column with a number behind its name.
    """

    values: dict[str, list[str]]
    conflicts: dict[str, int]


def named_columns(table: SampleTable) -> NamedColumns:
    """Return the columns of a table, with those that its cells name.

    The cells of ``characteristics_ch1`` and the like are pairs ``key: value``; the values
    go to a column named by the key. GEOquery's ``tissue:ch1`` is the column ``tissue``, also
    where R wrote it as ``tissue.ch1``. Columns whose names differ in case or punctuation
    alone are one. Columns that begin with an exclamation mark are marks of the format and
    not kept.

    Every cell that is not empty is in one of the columns afterwards.
    """
    found = _Collected(table.path, len(table.rows))
    for place, name in enumerate(table.columns):
        if name.startswith("!"):
            continue
        keyed = _KEYED_COLUMN.match(name) is not None
        geoquery = _GEOQUERY.fullmatch(name)
        plain = geoquery.group(1) if geoquery else name
        for row, (_, cells) in enumerate(table.rows):
            pair = _PAIR.fullmatch(cells[place]) if keyed else None
            if pair is not None:
                found.add(pair.group(1), row, pair.group(2))
            elif cells[place]:
                found.add(_UNKEYED if keyed else plain, row, cells[place])
            else:
                found.declare(_UNKEYED if keyed else plain)
    return NamedColumns(
        {name: values for name, values in found.values.items() if found.is_used(name)},
        found.conflicts,
    )


class _Collected:
    def __init__(self, path: Path, samples: int) -> None:
        self.values: dict[str, list[str]] = {}
        self.conflicts: dict[str, int] = {}
        self._path, self._samples = path, samples
        self._name_of: dict[str, str] = {}

    def declare(self, name: str) -> str:
        """Return the name under which the column is kept; a new one is empty."""
        kept = self._name_of.setdefault(column_key(name) or name, name)
        if kept not in self.values:
            self.values[kept] = [""] * self._samples
            check_cells(self._path, self._samples, len(self.values))
        return kept

    def add(self, name: str, row: int, value: str) -> None:
        kept = self.declare(name)
        number = 1
        column = kept
        while self.values[column][row] not in ("", value):
            number += 1
            column = self.declare(f"{kept} {number}")
        if number > 1:
            self.conflicts[kept] = self.conflicts.get(kept, 0) + (number == 2)
        self.values[column][row] = value

    def is_used(self, name: str) -> bool:
        return name != _UNKEYED or any(self.values[name])
