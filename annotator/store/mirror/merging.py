"""Merging imported counts into the expression in the mirror."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.fields import FeatureKind
from annotator.errors import InputError
from annotator.store.mirror.expression import read_profiles, write_expression
from annotator.store.mirror.features import FeatureTable, read_features
from annotator.store.mirror.signatures import signatures_of, write_signatures

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg
    from numpy.typing import NDArray

    from annotator.domain.imports import SampleRecord


def merge_expression(
    conn: psycopg.Connection,
    samples: Sequence[SampleRecord],
    feature_names: Sequence[str],
    kind: str,
    batches: Iterable[tuple[Sequence[str], csr_matrix]],
    added: set[str],
) -> set[str]:
    """Write the expression that differs from that in the mirror.

    Counts of the other kind of features are kept, and a sample that is not new gets a
    new ``updated_at``. The parameters are those of
    :func:`annotator.store.mirror.importing.apply_import`, and ``added`` contains the
    samples that are new. One batch is held in memory at a time.

    Returns
    -------
    set
        The samples whose expression was written.

    Raises
    ------
    InputError
        Counts are not numbers of reads, or belong to samples that are not listed.
    """
    waiting = {record.sample_id for record in samples}
    features = read_features(conn)
    columns = features.columns_of_names(feature_names)
    is_other_kind = features.kinds != str(FeatureKind(kind))
    changed: dict[str, bytes | None] = {}
    for sample_ids, counts in batches:
        for sample_id in sample_ids:
            if sample_id not in waiting:
                raise InputError(
                    f"the counts of sample {sample_id!r} are given twice or without the sample"
                )
            waiting.remove(sample_id)
        if counts.shape != (len(sample_ids), len(feature_names)):
            raise InputError(
                f"counts of shape {counts.shape} for {len(sample_ids)} samples and"
                f" {len(feature_names)} features"
            )
        given = _in_columns(counts, columns, len(features.ids))
        changed |= _apply_batch(conn, sample_ids, given, features, is_other_kind, added)
    if changed:
        write_signatures(conn, changed)
    return set(changed)


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
    features: FeatureTable,
    is_other_kind: NDArray[np.bool_],
    added: set[str],
) -> dict[str, bytes | None]:
    """Write the samples that differ; return them with the digests of their counts."""
    stored, unreadable = _stored_counts(
        conn, [None if one in added else one for one in sample_ids], features
    )
    kept = stored.copy()
    kept.data[~is_other_kind[kept.indices]] = 0
    kept.eliminate_zeros()
    merged = csr_matrix(given + kept)
    difference = csr_matrix(merged - stored)
    difference.eliminate_zeros()
    rows = np.flatnonzero((np.diff(difference.indptr) > 0) | unreadable)
    if len(rows) == 0:
        return {}
    changed = [sample_ids[row] for row in rows.tolist()]
    written = csr_matrix(merged[rows])
    written.sort_indices()
    write_expression(conn, changed, features.ids, written)
    conn.execute(
        "update atlas.sample set updated_at = clock_timestamp() where sample_id = any(%s)",
        [[one for one in changed if one not in added]],
    )
    return dict(zip(changed, signatures_of(features, written), strict=True))


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
