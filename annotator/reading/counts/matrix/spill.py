"""Counts on disk, written line by line of a file and read one row per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.sparse import csr_matrix

from annotator.errors import NeedsPersonError

if TYPE_CHECKING:
    from io import FileIO

    from numpy.typing import NDArray


_PIECE_ENTRIES = 1 << 22
_RUNS_AT_ONCE = 1 << 13
_ENTRY = np.dtype([("column", "<i4"), ("count", "<f4")])


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """Parsed lines: the name of each, and their non-zero counts, line by line."""

    names: list[str]
    stored: NDArray[np.int64]  # non-zero counts of each line
    columns: NDArray[np.int32]  # sample of each count
    counts: NDArray[np.float32]


class Spill(Protocol):
    """Counts in a temporary file, read one row per sample.

    Attributes
    ----------
    totals
        Sum of the counts of each sample in the finished pieces, float64.
    is_whole
        Whether all counts in the finished pieces are whole numbers.
    """

    totals: NDArray[np.float64]
    is_whole: bool

    def add(self, lines: ParsedLines) -> None:
        """Add the counts of the next lines; raises NeedsPersonError if the disk is full."""
        ...

    def finish_piece(self) -> None:
        """Write the buffered counts; raises NeedsPersonError if the disk is full."""
        ...

    def rows(self, first: int, last: int, features: int) -> csr_matrix:
        """Return samples ``first`` to ``last`` (exclusive): float32, sorted indices."""
        ...


class _Waiting:
    """Parsed lines that are not yet written."""

    def __init__(self) -> None:
        self._lines: list[ParsedLines] = []
        self.entries = 0

    def add(self, lines: ParsedLines) -> bool:
        """Add lines; return whether there are enough for a piece."""
        self._lines.append(lines)
        self.entries += lines.columns.size
        return self.entries >= _PIECE_ENTRIES

    def take(self) -> ParsedLines | None:
        """Return all lines as one and forget them; ``None`` if there are none."""
        lines = self._lines
        if not lines:
            return None
        self._lines, self.entries = [], 0
        return ParsedLines(
            [name for each in lines for name in each.names],
            np.concatenate([each.stored for each in lines]),
            np.concatenate([each.columns for each in lines]),
            np.concatenate([each.counts for each in lines]),
        )


class CountsSpill:
    """Non-zero counts of lines that are features, in pieces ordered by sample.

    A piece holds the counts of consecutive features, as three arrays: where each
    sample starts (int64, samples + 1), features (int32) and counts (float32).

    Parameters
    ----------
    file
        Empty file, open for reading and writing, unbuffered: a buffer that cannot be
        written would fail again when the file is closed.
    samples
        Number of samples.
    """

    def __init__(self, file: FileIO, samples: int) -> None:
        self._file, self._samples = file, samples
        self.totals, self.is_whole = np.zeros(samples), True
        self._waiting = _Waiting()
        self._features = 0  # number of features in finished pieces
        self._pieces: list[tuple[int, int]] = []  # (start in the file, entries)

    def add(self, lines: ParsedLines) -> None:
        """Add the counts of the next lines.

        Raises
        ------
        NeedsPersonError
            The file cannot be written, as when the disk is full.
        """
        if self._waiting.add(lines):
            self.finish_piece()

    def finish_piece(self) -> None:
        """Write the buffered counts as a piece, transposed to one row per sample.

        Raises
        ------
        NeedsPersonError
            The file cannot be written, as when the disk is full.
        """
        lines = self._waiting.take()
        if lines is None:
            return
        by_feature = csr_matrix(
            (lines.counts, lines.columns, np.concatenate([[0], np.cumsum(lines.stored)])),
            shape=(lines.stored.size, self._samples),
        )
        features_before = self._features
        self._features += lines.stored.size
        del lines
        by_sample = by_feature.tocsc()
        del by_feature
        self.is_whole = self.is_whole and _are_whole(by_sample.data)
        self.totals += _sums(by_sample.data, by_sample.indptr)
        features = by_sample.indices.astype(np.int32) + np.int32(features_before)
        self._pieces.append((self._file.tell(), by_sample.nnz))
        for array in (
            by_sample.indptr.astype(np.int64),
            features,
            by_sample.data.astype(np.float32),
        ):
            _write(self._file, array)

    def rows(self, first: int, last: int, features: int) -> csr_matrix:
        """Return samples ``first`` to ``last`` (exclusive), one row per sample.

        Returns
        -------
        csr_matrix
            Shape ``(last - first, features)``, float32, sorted indices.
        """
        rows, columns, counts = [], [], []
        for start, entries in self._pieces:
            limits = self._read(start + 8 * first, np.int64, last - first + 1)
            begin, size = int(limits[0]), int(limits[-1] - limits[0])
            feature_start = start + 8 * (self._samples + 1)
            rows.append(np.repeat(np.arange(last - first, dtype=np.int32), np.diff(limits)))
            columns.append(self._read(feature_start + 4 * begin, np.int32, size))
            counts.append(self._read(feature_start + 4 * (entries + begin), np.float32, size))
        matrix = csr_matrix(
            (np.concatenate(counts), (np.concatenate(rows), np.concatenate(columns))),
            shape=(last - first, features),
            dtype=np.float32,
        )
        matrix.sort_indices()
        return matrix

    def _read(self, start: int, dtype: type[np.generic], size: int) -> NDArray[np.generic]:
        self._file.seek(start)
        return np.frombuffer(self._file.read(size * np.dtype(dtype).itemsize), dtype=dtype)


class SampleSpill:
    """Non-zero counts of lines that are samples: features (int32) and counts (float32).

    Parameters
    ----------
    file
        Empty file, open for reading and writing, unbuffered.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.totals, self.is_whole = np.zeros(0), True
        self._ends = np.zeros(1, dtype=np.int64)  # end of each sample, after a zero
        self._waiting = _Waiting()

    def add(self, lines: ParsedLines) -> None:
        """Add the counts of the next samples.

        Raises
        ------
        NeedsPersonError
            The file cannot be written, as when the disk is full.
        """
        if self._waiting.add(lines):
            self.finish_piece()

    def finish_piece(self) -> None:
        """Write the buffered counts.

        Raises
        ------
        NeedsPersonError
            The file cannot be written, as when the disk is full.
        """
        lines = self._waiting.take()
        if lines is None:
            return
        entries = np.empty(lines.columns.size, dtype=_ENTRY)
        entries["column"], entries["count"] = lines.columns, lines.counts
        self.is_whole = self.is_whole and _are_whole(entries["count"])
        ends = np.cumsum(lines.stored)
        starts = np.concatenate([[0], ends])
        self.totals = np.concatenate([self.totals, _sums(entries["count"], starts)])
        self._ends = np.concatenate([self._ends, self._ends[-1] + ends])
        _write(self._file, entries)

    def rows(self, first: int, last: int, features: int) -> csr_matrix:
        """Return samples ``first`` to ``last`` (exclusive), one row per sample.

        Returns
        -------
        csr_matrix
            Shape ``(last - first, features)``, float32, sorted indices.
        """
        ends = self._ends[first : last + 1]
        self._file.seek(int(ends[0]) * _ENTRY.itemsize)
        read = self._file.read(int(ends[-1] - ends[0]) * _ENTRY.itemsize)
        entries = np.frombuffer(read, dtype=_ENTRY)
        return csr_matrix(
            (entries["count"].copy(), entries["column"].copy(), ends - ends[0]),
            shape=(last - first, features),
            dtype=np.float32,
        )


def _sums(counts: NDArray[np.float32], limits: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Return the sum of each run of counts, in float64 but a piece at a time."""
    sums = np.zeros(len(limits) - 1)
    filled = np.flatnonzero(np.diff(limits))
    for first in range(0, len(filled), _RUNS_AT_ONCE):
        runs = filled[first : first + _RUNS_AT_ONCE]
        start = limits[runs[0]]
        part = counts[start : limits[runs[-1] + 1]].astype(np.float64)
        sums[runs] = np.add.reduceat(part, limits[runs] - start)
    return sums


def _are_whole(counts: NDArray[np.float32]) -> bool:
    return bool((counts == np.rint(counts)).all())


def _write(file: FileIO, array: NDArray[np.generic]) -> None:
    waiting = array.view(np.uint8).data
    try:
        while waiting.nbytes:
            waiting = waiting[file.write(waiting) :]
    except OSError as error:
        raise NeedsPersonError(
            f"counts cannot be written to a temporary file: {error.strerror or error};"
            " free some space or set another folder for temporary files (TMPDIR)"
        ) from error
