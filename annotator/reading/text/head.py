"""The first lines of a file, from which its layout is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS, column_names
from annotator.domain.wording import counted
from annotator.reading.text.dialect import Dialect, detect_dialect, first_lines, is_number
from annotator.reading.text.text_file import is_folder, is_text, open_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ROWS, _FEWEST_ROWS, _CHARACTERS = 200, 3, 1 << 17


@dataclass(frozen=True)
class Hints:
    """Facts from elsewhere about the counts in a file.

    Attributes
    ----------
    sample_ids
        Ids in the SAMPLES file; empty if there is none.
    orientation
        ``features-down`` or ``samples-down`` if the user has given it.
    fields
        Names of columns with values of fields, which are no counts.
    """

    sample_ids: frozenset[str] = frozenset()
    orientation: str | None = None
    fields: frozenset[str] = column_names(FIELDS)


@dataclass(frozen=True)
class Head:
    """The beginning of a file, and hints about it, before it is read.

    Attributes
    ----------
    path
        The file or folder.
    dialect
        The dialect of a text file.
    comments
        Lines before the header that begin with ``#``, without the mark, unless the last of
        them is the header itself; and titles, lines with a single cell above a table.
    header
        Cells of the first line that is no comment; empty for a file that is not text.
    rows
        Cells of up to 200 further lines, fewer if they are long.
    header_line
        The number of the header's line, from 1.
    hints
        What is known from elsewhere.
    """

    path: Path
    dialect: Dialect = Dialect()
    comments: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    header_line: int = 1
    hints: Hints = Hints()

    def has_columns(self, *names: str) -> bool:
        """Return whether the header has all these columns; case does not matter."""
        return {name.casefold() for name in names} <= {name.casefold() for name in self.header}


def read_head(path: Path, hints: Hints = Hints()) -> Head:
    """Read the first lines of a file.

    Blank lines and lines of comments before the header are not part of the table.

    Returns
    -------
    Head
        With an empty header for a folder and for a file that is not text.

    Raises
    ------
    InputError
        The file cannot be read or is empty.
    """
    if is_folder(path) or not is_text(path):
        return Head(path, hints=hints)
    with open_blocks(path) as blocks:
        _, block = next(blocks, (1, b""))
    dialect = detect_dialect(block, blocks.encoding)
    lines = block.decode().split("\n")[:-1]
    first = next(
        (at for at, line in enumerate(lines) if line.strip() and not line.startswith("#")), 0
    )
    shown = first_lines(lines[first:], _ROWS + 1, _CHARACTERS, _FEWEST_ROWS)
    numbered = list(dialect.numbered_rows(shown, first, strict=False))
    rows = [cells for _, cells in numbered]
    titles = titles_above(rows)
    if titles:
        first, rows = numbered[titles][0], rows[titles:]
    marked = lines[first - 1] if first and not titles else ""
    if rows and _is_marked_header(dialect.cells(marked) if marked else (), rows[0]):
        first -= 1
        rows = [dialect.cells(marked), *rows]
    return Head(
        path,
        dialect,
        tuple(filter(None, (line.lstrip("#").strip(" \t,;") for line in lines[:first]))),
        rows[0] if rows else (),
        tuple(rows[1:]),
        first + 1,
        hints,
    )


def skipped_note(lines: Sequence[str]) -> str:
    """Return a note on lines above the header."""
    return f"{counted(len(lines), 'line')} above the header skipped: {lines[0][:60]!r}"


def titles_above(rows: Sequence[Sequence[str]]) -> int:
    """Return the number of rows above a table that have a title, or nothing.

    A title is alone in its row, and the table below it has at least three columns, so that
    it cannot be a header, not even one without a name for the column of row names.

    Examples
    --------
    >>> titles_above([("Table S1",), (), ("miRNA", "S1", "S2"), ("miR-1", "5", "6")])
    2
    >>> titles_above([("S1",), ("miR-1", "5")])
    0
    """
    filled = [sum(map(bool, row)) for row in rows]
    first = next((at for at, cells in enumerate(filled) if cells > 1), 0)
    wide = [cells for cells in filled[first:] if cells > 2]
    return first if first and len(wide) * 2 > len(filled[first:]) else 0


def _is_marked_header(marked: tuple[str, ...], row: tuple[str, ...]) -> bool:
    """Return whether a line such as ``#miRNA S1 S2`` is the header of the row below it."""
    return (
        len(marked) == len(row) > 1
        and not marked[0].startswith("##")
        and any(map(is_number, row[1:]))
    )
