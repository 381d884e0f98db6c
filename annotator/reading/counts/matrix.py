"""Read COUNTS files, with one line per feature, into one row per sample.

The file is read once, block by block, and checked to its end before any counts are
returned. The non-zero counts go to a temporary file in pieces that are ordered by
sample, so that the rows of any range of samples can be collected without ever
holding the whole matrix in memory.
"""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from annotator.errors import InputError
from annotator.reading.counts.layout import SAMPLES_AT_ONCE, CountsLayout
from annotator.reading.counts.spill import CountsSpill, ParsedLines
from annotator.reading.text_file import decode, open_blocks, quoted_hint, read_header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from pathlib import Path

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

LARGEST_COUNT = 1_000_000_000
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NUMBER_BYTES = b"0123456789.eE+- "
_LONGEST_PLAIN = len(str(LARGEST_COUNT))

# The role of each byte for the quick parser.
_DIGIT, _SEPARATOR, _OTHER = 0, 1, 2
_KIND_OF_BYTE = bytes(
    _DIGIT if byte in b"0123456789" else _SEPARATOR if byte in b"\t\n" else _OTHER
    for byte in range(256)
)


class CountsFile:
    """A COUNTS file that has been read and passed all checks.

    Attributes
    ----------
    sample_ids
        In the order of the file's columns.
    feature_names
        In the order of the file's lines.
    notes
        What was detected, converted or left out.
    """

    def __init__(
        self, sample_ids: tuple[str, ...], feature_names: tuple[str, ...], spill: CountsSpill
    ) -> None:
        self.sample_ids, self.feature_names = sample_ids, feature_names
        self.notes: tuple[str, ...] = ()
        self._spill = spill

    def batches(
        self, samples_at_once: int = SAMPLES_AT_ONCE
    ) -> Iterator[tuple[tuple[str, ...], csr_matrix]]:
        """Yield the counts, some samples at a time; may be called more than once.

        Parameters
        ----------
        samples_at_once
            Number of rows per batch; the last batch may have fewer.

        Yields
        ------
        sample_ids, counts
            Counts have shape ``(samples, features)``, dtype float32, sorted
            indices and no explicit zeros.
        """
        if samples_at_once < 1:
            raise ValueError("samples_at_once must be at least 1")
        for first in range(0, len(self.sample_ids), samples_at_once):
            ids = self.sample_ids[first : first + samples_at_once]
            yield ids, self._spill.rows(first, first + len(ids), len(self.feature_names))


@contextmanager
def read_matrix(path: Path, *, spill_folder: Path | None = None) -> Iterator[CountsFile]:
    """Read and check a COUNTS file in bounded memory.

    The format is tab-separated text in UTF-8, plain or gzip. The first line is
    ``feature`` and the sample ids; each further line is a feature's name and its raw
    count in every sample. Counts are whole numbers from 0 to 1e9; ``12.0`` and ``1e3``
    are accepted as whole. A byte order mark, Windows line endings, spaces around a
    value and blank lines at the end are accepted.

    Parameters
    ----------
    path
        The file.
    spill_folder
        Folder for the temporary file, which needs 8 bytes per non-zero count and is
        removed at the end of the ``with`` block, also after an error. By default the
        system's folder for temporary files.

    Yields
    ------
    CountsFile
        The file, checked to its end.

    Raises
    ------
    InputError
        The file has an error; the message names the line and column.
    NeedsPersonError
        The temporary file cannot be written, as when the disk is full.
    """
    try:
        temporary = tempfile.TemporaryFile(buffering=0, dir=spill_folder)  # noqa: SIM115 - closed by with below
    except OSError as error:
        raise InputError(
            f"no temporary file can be created here: {error.strerror or error}",
            source=str(spill_folder or tempfile.gettempdir()),
        ) from error
    with temporary as file:
        yield _read(path, file)


def _read(path: Path, file: FileIO) -> CountsFile:
    with open_blocks(path) as blocks:
        first_line, block = next(blocks, (1, b""))
        if not block.strip():
            raise InputError("the file is empty", source=str(path))
        header, _, rest = block.partition(b"\n")
        parser = _Parser(path, _sample_ids(header, path))
        spill = CountsSpill(file, len(parser.sample_ids))
        if rest:
            spill.add(parser.parse(first_line + 1, rest))
        for first_line, block in blocks:
            spill.add(parser.parse(first_line, block))
        if not parser.line_of_feature:
            raise InputError("there is a header but no feature", source=str(path), line=2)
    spill.finish_piece()
    return CountsFile(parser.sample_ids, tuple(parser.line_of_feature), spill)


def _sample_ids(header: bytes, path: Path) -> tuple[str, ...]:
    names = read_header(header, path)
    if names[0] != "feature":
        raise InputError(
            f"the first column must be named 'feature', not {names[0]!r}{quoted_hint(names)}",
            source=str(path),
            line=1,
            column=1,
        )
    column_of: dict[str, int] = {}
    for column, name in enumerate(names[1:], start=2):
        if not name:
            raise InputError("the sample id is empty", source=str(path), line=1, column=column)
        if name in column_of:
            raise InputError(
                f"sample {name!r} is already in column {column_of[name]}",
                source=str(path),
                line=1,
                column=column,
            )
        column_of[name] = column
    return names[1:]


class _Parser:
    """Parses blocks of lines into counts, and keeps the names of features to find repeats."""

    def __init__(self, path: Path, sample_ids: tuple[str, ...]) -> None:
        self.path, self.sample_ids = path, sample_ids
        self.line_of_feature: dict[str, int] = {}
        self._blank_line: int | None = None

    def parse(self, first_line: int, block: bytes) -> ParsedLines:
        r"""Parse whole lines, each ending with ``\n``, with the quick parser if possible."""
        lines = _parse_plain(block, len(self.sample_ids), self.path, first_line)
        if lines is None or self._blank_line is not None:
            return self._parse_each_line(first_line, block)
        for line, name in enumerate(lines.names, start=first_line):
            self._check_name(name, line)
        return lines

    def _parse_each_line(self, first_line: int, block: bytes) -> ParsedLines:
        names: list[str] = []
        columns: list[NDArray[np.int32]] = []
        counts: list[NDArray[np.float32]] = []
        for line, content in enumerate(block.split(b"\n")[:-1], start=first_line):
            if not content.strip(b" "):
                self._blank_line = line if self._blank_line is None else self._blank_line
                continue
            if self._blank_line is not None:
                self._refuse("the line is blank, but not at the end", self._blank_line)
            values = self._parse_line(line, content, names)
            present = np.flatnonzero(values)
            columns.append(present.astype(np.int32))
            counts.append(values[present].astype(np.float32))
        return ParsedLines(
            names,
            np.array([part.size for part in columns], dtype=np.int64),
            np.concatenate([np.empty(0, np.int32), *columns]),
            np.concatenate([np.empty(0, np.float32), *counts]),
        )

    def _parse_line(self, line: int, content: bytes, names: list[str]) -> NDArray[np.float64]:
        cells = content.split(b"\t")
        expected = len(self.sample_ids) + 1
        if len(cells) != expected:
            self._refuse(
                f"{len(cells)} columns where the header has {expected}",
                line,
                min(len(cells), expected + 1),
            )
        name = decode(cells[0], self.path, line).strip()
        self._check_name(name, line)
        names.append(name)
        values = _whole_numbers(cells[1:])
        if values is None:
            self._explain(line, name, cells)
        return values

    def _explain(self, line: int, feature: str, cells: list[bytes]) -> NoReturn:
        for column, cell in enumerate(cells[1:], start=2):
            wrong = _what_is_wrong(decode(cell, self.path, line, column).strip())
            if wrong is not None:
                sample = self.sample_ids[column - 2]
                self._refuse(f"feature {feature!r}, sample {sample!r}: {wrong}", line, column)
        raise AssertionError("a line was refused without a wrong count")

    def _check_name(self, name: str, line: int) -> None:
        if not name:
            self._refuse("the name of the feature is empty", line, 1)
        before = self.line_of_feature.setdefault(name, line)
        if before != line:
            self._refuse(f"feature {name!r} is already in line {before}", line, 1)

    def _refuse(self, message: str, line: int, column: int | None = None) -> NoReturn:
        raise InputError(message, source=str(self.path), line=line, column=column)


def _parse_plain(block: bytes, samples: int, path: Path, first_line: int) -> ParsedLines | None:
    """Parse lines whose counts are all digits; ``None`` if any line has other characters."""
    data = np.frombuffer(block, dtype=np.uint8)
    kind = np.frombuffer(block.translate(_KIND_OF_BYTE), dtype=np.uint8)
    separates = kind == _SEPARATOR
    ends, line_ends = np.flatnonzero(separates), np.flatnonzero(data == ord("\n"))
    width = samples + 1
    if ends.size != line_ends.size * width or (ends[samples::width] != line_ends).any():
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    name_starts, name_ends = starts[::width], ends[::width]
    if _others_outside_names(kind, name_starts, name_ends):
        return None
    # Most counts are zero: they are recognised by their bytes and never parsed.
    lone_zero = (data[:-1] == ord("0")) & separates[1:]
    cells = np.flatnonzero(~np.append(lone_zero, False)[starts])
    lines, columns = np.divmod(cells, width)
    is_count = columns > 0
    cells, lines, columns = cells[is_count], lines[is_count], columns[is_count] - 1
    values = _digits_to_numbers(data, starts[cells], ends[cells] - starts[cells])
    if values is None:
        return None
    names = [
        decode(block[start:end], path, line).strip()
        for line, (start, end) in enumerate(
            zip(name_starts.tolist(), name_ends.tolist(), strict=True), start=first_line
        )
    ]
    stored = values > 0  # not so for 00
    return ParsedLines(
        names,
        np.bincount(lines[stored], minlength=line_ends.size).astype(np.int64),
        columns[stored].astype(np.int32),
        values[stored].astype(np.float32),
    )


def _others_outside_names(
    kind: NDArray[np.uint8], name_starts: NDArray[np.int64], name_ends: NDArray[np.int64]
) -> bool:
    """Return whether any count contains a byte that is not a digit."""
    others = np.flatnonzero(kind == _OTHER)
    inside = np.searchsorted(others, name_ends) - np.searchsorted(others, name_starts)
    return int(inside.sum()) != others.size


def _digits_to_numbers(
    data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """Return the numbers, ``None`` if one is empty, very long or too large."""
    longest = int(lengths.max(initial=0))
    if lengths.min(initial=1) < 1 or longest > _LONGEST_PLAIN:
        return None
    values = np.zeros(starts.size, dtype=np.int64)
    for place in range(longest):
        reaches = lengths > place
        digits = data[starts[reaches] + place].astype(np.int64) - ord("0")
        values[reaches] = values[reaches] * 10 + digits
    return values if values.max(initial=0) <= LARGEST_COUNT else None


def _whole_numbers(cells: list[bytes]) -> NDArray[np.float64] | None:
    """Return the counts of a line, ``None`` if one of them is not a count."""
    if b"".join(cells).translate(None, _NUMBER_BYTES):
        return None
    try:
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
    except ValueError:
        return None
    right = (values >= 0) & (values <= LARGEST_COUNT) & (values == np.floor(values))
    return values if right.all() else None


def _what_is_wrong(text: str) -> str | None:
    """Return the error in one count, ``None`` if it is valid."""
    shown = repr(text if len(text) <= 40 else text[:40] + "…")
    if not text:
        return "the count is empty; write 0 where there are no reads"
    lowered = text.lower().lstrip("+-")
    if lowered in ("nan", "na", "n/a", "null", "none"):
        return f"the count is missing ({shown}); write 0 where there are no reads"
    if lowered in ("inf", "infinity"):
        return f"the count is infinite ({shown})"
    if _NUMBER.fullmatch(text) is None:
        return f"the count is not a number ({shown})"
    value = float(text)
    if value < 0:
        return f"the count is negative ({shown})"
    if value > LARGEST_COUNT:
        return f"the count is absurdly large ({shown}); more than 1e9 reads are not believed"
    if value != int(value):
        return f"the count is fractional ({shown}); raw counts are needed, not normalised ones"
    return None


MATRIX = CountsLayout(
    "table of features and samples", lambda _head: True, lambda head: read_matrix(head.path)
)
