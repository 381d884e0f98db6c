"""Checks that hold for every layout: rows that are no RNA, and values that are no reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.other_rows import is_summary, spike_ins
from annotator.domain.wording import counted, some
from annotator.errors import InputError
from annotator.reading.counts.layout import SAMPLES_AT_ONCE
from annotator.reading.counts.matrix.counts_file import CountsFile
from annotator.reading.counts.normalised import TableValues, name_evidence, normalised_reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from annotator.reading.counts.layout import CountsTable


@dataclass(frozen=True, eq=False)
class ScreenedTable:
    """A table without the rows that are no RNA, in whole reads; see ``CountsTable``.

    Attributes
    ----------
    table
        The whole table.
    kept
        Places of the features that are kept; ``None`` if all are.
    is_whole
        Whether all counts are whole numbers.
    notes
        As in :class:`CountsTable`.
    spike_in_reads
        Reads of spike-ins per sample; empty if the table has no spike-ins.
    """

    table: CountsTable
    kept: NDArray[np.int64] | None
    is_whole: bool
    notes: tuple[str, ...]
    spike_in_reads: Mapping[str, int] = field(default_factory=dict)

    @property
    def sample_ids(self) -> Sequence[str]:
        """Ids of the samples, in the order of the file."""
        return self.table.sample_ids

    @property
    def feature_names(self) -> Sequence[str]:
        """Names of the features that are RNA, in the order of the file."""
        if self.kept is None:
            return self.table.feature_names
        return tuple(self.table.feature_names[at] for at in self.kept.tolist())

    def batches(
        self, samples_at_once: int = SAMPLES_AT_ONCE
    ) -> Iterator[tuple[Sequence[str], csr_matrix]]:
        """Yield the counts, some samples at a time; may be called more than once."""
        for ids, counts in self.table.batches(samples_at_once):
            selected = counts if self.kept is None else csr_matrix(counts[:, self.kept])
            yield ids, selected if self.is_whole else _in_whole_reads(selected)


def screened(
    table: CountsTable, path: Path, detected: str = "counts", *, has_reads: bool = False
) -> ScreenedTable:
    """Leave out rows that are no RNA, and round fractions of reads.

    Parameters
    ----------
    table
        Counts, which may have fractions.
    path
        The file, whose name may show that it has normalised values.
    detected
        What was recognised in the file; with the size, it becomes the first note.
    has_reads
        Whether the values are known to be reads.

    Raises
    ------
    InputError
        The values are no counts of reads but normalised, scaled or logarithms, or there is
        no RNA.
    """
    names = table.feature_names
    _refuse_numbers(names, path)
    spikes = spike_ins(names)
    sums = frozenset(name for name in names if is_summary(name))
    kept = np.flatnonzero([name not in spikes and name not in sums for name in names])
    if not kept.size:
        raise InputError("no row is an RNA", source=str(path))
    all_kept = kept.size == len(names)
    if all_kept and isinstance(table, CountsFile) and table.is_whole:
        values = TableValues.of_whole_totals(table.totals, len(names))
    else:
        values = TableValues.of_batches(
            (counts for _, counts in table.batches()), _roles(names, spikes, sums)
        )
    evidence = None if has_reads else name_evidence(path.name, table.sample_ids)
    reason = None if has_reads else normalised_reason(values, evidence)
    if reason is not None:
        raise InputError(
            f"these are no counts of reads: {reason}; import the raw counts", source=str(path)
        )
    notes = [
        *_left_out(
            names, sums, values.summary_reads, values.reads, "sums or reads without a feature"
        ),
        *_left_out(names, spikes, values.spike_reads, values.reads, "spike-ins or controls"),
        *values.notes(evidence),
    ]
    size = f"{counted(len(table.sample_ids), 'sample')} × {counted(kept.size, 'feature')}"
    return ScreenedTable(
        table,
        None if all_kept else kept,
        values.is_whole,
        (f"{detected}: {size}", *table.notes, *notes),
        _reads_of(table, spikes),
    )


def _reads_of(table: CountsTable, features: frozenset[str]) -> dict[str, int]:
    """Return the reads of some features per sample; nothing if there are no such features."""
    places = np.flatnonzero([name in features for name in table.feature_names])
    found: dict[str, int] = {}
    if places.size:
        for ids, counts in table.batches():
            reads = np.asarray(counts[:, places].sum(axis=1)).ravel()
            found |= dict(zip(ids, np.rint(reads).astype(int).tolist(), strict=True))
    return found


def _refuse_numbers(names: Sequence[str], path: Path) -> None:
    """Refuse features that were only numbered, as a data frame without row names is."""
    if len(names) > 1 and any(
        all(name == str(at) for at, name in enumerate(names, start=start)) for start in (0, 1)
    ):
        raise InputError(
            f"the features are numbered ({names[0]}, {names[1]}, …) and have no names; use the"
            " names of the RNAs as names of rows (in AnnData, var_names)",
            source=str(path),
        )


def _roles(names: Sequence[str], spikes: frozenset[str], sums: frozenset[str]) -> NDArray[np.int8]:
    """Return 0 for an RNA, 1 for a sum or leftover and 2 for a spike-in."""
    return np.array(
        [2 if name in spikes else 1 if name in sums else 0 for name in names], dtype=np.int8
    )


def _left_out(
    names: Sequence[str], out: frozenset[str], reads: float, total: float, what: str
) -> list[str]:
    if not out:
        return []
    share = f"{reads / total:.1%}" if total else "none"
    rows = counted(len(out), "row is", "rows are")
    listed = some([name for name in names if name in out])
    return [f"{rows} left out as {what}, with {share} of all reads: {listed}"]


def _in_whole_reads(counts: csr_matrix) -> csr_matrix:
    rounded = csr_matrix(
        (np.rint(counts.data), counts.indices.copy(), counts.indptr.copy()),
        shape=counts.shape,
        dtype=np.float32,
    )
    rounded.eliminate_zeros()
    return rounded
