"""Names that tools write, conventions of datasets, and one name per molecule in a cohort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from annotator.domain.profiles import Profiles
from annotator.learn.features.canonical import canonical_profiles
from annotator.learn.features.matching import match_features
from annotator.learn.features.mirbase import MATURE, folded, members, name_table, parsed, written
from annotator.learn.features.naming import naming_of, naming_of_name

MATURES = {
    accession.upper(): written(mirna).replace("mir", "miR")
    for accession, mirna in name_table().current.items()
    if mirna.kind == MATURE
}
NAMES = sorted(MATURES.values())
ACCESSION_OF = {name: accession for accession, name in MATURES.items()}

WRITTEN = {
    "{0}:{1}:Homo:sapiens:{2}": "exceRpt",
    "{0}_{1}_Homo_sapiens_{2}": "nf-core/smrnaseq",
    "mature,{1}": "GDC",
    "{0}_st": "Affymetrix",
    "{0}_v12.0": "Agilent",
    "{0}(3)": "copies",
}


@pytest.mark.parametrize("pattern", WRITTEN)
def test_names_as_tools_and_arrays_write_them_are_matched(pattern):
    model = ["hsa-miR-101-3p", "hsa-let-7a-5p", "hsa-miR-21-5p"]
    given_names = [pattern.format(name, ACCESSION_OF[name], name[4:]) for name in model]
    pairs = match_features(model, given_names)
    assert [(pair.model_column, pair.given_column) for pair in pairs] == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("given_name", "plain"),
    [
        ("hsa-miR-21-star_st", "hsa-mir-21*"),
        ("hsa-miR-21_x_st", "hsa-mir-21"),
        ("hp_hsa-mir-21_st", "hsa-mir-21"),
        ("Hsa-Mir-21_3p*", "hsa-mir-21-3p"),
        ("ENSG00000284190.1", "ensg00000284190"),
        ("SNORD44_st", "snord44-st"),
        ("tRNA-Val-CAC-2-1", "trna-val-cac-2-1"),
    ],
)
def test_marks_are_removed_from_mirnas_only(given_name, plain):
    assert folded(given_name) == plain


def test_a_star_spelt_out_is_the_other_arm():
    (pair,) = match_features(["hsa-miR-21-3p"], ["hsa-miR-21-star_st"])
    assert pair.kind == "former name"


def test_an_ensembl_gene_is_its_stem_loop():
    (pair,) = match_features(["hsa-mir-21"], ["ENSG00000284190.1"])
    assert pair.kind == "alias"


@pytest.mark.parametrize(
    "name", ["mmu-let-7g-5p_MIMAT0000121_Mus_musculus_let-7g-5p", "mmu-miR-21a-5p"]
)
def test_names_of_another_organism_are_never_matched(name):
    assert match_features(["hsa-let-7g-5p", "hsa-miR-21-5p"], [name]) == ()
    assert naming_of([name]).foreign_species == "mmu"


@settings(max_examples=400)
@given(
    st.one_of(
        st.text(max_size=40),
        st.from_regex(
            r"\A(hp_)?(hsa|mmu)?[-._]?(miR|mir|let|Mir)[-._]?[0-9a-c]{1,3}"
            r"([-_][35]p)?(\*|-?star)?(\(\d\))?(_x)?(_st)?(_v1[0-9]\.0)?(_MIMAT0000076_a_b)?\Z"
        ),
    )
)
def test_any_text_can_be_read_and_folding_twice_changes_nothing(text):
    once = folded(text)
    assert folded(once) == once
    members(text)
    parsed(once)
    naming_of_name(text)
    naming_of([text])


@pytest.mark.parametrize("pattern", ["{0}", *WRITTEN])
def test_no_two_mature_mirnas_become_one(pattern):
    texts = [pattern.format(name, ACCESSION_OF[name], name[4:]) for name in NAMES]
    assert len({folded(text) for text in texts}) == len(NAMES)


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["hsa-miR-21-5p", "hsa-miR-9-5p"], "miRBase"),
        (["hsa-miR-21", "hsa-miR-21*", "hsa-miR-9*"], "miRBase 17 or earlier"),
        (["hsa-mir-21", "hsa-mir-16-1"], "miRBase stem-loops"),
        (["MIMAT0000076", "mature,MIMAT0000062"], "miRBase accessions"),
        (["MIR21", "MIR16-1"], "gene symbols"),
        (["Hsa-Mir-21_5p", "Hsa-Let-7-P2a1_5p"], "MirGeneDB"),
        (["ENSG00000284190.1"], "Ensembl"),
        (["URS000039ED8D_9606"], "RNAcentral"),
        (["SNORD44"], "other"),
        ([], "other"),
    ],
)
def test_the_convention_of_a_dataset_is_inferred(names, label):
    assert naming_of(names).label == label


def test_names_that_cannot_be_translated_are_counted():
    names = ["Hsa-Let-7-P2a1_5p", "Hsa-Mir-21_5p", "URS000039ED8D_9606", "ENSG00000000001.1"]
    assert naming_of(names).unknown == {"Ensembl": 1, "MirGeneDB": 1, "RNAcentral": 1}


CHOSEN = [name for name in NAMES if name.count("-") == 3][::50]
STYLES = {
    "accession": lambda name: ACCESSION_OF[name],
    "dots": lambda name: name.replace("-", "."),
    "capitals": str.upper,
    "no species": lambda name: name[4:],
    "exceRpt": lambda name: f"{name}:{ACCESSION_OF[name]}:Homo:sapiens:{name[4:]}",
}


def cohort(rename) -> tuple[Profiles, np.ndarray, np.ndarray]:
    """Four datasets of three samples, the last of which has other names; and the plain table."""
    table = np.random.default_rng(0).poisson(5, (12, len(CHOSEN))).astype(np.float32)
    datasets = np.repeat(np.array(["A", "B", "C", "D"], dtype=object), 3)
    others = [rename(name) for name in CHOSEN]
    is_other = (datasets == "D")[:, None]
    together = np.hstack([np.where(is_other, 0, table), np.where(is_other, table, 0)])
    names = np.array([*CHOSEN, *others], dtype=object)
    profiles = Profiles(
        np.array([f"S{row}" for row in range(12)], dtype=object),
        names,
        np.array(["srna"] * len(names), dtype=object),
        csr_matrix(together),
    )
    return profiles, datasets, table


@pytest.mark.parametrize("style", STYLES)
def test_a_dataset_with_other_names_gets_those_of_the_others(style):
    profiles, datasets, table = cohort(STYLES[style])
    found = canonical_profiles(profiles, datasets)
    assert list(found.renamed) == ["D"]
    counts = found.profiles.counts.toarray()
    np.testing.assert_array_equal(counts[:, : len(CHOSEN)], table)
    assert not counts[:, len(CHOSEN) :].any()


def test_old_names_without_an_arm_are_the_same_molecules():
    names = np.array(["hsa-miR-21-5p", "hsa-miR-21-3p", "hsa-miR-21", "hsa-miR-21*"], dtype=object)
    counts = np.array([[5, 1, 0, 0], [6, 2, 0, 0], [0, 0, 7, 3]], dtype=np.float32)
    profiles = Profiles(
        np.array(["a", "b", "c"], dtype=object),
        names,
        np.array(["srna"] * 4, dtype=object),
        csr_matrix(counts),
    )
    found = canonical_profiles(profiles, np.array(["A", "A", "B"], dtype=object))
    assert found.profiles.counts.toarray()[2].tolist() == [7, 3, 0, 0]
    assert found.renamed == {"B": {"hsa-miR-21": "hsa-miR-21-5p", "hsa-miR-21*": "hsa-miR-21-3p"}}


def test_nothing_changes_if_all_names_are_canonical():
    profiles, datasets, _ = cohort(lambda name: f"piR-{name}")
    assert canonical_profiles(profiles, datasets).profiles is profiles


def test_a_dataset_that_expresses_both_names_keeps_both():
    names = np.array(["hsa-miR-21-5p", "MIMAT0000076"], dtype=object)
    profiles = Profiles(
        np.array(["a", "b"], dtype=object),
        names,
        np.array(["srna"] * 2, dtype=object),
        csr_matrix(np.array([[5, 0], [4, 4]], dtype=np.float32)),
    )
    found = canonical_profiles(profiles, np.array(["A", "B"], dtype=object))
    assert found.profiles is profiles
