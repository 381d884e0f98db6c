"""All rows of a small text table, as cells with line numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import InputError
from annotator.reading.text.text_file import numbered_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.reading.text.head import Head


def numbered_rows(
    head: Head, *, with_header: bool = False
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the rows of a text table with their line numbers, without blank ones.

    Parameters
    ----------
    head
        The head of the file.
    with_header
        Whether the first row is data, because the file has no header.

    Raises
    ------
    InputError
        The file cannot be read or is damaged.
    """
    first = head.header_line + (0 if with_header else 1)
    for line, content in numbered_lines(head.path):
        cells = head.dialect.cells(content) if line >= first else ()
        if any(cells):
            yield line, cells


class Columns:
    """Access to the cells of rows by the names of their columns; case does not matter.

    Parameters
    ----------
    head
        The head of the file, whose header has the names.
    """

    def __init__(self, head: Head) -> None:
        self._head = head
        self._place = {name.casefold(): place for place, name in enumerate(head.header)}

    def text(self, line: int, cells: tuple[str, ...], column: str) -> str:
        """Return one cell.

        Raises
        ------
        InputError
            The row is too short.
        """
        place = self._place[column.casefold()]
        if place >= len(cells):
            raise InputError(
                f"{len(cells)} columns where the header has {len(self._head.header)}",
                source=str(self._head.path),
                line=line,
            )
        return cells[place]

    def count(self, line: int, cells: tuple[str, ...], column: str) -> float:
        """Return one cell as a count, which may have a fraction.

        Raises
        ------
        InputError
            The cell is not a number of reads.
        """
        return as_count(self._head, line, self.text(line, cells, column), column)


def as_count(head: Head, line: int, text: str, column: str | int) -> float:
    """Return a text as a count, which may have a fraction.

    Raises
    ------
    InputError
        The text is not a number of reads.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(
            f"{text!r} is not a number of reads", source=str(head.path), line=line, column=column
        )
    return value
