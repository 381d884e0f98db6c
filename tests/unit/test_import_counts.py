"""COUNTS files: what goes in comes out, and what is wrong is named."""

from __future__ import annotations

import functools
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from annotator.errors import InputError
from annotator.reading.counts.matrix import spill
from annotator.reading.counts.matrix.counts_file import read_matrix
from annotator.reading.counts.matrix.header import NOT_SAMPLES
from annotator.reading.importers import read_counts
from annotator.reading.text import text_file

TWO_BY_TWO = b"feature\tS1\tS2\nmiR-1\t0\t7\nmiR-2\t12\t3\n"

# Any text that may stand between two tabs and keeps itself when stripped and unquoted.
names = (
    st.text(
        st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='\x85\u2028\u2029"'),
        min_size=1,
        max_size=8,
    )
    .map(str.strip)
    .filter(bool)
)
several_runs = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def write(folder: Path, content: bytes, name: str = "counts.tsv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read_all(
    path: Path, samples_at_once: int = 2, spill_folder: Path | None = None
) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.float32]]:
    """Read a file and return sample ids, features and the matrix, samples down."""
    with read_matrix(path, spill_folder=spill_folder) as counts:
        batches = list(counts.batches(samples_at_once))
        ids = tuple(sample_id for batch_ids, _ in batches for sample_id in batch_ids)
        assert ids == counts.sample_ids
        for batch_ids, matrix in batches:
            assert isinstance(matrix, csr_matrix)
            assert matrix.shape == (len(batch_ids), len(counts.feature_names))
            assert matrix.dtype == np.float32
            assert matrix.has_sorted_indices
            assert (matrix.data != 0).all()
        return ids, counts.feature_names, vstack([matrix for _, matrix in batches]).toarray()


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught, read_counts(path) as counts:
        list(counts.batches())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def as_text(
    ids: list[str], features: list[str], matrix: NDArray[np.int64], form: str = "d"
) -> bytes:
    lines = ["\t".join(["feature", *ids])]
    for feature, row in zip(features, matrix, strict=True):
        lines.append("\t".join([feature, *(format(value, form) for value in row)]))
    return ("\n".join(lines) + "\n").encode()


def test_a_small_file_is_read_with_samples_down(tmp_path: Path) -> None:
    ids, features, matrix = read_all(write(tmp_path, TWO_BY_TWO))
    assert (ids, features) == (("S1", "S2"), ("miR-1", "miR-2"))
    assert matrix.tolist() == [[0, 12], [7, 3]]


@several_runs
@given(data=st.data())
def test_any_matrix_survives_the_way_through_a_file(tmp_path: Path, data: st.DataObject) -> None:
    sample_ids = names.filter(lambda name: name.casefold() not in NOT_SAMPLES)
    ids = data.draw(st.lists(sample_ids, min_size=1, max_size=7, unique=True))
    features = data.draw(st.lists(names, min_size=1, max_size=9, unique=True))
    counts = st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 1_000_000_000))
    rows = st.lists(counts, min_size=len(ids), max_size=len(ids))
    matrix = np.array(data.draw(st.lists(rows, min_size=len(features), max_size=len(features))))
    content = as_text(ids, features, matrix, data.draw(st.sampled_from(["d", ".1f", ".9e"])))
    if data.draw(st.booleans()):
        content = content.replace(b"\n", b"\r\n")
    if data.draw(st.booleans()):
        content = b"\xef\xbb\xbf" + content
    content += data.draw(st.sampled_from([b"", b"\n", b"\r\n \n\n"]))
    if data.draw(st.booleans()):
        content = gzip.compress(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "BLOCK_BYTES", data.draw(st.integers(16, 200)))
        patch.setattr(spill, "_PIECE_ENTRIES", data.draw(st.integers(1, 20)))
        path = write(tmp_path, content, data.draw(st.sampled_from(["c.tsv", "c.tsv.gz"])))
        found = read_all(path, samples_at_once=data.draw(st.integers(1, 8)))
    assert found[0] == tuple(ids)
    assert found[1] == tuple(features)
    np.testing.assert_array_equal(found[2], matrix.T.astype(np.float32))


def test_batches_can_be_gone_through_again_and_side_by_side(tmp_path: Path) -> None:
    with read_counts(write(tmp_path, TWO_BY_TWO)) as counts:
        both = zip(counts.batches(1), counts.batches(1), strict=True)
        assert all((one[1] != other[1]).nnz == 0 for one, other in both)
        assert [ids for ids, _ in counts.batches()] == [("S1", "S2")]
        with pytest.raises(ValueError, match="samples_at_once"):
            next(counts.batches(0))


@pytest.mark.parametrize("text", ["12", "12.0", "12.", "1.2e1", "+12", " 12 ", "012", "120e-1"])
def test_whole_numbers_are_accepted_in_any_notation(tmp_path: Path, text: str) -> None:
    content = TWO_BY_TWO.replace(b"\t12\t", f"\t{text}\t".encode())
    assert read_all(write(tmp_path, content))[2].tolist() == [[0, 12], [7, 3]]


@pytest.mark.parametrize("text", ["0", "0.0", "-0", "00", "0e5", "00000000000000"])
def test_no_notation_of_zero_is_stored(tmp_path: Path, text: str) -> None:
    content = TWO_BY_TWO.replace(b"\t12\t", f"\t{text}\t".encode())
    assert read_all(write(tmp_path, content))[2].tolist() == [[0, 0], [7, 3]]


def test_a_file_of_zeros_only_is_read(tmp_path: Path) -> None:
    _, _, matrix = read_all(write(tmp_path, b"feature\tS1\nmiR-1\t0\nmiR-2\t0"))
    assert matrix.tolist() == [[0, 0]]


WRONG_COUNTS = {
    "": "empty",
    " ": "empty",
    "NaN": "missing",
    "NA": "missing",
    "inf": "infinite",
    "-Infinity": "infinite",
    "-1": "negative",
    "-1e400": "negative",
    "1000000001": "absurdly large",
    "1e400": "absurdly large",
    "99999999999999999999": "absurdly large",
    "twelve": "not a number",
    "1,234,567": "not a number",
    "1 2": "not a number",
    "1_2": "not a number",
    "0x1": "not a number",
    "1e": "not a number",
    "--1": "not a number",
    ".": "not a number",
    "١٢": "not a number",
}


@pytest.mark.parametrize(("text", "reason"), WRONG_COUNTS.items())
def test_a_wrong_count_is_named(tmp_path: Path, text: str, reason: str) -> None:
    error = refusal(write(tmp_path, TWO_BY_TWO.replace(b"\t3\n", f"\t{text}\n".encode())))
    assert (error.line, error.column) == (3, 3)
    assert reason in str(error)
    assert "'S2'" in str(error)
    assert "'miR-2'" in str(error)


@several_runs
@given(data=st.data())
def test_one_wrong_count_is_found_wherever_it_stands(tmp_path: Path, data: st.DataObject) -> None:
    samples, features = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 12))
    line = data.draw(st.integers(1, features))
    column = data.draw(st.integers(1, samples))
    lines = [["feature", *(f"S{i}" for i in range(samples))]]
    lines += [[f"miR-{i}", *["5"] * samples] for i in range(features)]
    lines[line][column] = data.draw(st.sampled_from(sorted(WRONG_COUNTS)))
    content = "\n".join("\t".join(cells) for cells in lines).encode()
    if data.draw(st.booleans()):
        content = gzip.compress(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "BLOCK_BYTES", data.draw(st.integers(16, 64)))
        error = refusal(write(tmp_path, content))
    assert (error.line, error.column) == (line + 1, column + 1)


@several_runs
@given(data=st.data())
def test_damage_of_any_kind_is_refused_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(TWO_BY_TWO * data.draw(st.integers(1, 3)))
    if data.draw(st.booleans()):
        content = bytearray(gzip.compress(bytes(content)))
    for _ in range(data.draw(st.integers(1, 3))):
        if not content:  # the damage before took all of it
            break
        position = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["change", "remove", "insert", "cut"]))
        if how == "change":
            content[position] = data.draw(st.integers(0, 255))
        elif how == "remove":
            del content[position]
        elif how == "insert":
            content[position:position] = data.draw(st.binary(min_size=1, max_size=3))
        else:
            del content[max(position, 1) :]
    path = write(tmp_path, bytes(content), data.draw(st.sampled_from(["c.tsv", "c.tsv.gz"])))
    try:
        _, _, matrix = read_all(path)
    except InputError:
        return
    assert (matrix >= 0).all()
    assert (matrix == np.floor(matrix)).all()


@pytest.mark.parametrize(
    ("content", "line", "column", "message"),
    [
        (b"", None, None, "empty"),
        (b"\n\n", None, None, "empty"),
        (b"\xef\xbb\xbf", None, None, "empty"),
        (b"feature\tS1\n", 2, None, "no feature"),
        (b"feature\tS1\n\n\n", 2, None, "no feature"),
        (b"feature\nmiR-1\n", 1, None, "only one column"),
        (b"feature\tS1\tS2\tS1\nmiR-1\t1\t2\t3\n", 1, 4, "'S1' is already in column 2"),
        (b"feature\tS1\t\nmiR-1\t1\t2\n", 2, 3, "column without a name"),
        (b"feature\t\tS2\nmiR-1\t1\t2\n", 1, 2, "sample id is empty"),
        (b"feature\tS1\nmiR-1\t\xb5\n", 2, 2, "not a number"),
        ("feature\tS\u00e9\nmiR-1\t1\n".encode() + b"m\xfcR-2\t1\n", 3, 1, "0xfc is not UTF-8"),
        (b'feature,S1\n"miR-1,1\n', 2, None, "quotation mark"),
        (b"feature\tS1\nmiR-1\t1\nmiR-2\t1\nmiR-1\t1\n", 4, 1, "'miR-1' is already in line 2"),
        (b"feature\tS1\nmiR-1\t1\n\t1\n", 3, 1, "name of the feature is empty"),
        (b"feature\tS1\nmiR-1\t1\n \t1\n", 3, 1, "name of the feature is empty"),
        (b"feature\tS1\nmiR-1\t1\t2\n", 2, 3, "3 columns where the header has 2"),
        (b"feature\tS1\tS2\nmiR-1\t1\t1\nmiR-2\t1\n", 3, 2, "2 columns where the header has 3"),
        (b"feature\tS1\tS2\nmiR-1\t1\nmiR-2\t1\t1\t1\n", 2, 2, "2 columns"),
        (b"feature\tS1\nmiR-1\t\x001\n", 2, 2, "NUL"),
        (b"feature\tS1\rmiR-1\t1\r", 1, 2, "carriage return"),
        (b"PK\x03\x04whatever", None, None, "ZIP"),
        (b"feature\tS1\t%b\nmiR-1\t1\t1\n" % (b"S" * 1001), 1, 3, "longer than 1,000 bytes"),
        (b"feature\tS1\nmiR-1\t1\n%b\t1\n" % (b"m" * 1001), 3, 1, "longer than 1,000 bytes"),
    ],
)
def test_a_wrong_file_is_refused_in_the_right_place(
    tmp_path: Path, content: bytes, line: int | None, column: int | None, message: str
) -> None:
    error = refusal(write(tmp_path, content))
    assert (error.line, error.column) == (line, column)
    assert message in str(error)


def test_all_errors_are_found_and_the_first_ones_listed(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, b"feature\tS1\nmiR-1\t-5\nmiR-1\t1\t1\n" + b"\t\n\tx\n" * 30))
    assert (error.line, error.column) == (2, 2)
    assert error.found == 2 + 2 * 30
    assert len(error.findings) == 20
    assert "line 3" in error.findings[1]


def test_blank_lines_are_left_out_also_when_text_follows_in_a_later_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "BLOCK_BYTES", 16)
    content = b"feature\tS1\nmiR-1\t1\n" + b"\n" * 40 + b"miR-2\t1\n\t\n\n"
    with read_counts(write(tmp_path, content)) as counts:
        assert counts.feature_names == ("miR-1", "miR-2")
        assert any("41 empty rows" in note for note in counts.notes)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_file, "BLOCK_BYTES", 16)
    monkeypatch.setattr(text_file, "LONGEST_LINE_BYTES", 100)
    error = refusal(write(tmp_path, b"feature\tS1\nmiR-1\t" + b"1" * 300))
    assert error.line == 2
    assert "longer than" in str(error)


@functools.cache
def many_lines() -> bytes:
    matrix = np.random.default_rng(1).integers(0, 100_000, size=(2000, 5))
    return as_text([f"S{i}" for i in range(5)], [f"miR-{i}" for i in range(2000)], matrix)


def test_a_gzip_file_that_was_cut_off_says_where(tmp_path: Path) -> None:
    packed = gzip.compress(many_lines())
    error = refusal(write(tmp_path, packed[: len(packed) // 2], "counts.tsv.gz"))
    assert "truncated" in str(error)
    assert error.line is not None
    assert 500 < error.line < 1500


@several_runs
@given(position=st.floats(0.01, 0.999), bit=st.integers(0, 7))
def test_a_flipped_bit_in_gzip_data_is_reported_as_damage(
    tmp_path: Path, position: float, bit: int
) -> None:
    packed = bytearray(gzip.compress(many_lines(), mtime=0))
    packed[10 + int(position * (len(packed) - 10))] ^= 1 << bit
    assert re.search("gzip data (are damaged|end too early)", str(refusal(write(tmp_path, packed))))


def test_gzip_without_its_suffix_and_text_with_it_are_accepted(tmp_path: Path) -> None:
    packed = write(tmp_path, gzip.compress(TWO_BY_TWO), "counts.tsv")
    plain = write(tmp_path, TWO_BY_TWO, "counts.tsv.gz")
    assert read_all(packed)[2].tolist() == read_all(plain)[2].tolist()


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    start, end = TWO_BY_TWO[:20], TWO_BY_TWO[20:]
    path = write(tmp_path, gzip.compress(start) + gzip.compress(end))
    assert read_all(path)[2].tolist() == [[0, 12], [7, 3]]


def test_binary_data_named_gz_are_said_to_be_no_gzip(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, b"\x1e" + gzip.compress(TWO_BY_TWO)[1:], "counts.tsv.gz"))
    assert "neither gzip nor text" in str(error)


def test_trailing_rubbish_after_gzip_data_is_refused(tmp_path: Path) -> None:
    assert "damaged" in str(refusal(write(tmp_path, gzip.compress(TWO_BY_TWO) + b"rubbish")))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in str(refusal(tmp_path / "absent.tsv"))
    assert "no file" in str(refusal(tmp_path))
    assert "cannot be read" in str(refusal(tmp_path / "nul\0byte"))
    assert "cannot be read" in str(refusal(Path(write(tmp_path, TWO_BY_TWO)) / "below_a_file"))


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users as Unix has them")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, TWO_BY_TWO)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may read everything
        os.seteuid(65534)
    try:
        error = refusal(path)
    finally:
        os.seteuid(user)
    assert "Permission denied" in str(error)


@pytest.mark.parametrize("content", [TWO_BY_TWO, TWO_BY_TWO + b"miR-3\tx\t1\n"])
def test_nothing_is_left_in_the_spill_folder(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "spill"
    folder.mkdir()
    path = write(tmp_path, content)
    try:
        read_all(path, spill_folder=folder)
    except InputError:
        assert content != TWO_BY_TWO
    assert list(folder.iterdir()) == []


def test_a_missing_spill_folder_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="no temporary file can be created here"),
        read_matrix(write(tmp_path, TWO_BY_TWO), spill_folder=tmp_path / "absent"),
    ):
        pass


def test_a_full_disk_is_for_a_person_to_solve(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from annotator.reading.importers import read_counts\n"
        "from annotator.errors import NeedsPersonError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try:\n"
        "    read_counts(Path(sys.argv[1])).__enter__()\n"
        "except NeedsPersonError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, write(tmp_path, many_lines())],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "free some space" in done.stdout
    assert done.stderr == ""
