"""Read small tables with named columns into memory."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.wording import counted
from annotator.errors import InputError
from annotator.reading.text.expansion import check_cells
from annotator.reading.text.findings import Findings
from annotator.reading.text.head import skipped_note
from annotator.reading.text.text_file import whole_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from annotator.reading.text.head import Head

ROW_NAMES = "row names"
"""The name that the first column gets if it has none, as in tables that R writes."""

Row = tuple[int, tuple[str, ...]]
"""The number of a line, and its cells."""


def column_key(name: str) -> str:
    """Return a name of a column without letter case, spaces and punctuation.

    Examples
    --------
    >>> column_key("Age (years)"), column_key("Sample_ID")
    ('age years', 'sample id')
    """
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


@dataclass(frozen=True)
class Cells:
    """The cells of a text table.

    Attributes
    ----------
    header
        Those of the first line that is neither empty nor a comment.
    rows
        The number of the line and the cells of each row below it, empty rows as well.
    notes
        What was left out or taken as text, each as one line.
    """

    header: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table without empty rows, in which every row has a cell for each column.

    Attributes
    ----------
    columns
        Their names, not empty; names may repeat.
    rows
        The number of the line and the cells of each row.
    notes
        What was left out or filled up, each as one line.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def read_cells(head: Head) -> Cells:
    """Read the cells of a text table; comments above the header are left out.

    Raises
    ------
    InputError
        The file cannot be read, is empty, or a quotation mark is not closed.
    """
    lines = whole_text(head.path).split("\n")[head.header_line - 1 : -1]
    notes = []
    if head.comments:
        notes.append(skipped_note(head.comments))
    try:
        rows = list(head.dialect.numbered_rows(lines, head.header_line))
    except csv.Error:
        if head.dialect.delimiter != "\t":
            raise _open_quote(head, lines) from None
        # Texts in tab-separated tables often begin with a quotation mark that is just text.
        rows = [
            (line, tuple(cell.strip() for cell in content.split("\t")))
            for line, content in enumerate(lines, start=head.header_line)
        ]
        notes.append("quotation marks are taken as text, because not all of them are closed")
    place = next((place for place, (_, row) in enumerate(rows) if any(row)), None)
    if place is None:
        raise InputError("the file is empty", source=str(head.path))
    first, *others = rows[place][1]
    header = (first.lstrip("# ") if first.startswith("#") else first, *others)
    return Cells(header, tuple(rows[place + 1 :]), tuple(notes))


def _open_quote(head: Head, lines: Sequence[str]) -> InputError:
    """Return the error for quotation marks, at the first line with an odd number of them."""
    numbered = enumerate(lines, start=head.header_line)
    return InputError(
        "a quotation mark is not closed, or is inside of a cell; double it there",
        source=str(head.path),
        line=next((line for line, content in numbered if content.count('"') % 2), None),
    )


def table_of(path: Path, header: Sequence[str], rows: Sequence[Row]) -> Table:
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
    filled = [(line, cells) for line, cells in rows if any(cells)]
    if not filled:
        raise InputError("there is a header but no row below it", source=str(path), line=2)
    notes = []
    names = list(_without_empty_end(header))
    if all(len(_without_empty_end(cells)) == len(names) + 1 for _, cells in filled):
        names.insert(0, ROW_NAMES)
        notes.append("the header has one name less than there are columns: the first has row names")
    elif names and not names[0]:
        names[0] = ROW_NAMES
    check_widths(path, names, filled)
    check_cells(path, len(filled), len(names))
    short = sum(len(cells) < len(names) for _, cells in filled)
    if short:
        notes.append(f"{counted(short, 'row')} shorter than the header; the last cells are empty")
    # Blank lines at the end of a file are no rows.
    empty = sum(not any(cells) and (line < filled[-1][0] or len(cells) > 1) for line, cells in rows)
    if empty:
        notes.append(f"{counted(empty, 'empty row')} left out")
    complete = [
        (line, (*cells, *[""] * (len(names) - len(cells)))[: len(names)]) for line, cells in filled
    ]
    used = [
        place
        for place, name in enumerate(names)
        if name or any(cells[place] for _, cells in complete)
    ]
    if len(used) < len(header):
        notes.append(f"{counted(len(header) - len(used), 'empty column')} left out")
    return Table(
        tuple(names[place] or f"column {place + 1}" for place in used),
        tuple((line, tuple(cells[place] for place in used)) for line, cells in complete),
        tuple(notes),
    )


def _without_empty_end(cells: Sequence[str]) -> tuple[str, ...]:
    last = max((place for place, cell in enumerate(cells, start=1) if cell), default=0)
    return tuple(cells[:last])


def check_widths(path: Path, columns: Sequence[str], rows: Sequence[Row], least: int = 0) -> None:
    """Refuse rows with more cells than there are columns, or fewer than are needed.

    Raises
    ------
    InputError
        There are such rows; empty ones are not looked at.
    """
    findings = Findings(path)
    for line, cells in rows:
        if any(cells[len(columns) :]) or (any(cells) and len(cells) < least):
            message = f"{len(cells)} columns where the header has {len(columns)}"
            findings.add(message, line, min(len(cells), len(columns) + 1))
    findings.raise_all()
