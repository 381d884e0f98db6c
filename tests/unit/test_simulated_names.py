"""Names of simulated features are unique and look like real ones."""

from __future__ import annotations

import re

import pytest

from annotator.atlas.names import biotype_of, contaminant_names, planted_names, srna_names


@pytest.mark.parametrize("count", [59, 60, 71, 900, 1805, 2500])
def test_srna_names_are_unique_and_look_real(count: int) -> None:
    names = srna_names(count)
    assert len(set(names)) == len(names) == count
    assert set(planted_names()) <= set(names)
    assert all(biotype_of(name) is not None for name in names)
    mirnas = [name for name in names if biotype_of(name) == "miRNA"]
    mature = re.compile(r"hsa-(let|miR)-\d*[a-z]?\d?(-\d)?(-[35]p)?")
    assert [name for name in mirnas if not mature.fullmatch(name)] == []


@pytest.mark.parametrize("count", [0, 1, 150, 183, 500])
def test_contaminant_names_are_unique(count: int) -> None:
    names = contaminant_names(count)
    assert len(set(names)) == len(names) == count
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names)
    assert all(biotype_of(name) is None for name in names)
