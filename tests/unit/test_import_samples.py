"""SAMPLES files."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotator.domain.imports import SampleRecord
from annotator.errors import InputError
from annotator.reading.samples.registry import read_samples

GOOD = (
    "sample_id\tdataset_id\ttissue\tsex\tage\torganism\tis_cell_line\tplatform\n"
    "S1\tD1\tliver\tFemale\t58.0\tHomo sapiens\tno\tHiSeq\n"
    "S2\tD1\t\t\t\t\t\t\n"
    "S3\tD2\t blood \tM\t0.5\t\tTRUE\t\n"
)


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "samples.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_samples(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_everything_that_is_known_of_a_sample_is_read(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "given_fields": frozenset({"tissue", "sex", "age"}),
        "given_columns": frozenset({"platform", "is_cell_line"}),
    }
    assert read_samples(write(tmp_path, GOOD)).records == (
        SampleRecord(
            "S1",
            "D1",
            {"tissue": "liver", "sex": "female", "age": "58"},
            {"age": 58.0},
            organism="Homo sapiens",
            is_cell_line=False,
            attributes={"platform": "HiSeq"},
            **columns,
        ),
        SampleRecord("S2", "D1", {}, {}, **columns),
        SampleRecord(
            "S3",
            "D2",
            {"tissue": "blood", "sex": "male", "age": "0.5"},
            {"age": 0.5},
            is_cell_line=True,
            **columns,
        ),
    )


def test_windows_line_ends_a_mark_gzip_and_blank_lines_change_nothing(tmp_path: Path) -> None:
    expected = read_samples(write(tmp_path, GOOD)).records
    dressed = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode() + b"\r\n\r\n"
    assert read_samples(write(tmp_path, dressed)).records == expected
    assert read_samples(write(tmp_path, gzip.compress(dressed))).records == expected


def test_two_columns_are_enough_in_any_order(tmp_path: Path) -> None:
    assert read_samples(write(tmp_path, "dataset_id\tsample_id\nD\tS")).records == (
        SampleRecord("S", "D", {}, {}, given_fields=frozenset()),
    )


def test_an_empty_column_says_something_and_an_absent_one_nothing(tmp_path: Path) -> None:
    (sample,) = read_samples(write(tmp_path, "sample_id\tdataset_id\tsex\nS\tD\t\n")).records
    assert sample.given_fields == {"sex"}


@pytest.mark.parametrize("text", ["58", "58.0", "5.8e1", "058"])
def test_the_same_age_is_the_same_value_in_any_notation(tmp_path: Path, text: str) -> None:
    (sample,) = read_samples(write(tmp_path, f"sample_id\tdataset_id\tage\nS\tD\t{text}\n")).records
    assert (sample.values["age"], sample.numbers["age"]) == ("58", 58.0)


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "message"),
    [
        ("S2\t", "S1\t", 3, "sample_id", "'S1' is already in line 2"),
        ("S2\t", " \t", 3, "sample_id", "sample id is empty"),
        ("S2\tD1", "S2\t", 3, "dataset_id", "'S2' has no dataset"),
        ("S2\t", "NA\t", 3, "sample_id", "missing value"),
        ("S2\tD1", "S2\tNA", 3, "dataset_id", "'S2' has no dataset"),
        ("\tHiSeq", "\tHiSeq\tx", 2, 9, "9 columns where the header has 8"),
        ("sample_id", "nothing", None, None, "--map COLUMN=sample_id"),
        ("dataset_id", "nothing", None, None, "--map COLUMN=dataset_id"),
        ("liver", "li\0ver", 2, 3, "NUL"),
        ("S2\t", f"{'S' * 1001}\t", 3, "sample_id", "longer than 1,000 bytes (1,001)"),
        ("S2\tD1", f"S2\t{'µ' * 501}", 3, "dataset_id", "longer than 1,000 bytes (1,002)"),
        ("liver", "liver " * 500, 2, "tissue", "longer than 1,000 bytes"),
    ],
)
def test_a_wrong_table_is_refused_in_the_right_place(
    tmp_path: Path, old: str, new: str, line: int, column: int | str | None, message: str
) -> None:
    error = refusal(write(tmp_path, GOOD.replace(old, new, 1)))
    assert (error.line, error.column) == (line, column)
    assert message in str(error)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", None, "empty"),
        (b"\n \n", None, "empty"),
        (b"sample_id\tdataset_id\n", 2, "no row"),
        (gzip.compress(GOOD.encode())[:-9], None, "truncated"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(
    tmp_path: Path, content: bytes, line: int | None, message: str
) -> None:
    error = refusal(write(tmp_path, content))
    assert message in str(error)
    assert line is None or error.line == line


@pytest.mark.parametrize("text", ["NA", "unknown", "not applicable", "-", "?"])
def test_a_word_for_a_missing_value_is_a_missing_value_in_every_column(
    tmp_path: Path, text: str
) -> None:
    header = "sample_id\tdataset_id\ttissue\tsex\tage\torganism\tis_cell_line\n"
    (sample,) = read_samples(
        write(tmp_path, f"{header}S\tD\t" + "\t".join([text] * 5) + "\n")
    ).records
    assert (sample.values, sample.numbers, sample.attributes) == ({}, {}, {})
    assert (sample.organism, sample.is_cell_line) == (None, None)
    assert sample.given_fields == {"tissue", "sex", "age"}


def test_a_cell_that_is_not_understood_becomes_an_attribute(tmp_path: Path) -> None:
    header = "sample_id\tdataset_id\tsex\tage\tis_cell_line\n"
    first, second = read_samples(
        write(tmp_path, f"{header}S1\tD\tmixed\tNov-20\tmaybe\nS2\tD\tm\t>89\tyes\n")
    ).records
    assert (first.values, first.numbers, first.is_cell_line) == ({}, {}, None)
    assert first.attributes == {
        "sex (as given)": "mixed",
        "age (as given)": "Nov-20",
        "is_cell_line (as given)": "maybe",
    }
    assert first.given_fields == {"sex", "age"}
    assert (second.values, second.numbers) == ({"sex": "male", "age": ">89"}, {})
    assert (second.attributes, second.is_cell_line) == ({}, True)


def test_errors_in_identifiers_are_reported_together(tmp_path: Path) -> None:
    lines = "".join(f"S1\tD{i}\n" for i in range(29))
    error = refusal(write(tmp_path, f"sample_id\tdataset_id\nS1\tD\n{lines}\tD\n"))
    assert (error.line, error.column) == (3, "sample_id")
    assert len(error.findings) == 20
    assert "line 22, column sample_id" in error.findings[-1]
    assert error.found == 30


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in str(refusal(tmp_path / "absent.tsv"))
    assert "cannot be read" in str(refusal(tmp_path))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=80), keep_header=st.booleans())
def test_whatever_stands_in_a_file_only_an_input_error_comes_out(
    tmp_path: Path, content: bytes, keep_header: bool
) -> None:
    if keep_header:
        content = b"sample_id\tdataset_id\tage\tsex\nS1\tD1\t" + content
    try:
        samples = read_samples(write(tmp_path, content)).records
    except InputError:
        return
    assert len({sample.sample_id for sample in samples}) == len(samples) > 0
    assert all(sample.dataset_id for sample in samples)
    assert all(0 <= sample.numbers.get("age", 0) <= 130 for sample in samples)
