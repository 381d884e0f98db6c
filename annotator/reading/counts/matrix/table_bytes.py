"""Bring blocks of any dialect into one form: cells separated by tabs, without quotation marks."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from annotator.reading.text.dialect import Dialect
    from annotator.reading.text.findings import Findings

_QUOTE, _NEWLINE = ord('"'), ord("\n")
_SPACES = re.compile(rb"[ \t]+")


def tab_separated(block: bytes, dialect: Dialect, first_line: int, findings: Findings) -> bytes:
    r"""Return a block with the same lines, whose cells are separated by tabs.

    Plain blocks are translated as a whole. Only blocks with delimiters or quotation marks
    inside of cells are parsed line by line.

    Parameters
    ----------
    block
        Whole lines in UTF-8, each ending with ``\n``.
    dialect
        The dialect of the file.
    first_line
        The number of the first line.
    findings
        Gets an error for each line with quotation marks that are not closed; such a line
        is blank in the result. In lines with tabs, they are taken as text.
    """
    delimiter = dialect.delimiter.encode()
    if b'"' in block:
        unquoted = _without_quotes(block, delimiter)
        if unquoted is None:
            return _line_by_line(block, dialect, first_line, findings)
        block = unquoted
    if delimiter == b"\t":
        return block
    if delimiter == b" ":
        return b"".join(_SPACES.sub(b"\t", line.strip()) + b"\n" for line in block.splitlines())
    if b"\t" in block:
        return _line_by_line(block, dialect, first_line, findings)
    return block.translate(bytes.maketrans(delimiter, b"\t"))


def _without_quotes(block: bytes, delimiter: bytes) -> bytes | None:
    """Remove quotation marks around whole cells; ``None`` if there are any others."""
    if b'""' in block:
        return None
    data = np.frombuffer(block, dtype=np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    if quotes.size % 2:
        return None
    opening, closing = quotes[::2], quotes[1::2]
    separates = (data == delimiter[0]) | (data == _NEWLINE)
    starts = np.append(True, separates[:-1])
    if not (starts[opening].all() and separates[closing + 1].all()):
        return None
    ends = np.flatnonzero(separates)
    if (np.searchsorted(ends, opening) != np.searchsorted(ends, closing)).any():
        return None
    return block.translate(None, b'"')


def _line_by_line(block: bytes, dialect: Dialect, first_line: int, findings: Findings) -> bytes:
    lines = []
    for line, text in enumerate(block.decode().split("\n")[:-1], start=first_line):
        try:
            _, cells = next(dialect.numbered_rows([text], line), (line, ()))
        except csv.Error:
            if dialect.delimiter == "\t":  # the mark is part of a text
                cells = tuple(cell.strip() for cell in text.split("\t"))
            else:
                findings.add("a quotation mark is not closed in the line", line)
                cells = ()
        lines.append("\t".join(" ".join(cell.split()) for cell in cells))
    return ("\n".join(lines) + "\n").encode()
