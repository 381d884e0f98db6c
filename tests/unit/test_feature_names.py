from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from annotator.errors import InputError
from annotator.learn.features.matching import APPROXIMATE, MatchKind, match_features
from annotator.learn.features.mirbase import members, name_table, written

NUMBERS = ["1", "9", "16", "21", "126", "133a", "133b", "203a", "302b", "451a", "9001", "9002a"]
"""Some that the shipped table knows, and two that it does not."""


def found(model, given_names, **options):
    """Pairs as names, which is what a person would check."""
    return {
        (model[pair.model_column], given_names[pair.given_column], pair.kind.value)
        for pair in match_features(model, given_names, **options)
    }


@st.composite
def mature_names(draw):
    family = draw(st.sampled_from(["miR", "let"]))
    number = "7a" if family == "let" else draw(st.sampled_from(NUMBERS))
    copy = draw(st.sampled_from(["", "", "-1", "-2"]))
    return f"hsa-{family}-{number}{copy}-{draw(st.sampled_from(['5p', '3p']))}"


@st.composite
def merged_names(draw):
    parts = draw(st.lists(mature_names(), min_size=2, max_size=3, unique=True))
    rest = [re.sub("^hsa-(miR|let)-", "", part) for part in parts[1:]]
    assume(all(part.startswith(parts[0][:7]) for part in parts))
    return "/".join([parts[0], *rest])


stem_loop_names = st.builds(
    "hsa-mir-{}{}".format, st.sampled_from(NUMBERS), st.sampled_from(["", "-1", "-2", "-10"])
)
other_names = st.sampled_from(
    ["SNORD44", "snord44", "tRNA-Gly-GCC", "piR-31068", "MIR21", "MIMAT0000076", "MI0000077"]
)
old_names = st.builds(
    "{}miR-{}{}".format,
    st.sampled_from(["hsa-", ""]),
    st.sampled_from([*NUMBERS, "203", "378"]),
    st.sampled_from(["", "*"]),
)
any_name = st.one_of(
    mature_names(),
    merged_names(),
    stem_loop_names,
    old_names,
    other_names,
    mature_names().map(str.upper),
    mature_names().map(lambda name: name[4:]),
)


def joined(name):
    """Return what a name joins: the order of its parts is not told apart by spelling."""
    return frozenset(members(name))


name_lists = st.lists(any_name, max_size=14, unique=True)


@given(name_lists)
def test_equal_names_are_the_identity(names):
    pairs = match_features(names, names)
    assert [(pair.model_column, pair.given_column) for pair in pairs] == [
        (column, column) for column in range(len(names))
    ]
    assert {pair.kind for pair in pairs} <= {MatchKind.EXACT}


@settings(max_examples=150)
@given(name_lists, name_lists, st.randoms(use_true_random=False))
def test_the_order_of_the_given_names_does_not_matter(model, given_names, random):
    shuffled = list(given_names)
    random.shuffle(shuffled)
    assert found(model, given_names) == found(model, shuffled)


@settings(max_examples=150)
@given(name_lists, name_lists)
def test_nothing_is_counted_twice_and_equal_names_win(model, given_names):
    pairs = match_features(model, given_names)
    given_columns = [pair.given_column for pair in pairs]
    assert len(set(given_columns)) == len(given_columns)
    assert set(given_columns) <= set(range(len(given_names)))
    assert {pair.model_column for pair in pairs} <= set(range(len(model)))
    by_name = found(model, given_names)
    for name in set(model) & set(given_names):
        assert [pair for pair in by_name if pair[0] == name] == [(name, name, "exact")]
    kinds = {}
    for pair in pairs:
        assert kinds.setdefault(pair.model_column, pair.kind) == pair.kind


@given(
    st.lists(
        st.one_of(mature_names(), merged_names(), stem_loop_names), max_size=14, unique_by=joined
    )
)
def test_capitals_change_nothing(names):
    capitals = [name.upper() for name in names]
    assert {(model, name) for model, name, _ in found(names, capitals)} == set(
        zip(names, capitals, strict=True)
    )
    assert found(names, capitals) == {
        (name, name.upper(), "spelling") for name in names if name != name.upper()
    }


@given(
    st.lists(st.one_of(mature_names(), merged_names()), min_size=1, max_size=14, unique_by=joined)
)
def test_lower_case_and_dots_change_nothing_where_arms_tell_what_is_mature(names):
    for written_otherwise in (str.lower, lambda name: name.replace("-", ".")):
        others = [written_otherwise(name) for name in names]
        pairs = match_features(names, others)
        assert [(pair.model_column, pair.given_column) for pair in pairs] == [
            (column, column) for column in range(len(names))
        ]
        assert {pair.kind for pair in pairs} <= {MatchKind.EXACT, MatchKind.SPELLING}


@given(merged_names())
def test_the_parts_of_a_merged_name_sum_to_it(merged):
    first, *rest = merged.split("/")
    parts = [first, *(first[:8] + part for part in rest)]
    assert found([merged], parts) == {(merged, part, "merged") for part in parts}
    assert found([merged], parts[:1]) == {(merged, first, "merged")}
    # the other way round one of the parts gets all, and it is marked
    assert found(parts, [merged]) == {(first, merged, "overlap")}
    assert found(parts[::-1], [merged]) == {(first, merged, "overlap")}
    assert found(parts, [merged, first]) == {
        (first, first, "exact"),
        (parts[1], merged, "overlap"),
    }


def test_merged_names_in_another_order_and_with_full_parts():
    model = ["hsa-let-7a-5p/7c-5p", "hsa-miR-199a-3p/199b-3p"]
    assert found(model, ["hsa-let-7c-5p/7a-5p", "hsa-miR-199a-3p|hsa-miR-199b-3p"]) == {
        (model[0], "hsa-let-7c-5p/7a-5p", "spelling"),
        (model[1], "hsa-miR-199a-3p|hsa-miR-199b-3p", "spelling"),
    }
    assert found(model, ["hsa-let-7a-5p/7c-5p/7f-5p"]) == {
        (model[0], "hsa-let-7a-5p/7c-5p/7f-5p", "overlap")
    }


def test_species_left_out():
    assert found(["hsa-miR-21-5p", "hsa-let-7a-5p/7c-5p"], ["miR-21-5p", "let-7a-5p/7c-5p"]) == {
        ("hsa-miR-21-5p", "miR-21-5p", "species"),
        ("hsa-let-7a-5p/7c-5p", "let-7a-5p/7c-5p", "species"),
    }
    assert found(["miR-21-5p"], ["hsa-miR-21-5p"]) == {("miR-21-5p", "hsa-miR-21-5p", "species")}


def test_another_species_is_another_feature():
    assert not found(["hsa-miR-21-5p", "hsa-mir-21"], ["mmu-miR-21-5p", "mmu-mir-21"])
    assert not found(["hsa-miR-21-5p"], ["mmu-miR-21-5p", "mmu-miR-22-3p", "miR-21-5p"])


def test_names_without_a_species_are_of_the_given_one():
    names = ["miR-21-5p", "miR-22-3p"]
    human = ["hsa-miR-21-5p", "mmu-miR-22-3p"]
    assert found(names, human, species="hsa") == {("miR-21-5p", "hsa-miR-21-5p", "species")}
    assert found(names, human, species="mmu") == {("miR-22-3p", "mmu-miR-22-3p", "species")}
    # The table of older names and gene symbols is of human ones.
    assert found(["hsa-mir-21"], ["Mir21"], species="hsa")
    assert not found(["mmu-mir-21"], ["Mir21"], species="mmu")
    assert not found(["miR-21-5p"], ["hsa-miR-21-5p"], species="mmu")


def test_accessions_symbols_and_renamed_ones():
    model = ["hsa-miR-21-5p", "hsa-miR-375-3p", "hsa-miR-122b-5p", "hsa-mir-103-1", "hsa-mir-21"]
    given_names = ["MIMAT0000076", "hsa-miR-375", "hsa-miR-3591-5p", "hsa-mir-103a-1", "MIR21"]
    assert found(model, given_names) == {
        (name, other, "alias") for name, other in zip(model, given_names, strict=True)
    }
    assert found(given_names, model) == {
        (other, name, "alias") for name, other in zip(model, given_names, strict=True)
    }
    assert found(["hsa-let-7a-5p/7c-5p"], ["MIMAT0000062", "mimat0000064_1"]) == {
        ("hsa-let-7a-5p/7c-5p", "MIMAT0000062", "merged"),
        ("hsa-let-7a-5p/7c-5p", "mimat0000064_1", "merged"),
    }


def test_merged_accessions():
    merged = "MIMAT0000062/MIMAT0000064"
    assert found(["hsa-let-7a-5p/7c-5p"], [merged]) == {("hsa-let-7a-5p/7c-5p", merged, "alias")}
    assert found([merged], ["hsa-let-7c-5p"]) == {(merged, "hsa-let-7c-5p", "merged")}


def test_two_names_for_one_mirna_are_counted_once():
    given_names = ["MIMAT0000076", "hsa-mir-21-5p", "HSA-MIR-21-5P"]
    assert found(["hsa-miR-21-5p"], given_names) == {("hsa-miR-21-5p", "HSA-MIR-21-5P", "spelling")}
    assert found(["hsa-miR-21-5p"], [*given_names, "hsa-miR-21-5p"]) == {
        ("hsa-miR-21-5p", "hsa-miR-21-5p", "exact")
    }


def test_old_names_without_arm():
    model = ["hsa-miR-21-5p", "hsa-miR-21-3p", "hsa-miR-22-3p", "hsa-miR-203a-3p"]
    given_names = ["hsa-miR-21*", "hsa-miR-21", "hsa-miR-22", "hsa-miR-203"]
    assert found(model, given_names) == {
        ("hsa-miR-21-5p", "hsa-miR-21", "former name"),
        ("hsa-miR-21-3p", "hsa-miR-21*", "former name"),
        ("hsa-miR-22-3p", "hsa-miR-22", "former name"),
        ("hsa-miR-203a-3p", "hsa-miR-203", "former name"),
    }
    assert MatchKind.FORMER_NAME in APPROXIMATE


def test_old_names_of_arms_entered_together_are_left_to_the_caller():
    model = ["hsa-miR-126-5p", "hsa-miR-126-3p"]
    old = ["hsa-miR-126", "hsa-miR-126*"]
    assert not found(model, old)
    aliases = {"hsa-miR-126": "hsa-miR-126-3p", "hsa-miR-126*": "hsa-miR-126-5p"}
    assert found(model, old, aliases=aliases) == {
        ("hsa-miR-126-3p", "hsa-miR-126", "alias"),
        ("hsa-miR-126-5p", "hsa-miR-126*", "alias"),
    }


def test_aliases_may_name_anything_and_never_beat_an_equal_name():
    aliases = {"U44": "SNORD44", "x1": "hsa-let-7a-5p/7c-5p", "hsa-miR-21-5p": "hsa-miR-22-3p"}
    model = ["SNORD44", "hsa-let-7a-5p/7c-5p", "hsa-miR-21-5p", "hsa-miR-22-3p"]
    assert found(model, ["u44", "X1", "hsa-miR-21-5p"], aliases=aliases) == {
        ("SNORD44", "u44", "alias"),
        ("hsa-let-7a-5p/7c-5p", "X1", "alias"),
        ("hsa-miR-21-5p", "hsa-miR-21-5p", "exact"),
    }


def test_stem_loops_for_a_model_of_mature_mirnas():
    model = ["hsa-miR-16-5p", "hsa-miR-16-1-3p", "hsa-miR-22-3p", "hsa-miR-22-5p"]
    model += ["hsa-miR-126-5p", "hsa-miR-126-3p", "hsa-miR-142-3p", "hsa-miR-1254"]
    given_names = ["hsa-mir-16-1", "hsa-mir-16-2", "hsa-mir-22", "hsa-mir-126", "hsa-mir-142"]
    assert found(model, [*given_names, "hsa-mir-1254"]) == {
        ("hsa-miR-16-5p", "hsa-mir-16-1", "stem-loop"),
        ("hsa-miR-16-5p", "hsa-mir-16-2", "stem-loop"),
        ("hsa-miR-22-3p", "hsa-mir-22", "stem-loop"),
        ("hsa-miR-126-5p", "hsa-mir-126", "stem-loop"),  # the table cannot say: 5p
        ("hsa-miR-142-3p", "hsa-mir-142", "stem-loop"),  # nor here, and the model lacks 5p
        ("hsa-miR-1254", "hsa-mir-1254", "stem-loop"),
    }
    # what a stem-loop mostly is has been found already: it is not another arm's
    assert found(["hsa-miR-22-3p", "hsa-miR-22-5p"], ["hsa-miR-22-3p", "hsa-mir-22"]) == {
        ("hsa-miR-22-3p", "hsa-miR-22-3p", "exact")
    }
    assert found(["hsa-miR-126-5p", "hsa-miR-126-3p"], ["hsa-miR-126-5p", "hsa-mir-126"]) == {
        ("hsa-miR-126-5p", "hsa-miR-126-5p", "exact")
    }


def test_mature_mirnas_for_a_model_of_stem_loops():
    model = ["hsa-mir-21", "hsa-mir-16-10", "hsa-mir-16-2", "hsa-mir-16-1"]
    given_names = ["hsa-miR-21-5p", "hsa-miR-21-3p", "hsa-miR-16-5p", "hsa-miR-16-2-3p"]
    assert found(model, given_names) == {
        ("hsa-mir-21", "hsa-miR-21-5p", "arms"),
        ("hsa-mir-21", "hsa-miR-21-3p", "arms"),
        ("hsa-mir-16-1", "hsa-miR-16-5p", "arms"),
        ("hsa-mir-16-2", "hsa-miR-16-2-3p", "arms"),
    }


def test_copies_of_stem_loops():
    assert found(["hsa-mir-9001"], ["hsa-mir-9001-1", "hsa-mir-9001-2"]) == {
        ("hsa-mir-9001", "hsa-mir-9001-1", "copies"),
        ("hsa-mir-9001", "hsa-mir-9001-2", "copies"),
    }
    assert found(["hsa-mir-9001-2", "hsa-mir-9001-1"], ["hsa-mir-9001"]) == {
        ("hsa-mir-9001-1", "hsa-mir-9001", "copies")
    }
    assert not found(["hsa-mir-9001-2"], ["hsa-mir-9001-1"])


def test_the_case_that_tells_stem_loops_is_believed_only_where_the_list_keeps_to_it():
    model = ["hsa-miR-451a", "hsa-miR-21-5p"]
    assert found(model, ["hsa-mir-451a"]) == {("hsa-miR-451a", "hsa-mir-451a", "stem-loop")}
    assert found(model, ["hsa-mir-451a", "hsa-mir-21-5p"]) == {
        ("hsa-miR-451a", "hsa-mir-451a", "spelling"),
        ("hsa-miR-21-5p", "hsa-mir-21-5p", "spelling"),
    }


def test_names_that_are_no_mirnas_match_by_spelling_only():
    assert found(["SNORD44", "tRNA-Gly-GCC/CCC"], ["snord44", "TRNA-GLY-GCC", "SNORD45"]) == {
        ("SNORD44", "snord44", "spelling")
    }


def test_a_name_given_twice_is_an_error():
    with pytest.raises(InputError, match=r"given features name 'a' 2 times"):
        match_features(["a"], ["a", "a"])
    with pytest.raises(InputError, match="model's features name 'b' 3 times"):
        match_features(["b", "b", "b"], ["a"])


def test_nothing_to_match():
    assert match_features([], []) == ()
    assert match_features(["hsa-miR-21-5p"], []) == ()
    assert not {pair.kind for pair in match_features([""], [" "])} & APPROXIMATE


def test_the_shipped_table_is_whole():
    table = name_table()
    assert len(table.current) > 4500
    for accession, mirna in table.current.items():
        assert table.accessions[written(mirna)][mirna.kind] == accession
        assert (mirna.kind == "mature") == accession.startswith("mimat")
    names = [(written(mirna), mirna.kind) for mirna in table.current.values()]
    assert len(set(names)) == len(names)
