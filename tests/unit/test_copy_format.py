"""The binary COPY format, without a database: what goes in comes out."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from annotator.domain.answers import ClassContributions
from annotator.store.server import copy_format
from annotator.store.server.copy_format import (
    BIGINT_OID,
    DOUBLE_OID,
    HEADER,
    INTEGER_OID,
    REAL_OID,
    TEXT_OID,
    TRAILER,
    decode_row,
    encode_contributions,
    encode_rows,
)

KINDS = {INTEGER_OID: ">i4", BIGINT_OID: ">i8", REAL_OID: ">f4", DOUBLE_OID: ">f8"}


def array(
    values: list[float | None] | None, oid: int, shape: tuple[int, ...] | None = None
) -> bytes:
    """Write an array the slow way, element by element."""
    if values is None:
        return struct.pack(">i", -1)
    shape = ((len(values),) if values else ()) if shape is None else shape
    content = struct.pack(">iiI", len(shape), int(None in values), oid)
    content += b"".join(struct.pack(">ii", size, 1) for size in shape)
    for value in values:
        if value is None:
            content += struct.pack(">i", -1)
        else:
            element = np.array(value, dtype=KINDS[oid]).tobytes()
            content += struct.pack(">i", len(element)) + element
    return struct.pack(">i", len(content)) + content


def message(place: int, nnz: int, ids: bytes, counts: bytes, length: int = 0) -> bytes:
    return struct.pack(">hiqiqiq", 5, 8, place, 8, nnz, 8, length) + ids + counts


def read_back(sent: bytes) -> tuple[str, int, list[int], list[float]]:
    """Take apart one row of COPY FROM STDIN by hand."""
    columns, length = struct.unpack_from(">hi", sent)
    assert columns == 4
    name = sent[6 : 6 + length].decode()
    size, nnz = struct.unpack_from(">ii", sent, 6 + length)
    assert size == 4
    row = decode_row(message(0, nnz, sent[6 + length + 8 :], b""))
    assert row is not None
    assert row.feature_ids.values is not None
    assert row.counts.values is not None
    return name, row.nnz, row.feature_ids.values.tolist(), row.counts.values.tolist()


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=9),
            st.dictionaries(st.integers(0, 6), st.floats(0.5, 1e9, width=32)),
        ),
        max_size=5,
    )
)
def test_encoded_rows_hold_the_matrix(rows: list[tuple[str, dict[int, float]]]) -> None:
    dense = np.zeros((len(rows), 7), dtype=np.float32)
    for row, (_, counts) in enumerate(rows):
        for column, value in counts.items():
            dense[row, column] = value
    ids = np.array([2, 3, 5, 7, 11, 13, 2_147_483_647], dtype=np.int32)
    header, *sent, trailer = encode_rows([name for name, _ in rows], ids, csr_matrix(dense))
    assert (header, trailer) == (HEADER, TRAILER)
    for one, (name, _), values in zip(sent, rows, dense, strict=True):
        present = np.flatnonzero(values)
        assert read_back(one) == (
            name,
            len(present),
            ids[present].tolist(),
            values[present].tolist(),
        )


NUMBERS = {
    INTEGER_OID: st.integers(-(2**31), 2**31 - 1),
    BIGINT_OID: st.integers(-(2**63), 2**63 - 1),
    REAL_OID: st.floats(width=32),
    DOUBLE_OID: st.floats(),
}


@given(st.data(), st.integers(0, 2**40), st.integers(-1, 2**40), st.booleans())
def test_decoded_row_is_what_was_sent(
    data: st.DataObject, place: int, nnz: int, with_header: bool
) -> None:
    length = data.draw(st.integers(0, 2**40))
    arrays = {}
    for name, oids in (("ids", [INTEGER_OID, BIGINT_OID]), ("counts", [REAL_OID, DOUBLE_OID])):
        oid = data.draw(st.sampled_from(oids))
        element = st.one_of(NUMBERS[oid], st.none()) if data.draw(st.booleans()) else NUMBERS[oid]
        arrays[name] = (data.draw(st.none() | st.lists(element, max_size=6)), oid)
    sent = message(place, nnz, array(*arrays["ids"]), array(*arrays["counts"]), length)
    row = decode_row(memoryview(HEADER + sent if with_header else sent))
    assert row is not None
    assert (row.place, row.nnz, row.length) == (place, nnz, length)
    for found, (values, _) in zip(row[3:], arrays.values(), strict=True):
        assert found.nulls == (values is not None and None in values)
        if values is None or found.nulls:
            assert found.values is None
        else:
            np.testing.assert_array_equal(found.values, np.array(values, dtype=float))


def test_several_dimensions_are_read_one_after_the_other() -> None:
    ids = array([1, 2, 3, 4, 5, 6], INTEGER_OID, (2, 3))
    row = decode_row(message(0, 6, ids, array([], REAL_OID)))
    assert row is not None
    assert row.feature_ids.values is not None
    assert row.feature_ids.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert row.counts.values is not None
    assert row.counts.values.tolist() == []


@pytest.mark.parametrize("sent", [HEADER, TRAILER, b"", HEADER + TRAILER])
def test_header_and_trailer_hold_no_row(sent: bytes) -> None:
    assert decode_row(sent) is None


def test_a_cut_or_foreign_message_is_refused() -> None:
    whole = message(1, 2, array([1, 2], INTEGER_OID), array([1.0, 2.0], REAL_OID))
    for end in range(3, len(whole)):
        with pytest.raises(ValueError, match="binary COPY"):
            decode_row(whole[:end])
    with pytest.raises(ValueError, match="more than one row"):
        decode_row(whole + whole)
    with pytest.raises(ValueError, match="type 25"):
        decode_row(message(1, 0, array([], 25), array([], REAL_OID)))


def contribution_row(prediction_id: int, item: ClassContributions) -> bytes:
    """Write a row of contributions the slow way."""

    def text(value: str) -> bytes:
        return struct.pack(">i", len(value.encode())) + value.encode()

    names = struct.pack(">iiI", int(bool(item.features)), 0, TEXT_OID)
    if item.features:
        names += struct.pack(">ii", len(item.features), 1)
    names += b"".join(map(text, item.features))
    return (
        struct.pack(">hiq", 9, 8, prediction_id)
        + text(item.model_kind)
        + text(item.method)
        + text(item.class_name)
        + struct.pack(">ii", 4, item.class_rank)
        + struct.pack(">i", len(names))
        + names
        + array(list(item.scores), DOUBLE_OID)
        + array(list(item.expression), DOUBLE_OID)
        + (
            struct.pack(">i", -1)
            if item.other_samples is None
            else struct.pack(">id", 8, item.other_samples)
        )
    )


@pytest.mark.parametrize("most_bytes", [1, 300, 1 << 20])
def test_contributions_are_rows_of_the_format_however_they_are_divided(
    monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr(copy_format, "_MESSAGE_BYTES", most_bytes)
    items = [
        (7, ClassContributions("forest", "shap", "liver", 1, ("µ", "b"), (0.1, -2.0), (1e9, 0.0))),
        (8, ClassContributions("network", "deeplift", "", 2, (), (), ())),
        (9, ClassContributions("combined", "weighted_sum", "x", 1, ("b",), (1.0,), (3.0,), -0.5)),
        (2**40, ClassContributions("linear", "coefficient", "x", 1, ("b",), (1e-300,), (3.0,))),
    ]
    sent = list(encode_contributions(items))
    assert b"".join(sent) == HEADER + b"".join(contribution_row(*item) for item in items) + TRAILER
    assert (len(sent) > 2) == (most_bytes < 300)
    assert b"".join(encode_contributions([])) == HEADER + TRAILER
