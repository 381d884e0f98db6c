"""The parts of a layout of counts, and the table that reading one returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from scipy.sparse import csr_matrix, issparse

from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from annotator.reading.text.head import Head

SAMPLES_AT_ONCE = 256


class CountsTable(Protocol):
    """Counts that have been read to their end; ids and names are unique and not empty."""

    @property
    def sample_ids(self) -> Sequence[str]:
        """Ids of the samples, in the order of the file."""
        ...

    @property
    def feature_names(self) -> Sequence[str]:
        """Names of the features, in the order of the file."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """One line for each thing that was detected, converted or left out."""
        ...

    def batches(
        self, samples_at_once: int = SAMPLES_AT_ONCE
    ) -> Iterator[tuple[Sequence[str], csr_matrix]]:
        """Yield the counts, some samples at a time; may be called more than once.

        Yields
        ------
        sample_ids, counts
            Counts have shape ``(samples, features)``, dtype float32, sorted indices and no
            explicit zeros.
        """
        ...


@dataclass(frozen=True)
class CountsLayout:
    """One way in which counts are written to files.

    Attributes
    ----------
    name
        For messages, such as ``miRge3 miR.Counts.csv``.
    recognises
        Whether a file has this layout, from its first lines and its name.
    read
        Opens the file; everything is checked before the table is returned. Raises
        InputError for an error in the file.
    is_general
        Whether files without counts of reads may have this layout, too.
    has_reads
        Whether the layout itself shows that its values are reads, so that they need not be
        told from normalised ones.
    replaces
        The name of the layout whose files have the same reads, less precisely.
    """

    name: str
    recognises: Callable[[Head], bool]
    read: Callable[[Head], AbstractContextManager[CountsTable]]
    is_general: bool = False
    has_reads: bool = False
    replaces: str = ""


@dataclass(frozen=True, eq=False)
class MemoryTable:
    """A table of counts in one matrix, in memory or in a file that stays open.

    Attributes
    ----------
    sample_ids, feature_names, notes
        As in :class:`CountsTable`.
    counts
        Shape ``(samples, features)``, sparse or dense; may have fractions.
    """

    sample_ids: tuple[str, ...]
    feature_names: tuple[str, ...]
    counts: Any
    notes: tuple[str, ...] = ()

    def batches(
        self, samples_at_once: int = SAMPLES_AT_ONCE
    ) -> Iterator[tuple[Sequence[str], csr_matrix]]:
        """Yield the counts, some samples at a time; see :class:`CountsTable`."""
        for first in range(0, len(self.sample_ids), samples_at_once):
            ids = self.sample_ids[first : first + samples_at_once]
            rows = rows_of(self.counts, first, first + len(ids))
            rows.sum_duplicates()
            rows.eliminate_zeros()
            yield ids, rows


def rows_of(matrix: Any, first: int, last: int) -> csr_matrix:
    """Return rows of a matrix of any kind, as float32."""
    part: Any = matrix[first:last]
    rows: Any = part if issparse(part) else np.asarray(part)
    found = csr_matrix(rows, dtype=np.float32)
    found.check_format(full_check=True)  # indices outside of a damaged matrix end the process
    return found


@dataclass(frozen=True, eq=False)
class _Renamed:
    sample_ids: tuple[str, ...]
    notes: tuple[str, ...]
    table: CountsTable

    @property
    def feature_names(self) -> Sequence[str]:
        return self.table.feature_names

    def batches(
        self, samples_at_once: int = SAMPLES_AT_ONCE
    ) -> Iterator[tuple[Sequence[str], csr_matrix]]:
        first = 0
        for ids, counts in self.table.batches(samples_at_once):
            yield self.sample_ids[first : first + len(ids)], counts
            first += len(ids)


def renamed(
    table: CountsTable, sample_ids: Sequence[str], notes: Sequence[str], path: Path
) -> CountsTable:
    """Return the table with other sample ids, in the same order.

    Raises
    ------
    InputError
        Two samples would have the same id.
    """
    seen: dict[str, str] = {}
    for new, old in zip(sample_ids, table.sample_ids, strict=True):
        before = seen.setdefault(new, old)
        if before != old:
            raise InputError(
                f"samples {before!r} and {old!r} would both be {new!r}", source=str(path)
            )
    return _Renamed(tuple(sample_ids), (*table.notes, *notes), table)
