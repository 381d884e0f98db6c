"""Layouts of counts that tools of the field write, each in a small made-up file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import mmwrite
from scipy.sparse import csr_matrix

from annotator.errors import InputError
from annotator.reading.counts.registry import read_counts

Counts = dict[str, dict[str, float]]


def read(path: Path) -> tuple[Counts, str]:
    """Return the counts above zero per sample and feature, and the notes as one text."""
    found: Counts = {}
    with read_counts(path) as table:
        for ids, counts in table.batches():
            for sample, row in zip(ids, counts.toarray(), strict=True):
                found[sample] = {
                    name: count
                    for name, count in zip(table.feature_names, row.tolist(), strict=True)
                    if count
                }
        return found, "\n".join(table.notes)


def written(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


EXCERPT = "\t".join(
    (
        *("ReferenceID", "uniqueReadCount", "totalReadCount"),
        *("multimapAdjustedReadCount", "multimapAdjustedBarcodeCount"),
    )
)
GROUPED = "name\tunique reads\tread count\tread count (mult. map. adj.)\tRPM (lib)\tRPM (total)"
GDC = "miRNA_ID\tread_count\treads_per_million_miRNA_mapped\tcross-mapped"
ISOFORMS = (
    "miRNA_ID\tisoform_coords\tread_count\treads_per_million_miRNA_mapped"
    "\tcross-mapped\tmiRNA_region"
)


def test_excerpt_has_one_file_per_sample_named_by_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "S7" / "readCounts_miRNAmature_sense.txt"
    counts, notes = read(written(file, EXCERPT, "hsa-miR-21-5p:MIMAT0000076:x\t2\t13\t12.0\t0.0"))
    assert counts == {"S7": {"hsa-miR-21-5p:MIMAT0000076:x": 12}}
    assert "multimapAdjustedReadCount" in notes


def test_parts_of_reads_in_a_column_of_counts_are_no_logarithms(tmp_path: Path) -> None:
    parts = ("0.0556", "0.0769", "0.1389", "0.2333", "0.3269", "0.3611", "1.0769", "2.6154")
    rows = (f"tRNA-{number}\t1\t3\t{part}\t0" for number, part in enumerate(parts))
    file = written(tmp_path / "S7" / "readCounts_tRNA_sense.txt", EXCERPT, *rows)
    assert read(file)[0] == {"S7": {"tRNA-6": 1, "tRNA-7": 3}}


def test_srnabench_grouped_takes_the_adjusted_counts(tmp_path: Path) -> None:
    file = written(tmp_path / "S1.grouped", GROUPED, "hsa-let-7a-5p\t3\t20\t18\t1\t2")
    assert read(file)[0] == {"S1": {"hsa-let-7a-5p": 18}}


def test_the_srnabench_matrix_loses_the_group_in_its_sample_ids(tmp_path: Path) -> None:
    file = written(tmp_path / "m.mat", "name\tS1|a\tS2|b", "hsa-let-7a-5p\t3\t5")
    assert read(file)[0] == {"S1": {"hsa-let-7a-5p": 3}, "S2": {"hsa-let-7a-5p": 5}}


def test_srnabench_samples_of_one_name_in_two_groups_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "m.mat", "name\tS1|a\tS1|b", "hsa-let-7a-5p\t3\t5")
    with pytest.raises(InputError, match="S1"):
        read(file)


def test_gdc_mirnas_are_named_by_their_file(tmp_path: Path) -> None:
    file = written(
        tmp_path / "TCGA-01.mirbase21.mirnas.quantification.txt",
        GDC,
        "hsa-let-7a-1\t66\t5000.1\tN",
        "hsa-mir-21\t1\t70.5\tY",
    )
    assert read(file)[0] == {"TCGA-01": {"hsa-let-7a-1": 66, "hsa-mir-21": 1}}


def test_gdc_isoforms_are_added_up_by_mature_mirna(tmp_path: Path) -> None:
    file = written(
        tmp_path / "T.isoforms.quantification.txt",
        ISOFORMS,
        "hsa-let-7a-1\thg38:9:1-2:+\t5\t1\tN\tmature,MIMAT0000062",
        "hsa-let-7a-2\thg38:11:1-2:+\t6\t1\tN\tmature,MIMAT0000062",
        "hsa-let-7a-1\thg38:9:5-9:+\t2\t1\tN\tprecursor",
    )
    counts, notes = read(file)
    assert counts == {"T": {"MIMAT0000062": 11}}
    assert "2 reads" in notes


def test_star_counts_ignore_the_strand(tmp_path: Path) -> None:
    file = written(
        tmp_path / "S1ReadsPerGene.out.tab",
        "N_unmapped\t9\t9\t9",
        "ENSG00000284190.1\t4\t3\t1",
    )
    assert read(file)[0]["S1"]["ENSG00000284190.1"] == 4


def test_a_list_of_names_and_counts_needs_no_header(tmp_path: Path) -> None:
    file = written(tmp_path / "S1.txt", "hsa-let-7a-5p\t4", "hsa-miR-21-5p\t0")
    assert read(file)[0] == {"S1": {"hsa-let-7a-5p": 4}}


def test_the_header_of_a_list_is_no_sample(tmp_path: Path) -> None:
    file = written(tmp_path / "S1.txt", "miRNA\tcount", "hsa-let-7a-5p\t4")
    assert read(file)[0] == {"S1": {"hsa-let-7a-5p": 4}}


def test_a_table_of_one_sample_keeps_the_id_in_its_header(tmp_path: Path) -> None:
    file = written(tmp_path / "counts.tsv", "feature\tGSM1", "hsa-let-7a-5p\t4")
    assert read(file)[0] == {"GSM1": {"hsa-let-7a-5p": 4}}


def test_seqbuster_reads_are_added_up_by_mirna(tmp_path: Path) -> None:
    file = written(
        tmp_path / "S1.mirna",
        "seq\tname\tfreq\tmir\tstart",
        "TGAG\tr1\t4\thsa-let-7a-5p\t1",
        "TGAGG\tr2\t3\thsa-let-7a-5p\t1",
    )
    assert read(file)[0] == {"S1": {"hsa-let-7a-5p": 7}}


GFF = (
    "## mirGFF3. VERSION 1.1",
    "## COLDATA: s1, s2",
    "p\tm\tisomiR\t3\t26\t0\t+\t.\tRead=A; Name=hsa-let-7a-5p; Expression=66,33; Filter=Pass",
    "p\tm\tisomiR\t4\t26\t0\t+\t.\tRead=B; Name=hsa-let-7a-5p; Expression=4,2; Filter=Pass",
    "p\tm\tisomiR\t4\t26\t0\t+\t.\tRead=C; Name=hsa-let-7a-5p; Expression=9,9; Filter=REJECT",
)


def test_mirgff_adds_up_the_reads_that_passed(tmp_path: Path) -> None:
    counts, notes = read(written(tmp_path / "x.gff", *GFF))
    assert counts == {"s1": {"hsa-let-7a-5p": 70}, "s2": {"hsa-let-7a-5p": 35}}
    assert "18 reads" in notes


def test_mirgff_with_too_few_counts_is_refused_with_the_line(tmp_path: Path) -> None:
    wrong = GFF[2].replace("66,33", "66")
    with pytest.raises(InputError, match="line 3"):
        read(written(tmp_path / "x.gff", *GFF[:2], wrong))


def test_mirtop_counts_are_added_up_by_mirna(tmp_path: Path) -> None:
    file = written(
        tmp_path / "mirtop.tsv",
        "UID\tRead\tmiRNA\tVariant\tiso_5p\tiso_3p\tiso_add3p\tiso_snp\tS1\tS2",
        "u1\tA\thsa-let-7a-5p\tNA\t0\t0\t0\t0\t5\t1",
        "u2\tB\thsa-let-7a-5p\tiso_3p:1\t0\t1\t0\t0\t2\t0",
    )
    assert read(file)[0] == {"S1": {"hsa-let-7a-5p": 7}, "S2": {"hsa-let-7a-5p": 1}}


def test_the_table_of_isomirs_is_added_up_by_mirna(tmp_path: Path) -> None:
    file = written(
        tmp_path / "isomirs.tsv",
        "seq\tmir\tmism\tadd\tt5\tt3\tS2\tS3",
        "TGAG\thsa-let-7a-5p\t0\t0\t0\t0\t5\t1",
        "TGAGA\thsa-let-7a-5p\t0\t0\t0\ta\t2\t0",
    )
    assert read(file)[0] == {"S2": {"hsa-let-7a-5p": 7}, "S3": {"hsa-let-7a-5p": 1}}


def test_a_column_of_text_among_counts_is_one_error(tmp_path: Path) -> None:
    rows = [f"hsa-miR-{number}\tarm 5p\t{number}" for number in range(1, 5)]
    with pytest.raises(InputError, match=r"column 2.*'arm'.*text") as caught:
        read(written(tmp_path / "c.tsv", "feature\tarm\tS1", *rows))
    assert caught.value.found == 1


def test_a_title_above_the_header_of_counts_is_skipped(tmp_path: Path) -> None:
    rows = ("miRNA\tS1\tS2", "hsa-let-7a-5p\t4\t0", "hsa-miR-21-5p\t0\t6")
    counts, notes = read(written(tmp_path / "c.tsv", "Table S2. Raw counts", "", *rows))
    assert counts == {"S1": {"hsa-let-7a-5p": 4}, "S2": {"hsa-miR-21-5p": 6}}
    assert "Table S2" in notes


def test_a_header_of_one_sample_id_is_no_title(tmp_path: Path) -> None:
    file = written(tmp_path / "c.tsv", "GSM1", "hsa-let-7a-5p\t4", "hsa-miR-21-5p\t6")
    assert read(file)[0] == {"GSM1": {"hsa-let-7a-5p": 4, "hsa-miR-21-5p": 6}}


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"RDX3\nX\n\0\0\0\3" + bytes(range(99))),
        gzip.compress(b"X\n\0\0\0\3\0\4"),
        b"RDA3\nA\n3\n262657\n",
        b"BZh91AY&SY",
    ],
    ids=["rdata", "rds", "text", "bzip2"],
)
def test_files_of_r_are_refused_with_advice(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "counts.rda").write_bytes(content)
    with pytest.raises(InputError, match=r"write\.csv"):
        read(tmp_path / "counts.rda")


def test_mirdeep_takes_the_largest_count_over_precursors(tmp_path: Path) -> None:
    file = written(
        tmp_path / "miRNAs_expressed_all_samples_now.csv",
        "#miRNA\tread_count\tprecursor\ttotal\tseq\tctl\tseq(norm)\tctl(norm)",
        "hsa-let-7a-5p\t10\thsa-let-7a-1\t10\t7.00\t3.00\t1.1\t2.2",
        "hsa-let-7a-5p\t9\thsa-let-7a-2\t9\t5.00\t4.00\t1.1\t2.2",
    )
    counts, notes = read(file)
    assert counts == {"seq": {"hsa-let-7a-5p": 7}, "ctl": {"hsa-let-7a-5p": 4}}
    assert "precursors" in notes


# --- folders and binary files -------------------------------------------------------------------


def test_a_folder_of_one_file_per_sample_is_one_table(tmp_path: Path) -> None:
    written(tmp_path / "S1.txt", "hsa-let-7a-5p\t4")
    written(tmp_path / "S2.txt", "hsa-miR-21-5p\t6")
    written(tmp_path / "README.txt", "nothing to count")
    counts, notes = read(tmp_path)
    assert counts == {"S1": {"hsa-let-7a-5p": 4}, "S2": {"hsa-miR-21-5p": 6}}
    assert "README.txt" in notes


def test_files_of_different_rna_classes_of_one_sample_are_joined(tmp_path: Path) -> None:
    for kind, name in (("miRNAmature", "hsa-let-7a-5p"), ("tRNA", "tRNA-Val")):
        file = tmp_path / "S1" / f"readCounts_{kind}_sense.txt"
        written(file, EXCERPT, f"{name}\t1\t5\t5.0\t0.0")
    assert read(tmp_path)[0] == {"S1": {"hsa-let-7a-5p": 5, "tRNA-Val": 5}}


def test_a_count_in_two_files_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        written(tmp_path / folder / "S1.txt", "hsa-let-7a-5p\t4")
    with pytest.raises(InputError, match="hsa-let-7a-5p"):
        read(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read(tmp_path)


def test_tables_beside_files_with_a_layout_of_their_own_are_left_out(tmp_path: Path) -> None:
    written(tmp_path / "S1" / "readCounts_miRNAmature_sense.txt", EXCERPT, "miR-1\t1\t5\t5.0\t0")
    written(tmp_path / "S1" / "S1.adapterSeq", "TGGAATTC")
    written(tmp_path / "S1" / "S1.stats", "Stage\tReadCount", "input\t9000")
    counts, notes = read(tmp_path)
    assert counts == {"S1": {"miR-1": 5}}
    assert "S1.adapterSeq, S1.stats" in notes


def test_isoforms_of_the_gdc_replace_mirnas_with_the_same_reads(tmp_path: Path) -> None:
    written(tmp_path / "a" / "T.mirnas.quantification.txt", GDC, "hsa-let-7a-1\t66\t5000.1\tN")
    isoform = "hsa-let-7a-1\thg38:9:1-2:+\t5\t1\tN\tmature,MIMAT0000062"
    written(tmp_path / "b" / "T.isoforms.quantification.txt", ISOFORMS, isoform)
    counts, notes = read(tmp_path)
    assert counts == {"T": {"MIMAT0000062": 5}}
    assert "T.mirnas.quantification.txt" in notes


def test_normalised_tables_beside_counts_are_left_out(tmp_path: Path) -> None:
    written(tmp_path / "miR.Counts.csv", "miRNA,S1", "hsa-let-7a-5p,4.0")
    written(tmp_path / "miR.RPM.csv", "miRNA,S1", "hsa-let-7a-5p,1000000.0")
    counts, notes = read(tmp_path)
    assert counts == {"S1": {"hsa-let-7a-5p": 4}}
    assert "miR.RPM.csv" in notes


def test_notes_of_many_files_are_one_if_they_differ_in_numbers_alone(tmp_path: Path) -> None:
    for number in range(4):
        written(tmp_path / f"S{number}.txt", "hsa-let-7a-5p\t4", f"__no_feature\t{number + 3}")
    assert read(tmp_path)[1].count("__no_feature") == 1


def test_a_file_that_cannot_be_read_is_to_be_taken_out_of_the_folder(tmp_path: Path) -> None:
    written(tmp_path / "S1.txt", "hsa-let-7a-5p\t4")
    written(tmp_path / "notes.txt", "nothing to count")
    with pytest.raises(InputError, match=r"notes\.txt.*folder"):
        read(tmp_path)


MATRIX = np.array([[4, 0, 1], [0, 6, 2]], dtype=np.float32)
NAMES = ["hsa-let-7a-5p", "hsa-miR-21-5p", "hsa-miR-16-5p"]
EXPECTED = {
    "S1": {"hsa-let-7a-5p": 4, "hsa-miR-16-5p": 1},
    "S2": {"hsa-miR-21-5p": 6, "hsa-miR-16-5p": 2},
}


def adata(matrix: Any, **more: Any) -> Any:
    anndata = pytest.importorskip("anndata")
    import pandas as pd

    obs = pd.DataFrame({"tissue": ["liver", None]}, index=["S1", "S2"])
    return anndata.AnnData(matrix, obs=obs, var=pd.DataFrame(index=NAMES), **more)


def test_anndata_counts_are_read(tmp_path: Path) -> None:
    adata(csr_matrix(MATRIX)).write_h5ad(tmp_path / "a.h5ad")
    assert read(tmp_path / "a.h5ad")[0] == EXPECTED


def test_a_layer_of_counts_precedes_a_normalised_matrix(tmp_path: Path) -> None:
    data = adata(np.log1p(MATRIX), layers={"counts": MATRIX})
    data.write_h5ad(tmp_path / "a.h5ad")
    counts, notes = read(tmp_path / "a.h5ad")
    assert counts == EXPECTED
    assert "counts" in notes


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_an_anndata_folder_in_zarr_is_read(tmp_path: Path) -> None:
    adata(MATRIX).write_zarr(tmp_path / "a.zarr")
    assert read(tmp_path / "a.zarr")[0] == EXPECTED


def test_an_anndata_file_that_is_damaged_inside_is_refused(tmp_path: Path) -> None:
    """The matrix is read from the file only when it is needed."""
    h5py = pytest.importorskip("h5py")
    adata(csr_matrix(MATRIX)).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["X/indices"]
    with pytest.raises(InputError, match="AnnData"):
        read(tmp_path / "a.h5ad")


def test_anndata_counts_of_features_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    adata(csr_matrix(MATRIX)).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file["X/indices"][0] = 2_883_587
    with pytest.raises(InputError, match="AnnData"):
        read(tmp_path / "a.h5ad")


def test_a_damaged_anndata_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_bytes(b"\x89HDF\r\n\x1a\n" + b"x" * 100)
    with pytest.raises(InputError, match="AnnData"):
        read(tmp_path / "a.h5ad")


@pytest.mark.parametrize("transposed", [False, True])
def test_a_matrix_market_folder_is_read_in_either_orientation(
    tmp_path: Path, transposed: bool
) -> None:
    with gzip.open(tmp_path / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, csr_matrix(MATRIX if transposed else MATRIX.T))
    written(tmp_path / "features.tsv", *(f"{name}\tGene Expression" for name in NAMES))
    written(tmp_path / "barcodes.tsv", "S1", "S2")
    assert read(tmp_path)[0] == EXPECTED


@pytest.mark.parametrize("kept", [40, 60, -4])
def test_a_damaged_matrix_market_file_is_refused(tmp_path: Path, kept: int) -> None:
    """SciPy would end the process on such a file."""
    with gzip.open(tmp_path / "matrix.mtx.gz", "wb") as file:
        mmwrite(file, csr_matrix(MATRIX))
    written(tmp_path / "features.tsv", *NAMES)
    written(tmp_path / "barcodes.tsv", "S1", "S2")
    whole = (tmp_path / "matrix.mtx.gz").read_bytes()
    (tmp_path / "matrix.mtx.gz").write_bytes(whole[:kept])
    with pytest.raises(InputError, match="gzip"):
        read(tmp_path / "matrix.mtx.gz")


def test_names_of_a_matrix_market_file_may_have_headers_and_its_name(tmp_path: Path) -> None:
    mmwrite(tmp_path / "counts.mtx", csr_matrix(MATRIX.T))
    written(tmp_path / "counts_rownames.txt", "x", *NAMES)
    written(tmp_path / "counts_colnames.txt", "x", "S1", "S2")
    assert read(tmp_path / "counts.mtx")[0] == EXPECTED


def test_features_that_are_only_numbered_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="numbered"):
        read(written(tmp_path / "c.tsv", "\tS1\tS2", "0\t4\t3", "1\t7\t1", "2\t1\t1"))


def test_a_matrix_market_file_without_names_is_refused(tmp_path: Path) -> None:
    mmwrite(tmp_path / "matrix.mtx", csr_matrix(MATRIX))
    with pytest.raises(InputError, match="features"):
        read(tmp_path / "matrix.mtx")
