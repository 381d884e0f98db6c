"""One name per organism, however an atlas writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.domain.organisms import (
    KNOWN,
    WithoutRelease,
    of_organism,
    organism_named,
    prefix_of,
)


@pytest.mark.parametrize(
    "name",
    ["Homo sapiens", "human", "hsa", "9606", "NCBITaxon:9606", "homo_sapiens", " HOMO  Sapiens ",
     "H. sapiens", "taxid 9606", "Homo sapiens (human)",
     "http://purl.obolibrary.org/obo/NCBITaxon_9606"],
)  # fmt: skip
def test_names_of_one_organism_are_one(name) -> None:
    assert organism_named(name) == "Homo sapiens"


@pytest.mark.parametrize("organism", KNOWN, ids=lambda organism: organism.prefix)
def test_every_name_of_a_known_organism_leads_to_it(organism) -> None:
    for name in (organism.name, organism.prefix, str(organism.taxid), *organism.aliases):
        assert organism_named(name) == organism_named(name.upper()) == organism.name
    assert prefix_of(organism.name) == organism.prefix


def test_unknown_organisms_are_kept_apart_from_the_known_ones() -> None:
    assert organism_named("apis_mellifera") == organism_named("Apis  Mellifera") == "Apis mellifera"
    assert organism_named("7460") == organism_named("NCBITaxon:7460") == "NCBITaxon:7460"
    assert organism_named("Mus spretus") == "Mus spretus"
    assert prefix_of("Apis mellifera") == ""


@pytest.mark.parametrize("name", ["", "  ", "NaN"])
def test_a_blank_is_no_organism(name) -> None:
    assert organism_named(name) == ""


@given(st.text())
def test_a_name_that_was_normalised_stays(text) -> None:
    name = organism_named(text)
    assert organism_named(name) == name


def test_the_organism_is_named_only_beside_others() -> None:
    assert of_organism("sex", "Homo sapiens", ["Homo sapiens"]) == "sex"
    both = ["Homo sapiens", "Mus musculus"]
    assert of_organism("sex", "Homo sapiens", both) == "sex of Homo sapiens"


def test_waiting_samples_are_described_in_a_line() -> None:
    assert WithoutRelease("tissue", "Mus musculus", 12).sentence == (
        "tissue: 12 samples of Mus musculus wait: no release for Mus musculus"
    )
    assert "1 sample of Mus musculus waits" in WithoutRelease("sex", "Mus musculus", 1).sentence
