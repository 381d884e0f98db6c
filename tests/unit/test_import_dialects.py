"""COUNTS files as programs and spreadsheets write them."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import vstack

from annotator.errors import InputError
from annotator.reading.counts.matrix import spill
from annotator.reading.importers import read_counts, read_samples
from annotator.reading.text import text_file
from annotator.reading.text.head import Hints

NO_HINTS = Hints()
EXPECTED = (("S1", "S2"), ("hsa-let-7a-5p", "hsa-miR-21-5p"), [[120, 5000], [80, 4100]])
TSV = "feature\tS1\tS2\nhsa-let-7a-5p\t120\t80\nhsa-miR-21-5p\t5000\t4100\n"


def write(folder: Path, content: str | bytes, name: str = "counts.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, hints: Hints = NO_HINTS) -> tuple[object, object, object]:
    with read_counts(path, hints) as table:
        matrix = vstack([counts for _, counts in table.batches(1)]).toarray()
        return tuple(table.sample_ids), tuple(table.feature_names), matrix.tolist()


def notes(path: Path, hints: Hints = NO_HINTS) -> str:
    with read_counts(path, hints) as table:
        return " | ".join(table.notes)


def refusal(path: Path, hints: Hints = NO_HINTS) -> InputError:
    with pytest.raises(InputError) as caught, read_counts(path, hints):
        pass
    return caught.value


FORMS = {
    "commas": TSV.replace("\t", ","),
    "semicolons": TSV.replace("\t", ";"),
    "spaces": TSV.replace("\t", "  "),
    "quotes": '"feature"\t"S1"\t"S2"\n"hsa-let-7a-5p"\t120\t80\n"hsa-miR-21-5p"\t"5000"\t4100\n',
    "floats": TSV.replace("\t80", "\t80.0"),
    "no corner": TSV.replace("feature\t", ""),
    "no corner, quotes": '"S1" "S2"\n"hsa-let-7a-5p" 120 80\n"hsa-miR-21-5p" 5000 4100\n',
    "empty corner": TSV.replace("feature", ""),
    "marked header": TSV.replace("feature", "#miRNA"),
    "comments": "# made by a program, v1\n# yesterday\n" + TSV,
    "comment with commas": "# a,b,c\n" + TSV.replace("\t", ","),
    "empty columns": TSV.replace("\n", "\t\t\n"),
    "empty rows": "\n" + TSV + "\t\t\n\n\t\t\n",
    "decimal commas": TSV.replace("\t", ";").replace("120", "120,0").replace("80", "80,00"),
    "other columns": "Geneid\tChr\tLength\tS1\tS2\nhsa-let-7a-5p\tchr9\t22\t120\t80\n"
    "hsa-miR-21-5p\tchr17\t22\t5000\t4100\n",
    "numbered rows": ",miRNA,S1,S2\n0,hsa-let-7a-5p,120,80\n1,hsa-miR-21-5p,5000,4100\n",
    "samples down": "\thsa-let-7a-5p\thsa-miR-21-5p\nS1\t120\t5000\nS2\t80\t4100\n",
    "samples down, quotes": '"","hsa-let-7a-5p","hsa-miR-21-5p"\n"S1",120,5000\n"S2",80,4100\n',
    "samples down, labels": "id,tissue,hsa-let-7a-5p,hsa-miR-21-5p\nS1,liver,120,5000\n"
    "S2,blood,80,4100\n",
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_a_table_is_read_as_programs_write_it(tmp_path: Path, content: str) -> None:
    assert read(write(tmp_path, content)) == EXPECTED
    assert read(write(tmp_path, gzip.compress(content.replace("\n", "\r\n").encode()))) == EXPECTED


@pytest.mark.parametrize("corner", ["miRNA", "Geneid", "gene_id", "Feature", "ReferenceID", "xyz"])
def test_the_first_column_may_have_any_name(tmp_path: Path, corner: str) -> None:
    assert read(write(tmp_path, TSV.replace("feature", corner))) == EXPECTED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_other_encodings_are_converted_and_named(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, TSV.replace("S1", "Rücken").encode(encoding))
    assert read(path)[0] == ("Rücken", "S2")
    assert {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "latin-1": "Latin-1"}[encoding] in notes(path)


def test_latin_1_after_the_first_block_is_read_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "BLOCK_BYTES", 40)
    path = write(tmp_path, (TSV + "µRNA\t1\t2\n").encode("latin-1"))
    assert read(path)[1] == ("hsa-let-7a-5p", "hsa-miR-21-5p", "µRNA")
    assert "Latin-1" in notes(path)


def test_utf_8_and_latin_1_in_one_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_file, "BLOCK_BYTES", 40)
    content = TSV.replace("S1", "Sé").encode() + "µRNA\t1\t2\n".encode("latin-1")
    assert refusal(write(tmp_path, content)).line == 4


def test_a_file_without_a_header_is_refused(tmp_path: Path) -> None:
    assert "no header" in str(refusal(write(tmp_path, "hsa-miR-1\t5\t6\nhsa-miR-2\t7\t8\n")))
    numbered = write(tmp_path, TSV.replace("S1", "1").replace("S2", "2"))
    assert read(numbered)[0] == ("1", "2")


def test_a_table_of_samples_in_place_of_counts_is_named(tmp_path: Path) -> None:
    assert "SAMPLES" in str(refusal(write(tmp_path, SAMPLES)))


def test_what_was_detected_is_named(tmp_path: Path) -> None:
    found = notes(write(tmp_path, FORMS["samples down, quotes"]))
    assert all(word in found for word in ("commas", "UTF-8", "samples down", "2 samples × 2"))
    assert "Chr, Length" in notes(write(tmp_path, FORMS["other columns"]))


def test_numbers_with_separators_of_thousands_are_refused(tmp_path: Path) -> None:
    content = "feature;S1\nmiR-1;1.234\nmiR-2;17\nmiR-3;12.000\n"
    assert "thousands" in str(refusal(write(tmp_path, content)))
    assert "thousands" in str(refusal(write(tmp_path, content.replace(".", ","))))


def test_ids_of_samples_decide_the_orientation(tmp_path: Path) -> None:
    path = write(tmp_path, "x\ta\tb\nc\t1\t2\nd\t3\t4\n")
    assert read(path, Hints(frozenset("cd")))[0] == ("c", "d")
    assert read(path, Hints(frozenset("ab")))[0] == ("a", "b")
    assert read(path, Hints(frozenset("AB")))[0] == ("a", "b")


def test_columns_of_declared_fields_are_no_counts(tmp_path: Path) -> None:
    path = write(tmp_path, "sample\thsa-miR-1\tDiagnosis\na\t1\tAD\nb\t3\thealthy\n")
    assert "Diagnosis" in str(refusal(path))
    assert read(path, Hints(fields=frozenset({"diagnosis"})))[1] == ("hsa-miR-1",)


def test_an_unclear_orientation_is_refused_unless_it_is_given(tmp_path: Path) -> None:
    path = write(tmp_path, "x\ta\tb\na\t1\t2\nc\t3\t4\n")
    ids = frozenset("abc")
    assert "--orientation" in str(refusal(path, Hints(ids)))
    assert read(path, Hints(ids, "samples-down"))[0] == ("a", "c")
    assert read(path, Hints(ids, "features-down"))[0] == ("a", "b")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_csv_file_is_read_in_both_orientations(tmp_path: Path, data: st.DataObject) -> None:
    shape = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    values = st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 1_000_000_000))
    size = shape[0] * shape[1]
    drawn = data.draw(st.lists(values, min_size=size, max_size=size))
    matrix = np.array(drawn).reshape(shape)
    delimiter = data.draw(st.sampled_from(",;\t"))
    tail = data.draw(st.sampled_from(["", f"{delimiter} b", ' "b"', " b"]))
    ids = [f"S{i}{tail}" for i in range(shape[0])]
    names = [f"hsa-miR-{i}{tail}" for i in range(shape[1])]
    down = data.draw(st.booleans())
    rows = [["id", *names]] + [[one, *row] for one, row in zip(ids, matrix.tolist(), strict=True)]
    if not down:
        rows = [list(row) for row in zip(*rows, strict=True)]
    text = io.StringIO()
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]))
    csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "BLOCK_BYTES", data.draw(st.integers(16, 200)))
        patch.setattr(spill, "_PIECE_ENTRIES", data.draw(st.integers(1, 20)))
        found = read(write(tmp_path, text.getvalue()), Hints(frozenset(ids)))
    expected = [" ".join(one.split()) for one in names]
    assert found[0] == tuple(" ".join(one.split()) for one in ids)
    assert found[1] == tuple(expected)
    np.testing.assert_array_equal(np.array(found[2]), matrix.astype(np.float32))


SAMPLES = "sample_id\tdataset_id\ttissue\nS1\tD1\tliver\nS2\tD1\t\n"


@pytest.mark.parametrize(
    "content",
    [
        SAMPLES.replace("\t", ","),
        SAMPLES.replace("\t", ";"),
        SAMPLES.replace("liver", '"liver"'),
        SAMPLES.replace("\nS2", "\n\n\t\t\nS2"),
        SAMPLES.replace("\n", "\t\t\n") + "\t\t\t\t\n",
        SAMPLES.removesuffix("\t\n"),
        "# exported today\n" + SAMPLES,
        SAMPLES.encode("utf-16"),
    ],
)
def test_a_table_of_samples_is_read_as_programs_write_it(
    tmp_path: Path, content: str | bytes
) -> None:
    assert (
        read_samples(write(tmp_path, content)).records
        == read_samples(write(tmp_path, SAMPLES, "s")).records
    )


def test_cells_of_samples_may_have_delimiters_and_line_breaks(tmp_path: Path) -> None:
    content = 'sample_id,dataset_id,title\nS1,D1,"liver, left\nlobe"\nS2,D1,"5"" tube"\n'
    first, second = read_samples(write(tmp_path, content)).records
    assert first.attributes == {"title": "liver, left lobe"}
    assert second.attributes == {"title": '5" tube'}


def test_quotation_marks_in_tab_separated_samples_may_be_text(tmp_path: Path) -> None:
    content = 'sample_id\tdataset_id\ttitle\nS1\tD1\t"old" tube\nS2\tD1\t5" tube\n'
    titles = [one.attributes["title"] for one in read_samples(write(tmp_path, content)).records]
    assert titles == ['"old" tube', '5" tube']
