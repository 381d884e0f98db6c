"""Counts on disk, written one row per feature and read one row per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.errors import NeedsPersonError

if TYPE_CHECKING:
    from io import FileIO

    from numpy.typing import NDArray


_PIECE_ENTRIES = 1 << 22


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """Parsed lines: the name of each, and their non-zero counts, line by line."""

    names: list[str]
    stored: NDArray[np.int64]  # non-zero counts of each line
    columns: NDArray[np.int32]  # sample of each count
    counts: NDArray[np.float32]


class CountsSpill:
    """Non-zero counts in a temporary file, in pieces ordered by sample.

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
        self._waiting: list[ParsedLines] = []
        self._entries = 0
        self._features = 0  # number of features in finished pieces
        self._pieces: list[tuple[int, int]] = []  # (start in the file, entries)

    def add(self, lines: ParsedLines) -> None:
        """Add the counts of the next lines.

        Raises
        ------
        NeedsPersonError
            The file cannot be written, as when the disk is full.
        """
        self._waiting.append(lines)
        self._entries += lines.columns.size
        if self._entries >= _PIECE_ENTRIES:
            self.finish_piece()

    def finish_piece(self) -> None:
        """Write the buffered counts as a piece, transposed to one row per sample.

        Raises
        ------
        NeedsPersonError
            The file cannot be written, as when the disk is full.
        """
        if not self._waiting:
            return
        stored = np.concatenate([lines.stored for lines in self._waiting])
        by_feature = csr_matrix(
            (
                np.concatenate([lines.counts for lines in self._waiting]),
                np.concatenate([lines.columns for lines in self._waiting]),
                np.concatenate([[0], np.cumsum(stored)]),
            ),
            shape=(stored.size, self._samples),
        )
        self._waiting.clear()
        by_sample = by_feature.tocsc()
        features = by_sample.indices.astype(np.int32) + np.int32(self._features)
        try:
            self._pieces.append((self._file.tell(), self._entries))
            for array in (
                by_sample.indptr.astype(np.int64),
                features,
                by_sample.data.astype(np.float32),
            ):
                self._write(array)
        except OSError as error:
            raise NeedsPersonError(
                f"counts cannot be written to a temporary file: {error.strerror or error};"
                " free some space or set another folder for temporary files (TMPDIR)"
            ) from error
        self._features += stored.size
        self._entries = 0

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

    def _write(self, array: NDArray[np.generic]) -> None:
        waiting = array.view(np.uint8).data
        while waiting.nbytes:
            waiting = waiting[self._file.write(waiting) :]

    def _read(self, start: int, dtype: type[np.generic], size: int) -> NDArray[np.generic]:
        self._file.seek(start)
        return np.frombuffer(self._file.read(size * np.dtype(dtype).itemsize), dtype=dtype)
