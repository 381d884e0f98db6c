"""Small files that would become large in memory are refused before they are read."""

from __future__ import annotations

import gzip
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from annotator.errors import InputError
from annotator.reading.importers import Hints, read_counts, read_ontology, read_samples
from annotator.reading.text import expansion
from annotator.reading.text.expansion import check_expansion

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOO_MUCH = "expands to more than 200 times its size"
TOO_MANY_CELLS = "rows and .* columns is too large"


def bomb(path: Path, start: bytes, line: bytes) -> Path:
    """Write 100 MiB of a line, packed, and damage after them, which is not found."""
    block = gzip.compress(line * (2**20 // len(line)))
    path.write_bytes(gzip.compress(start) + block * 100 + b"damage")
    return path


@pytest.mark.parametrize(
    ("read", "start", "line"),
    [
        (read_samples, b"sample_id\tdataset_id\n", b"S\tD\n"),
        (read_samples, b"!Sample_title\tS1\n!Sample_geo_accession\tGSM1\n", b"miR-1\t0\n"),
        (read_samples, b"^SAMPLE = GSM1\n!Sample_title = S1\n", b"miR-1\t0\n"),
        (read_samples, b"1: S1\nIdentifiers: BioSample: SAMN1\n", b"/tissue=liver\n"),
        (read_ontology, b"term\tparent\n", b"a\tb\n"),
        (read_ontology, b"format-version: 1.2\n", b"[Term]\n"),
    ],
)
def test_a_packed_text_is_refused(
    tmp_path: Path, read: Callable[[Path], object], start: bytes, line: bytes
) -> None:
    with pytest.raises(InputError, match=TOO_MUCH):
        read(bomb(tmp_path / "file.gz", start, line))


def test_the_rest_of_a_packed_text_with_an_error_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="longer than 64 MiB"):
        read_samples(bomb(tmp_path / "file.gz", b"\t", b" \t"))


def test_a_text_is_refused_by_its_size_alone(tmp_path: Path) -> None:
    check_expansion(tmp_path, 2**30, 2**29)
    with pytest.raises(InputError, match="more than 1 GiB"):
        check_expansion(tmp_path, 2**30 + 1, 2**29)


def test_counts_of_zero_may_be_packed_as_small_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expansion, "FREE_BYTES", 1000)
    names = [f"S{number}" for number in range(20)]
    rows = ["\t".join([f"miR-{number}", "7", *["0"] * 19]) for number in range(20)]
    rows += ["\t" * 20] * 20_000
    text = "\n".join(["\t".join(["miRNA", *names]), *rows, "miR-99" + "\t1" * 20, ""])
    path = tmp_path / "counts.tsv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert len(text) > 200 * path.stat().st_size
    with read_counts(path, Hints(frozenset(names))) as table:
        assert len(table.feature_names) == 21


def test_a_packed_workbook_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/sharedStrings.xml", b" " * (100 << 20))
    with pytest.raises(InputError, match=TOO_MUCH):
        read_samples(path)


def test_a_workbook_with_endless_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    monkeypatch.setattr(expansion, "MOST_CELLS", 100_000)
    book = openpyxl.Workbook()
    for row in range(1, 9):
        book.active.cell(row, 16_384, "x")
    book.save(tmp_path / "s.xlsx")
    with pytest.raises(InputError, match=TOO_MANY_CELLS):
        read_samples(tmp_path / "s.xlsx")


WIDE = {
    "short rows": "\t".join(map(str, range(20))) + "\n" + "S\n" * 20,
    "characteristics": "sample_id\tdataset_id\tcharacteristics_ch1\n"
    + "".join(f"S{number}\tD\tkey {number}: 1\n" for number in range(20)),
    "GEO": "".join(f"^SAMPLE = S{number}\n!Sample_{number} = 1\n" for number in range(20)),
    "BioSample": "".join(
        f'{number}: S\nIdentifiers: BioSample: S{number}\n /key {number}="1"\n'
        for number in range(1, 21)
    ),
}


@pytest.mark.parametrize("text", WIDE.values(), ids=WIDE)
def test_a_table_that_becomes_wide_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(expansion, "MOST_CELLS", 200)
    (tmp_path / "samples.txt").write_text(text)
    with pytest.raises(InputError, match=TOO_MANY_CELLS):
        read_samples(tmp_path / "samples.txt")


# --- AnnData and Matrix Market ------------------------------------------------------------------


@pytest.mark.parametrize("place", ["obs/further", "layers/counts", "uns/note"])
def test_an_anndata_file_with_an_endless_array_is_refused(tmp_path: Path, place: str) -> None:
    anndata, h5py = pytest.importorskip("anndata"), pytest.importorskip("h5py")
    anndata.AnnData(np.ones((2, 2), np.float32)).write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        file.create_dataset(place, (2, 10**12), "f4", chunks=(1, 1000), compression="gzip")
    with pytest.raises(InputError, match=TOO_MUCH):
        read_samples(tmp_path / "a.h5ad")


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_zarr_store_with_an_endless_array_is_refused(tmp_path: Path, is_packed: bool) -> None:
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame({"number": [1, 2]}, index=["S1", "S2"])
    path = tmp_path / "a.zarr"
    anndata.AnnData(np.ones((2, 2), np.float32), obs=obs).write_zarr(path)
    shape = path / "obs" / "number" / ".zarray"
    if not shape.exists():
        shape = shape.with_name("zarr.json")
    written = shape.read_text()
    shape.write_text(written.replace('"shape": [\n    2\n', '"shape": [\n    2000000000000\n'))
    assert shape.read_text() != written
    if is_packed:
        path = tmp_path / "a.zarr.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in (tmp_path / "a.zarr").rglob("*"):
                archive.write(file, file.relative_to(tmp_path / "a.zarr"))
    with pytest.raises(InputError, match=TOO_MUCH):
        read_samples(path)


@pytest.mark.parametrize(
    "header",
    [
        "coordinate real general\n3 2 8000000000",
        "coordinate real general\n3000000000 2 1",
        "array real general\n30000 60000",
    ],
)
def test_a_matrix_that_states_more_than_it_has_is_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "matrix.mtx").write_text(f"%%MatrixMarket matrix {header}\n1 1 5\n")
    (tmp_path / "features.tsv").write_text("miR-1\nmiR-2\nmiR-3\n")
    (tmp_path / "barcodes.tsv").write_text("S1\nS2\n")
    with (
        pytest.raises(InputError, match="more than there are"),
        read_counts(tmp_path / "matrix.mtx"),
    ):
        pass


def test_a_packed_matrix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "features.tsv").write_text("miR-1\nmiR-2\nmiR-3\n")
    (tmp_path / "barcodes.tsv").write_text("S1\nS2\n")
    header = b"%%MatrixMarket matrix coordinate real general\n3 2 26214400\n"
    path = bomb(tmp_path / "matrix.mtx.gz", header, b"1 1 5\n")
    with pytest.raises(InputError, match=TOO_MUCH), read_counts(path):
        pass
