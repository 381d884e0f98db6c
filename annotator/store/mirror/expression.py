"""Reading and writing expression in the mirror: one row per sample, arrays, binary COPY.

Rows may come from a view over other tables, so every row is checked, and reading one may
raise an error. A sample that cannot be used is returned with its reason; the others are not
affected.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg
from psycopg import sql
from scipy.sparse import csr_matrix

from annotator.domain.profiles import Profiles
from annotator.errors import InputError, SampleError, SchemaError
from annotator.store.mirror.features import FeatureTable, as_objects, read_features
from annotator.store.mirror.row_checks import (
    LARGEST_COUNT,
    UNREADABLE,
    Counts,
    RowChecker,
    no_counts,
)
from annotator.store.server.connection import hindered, lost
from annotator.store.server.copy_format import ExpressionRow, decode_row, encode_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray


LONGEST_MESSAGE = 300
"""Characters of a database's error message that become part of a reason."""


@dataclass(frozen=True, eq=False)
class ReadExpression:
    """Expression as read, and the samples that could not be used.

    Attributes
    ----------
    profiles
        The usable samples, in the requested order.
    hashes
        One per row of ``profiles``, dtype object: SHA-256 (hex) over the names
        and raw counts of all features of the sample, whichever kinds were
        requested.
    rejected
        The other samples, with the reason.
    """

    profiles: Profiles
    hashes: NDArray[np.object_]
    rejected: Mapping[str, SampleError]


def write_expression(
    conn: psycopg.Connection,
    sample_ids: Sequence[str],
    feature_ids: NDArray[Any],
    counts: csr_matrix,
) -> None:
    """Replace the expression of samples.

    This is part of the caller's transaction; the caller must prevent concurrent writes
    of the same sample.

    Parameters
    ----------
    sample_ids
        Distinct samples of the mirror, one per row of ``counts``.
    feature_ids
        The distinct ids of the columns, shape ``(features,)``, in any order.
    counts
        Raw reads, shape ``(samples, features)``; zeros are not stored.

    Raises
    ------
    InputError
        A count is negative, not finite or above 1e9.
    """
    order = np.argsort(feature_ids, kind="stable")
    table = csr_matrix(counts, dtype=np.float32, copy=True)
    if (order[1:] < order[:-1]).any():
        table = csr_matrix(table[:, order])
    table.sum_duplicates()
    table.eliminate_zeros()
    wrong = ~((table.data >= 0) & (table.data <= LARGEST_COUNT))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        row = int(np.searchsorted(table.indptr, first, side="right")) - 1
        raise InputError(
            f"sample {sample_ids[row]!r}: {table.data[first]} is not a number of reads"
        )
    ascending = np.asarray(feature_ids)[order].astype(np.int32)
    with conn.cursor() as cursor:
        cursor.execute("delete from atlas.expression where sample_id = any(%s)", [[*sample_ids]])
        with cursor.copy(
            "copy atlas.expression (sample_id, nnz, feature_ids, counts) from stdin (format binary)"
        ) as copy:
            for message in encode_rows(sample_ids, ascending, table):
                copy.write(message)


def read_profiles(
    conn: psycopg.Connection,
    sample_ids: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    *,
    features: FeatureTable | None = None,
) -> ReadExpression:
    """Read the expression of samples into one sparse matrix.

    Parameters
    ----------
    conn
        Connection; the caller's transaction is used.
    sample_ids
        The samples in their order; ``None`` for all of the mirror, ordered by id.
    kinds
        Kinds of features; ``None`` for all. Every feature of the mirror
        of these kinds is a column; columns are ordered by name.
    features
        The result of :func:`read_features`, if they have been read already.

    Returns
    -------
    ReadExpression
        A sample is rejected with ``no_counts`` (none at all, or none of these
        kinds), ``non_finite_counts``, ``negative_counts``, ``absurd_counts``
        (above 1e9), ``duplicate_features``, ``unknown_features``, ``too_many_features``
        (more elements than there are features; they are not sent by the server),
        ``mismatched_arrays`` or ``unreadable`` (its row raises an error).

    Raises
    ------
    SchemaError
        ``atlas.feature`` or ``atlas.expression`` is a view that violates the contract.
    """
    features = read_features(conn) if features is None else features
    chosen, column_of = _columns_of_kinds(features, kinds)
    wanted = _wanted_samples(conn) if sample_ids is None else sample_ids
    room = min(_stored_values(conn, sample_ids), len(wanted) * len(features.ids))
    matrix = _GrowingMatrix(room, len(chosen))
    names: list[str] = []
    hashes: list[str] = []
    rejected: dict[str, SampleError] = {}
    for sample_id, read in _read_safely(conn, wanted, features, everything=sample_ids is None):
        kept = _of_kinds(read, column_of) if isinstance(read, Counts) else read
        if isinstance(kept, SampleError):
            rejected[sample_id] = kept
            continue
        assert isinstance(read, Counts)
        matrix.append(kept)
        names.append(sample_id)
        hashes.append(_hash(features.digests[read.columns], read.values))
    profiles = Profiles(
        sample_ids=as_objects(names),
        features=features.names[chosen],
        kinds=features.kinds[chosen],
        counts=matrix.finish(),
    )
    return ReadExpression(profiles, as_objects(hashes), rejected)


class _GrowingMatrix:
    """A CSR matrix whose rows are appended to preallocated arrays."""

    def __init__(self, room: int, columns: int) -> None:
        fits = room < np.iinfo(np.int32).max
        self._indices: NDArray[Any] = np.empty(room, dtype=np.int32 if fits else np.int64)
        self._values = np.empty(room, dtype=np.float32)
        self._ends = [0]
        self._columns = columns

    def append(self, row: Counts) -> None:
        start = self._ends[-1]
        end = start + len(row.columns)
        if end > len(self._values):  # nnz is less than the length of the arrays
            self._resize(end + end // 2)
        self._indices[start:end] = row.columns
        self._values[start:end] = row.values
        self._ends.append(end)

    def _resize(self, room: int) -> None:
        # In place: no second copy of a large matrix, not even for a moment.
        self._indices.resize(room, refcheck=False)
        self._values.resize(room, refcheck=False)

    def finish(self) -> csr_matrix:
        self._resize(self._ends[-1])
        ends = np.array(self._ends, dtype=self._indices.dtype)
        shape = (len(ends) - 1, self._columns)
        matrix: csr_matrix = csr_matrix(
            (self._values, self._indices, ends), shape=shape, copy=False
        )
        matrix.has_sorted_indices = True
        matrix.has_canonical_format = True
        return matrix


def _columns_of_kinds(
    features: FeatureTable, kinds: Sequence[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Return the wanted columns and, unless all are wanted, the new column (or -1) of each."""
    if kinds is None:
        return np.arange(len(features.ids)), None
    is_wanted = np.isin(features.kinds.astype(str), [str(kind) for kind in kinds])
    if is_wanted.all():
        return np.arange(len(features.ids)), None
    return np.flatnonzero(is_wanted), np.where(is_wanted, np.cumsum(is_wanted) - 1, -1)


def _of_kinds(read: Counts, column_of: NDArray[np.int64] | None) -> Counts | SampleError:
    if column_of is None:
        return read
    columns = column_of[read.columns]
    is_wanted = columns >= 0
    if not is_wanted.any():
        return SampleError("no_counts", "the sample has no reads of the wanted kinds of features")
    return Counts(columns[is_wanted], read.values[is_wanted])


def _hash(digests: NDArray[np.uint64], values: NDArray[np.float32]) -> str:
    """Hash the features, in the order of their names, and their counts."""
    content = hashlib.sha256(digests.astype("<u8", copy=False).tobytes())
    content.update(values.astype("<f4", copy=False).tobytes())
    return content.hexdigest()


def _wanted_samples(conn: psycopg.Connection) -> list[str]:
    rows = conn.execute(
        "select distinct sample_id::text from atlas.sample where sample_id is not null"
    ).fetchall()
    return sorted(row[0] for row in rows)


def _of_samples(sample_ids: Sequence[str] | None) -> tuple[sql.Composable, list[list[str]]]:
    """Return the condition that limits a statement to these samples, and its parameters."""
    if sample_ids is None:
        return sql.SQL("true"), []
    return sql.SQL("sample_id::text = any(%s::text[])"), [[*sample_ids]]


def _stored_values(conn: psycopg.Connection, sample_ids: Sequence[str] | None) -> int:
    """Return the number of values by ``nnz``, which only decides how much to preallocate."""
    condition, parameters = _of_samples(sample_ids)
    query = sql.SQL(
        "select coalesce(sum(greatest(nnz::int8, 0)), 0)::int8 from atlas.expression where {}"
    ).format(condition)
    try:
        with conn.transaction():
            row = conn.execute(query, parameters).fetchone()
    except psycopg.Error as error:
        if not _may_be_of_a_row(error):
            raise
        return 0
    assert row is not None
    return int(row[0])


def _read_safely(
    conn: psycopg.Connection, wanted: Sequence[str], features: FeatureTable, *, everything: bool
) -> Iterator[tuple[str, Counts | SampleError]]:
    """Yield the wanted samples as :func:`_read_samples`, also if a row raises an error.

    After an error half as many samples are read at a time, down to the one with the row.
    """
    done, size = 0, len(wanted)
    while done < len(wanted):
        part = wanted[done : done + size]
        try:
            with conn.transaction():
                for found in _read_samples(conn, part, features, everything=everything):
                    yield found
                    done += 1
            size *= 2
        except psycopg.Error as error:
            if not _may_be_of_a_row(error):
                raise
            _check_readable(conn)
            if len(part) == 1 and not everything:
                reason = (error.diag.message_primary or str(error)).strip().split("\n")[0]
                reason = f"its row in atlas.expression cannot be read: {reason[:LONGEST_MESSAGE]}"
                yield part[0], SampleError(UNREADABLE, reason)
                done += 1
            elif not everything:
                size = max(1, size // 2)
            everything = False


def _may_be_of_a_row(error: psycopg.Error) -> bool:
    """Return whether an error may be due to the row of one sample.

    The row may also take so long that the statement is cancelled.
    """
    if isinstance(error, psycopg.errors.QueryCanceled):
        return True
    return not lost(error) and hindered(error) is None


def _check_readable(conn: psycopg.Connection) -> None:
    """Raise an error for a person if not even a sample that does not exist can be read."""
    try:
        with conn.transaction():
            for _ in _rows(conn, [uuid.uuid4().hex], most=0, everything=False):
                pass
    except psycopg.Error as error:
        if isinstance(error, psycopg.errors.QueryCanceled) or not _may_be_of_a_row(error):
            raise
        raise SchemaError(
            f"atlas.expression cannot be read: {error.diag.message_primary or error};"
            " it must have sample_id, nnz (an integer), feature_ids (an array of integers) and"
            " counts (an array of numbers), and be readable by this role"
        ) from error


def _read_samples(
    conn: psycopg.Connection,
    wanted: Sequence[str],
    features: FeatureTable,
    *,
    everything: bool,
) -> Iterator[tuple[str, Counts | SampleError]]:
    """Yield every wanted sample in its order, with its counts or the reason for having none."""
    checker = RowChecker(features)
    next_place = 0
    waiting: tuple[int, Counts | SampleError] | None = None
    for row in _rows(conn, wanted, most=len(features.ids), everything=everything):
        if waiting is not None and waiting[0] == row.place:
            twice = SampleError("duplicate_features", "the sample has more than one row")
            waiting = (row.place, twice)
            continue
        if waiting is not None:
            yield wanted[waiting[0]], waiting[1]
            next_place = waiting[0] + 1
        for place in range(next_place, row.place):
            yield wanted[place], no_counts()
        next_place = row.place
        waiting = (row.place, checker.check(row))
    if waiting is not None:
        yield wanted[waiting[0]], waiting[1]
        next_place = waiting[0] + 1
    for place in range(next_place, len(wanted)):
        yield wanted[place], no_counts()


def _rows(
    conn: psycopg.Connection, wanted: Sequence[str], *, most: int, everything: bool
) -> Iterator[ExpressionRow]:
    """Stream the rows of ``atlas.expression`` in the order of their samples in ``wanted``.

    Arrays with more than ``most`` elements stay on the server.
    """
    condition, parameters = _of_samples(None if everything else wanted)
    # The condition is inside, so that it is applied below the GROUP BY of a foreign view, and
    # OFFSET keeps the planner from evaluating the columns of a view once per mention.
    query = sql.SQL(
        "copy ("
        "select wanted.place - 1, e.nnz, e.length,"
        " case when e.length <= {most} then e.feature_ids end,"
        " case when e.length <= {most} then e.counts end"
        " from (select *, coalesce("
        "  greatest(cardinality(feature_ids), cardinality(counts)), 0)::int8 as length"
        "  from (select sample_id::text as sample_id, coalesce(nnz::int8, -1) as nnz,"
        "   feature_ids{} as feature_ids, counts{} as counts"
        "   from atlas.expression where {} offset 0) as one) as e"
        " join unnest(%s::text[]) with ordinality as wanted (sample_id, place)"
        " on wanted.sample_id = e.sample_id"
        " order by wanted.place"
        ") to stdout (format binary)"
    ).format(*_casts(conn), condition, most=sql.Literal(most))
    with conn.cursor() as cursor, cursor.copy(query, [*parameters, [*wanted]]) as copy:
        for message in copy:
            row = decode_row(message)
            if row is not None:
                yield row


def _casts(conn: psycopg.Connection) -> tuple[sql.SQL, sql.SQL]:
    """Return the casts of the arrays, to types wide enough for every value."""
    rows = conn.execute(
        "select attname, format_type(atttypid, null) from pg_attribute"
        " where attrelid = 'atlas.expression'::regclass and attnum > 0 and not attisdropped"
    ).fetchall()
    types: dict[str, str] = dict(rows)
    return (
        sql.SQL("" if types.get("feature_ids") == "integer[]" else "::int8[]"),
        sql.SQL("" if types.get("counts") == "real[]" else "::float8[]"),
    )
