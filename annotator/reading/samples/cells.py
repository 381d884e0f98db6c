"""From rows of cells to a table: empty rows and columns, short rows, missing names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.wording import counted
from annotator.errors import InputError
from annotator.reading.samples.layout import SampleTable
from annotator.reading.text.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ROW_NAMES = "row names"
"""The name that the first column gets if it has none, as in tables that R writes."""


def table_of(
    path: Path, header: Sequence[str], rows: Sequence[tuple[int, tuple[str, ...]]]
) -> SampleTable:
    """Return a table without rows and columns that are empty; short rows are filled.

    Parameters
    ----------
    path
        The file.
    header
        Names of the columns, without spaces around them.
    rows
        The line and the cells of each row.

    Raises
    ------
    InputError
        There is no row, or a row has more cells than there are columns.
    """
    filled = [(line, _without_empty_end(cells)) for line, cells in rows if any(cells)]
    if not filled:
        raise InputError("there is a header but no sample", source=str(path), line=2)
    notes = []
    names = list(_without_empty_end(header))
    if all(len(cells) == len(names) + 1 for _, cells in filled):
        names.insert(0, ROW_NAMES)
        notes.append("the header has one name less than there are columns: the first has row names")
    elif names and not names[0]:
        names[0] = ROW_NAMES
    _refuse_long_rows(path, names, filled)
    short = sum(len(cells) < len(names) for _, cells in rows if any(cells))
    if short:
        notes.append(f"{counted(short, 'row')} shorter than the header; the last cells are empty")
    if len(rows) > len(filled):
        notes.append(f"{counted(len(rows) - len(filled), 'empty row')} left out")
    complete = [(line, (*cells, *[""] * (len(names) - len(cells)))) for line, cells in filled]
    used = [
        place
        for place, name in enumerate(names)
        if name or any(cells[place] for _, cells in complete)
    ]
    if len(used) < len(header):
        notes.append(f"{counted(len(header) - len(used), 'empty column')} left out")
    columns = tuple(names[place] or f"column {place + 1}" for place in used)
    return SampleTable(
        path,
        columns,
        tuple((line, tuple(cells[place] for place in used)) for line, cells in complete),
        tuple(notes),
    )


def _without_empty_end(cells: Sequence[str]) -> tuple[str, ...]:
    last = max((place for place, cell in enumerate(cells, start=1) if cell), default=0)
    return tuple(cells[:last])


def _refuse_long_rows(
    path: Path, names: Sequence[str], rows: Sequence[tuple[int, tuple[str, ...]]]
) -> None:
    errors = Findings(path)
    for line, cells in rows:
        if len(cells) > len(names):
            message = f"{len(cells)} columns where the header has {len(names)}"
            errors.add(message, line, len(names) + 1)
    errors.raise_all()
