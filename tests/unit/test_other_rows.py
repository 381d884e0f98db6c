"""Rows of count tables that are no RNA of the sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotator.domain.other_rows import is_summary, spike_ins
from annotator.errors import InputError
from annotator.reading.importers import read_counts

SUMMARIES = (
    *("__no_feature", "__ambiguous", "__too_low_aQual", "miRNAtotal", "Total", "total", "Sum"),
    *("N_unmapped", "N_noFeature", "N_multimapping", "N_ambiguous", "Unassigned_Unmapped"),
    *("Unassigned_NoFeatures", "*", "unmapped", "no_feature", "ambiguous", "not_aligned"),
)
SPIKES = (
    *("cel-miR-39-3p", "cel-miR-39", "cel-miR-54-3p", "cel-miR-238-3p", "ath-miR-159a"),
    *("ERCC-00002", "UniSp6", "HK_ACTB", "Blank"),
)
RNAS = (
    *("hsa-miR-21-5p", "hsa-let-7a-5p", "MIMAT0000076", "hsa_piR_000001", "tRNA-Gly-GCC-1-5"),
    *("SNORD44", "RNU6-1", "ath-miR-159b", "cel-miR-390", "hsa-miR-39", "ENSG00000284190.1"),
    *("Escherichia_coli", "Y_RNA", "miRNA-total-1"),
)


@pytest.mark.parametrize("name", SUMMARIES)
def test_sums_and_leftovers_are_recognised(name: str) -> None:
    assert is_summary(name)


@pytest.mark.parametrize("name", SPIKES)
def test_spike_ins_are_recognised(name: str) -> None:
    assert spike_ins([name, *RNAS]) == {name}


@pytest.mark.parametrize("name", RNAS)
def test_rnas_are_not_taken_for_others(name: str) -> None:
    assert not is_summary(name)
    assert not spike_ins([*RNAS])


def test_the_own_micrornas_of_a_worm_are_no_spike_ins() -> None:
    worm = ["cel-miR-39-3p", "cel-miR-1-3p", "cel-let-7-5p", "ERCC-00002"]
    assert spike_ins(worm) == {"ERCC-00002"}


def test_they_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "counts.tsv"
    path.write_text(
        "feature\tS1\tS2\nhsa-miR-1\t10\t20\n__no_feature\t30\t10\ncel-miR-39-3p\t20\t10\n"
        "Total\t60\t40\nhsa-miR-2\t0\t0\n"
    )
    with read_counts(path) as table:
        assert table.feature_names == ("hsa-miR-1", "hsa-miR-2")
        ((ids, counts),) = table.batches()
        notes = " | ".join(table.notes)
    assert list(ids) == ["S1", "S2"]
    assert counts.toarray().tolist() == [[10, 0], [20, 0]]
    assert "2 rows are left out as sums" in notes
    assert "70.0% of all reads: __no_feature, Total" in notes
    assert "15.0% of all reads: cel-miR-39-3p" in notes


def test_a_file_without_any_rna_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "counts.tsv"
    path.write_text("feature\tS1\n__no_feature\t30\n")
    with pytest.raises(InputError, match="no row is an RNA"), read_counts(path):
        pass
