"""The dialect of a text table: its delimiter and quotation marks, and the file's encoding."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}
"""Delimiters in order of preference, with their names."""

_LINES_TRIED, _FEWEST_TRIED = 50, 3
_CHARACTERS_TRIED = 1 << 16  # wide lines are slow to split in four ways
_NUMBER = re.compile(r"[+-]?\d[\d.,]*([eE][+-]?\d+)?", re.ASCII)
_SPACES = re.compile(r"[ \t]+")
csv.field_size_limit(1 << 26)  # lines of text are limited to this length already


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a text file are written.

    Attributes
    ----------
    delimiter
        Tab, comma, semicolon or a space; several spaces are one delimiter.
    written_in
        The encoding of the file, for messages: ``UTF-8``, ``UTF-16`` or ``Latin-1``.
        Readers get UTF-8 in every case (:func:`annotator.reading.text.text_file.open_blocks`).
    """

    delimiter: str = "\t"
    written_in: str = "UTF-8"

    def cells(self, line: str) -> tuple[str, ...]:
        """Split a line into cells without quotation marks and surrounding spaces."""
        return next(self.rows([line]), ())

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each line; a quoted line break joins lines."""
        for _, row in self.numbered_rows(lines, strict=False):
            yield row

    def numbered_rows(
        self, lines: Iterable[str], first_line: int = 1, *, strict: bool = True
    ) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield the cells of each line and the number of the line that they begin in.

        Parameters
        ----------
        lines
            Lines without their ends.
        first_line
            The number of the first line.
        strict
            Whether quotation marks have to be closed, in front of a delimiter.

        Raises
        ------
        csv.Error
            Quotation marks are not as they have to be.
        """
        if self.delimiter == " ":
            lines = (_SPACES.sub(" ", line.strip()) for line in lines)
        ended = (f"{line}\n" for line in lines)  # a line break inside of a cell is kept
        reader = csv.reader(ended, delimiter=self.delimiter, skipinitialspace=True, strict=strict)
        line = first_line
        for row in reader:
            yield line, tuple(map(_tidy, row))
            line = first_line + reader.line_num

    def description(self) -> str:
        """Return the dialect in words, such as ``separated by commas, UTF-8``."""
        converted = "" if self.written_in == "UTF-8" else " (converted)"
        return f"separated by {DELIMITERS[self.delimiter]}, {self.written_in}{converted}"


def _tidy(cell: str) -> str:
    """Return a cell without surrounding spaces, and with single spaces for breaks and tabs."""
    return " ".join(cell.split()) if "\n" in cell or "\t" in cell else cell.strip()


def is_number(cell: str) -> bool:
    """Return whether a cell is written like a number, also with a decimal comma."""
    return _NUMBER.fullmatch(cell) is not None


def first_lines(lines: list[str], most: int, characters: int, fewest: int) -> list[str]:
    """Return the first lines: at most so many, and fewer of them if they are long."""
    kept: list[str] = []
    size = 0
    for line in lines[:most]:
        if size > characters and len(kept) >= fewest:
            break
        kept.append(line)
        size += len(line)
    return kept


def detect_dialect(start: bytes, written_in: str = "UTF-8") -> Dialect:
    """Detect the dialect from the first lines of a file.

    The delimiter is the one that splits most lines into the same number of cells, at least
    two; among equals, the one that leaves most numbers. Spaces have to split clearly more
    lines than the others. Lines that begin with ``#`` are not
    looked at if there are others.

    Parameters
    ----------
    start
        Whole lines from the start of the file, in UTF-8, without a byte order mark.
    written_in
        The encoding of the file.
    """
    lines = [line for line in start.decode().split("\n") if line.strip()]
    lines = [line for line in lines if not line.startswith("#")] or lines
    lines = first_lines(lines, _LINES_TRIED, _CHARACTERS_TRIED, _FEWEST_TRIED)
    best, most = "\t", (0, 0)
    for delimiter in DELIMITERS:
        rows = [row for row in Dialect(delimiter).rows(lines) if len(row) > 1]
        widths = Counter(map(len, rows))
        numbers = sum(is_number(cell) for row in rows for cell in row[1:])
        lines_alike = max(widths.values(), default=0)
        if delimiter == " " and most[0] and lines_alike <= most[0] + most[0] // 5 + 1:
            continue  # spaces are inside of cells, too, such as those of a title above the table
        if rows and (lines_alike, numbers) > most:
            best, most = delimiter, (lines_alike, numbers)
    return Dialect(best, written_in)
