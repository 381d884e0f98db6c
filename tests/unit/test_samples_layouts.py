"""Sample tables as databases and programs write them, each in a small made-up file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.domain.fields import FIELDS
from annotator.domain.imports import SampleRecord
from annotator.errors import InputError
from annotator.reading.samples.characteristics import named_columns
from annotator.reading.samples.layout import SampleTable
from annotator.reading.samples.meanings import column_meanings
from annotator.reading.samples.registry import SampleOptions, Samples, read_samples


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def said(found: Samples) -> str:
    return "\n".join(found.notes)


def one(path: Path, **options: str | dict[str, str]) -> SampleRecord:
    (record,) = read_samples(path, FIELDS, SampleOptions(**options)).records  # type: ignore[arg-type]
    return record


def test_an_sra_run_table_is_read(tmp_path: Path) -> None:
    file = written(
        tmp_path / "SraRunTable.txt",
        "Run,Assay Type,AvgSpotLen,BioProject,BioSample,Organism,source_name,AGE,sex,tissue",
        'SRR1,miRNA-Seq,51,PRJNA1,SAMN1,Homo sapiens,"liver, left lobe",35,female,liver',
    )
    record = one(file)
    assert (record.sample_id, record.dataset_id, record.organism) == (
        "SRR1",
        "PRJNA1",
        "Homo sapiens",
    )
    assert record.values == {"tissue": "liver", "sex": "female", "age": "35"}
    assert record.attributes["source_name"] == "liver, left lobe"


TITLED = ("sample_id,dataset_id,tissue", "S1,D1,liver", "S2,D1,")


@pytest.mark.parametrize(
    "title", [("Table S1,,",), ('"Table S1. All, samples",,',), ("Table S1", "")]
)
def test_a_title_above_the_header_is_skipped(tmp_path: Path, title: tuple[str, ...]) -> None:
    found = read_samples(written(tmp_path / "s.csv", *title, *TITLED))
    assert [record.sample_id for record in found.records] == ["S1", "S2"]
    assert "Table S1" in said(found)


SERIES = (
    '!Series_title\t"A study"',
    '!Series_geo_accession\t"GSE7"',
    "",
    '!Sample_title\t"donor 1"\t"donor 2"',
    '!Sample_geo_accession\t"GSM1"\t"GSM2"',
    '!Sample_organism_ch1\t"Homo sapiens"\t"Homo sapiens"',
    '!Sample_characteristics_ch1\t"tissue: liver"\t"tissue: lung"',
    '!Sample_characteristics_ch1\t"gender: M"\t"Sex: female"',
    "!series_matrix_table_begin",
    '"ID_REF"\t"GSM1"\t"GSM2"',
    "!series_matrix_table_end",
)


@pytest.mark.parametrize("packed", [False, True])
def test_a_geo_series_matrix_is_read(tmp_path: Path, packed: bool) -> None:
    text = "\n".join(SERIES) + "\n"
    path = tmp_path / "GSE7_series_matrix.txt"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    first, second = read_samples(path).records
    assert (first.sample_id, first.dataset_id) == ("GSM1", "GSE7")
    assert first.values["tissue"] == "liver"
    assert second.values == {"tissue": "lung", "sex": "female"}


def test_ids_are_taken_from_the_column_that_has_those_of_the_counts(tmp_path: Path) -> None:
    file = written(tmp_path / "GSE7_series_matrix.txt", *SERIES)
    found = read_samples(file, counts_ids=("donor 1", "donor 2"))
    assert [record.sample_id for record in found.records] == ["donor 1", "donor 2"]
    assert "'title' is read as sample_id" in said(found)


def test_a_geo_soft_family_is_read(tmp_path: Path) -> None:
    file = written(
        tmp_path / "GSE7_family.soft",
        "^DATABASE = GeoMiame",
        "^SERIES = GSE7",
        "!Series_geo_accession = GSE7",
        "^SAMPLE = GSM1",
        "!Sample_geo_accession = GSM1",
        "!Sample_title = donor 1",
        "!Sample_characteristics_ch1 = tissue: liver",
        "!Sample_characteristics_ch1 = age: 35 years",
        "#ID_REF = nothing",
        "!sample_table_begin",
    )
    record = one(file)
    assert (record.sample_id, record.dataset_id) == ("GSM1", "GSE7")
    assert record.values == {"tissue": "liver", "age": "35"}


def test_a_phenotype_table_of_geoquery_is_read(tmp_path: Path) -> None:
    file = written(
        tmp_path / "GSE9_pd.csv",
        '"","title","geo_accession","characteristics_ch1","characteristics_ch1.1","tissue:ch1"',
        '"GSM1","donor 1","GSM1","tissue: liver","age: 35","liver"',
    )
    record = one(file)
    assert record.values == {"tissue": "liver", "age": "35"}
    assert record.dataset_id == "GSE9"


def test_biosample_text_is_read(tmp_path: Path) -> None:
    file = written(
        tmp_path / "biosample_result.txt",
        "1: Liver of a donor",
        "Identifiers: BioSample: SAMN1; Sample name: d1; SRA: SRS1",
        "Organism: Homo sapiens",
        "Attributes:",
        '    /tissue="liver"',
        '    /sex="male"',
        "Accession: SAMN1\tID: 1",
    )
    record = one(file, dataset_id="D1")
    assert (record.sample_id, record.organism) == ("SAMN1", "Homo sapiens")
    assert record.values == {"tissue": "liver", "sex": "male"}


def test_samples_of_a_gdc_sheet_are_named_as_their_files_of_counts(tmp_path: Path) -> None:
    file = written(
        tmp_path / "gdc_sample_sheet.tsv",
        "File ID\tFile Name\tProject ID\tSample ID",
        "1\ta1b2.mirbase21.mirnas.quantification.txt\tTCGA-LIHC\tTCGA-01A",
        "2\tc3d4.mirbase21.mirnas.quantification.txt\tTCGA-LIHC\tTCGA-02A",
    )
    found = read_samples(file, counts_ids=("a1b2", "c3d4"))
    assert [record.sample_id for record in found.records] == ["a1b2", "c3d4"]
    assert found.records[0].attributes["Sample ID"] == "TCGA-01A"
    assert said(found).count("read as sample_id") == 1


def test_geoquery_columns_are_read_with_the_points_that_r_writes(tmp_path: Path) -> None:
    file = written(
        tmp_path / "GSE7.txt",
        '"geo_accession" "tissue.ch1" "Sex.ch1"',
        '"GSM1" "GSM1" "liver" "male"',
    )
    assert one(file).values == {"tissue": "liver", "sex": "male"}


def test_soft_tables_leave_no_columns(tmp_path: Path) -> None:
    file = written(
        tmp_path / "GSE7_family.soft",
        "^SERIES = GSE7",
        "!Series_geo_accession = GSE7",
        "^SAMPLE = GSM1",
        "!Sample_title = donor 1",
        "!sample_table_begin",
        "ID_REF\tVALUE",
        "!sample_table_end",
    )
    assert one(file).given_columns == {"title"}


def test_a_table_of_counts_in_place_of_samples_is_named(tmp_path: Path) -> None:
    file = written(tmp_path / "c.tsv", "miRNA\tS1", "hsa-let-7a-5p\t4", "hsa-miR-21-5p\t6")
    with pytest.raises(InputError, match="COUNTS comes first"):
        read_samples(file)


def test_the_name_of_the_submitter_is_kept_of_biosamples(tmp_path: Path) -> None:
    file = written(
        tmp_path / "biosample_result.txt",
        "1: smallRNA liver",
        "Identifiers: BioSample: SAMN1; Sample name: donor 1; SRA: SRS1",
        "Organism: Homo sapiens",
        "Attributes:",
        '    /tissue="liver"',
        "Accession: SAMN1\tID: 1",
    )
    record = one(file, dataset_id="D1")
    assert record.sample_id == "SAMN1"
    assert record.attributes["submitted name"] == "donor 1"


def test_a_damaged_workbook_is_refused(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    openpyxl.Workbook().save(tmp_path / "s.xlsx")
    content = bytearray((tmp_path / "s.xlsx").read_bytes())
    content[content.index(b"PK\x01\x02") + 2] = 0
    (tmp_path / "s.xlsx").write_bytes(content)
    with pytest.raises(InputError, match="Excel"):
        read_samples(tmp_path / "s.xlsx")


def test_a_title_above_the_header_of_a_workbook_is_skipped(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Table S1"], [], ["sample_id", "dataset_id", "tissue"], ["S1", "D1", "liver"]):
        book.active.append(row)
    book.save(tmp_path / "s.xlsx")
    assert one(tmp_path / "s.xlsx").values == {"tissue": "liver"}


def test_a_workbook_is_read(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["sample_id", "dataset_id", "age", None])
    book.active.append(["S1", "D1", 35, None])
    book.active.append([None, None, None, None])
    book.create_sheet("legend").append(["explanation"])
    book.save(tmp_path / "samples.xlsx")
    found = read_samples(tmp_path / "samples.xlsx")
    assert found.records[0].numbers == {"age": 35.0}
    assert "legend" in said(found)


def test_obs_of_anndata_is_read(tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata")
    import numpy as np
    import pandas as pd

    obs = pd.DataFrame({"tissue": ["liver", None], "study": "D1"}, index=["S1", "S2"])
    anndata.AnnData(np.ones((2, 1), dtype=np.float32), obs=obs).write_h5ad(tmp_path / "a.h5ad")
    first, second = read_samples(tmp_path / "a.h5ad").records
    assert (first.sample_id, first.dataset_id) == ("S1", "D1")
    assert (first.values, second.values) == ({"tissue": "liver"}, {})


# --- what columns mean --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "cell", "values"),
    [
        ("Sex", "M", {"sex": "male"}),
        ("gender", "female", {"sex": "female"}),
        ("organ", "liver", {"tissue": "liver"}),
        ("organism_part", "liver", {"tissue": "liver"}),
        ("age_years", "40", {"age": "40"}),
        ("Age (years)", "40", {"age": "40"}),
        ("age_months", "6", {"age": "0.5"}),
        ("age in days", "365.25", {"age": "1"}),
        ("donor age", "40", {"age": "40"}),
        ("sex (1=male, 2=female)", "2", {"sex": "female"}),
        ("sex_1male_2female", "1", {"sex": "male"}),
    ],
)
def test_columns_are_read_as_what_they_mean(
    tmp_path: Path, column: str, cell: str, values: dict[str, str]
) -> None:
    file = written(tmp_path / "s.tsv", f"sample_id\tdataset_id\t{column}", f"S1\tD1\t{cell}")
    found = read_samples(file)
    assert found.records[0].values == values
    assert repr(column) in said(found)


def test_an_exact_name_precedes_another_name(tmp_path: Path) -> None:
    file = written(tmp_path / "s.tsv", "sample_id\tdataset_id\tsex\tgender", "S1\tD1\tmale\tfemale")
    record = one(file)
    assert record.values == {"sex": "male"}
    assert record.attributes == {"gender": "female"}


def test_a_doubtful_column_is_offered_and_not_taken(tmp_path: Path) -> None:
    file = written(tmp_path / "s.tsv", "sample_id\tdataset_id\tsource_name", "S1\tD1\tplasma")
    found = read_samples(file)
    assert found.records[0].values == {}
    assert "--map source_name=tissue" in said(found)


def test_a_person_decides_what_a_column_means(tmp_path: Path) -> None:
    file = written(tmp_path / "s.tsv", "probe\tbatch\twhere", "S1\tB1\tliver")
    chosen = {"probe": "sample_id", "where": "tissue"}
    record = one(file, columns=chosen, dataset_id="D1")
    assert (record.sample_id, record.dataset_id) == ("S1", "D1")
    assert (record.values, record.attributes) == ({"tissue": "liver"}, {"batch": "B1"})


@pytest.mark.parametrize("chosen", [{"organn": "tissue"}, {"organ": "tissu"}])
def test_a_wrong_meaning_is_refused(tmp_path: Path, chosen: dict[str, str]) -> None:
    file = written(tmp_path / "s.tsv", "sample_id\tdataset_id\torgan", "S1\tD1\tliver")
    with pytest.raises(InputError, match="--map"):
        one(file, columns=chosen)


def test_columns_that_mean_nothing_here_are_named(tmp_path: Path) -> None:
    file = written(tmp_path / "s.tsv", "sample_id\tdataset_id\tplatform", "S1\tD1\tHiSeq")
    assert "attributes: platform" in said(read_samples(file))


def test_a_table_without_datasets_asks_for_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--dataset"):
        one(written(tmp_path / "s.tsv", "sample_id\ttissue", "S1\tliver"))


# --- what spreadsheets leave --------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ("sample_id\tdataset_id\ttissue", "S1\tD1\tliver", "S2\tD1"),
        ("sample_id\tdataset_id\ttissue\t\t", "S1\tD1\tliver\t\t", "\t\t\t\t", "S2\tD1\t\t\t"),
        ("sample_id;dataset_id;tissue", "S1;D1;liver", ";;", "S2;D1;"),
        ('"sample_id","dataset_id","tissue"', '"S1","D1","liver"', '"S2","D1",""'),
    ],
)
def test_empty_cells_rows_and_columns_are_no_obstacle(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    first, second = read_samples(written(tmp_path / "s.tsv", *lines)).records
    assert (first.values, second.values) == ({"tissue": "liver"}, {})
    assert first.attributes == second.attributes == {}


def test_all_wrong_ids_are_named_at_once(tmp_path: Path) -> None:
    file = written(
        tmp_path / "s.tsv", "sample_id\tdataset_id", "S1\tD1", "S1\tD1", "\tD1", "S2\tNA"
    )
    with pytest.raises(InputError) as caught:
        read_samples(file)
    assert caught.value.line == 3
    assert caught.value.found == 3


CELLS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12).map(
    lambda text: " ".join(text.split())
)


@given(
    rows=st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=4),
    names=st.tuples(*[st.sampled_from(["characteristics_ch1", "tissue:ch1", "Tissue", "x"])] * 3),
)
def test_every_cell_stays_in_some_column(
    rows: list[tuple[str, ...]], names: tuple[str, ...]
) -> None:
    table = SampleTable(Path("x"), names, tuple(enumerate(rows, start=2)))
    found = named_columns(table)
    for row, cells in enumerate(rows):
        kept = {values[row] for values in found.values.values()}
        for cell in cells:
            assert not cell or any(cell == text or cell.endswith(text) for text in kept if text)


@given(st.lists(CELLS.filter(bool), unique=True, max_size=5))
def test_no_column_has_two_meanings(columns: list[str]) -> None:
    found = column_meanings(columns, FIELDS, {}).columns
    names = [column.name for column in found.values()]
    assert len(set(names)) == len(names)
