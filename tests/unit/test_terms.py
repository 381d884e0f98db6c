"""Finding the term that a label means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.domain.terms import Match, Scope, Synonym, Term, TermIndex, label_key
from tests.support.terms import terms_of

TERMS = (
    Term("BTO:1", "organ"),
    Term(
        "BTO:2",
        "liver",
        ("BTO:1",),
        (Synonym("hepar"), Synonym("BTO:9", Scope.ALTERNATIVE_ID)),
    ),
    Term(
        "BTO:3",
        "peripheral blood mononuclear cell",
        ("BTO:4",),
        (Synonym("PBMC", Scope.RELATED), Synonym("mononuclear", Scope.RELATED)),
    ),
    Term(
        "BTO:4",
        "blood",
        ("BTO:1",),
        (
            Synonym("whole blood", Scope.RELATED),
            Synonym("mononuclear", Scope.RELATED),
            Synonym("BTO:8", Scope.REPLACED),
            Synonym("old blood", Scope.CONSIDER),
        ),
    ),
)
INDEX = TermIndex(TERMS)


@pytest.mark.parametrize(
    ("label", "term", "how"),
    [
        ("liver", "BTO:2", Match.NAME),
        (" LIVER ", "BTO:2", Match.NAME),
        ("bto:2", "BTO:2", Match.ID),
        ("Hepar", "BTO:2", Match.SYNONYM),
        ("BTO:9", "BTO:2", Match.REPLACED),
        ("BTO:8", "BTO:4", Match.REPLACED),
        ("pbmc", "BTO:3", Match.SYNONYM),
        ("Whole__Blood", "BTO:4", Match.SYNONYM),
        ("peripheral-blood  mononuclear_cell", "BTO:3", Match.NAME),
    ],
)
def test_a_label_is_found_by_id_name_or_synonym(label: str, term: str, how: Match) -> None:
    assert INDEX.find(label) == (term, how)


@pytest.mark.parametrize("label", ["livr", "mononuclear", "old blood", "", " "])
def test_no_term_is_guessed(label: str) -> None:
    assert INDEX.find(label) is None
    assert INDEX.class_name(label) is None


def test_the_nearest_terms_are_those_that_a_label_might_mean() -> None:
    assert INDEX.nearest("livr") == ("liver",)
    assert INDEX.nearest("mononuclear") == ("blood", "peripheral blood mononuclear cell")
    assert INDEX.nearest("Old blood") == ("blood",)
    assert INDEX.nearest("zzz") == ()


def test_exact_synonyms_come_before_others_and_names_before_both() -> None:
    index = TermIndex(
        [
            Term("X:1", "a", (), (Synonym("b", Scope.RELATED), Synonym("c", Scope.BROAD))),
            Term("X:2", "b"),
            Term("X:3", "d", (), (Synonym("c"),)),
        ]
    )
    assert index.find("b") == ("X:2", Match.NAME)
    assert index.find("c") == ("X:3", Match.SYNONYM)


def test_terms_of_one_name_are_one_class_under_the_first_id() -> None:
    index = TermIndex(
        [*TERMS, Term("UBERON:7", "Liver", ("UBERON:1",)), Term("UBERON:1", "abdomen")]
    )
    assert index.class_name("UBERON:7") == "liver"
    assert index.class_parents()["liver"] == ("organ",)
    assert "Liver" not in index.class_parents()


def test_a_hyphen_with_a_meaning_stays() -> None:
    assert label_key("CD4- T cell") != label_key("CD4 T cell")
    assert label_key("CD4-") != label_key("CD4")


def test_parents_are_named_as_classes() -> None:
    assert INDEX.class_parents()["peripheral blood mononuclear cell"] == ("blood",)
    assert INDEX.class_names()["bto:3"] == "peripheral blood mononuclear cell"


WORDS = st.lists(st.text("abcxyz019+", min_size=1, max_size=5), min_size=1, max_size=4)


@given(words=WORDS, separators=st.lists(st.sampled_from(["_", "-", "  ", " \t"]), min_size=4))
def test_any_spelling_of_a_name_has_its_key(words: list[str], separators: list[str]) -> None:
    name = " ".join(words)
    spelled = "".join(word.upper() + gap for word, gap in zip(words, separators, strict=False))
    assert label_key(f" {spelled.strip('_- ')} ") == label_key(name)
    assert TermIndex(terms_of({name: ()})).class_name(spelled.strip("_- ")) == name


@given(st.text(max_size=20))
def test_a_key_is_its_own_key_unless_hyphens_meet_new_spaces(text: str) -> None:
    key = label_key(text)
    assert key == key.lower()
    assert "  " not in key
    assert "_" not in key


def test_class_names_are_those_that_labels_are_found_under() -> None:
    labels = [one.text for term in TERMS for one in term.synonyms]
    labels += [name for term in TERMS for name in (term.term_id, term.name)]
    names = INDEX.class_names()
    assert {label: names.get(label_key(label)) for label in labels} == {
        label: INDEX.class_name(label) for label in labels
    }
