"""Read small tables with named columns into memory."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from annotator.errors import InputError
from annotator.reading.text.dialect import detect_dialect
from annotator.reading.text.findings import Findings, counted
from annotator.reading.text.head import read_head, skipped_note
from annotator.reading.text.text_file import open_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Table:
    """The cells of a file, without the spaces around them.

    Attributes
    ----------
    path
        The file.
    columns
        Their names, unique and not empty.
    rows
        Cells of each line after the header, as many as there are columns.
    lines
        The number of each row's line; from 2 on if it is empty.
    header_line
        The number of the header's line.
    notes
        What was detected, left out or filled up.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...] = ()
    header_line: int = 1
    notes: tuple[str, ...] = ()

    def numbered_rows(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield each row with its line number in the file."""
        lines = self.lines or range(2, len(self.rows) + 2)
        return zip(lines, self.rows, strict=True)

    def refuse(self, message: str, line: int, column: str) -> NoReturn:
        """Raise an InputError for a cell, with the number and name of its column."""
        number = self.columns.index(column) + 1
        raise InputError(message, source=str(self.path), line=line, column=f"{number} ({column})")


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read a table and check its shape.

    Columns are separated by tabs, commas, semicolons or spaces; cells may be in quotation
    marks. Comment lines above the header, rows without any value and empty columns at
    the end are left out. A row may be shorter than the header if only cells of columns
    that are not required are missing. Other columns are kept.

    Parameters
    ----------
    path
        The file.
    required, optional
        Names of the columns that are used.

    Returns
    -------
    Table

    Raises
    ------
    InputError
        The file cannot be read, is empty, lacks a required column, has a repeated or
        unnamed column, or has a row that does not fit the header; ``findings`` has all of
        these errors.
    """
    cells = read_cells(path)
    if not cells.rows:
        raise InputError("the file is empty", source=str(path))
    (header_line, header), *rows = cells.rows
    findings = Findings(path)
    columns = _columns(header, header_line, (required, optional), findings)
    findings.raise_all()
    needed = max(columns.index(name) for name in required) + 1 if required else 1
    notes = [*cells.notes]
    if len(columns) < len(header):
        notes.append(f"{counted(len(header) - len(columns), 'empty column')} at the end left out")
    fitted, padded = [], 0
    for line, row in rows:
        if any(row[len(columns) :]) or len(row) < needed:
            findings.add(*_misfit(row, columns, line))
        else:
            padded += len(row) < len(columns)
            fitted.append((*row, *[""] * (len(columns) - len(row)))[: len(columns)])
    findings.raise_all()
    if padded:
        notes.append(f"{counted(padded, 'row')} shorter than the header; the last cells are empty")
    return Table(
        path,
        columns,
        tuple(fitted),
        tuple(line for line, _ in rows),
        header_line,
        tuple(notes),
    )


@dataclass(frozen=True)
class Cells:
    """The cells of a text table.

    Attributes
    ----------
    rows
        The number of the line and the cells of each row, the header first; no row is empty.
    notes
        The dialect, and what was left out, each as one line.
    """

    rows: list[tuple[int, tuple[str, ...]]]
    notes: tuple[str, ...]


def read_cells(path: Path) -> Cells:
    """Read the cells of a text table; comments above the header and empty rows are left out.

    Raises
    ------
    InputError
        The file cannot be read, or a quotation mark is not closed.
    """
    head = read_head(path)
    with open_blocks(path) as blocks:
        text = b"".join(block for _, block in blocks)
    lines = text.decode().split("\n")[head.header_line - 1 : -1]
    dialect = detect_dialect(text[: 1 << 20].rsplit(b"\n", 1)[0] + b"\n", blocks.encoding)
    notes = [dialect.description()]
    if head.comments:
        notes.append(skipped_note(head.comments))
    try:
        rows = list(dialect.numbered_rows(lines, head.header_line))
    except csv.Error:
        if dialect.delimiter != "\t":
            raise _open_quote(path, lines, head.header_line) from None
        # Texts in tab-separated tables often begin with a quotation mark that is just text.
        rows = [
            (line, tuple(cell.strip() for cell in content.split("\t")))
            for line, content in enumerate(lines, start=head.header_line)
        ]
        notes.append("quotation marks are taken as text, because not all of them are closed")
    kept = [(line, row) for line, row in rows if any(row)]
    last = kept[-1][0] if kept else 0
    empty = sum(not any(row) and (line < last or len(row) > 1) for line, row in rows)
    if empty:
        notes.append(f"{counted(empty, 'empty row')} left out")
    if kept and kept[0][1][0].startswith("#"):
        kept[0] = (kept[0][0], (kept[0][1][0].lstrip("# "), *kept[0][1][1:]))
    return Cells(kept, tuple(notes))


def _open_quote(path: Path, lines: Sequence[str], first: int) -> InputError:
    """Return the error for quotation marks, at the first line with an odd number of them."""
    line = next((at for at, one in enumerate(lines, start=first) if one.count('"') % 2), None)
    return InputError(
        "a quotation mark is not closed, or is inside of a cell; double it there",
        source=str(path),
        line=line,
    )


def _columns(
    header: Sequence[str],
    line: int,
    names: tuple[Sequence[str], Sequence[str]],
    findings: Findings,
) -> tuple[str, ...]:
    last = max((place for place, name in enumerate(header, start=1) if name), default=0)
    columns = tuple(header[:last])
    required, optional = names
    known = {name.casefold(): name for name in (*required, *optional)}
    for number, name in enumerate(columns, start=1):
        if not name:
            findings.add("the column has no name", line, number)
        elif name in columns[: number - 1]:
            before = columns.index(name) + 1
            findings.add(f"column {name!r} is already in column {before}", line, number)
        elif known.get(name.casefold(), name) != name:
            # If it were kept as an unknown column, its values would be lost silently.
            findings.add(
                f"column {name!r} must be written {known[name.casefold()]!r}", line, number
            )
    found = f"{', '.join(columns[:10])}{' …' if len(columns) > 10 else ''}"
    for name in required:
        if name not in columns and name.casefold() not in {one.casefold() for one in columns}:
            findings.add(f"there is no column {name!r}; found: {found}", line)
    return columns


def _misfit(row: Sequence[str], columns: Sequence[str], line: int) -> tuple[str, int, int]:
    message = f"{len(row)} columns where the header has {len(columns)}"
    return message, line, min(len(row), len(columns) + 1)
