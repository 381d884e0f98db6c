"""The binary COPY format of PostgreSQL, for rows of expression.

One row a sample, arrays in NumPy's hands: nothing here loops over values. The
format is described in the PostgreSQL manual, chapter "COPY", section "Binary
Format"; an element of an array is its length in bytes, then its value, which is
a structured dtype to NumPy.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

Buffer = bytes | bytearray | memoryview

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER = SIGNATURE + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)

INTEGER_OID, REAL_OID = 23, 700
BIGINT_OID, DOUBLE_OID = 20, 701
# Type of the elements of an array -> their length and value, as NumPy sees them.
ELEMENTS = {
    oid: np.dtype([("length", ">i4"), ("value", kind)])
    for oid, kind in (
        (INTEGER_OID, ">i4"),
        (BIGINT_OID, ">i8"),
        (REAL_OID, ">f4"),
        (DOUBLE_OID, ">f8"),
    )
}

_LENGTH = struct.Struct(">i")
_ARRAY = struct.Struct(">iiI")  # dimensions, has nulls, oid of the elements
_ROW_START = struct.Struct(">hiqiq")  # columns, then place and nnz, each after its length
_ROW_COLUMNS = 4


class ArrayColumn(NamedTuple):
    """One array of a row.

    ``values`` is a big-endian view into the message, flattened; ``None`` where
    the array is NULL or, with ``nulls`` set, where some of its elements are.
    """

    values: NDArray[Any] | None
    nulls: bool


class ExpressionRow(NamedTuple):
    """One row as the database sent it, unchecked."""

    place: int
    nnz: int
    feature_ids: ArrayColumn
    counts: ArrayColumn


def encode_rows(
    sample_ids: Sequence[str], feature_ids: NDArray[np.int32], counts: csr_matrix
) -> Iterator[bytes]:
    """Encode rows ``(sample_id, nnz, feature_ids, counts)`` for COPY ... FROM STDIN.

    Parameters
    ----------
    sample_ids
        One a row of ``counts``.
    feature_ids
        The id of each column, int32, ascending.
    counts
        Shape ``(samples, features)``, sorted indices, no explicit zeros.

    Yields
    ------
    bytes
        The header, one message a row, the trailer.
    """
    ids = np.empty(counts.nnz, dtype=ELEMENTS[INTEGER_OID])
    ids["length"] = 4
    ids["value"] = feature_ids[counts.indices]
    values = np.empty(counts.nnz, dtype=ELEMENTS[REAL_OID])
    values["length"] = 4
    values["value"] = counts.data
    ends = counts.indptr.tolist()
    yield HEADER
    for row, sample_id in enumerate(sample_ids):
        start, end = ends[row], ends[row + 1]
        name = sample_id.encode()
        yield b"".join(
            (
                struct.pack(">hi", _ROW_COLUMNS, len(name)),
                name,
                struct.pack(">ii", 4, end - start),
                _array_start(INTEGER_OID, end - start),
                ids[start:end].tobytes(),
                _array_start(REAL_OID, end - start),
                values[start:end].tobytes(),
            )
        )
    yield TRAILER


def _array_start(oid: int, elements: int) -> bytes:
    """Length, header and dimension of an array of four-byte elements without NULLs."""
    if elements == 0:
        return struct.pack(">iiiI", 12, 0, 0, oid)
    return struct.pack(">iiiIii", 20 + 8 * elements, 1, 0, oid, elements, 1)


def decode_row(message: Buffer) -> ExpressionRow | None:
    """Decode one message of COPY (SELECT place, nnz, feature_ids, counts) TO STDOUT.

    Parameters
    ----------
    message
        What the server sent at once: a row, before the first one perhaps the
        header, at last the trailer. ``place`` and ``nnz`` are int8 and never NULL.

    Returns
    -------
    ExpressionRow or None
        ``None`` where the message holds no row.

    Raises
    ------
    ValueError
        The message is not of this format.
    """
    start = 0
    if bytes(message[: len(SIGNATURE)]) == SIGNATURE:
        extension = _LENGTH.unpack_from(message, len(HEADER) - 4)[0]
        start = len(HEADER) + extension
    if len(message) - start <= len(TRAILER):
        return None
    try:
        columns, _, place, _, nnz = _ROW_START.unpack_from(message, start)
        if columns != _ROW_COLUMNS:
            raise ValueError(f"a row of {columns} columns where {_ROW_COLUMNS} were asked for")
        feature_ids, start = _decode_array(message, start + _ROW_START.size)
        counts, start = _decode_array(message, start)
    except struct.error as error:
        raise ValueError(f"a row of binary COPY ends too early: {error}") from error
    if start != len(message):
        raise ValueError("a message of binary COPY holds more than one row")
    return ExpressionRow(place, nnz, feature_ids, counts)


def _decode_array(message: Buffer, start: int) -> tuple[ArrayColumn, int]:
    """Decode the array that starts here; also return where it ends."""
    (size,) = _LENGTH.unpack_from(message, start)
    start += _LENGTH.size
    if size < 0:
        return ArrayColumn(None, nulls=False), start
    end = start + size
    if end > len(message):
        raise ValueError("an array of binary COPY ends too early")
    dimensions, _, oid = _ARRAY.unpack_from(message, start)
    if oid not in ELEMENTS:
        raise ValueError(f"an array of binary COPY holds values of type {oid}")
    element = ELEMENTS[oid]
    elements = 1 if dimensions else 0
    for dimension in range(dimensions):
        elements *= _LENGTH.unpack_from(message, start + _ARRAY.size + 8 * dimension)[0]
    start += _ARRAY.size + 8 * dimensions
    # A NULL is a length without a value, so the size tells whether there is one.
    if end - start != elements * element.itemsize:
        return ArrayColumn(None, nulls=True), end
    if elements == 0:
        return ArrayColumn(np.empty(0, element)["value"], nulls=False), end
    return ArrayColumn(np.frombuffer(message, element, elements, start)["value"], nulls=False), end
