"""The first lines of a file, from which its layout is recognised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.reading.dialect import Dialect, detect_dialect
from annotator.reading.text_file import is_text, open_blocks

if TYPE_CHECKING:
    from pathlib import Path

_ROWS = 200


@dataclass(frozen=True)
class Head:
    """What is known of a file before it is read.

    Attributes
    ----------
    path
        The file or folder.
    dialect
        The dialect of a text file.
    comments
        Lines before the header that begin with ``#``, without the mark, unless the last of
        them is the header itself.
    header
        Cells of the first line that is no comment; empty for a file that is not text.
    rows
        Cells of up to 200 further lines.
    header_line
        The number of the header's line, from 1.
    """

    path: Path
    dialect: Dialect = Dialect()
    comments: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    header_line: int = 1

    def has_columns(self, *names: str) -> bool:
        """Return whether the header has all these columns; case does not matter."""
        return {name.casefold() for name in names} <= {name.casefold() for name in self.header}


def read_head(path: Path) -> Head:
    """Read the first lines of a file.

    Returns
    -------
    Head
        With an empty header for a folder and for a file that is not text.

    Raises
    ------
    InputError
        The file cannot be read or is empty.
    """
    if path.is_dir() or not is_text(path):
        return Head(path)
    with open_blocks(path) as blocks:
        _, block = next(blocks, (1, b""))
    dialect = detect_dialect(block)
    lines = block.decode(dialect.encoding).split("\n")[:-1]
    first = next((place for place, line in enumerate(lines) if not line.startswith("#")), 0)
    marked = lines[first - 1] if first else ""
    rows = list(dialect.rows(lines[first : first + _ROWS]))
    if marked and rows and len(dialect.cells(marked)) == len(rows[0]) > 1:
        # The header itself begins with the mark, as in "#miRNA".
        first -= 1
        rows = [dialect.cells(marked), *rows]
    return Head(
        path,
        dialect,
        tuple(line.lstrip("#").strip() for line in lines[:first]),
        rows[0] if rows else (),
        tuple(rows[1:]),
        first + 1,
    )
