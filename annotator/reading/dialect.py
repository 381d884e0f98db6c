"""The dialect of a text table: its delimiter, quotation marks and encoding."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DELIMITERS = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "spaces"}
"""Delimiters in order of preference, with their names."""

_LINES_TRIED = 50
_SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a text file are written.

    Attributes
    ----------
    delimiter
        Tab, comma, semicolon or a space; several spaces are one delimiter.
    encoding
        ``utf-8`` or ``latin-1``.
    """

    delimiter: str = "\t"
    encoding: str = "utf-8"

    @property
    def is_plain(self) -> bool:
        """Whether lines can be split at tabs as they are."""
        return self.delimiter == "\t" and self.encoding == "utf-8"

    def cells(self, line: str) -> tuple[str, ...]:
        """Split a line into cells without quotation marks and surrounding spaces."""
        return next(self.rows([line]), ())

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each line; a quoted line break joins lines."""
        for row in self.reader(lines):
            yield tuple(" ".join(cell.split()) if "\n" in cell else cell.strip() for cell in row)

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a ``csv.reader`` for lines in this dialect."""
        if self.delimiter == " ":
            lines = (_SPACES.sub(" ", line.strip()) for line in lines)
        return csv.reader(lines, delimiter=self.delimiter, skipinitialspace=True)

    def description(self) -> str:
        """Return the dialect in words, such as ``commas, Latin-1``; empty for plain text."""
        words = []
        if self.delimiter != "\t":
            words.append(f"separated by {DELIMITERS[self.delimiter]}")
        if self.encoding != "utf-8":
            words.append("not UTF-8, read as Latin-1")
        return ", ".join(words)


def detect_dialect(start: bytes) -> Dialect:
    """Detect the dialect from the first lines of a file.

    The delimiter is the one that splits most lines into the same number of cells, at least
    two. Lines that begin with ``#`` are not looked at if there are others.

    Parameters
    ----------
    start
        Whole lines from the start of the file, without a byte order mark.
    """
    encoding = "utf-8" if _is_utf8(start) else "latin-1"
    lines = [line for line in start.decode(encoding).split("\n") if line.strip()]
    lines = [line for line in lines if not line.startswith("#")] or lines
    best, most = "\t", 0
    for delimiter in DELIMITERS:
        widths = Counter(
            len(row) for row in Dialect(delimiter).rows(lines[:_LINES_TRIED]) if len(row) > 1
        )
        if widths and max(widths.values()) > most:
            best, most = delimiter, max(widths.values())
    return Dialect(best, encoding)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
