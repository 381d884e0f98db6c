"""Read small tab-separated tables with named columns into memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from annotator.atlas.text_file import decode, open_blocks, quoted_hint, read_header
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MOST_FINDINGS = 20
"""Maximum number of errors in a table that are reported one by one."""


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
        Cells of each line after the header; row 0 is line 2 of the file.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def numbered_rows(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield each row with its line number in the file."""
        return enumerate(self.rows, start=2)

    def error(self, message: str, line: int, column: str) -> InputError:
        """Return the error in a cell, with the number and name of its column."""
        number = self.columns.index(column) + 1
        return InputError(message, source=str(self.path), line=line, column=f"{number} ({column})")

    def refuse(self, message: str, line: int, column: str) -> NoReturn:
        """Raise an InputError for a cell, with the number and name of its column."""
        raise self.error(message, line, column)


class Findings:
    """The errors in the cells of a table, to report all of them at once.

    Parameters
    ----------
    table
        The table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._errors: list[InputError] = []
        self._count = 0

    def add(self, message: str, line: int, column: str) -> None:
        """Add the error in a cell."""
        self._count += 1
        if self._count <= MOST_FINDINGS:
            self._errors.append(self._table.error(message, line, column))

    def refuse(self) -> None:
        """Refuse the table if there are errors.

        Raises
        ------
        InputError
            The first error; the others, at most :data:`MOST_FINDINGS` in all, and their number
            are in ``further``.
        """
        if not self._errors:
            return
        first, *others = self._errors
        further = [str(each) for each in others]
        if self._count > 1:
            more = self._count - len(self._errors)
            unlisted = f"; {more} are not listed" if more else ""
            further.append(f"{self._table.path}: {self._count} errors in all{unlisted}")
        first.further = tuple(further)
        raise first


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read a table and check its shape.

    The format is tab-separated text in UTF-8, plain or gzip; a byte order mark, Windows
    line endings and blank lines at the end are accepted. Other columns are kept.

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
        The file cannot be read, is empty, has another delimiter, lacks a required
        column, has a repeated or unnamed column, or has a line with more or fewer
        columns than the header.
    """
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    blank_line: int | None = None
    with open_blocks(path) as blocks:
        for line, content in _lines(blocks):
            if line == 1:
                columns = _columns(content, path, required, optional)
            elif not content.strip(b" "):
                blank_line = line if blank_line is None else blank_line
            elif blank_line is not None:
                raise InputError(
                    "the line is blank, but not at the end", source=str(path), line=blank_line
                )
            else:
                rows.append(_cells(content, path, line, columns))
        if not columns:
            raise InputError("the file is empty", source=str(path))
    return Table(path, columns, tuple(rows))


def _lines(blocks: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    for first_line, block in blocks:
        yield from enumerate(block.split(b"\n")[:-1], start=first_line)


def _columns(
    header: bytes, path: Path, required: Sequence[str], optional: Sequence[str]
) -> tuple[str, ...]:
    columns = read_header(header, path)
    known = {name.casefold(): name for name in (*required, *optional)}
    for number, name in enumerate(columns, start=1):
        wrong = None
        if not name:
            wrong = "the column has no name"
        elif name in columns[: number - 1]:
            wrong = f"column {name!r} is already in column {columns.index(name) + 1}"
        elif known.get(name.casefold(), name) != name:
            # If it were kept as an unknown column, its values would be lost silently.
            wrong = f"column {name!r} must be written {known[name.casefold()]!r}"
        if wrong is not None:
            raise InputError(wrong, source=str(path), line=1, column=number)
    for name in required:
        if name not in columns:
            raise InputError(
                f"there is no column {name!r}; found: {', '.join(columns[:10])}"
                f"{' …' if len(columns) > 10 else ''}{quoted_hint(columns)}",
                source=str(path),
                line=1,
            )
    return columns


def _cells(content: bytes, path: Path, line: int, columns: tuple[str, ...]) -> tuple[str, ...]:
    cells = tuple(cell.strip() for cell in decode(content, path, line).split("\t"))
    if len(cells) != len(columns):
        raise InputError(
            f"{len(cells)} columns where the header has {len(columns)}",
            source=str(path),
            line=line,
            column=min(len(cells), len(columns) + 1),
        )
    return cells
