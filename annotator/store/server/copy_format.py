"""The binary COPY format of PostgreSQL, for rows of expression and of contributions.

NumPy converts arrays of numbers, so nothing here loops over them. The
format is described in the PostgreSQL manual, chapter "COPY", section "Binary
Format". An element of an array is its length in bytes followed by its value,
which is a structured dtype in NumPy.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from annotator.domain.answers import ClassContributions

Buffer = bytes | bytearray | memoryview

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER = SIGNATURE + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)

INTEGER_OID, REAL_OID, TEXT_OID = 23, 700, 25
BIGINT_OID, DOUBLE_OID = 20, 701
# Dtype of the elements (length and value) per type of array element.
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
_NULL = _LENGTH.pack(-1)
_ARRAY = struct.Struct(">iiI")  # dimensions, has nulls, oid of the elements
# Columns, then place, nnz and length with their sizes before them.
_ROW_START = struct.Struct(">hiqiqiq")
_STORED_COLUMNS, _READ_COLUMNS = 4, 5
_CONTRIBUTION_COLUMNS = 9
_CONTRIBUTION_START = struct.Struct(">hiq")  # columns, length and value of the prediction_id
_ARRAY_START = struct.Struct(">iiiIii")  # of one dimension, after its length
_PAIR = struct.Struct(">ii")
_DOUBLE = struct.Struct(">id")
_DOUBLE_BYTES = _DOUBLE.size
_MESSAGE_BYTES = 1 << 18


class ArrayColumn(NamedTuple):
    """One array of a row.

    ``values`` is a big-endian view into the message, flattened. It is ``None`` if
    the array is NULL, or if some of its elements are, in which case ``nulls`` is true.
    """

    values: NDArray[Any] | None
    nulls: bool


class ExpressionRow(NamedTuple):
    """One row as received from the database, unchecked.

    ``length`` is the number of elements of the longer array, of which nothing is sent if it is
    above the limit of the query.
    """

    place: int
    nnz: int
    length: int
    feature_ids: ArrayColumn
    counts: ArrayColumn


def encode_rows(
    sample_ids: Sequence[str], feature_ids: NDArray[np.int32], counts: csr_matrix
) -> Iterator[bytes]:
    """Encode rows ``(sample_id, nnz, feature_ids, counts)`` for COPY ... FROM STDIN.

    Parameters
    ----------
    sample_ids
        One per row of ``counts``.
    feature_ids
        The id of each column, int32, ascending.
    counts
        Shape ``(samples, features)``, sorted indices, no explicit zeros.

    Yields
    ------
    bytes
        The header, one message per row, the trailer.
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
                struct.pack(">hi", _STORED_COLUMNS, len(name)),
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
    """Return length, header and dimension of an array of four-byte elements without NULLs."""
    if elements == 0:
        return struct.pack(">iiiI", 12, 0, 0, oid)
    return struct.pack(">iiiIii", 20 + 8 * elements, 1, 0, oid, elements, 1)


def encode_contributions(items: Sequence[tuple[int, ClassContributions]]) -> Iterator[bytes]:
    """Encode contributions for COPY ... FROM STDIN.

    Parameters
    ----------
    items
        The contributions, each with its ``prediction_id``.

    Yields
    ------
    bytes
        Rows ``(prediction_id, model_kind, method, class, class_rank, features, scores,
        expression, other_samples)``, several in each message, after the header and before
        the trailer.
    """
    scores = _doubles([score for _, item in items for score in item.scores])
    expression = _doubles([reads for _, item in items for reads in item.expression])
    start = 0
    message, size = [HEADER], 0
    for prediction_id, item in items:
        count = len(item.features)
        end = start + count * _DOUBLE_BYTES
        other = item.other_samples
        row = b"".join(
            (
                _CONTRIBUTION_START.pack(_CONTRIBUTION_COLUMNS, 8, prediction_id),
                _text(item.model_kind),
                _text(item.method),
                _text(item.class_name),
                _PAIR.pack(4, int(item.class_rank)),
                _array_of(TEXT_OID, count, b"".join(map(_text, item.features))),
                _array_of(DOUBLE_OID, count, scores[start:end]),
                _array_of(DOUBLE_OID, count, expression[start:end]),
                _NULL if other is None else _DOUBLE.pack(8, other),
            )
        )
        start = end
        message.append(row)
        size += len(row)
        if size >= _MESSAGE_BYTES:
            yield b"".join(message)
            message, size = [], 0
    yield b"".join([*message, TRAILER])


@lru_cache(maxsize=1 << 16)  # the same names are repeated often
def _text(value: str) -> bytes:
    """Return the length and the bytes of a text, for a column or an element of an array."""
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _doubles(values: Sequence[float]) -> bytes:
    """Return numbers as elements of an array, each with its length before it."""
    elements = np.empty(len(values), dtype=ELEMENTS[DOUBLE_OID])
    elements["length"] = 8
    elements["value"] = values
    return elements.tobytes()


def _array_of(oid: int, elements: int, content: bytes) -> bytes:
    """Return the length, header and elements (``content``) of a one-dimensional array."""
    if elements == 0:
        return _array_start(oid, 0)
    return _ARRAY_START.pack(20 + len(content), 1, 0, oid, elements, 1) + content


def decode_row(message: Buffer) -> ExpressionRow | None:
    """Decode one message of COPY (SELECT place, nnz, length, feature_ids, counts) TO STDOUT.

    Parameters
    ----------
    message
        One message of the server: a row, perhaps after the header, or the trailer.
        ``place``, ``nnz`` and ``length`` are int8 and never NULL.

    Returns
    -------
    ExpressionRow or None
        ``None`` if the message contains no row.

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
        columns, _, place, _, nnz, _, length = _ROW_START.unpack_from(message, start)
        if columns != _READ_COLUMNS:
            raise ValueError(f"a row has {columns} columns instead of {_READ_COLUMNS}")
        feature_ids, start = _decode_array(message, start + _ROW_START.size)
        counts, start = _decode_array(message, start)
    except struct.error as error:
        raise ValueError(f"a row of binary COPY ends too early: {error}") from error
    if start != len(message):
        raise ValueError("a message of binary COPY holds more than one row")
    return ExpressionRow(place, nnz, length, feature_ids, counts)


def _decode_array(message: Buffer, start: int) -> tuple[ArrayColumn, int]:
    """Decode the array at ``start``, and return it with the position of its end."""
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
    # A NULL is a length without a value, so it shows in the size.
    if end - start != elements * element.itemsize:
        return ArrayColumn(None, nulls=True), end
    if elements == 0:
        return ArrayColumn(np.empty(0, element)["value"], nulls=False), end
    return ArrayColumn(np.frombuffer(message, element, elements, start)["value"], nulls=False), end
