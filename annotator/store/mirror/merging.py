"""Merging imported counts into the expression in the mirror."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.fields import FeatureKind
from annotator.domain.imports import UnnamedFeatures
from annotator.errors import InputError
from annotator.store.mirror.expression import read_profiles, write_expression
from annotator.store.mirror.features import FeatureTable, read_features
from annotator.store.mirror.signatures import signatures_of, write_signatures

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg
    from numpy.typing import NDArray

    from annotator.domain.imports import ImportedCounts, SampleRecord


@dataclass(frozen=True, slots=True)
class MergedExpression:
    """The result of merging.

    Attributes
    ----------
    changed
        The samples whose expression was written.
    counts_changed
        Number of stored counts of these samples that were set to another value.
    repaired
        Number of samples whose stored expression could not be read.
    unnamed
        The stored features of the imported kind that the file does not name.
    """

    changed: set[str]
    counts_changed: int
    repaired: int
    unnamed: UnnamedFeatures


@dataclass(frozen=True, eq=False)
class _Columns:
    """How the columns of the mirror are merged, each ``(features,)``.

    ``given`` are named by the file, and ``unnamed`` are the others of its kind; stored counts
    are kept in ``kept`` columns.
    """

    features: FeatureTable
    given: NDArray[np.bool_]
    unnamed: NDArray[np.bool_]
    kept: NDArray[np.bool_]


@dataclass(eq=False)
class _Tally:
    """Counts over the batches."""

    is_unnamed: NDArray[np.bool_]
    changed: dict[str, bytes | None] = field(default_factory=dict)  # with digests
    counts_changed: int = 0
    repaired: int = 0
    samples_with_unnamed: int = 0


def merge_expression(
    conn: psycopg.Connection,
    samples: Sequence[SampleRecord],
    counts: ImportedCounts,
    added: set[str],
    *,
    replace: bool,
) -> MergedExpression:
    """Write the expression that differs from that in the mirror.

    A feature that the file names gets the file's counts, also zero. Counts of the
    other features are kept; if the file replaces everything, only those of the other
    kind. A sample that is not new gets a new ``updated_at``. The parameters are those of
    :func:`annotator.store.mirror.importing.apply_import`, and ``added`` contains the
    samples that are new. One batch is held in memory at a time.

    Raises
    ------
    InputError
        Counts are not numbers of reads, or belong to samples that are not listed.
    """
    waiting = {record.sample_id for record in samples}
    features = read_features(conn)
    places = features.columns_of_names(counts.feature_names)
    columns = _columns(features, places, counts.kind, replace=replace)
    tally = _Tally(np.zeros(len(features.ids), dtype=bool))
    for sample_ids, batch in counts.batches:
        for sample_id in sample_ids:
            if sample_id not in waiting:
                raise InputError(
                    f"the counts of sample {sample_id!r} are given twice or without the sample"
                )
            waiting.remove(sample_id)
        if batch.shape != (len(sample_ids), len(counts.feature_names)):
            raise InputError(
                f"counts of shape {batch.shape} for {len(sample_ids)} samples and"
                f" {len(counts.feature_names)} features"
            )
        given = _in_columns(batch, places, len(features.ids))
        _apply_batch(conn, sample_ids, given, columns, added, tally)
    if tally.changed:
        write_signatures(conn, tally.changed)
    return MergedExpression(
        changed=set(tally.changed),
        counts_changed=tally.counts_changed,
        repaired=tally.repaired,
        unnamed=UnnamedFeatures(
            int(np.count_nonzero(tally.is_unnamed)), tally.samples_with_unnamed
        ),
    )


def _columns(
    features: FeatureTable, places: NDArray[np.int64], kind: str, *, replace: bool
) -> _Columns:
    given = np.zeros(len(features.ids), dtype=bool)
    given[places] = True
    of_kind = features.kinds == str(FeatureKind(kind))
    return _Columns(features, given, of_kind & ~given, ~of_kind if replace else ~given)


def _in_columns(counts: csr_matrix, columns: NDArray[np.int64], width: int) -> csr_matrix:
    """Return the counts in the columns of the mirror's features."""
    table: csr_matrix = csr_matrix(counts, dtype=np.float32)
    moved: csr_matrix = csr_matrix(
        (table.data, columns[table.indices], table.indptr), shape=(table.shape[0], width), copy=True
    )
    moved.sum_duplicates()
    moved.eliminate_zeros()
    return moved


def _apply_batch(
    conn: psycopg.Connection,
    sample_ids: Sequence[str],
    given: csr_matrix,
    columns: _Columns,
    added: set[str],
    tally: _Tally,
) -> None:
    stored, unreadable = _stored_counts(
        conn, [None if one in added else one for one in sample_ids], columns.features
    )
    _tally_unnamed(stored, columns, tally)
    kept = stored.copy()
    kept.data[~columns.kept[kept.indices]] = 0
    kept.eliminate_zeros()
    merged = csr_matrix(given + kept)
    difference = csr_matrix(merged - stored)
    difference.eliminate_zeros()
    rows = np.flatnonzero((np.diff(difference.indptr) > 0) | unreadable)
    if len(rows) == 0:
        return
    tally.repaired += int(np.count_nonzero(unreadable))
    tally.counts_changed += _stored_before(difference[rows], stored[rows], columns.given)
    changed = [sample_ids[row] for row in rows.tolist()]
    written = csr_matrix(merged[rows])
    written.sort_indices()
    write_expression(conn, changed, columns.features.ids, written)
    conn.execute(
        "update atlas.sample set updated_at = clock_timestamp() where sample_id = any(%s)",
        [[one for one in changed if one not in added]],
    )
    tally.changed |= dict(zip(changed, signatures_of(columns.features, written), strict=True))


def _tally_unnamed(stored: csr_matrix, columns: _Columns, tally: _Tally) -> None:
    """Count the stored features of the file's kind that the file does not name."""
    if not columns.unnamed.any():
        return
    found = np.flatnonzero(columns.unnamed[stored.indices])
    tally.is_unnamed[stored.indices[found]] = True
    rows = np.searchsorted(stored.indptr, found, side="right")
    tally.samples_with_unnamed += len(np.unique(rows))


def _stored_before(difference: csr_matrix, stored: csr_matrix, is_given: NDArray[np.bool_]) -> int:
    """Return how many of the differences in given columns are changes of stored counts."""
    both = csr_matrix(difference.astype(bool).multiply(stored.astype(bool)))
    return int(np.count_nonzero(is_given[both.indices]))


def _stored_counts(
    conn: psycopg.Connection, sample_ids: Sequence[str | None], features: FeatureTable
) -> tuple[csr_matrix, NDArray[np.bool_]]:
    """Read the stored counts of samples, and whether the stored row is damaged.

    ``None`` stands for a new sample; its row is empty, like that of a sample without counts.
    """
    row_of = {one: row for row, one in enumerate(sample_ids) if one is not None}
    lengths = np.zeros(len(sample_ids), dtype=np.int64)
    damaged = np.zeros(len(sample_ids), dtype=bool)
    read = read_profiles(conn, list(row_of), features=features)
    counts = read.profiles.counts
    lengths[[row_of[one] for one in read.profiles.sample_ids]] = np.diff(counts.indptr)
    for one, error in read.rejected.items():
        damaged[row_of[one]] = error.code != "no_counts"
    ends = np.concatenate(([0], np.cumsum(lengths)))
    stored: csr_matrix = csr_matrix(
        (counts.data, counts.indices, ends), shape=(len(sample_ids), len(features.ids))
    )
    return stored, damaged
