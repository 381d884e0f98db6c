from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS, Level
from annotator.domain.profiles import Cohort, Profiles
from annotator.domain.terms import Scope, Synonym, Term, TermIndex
from annotator.domain.values.intervals import interval_names, interval_of
from annotator.errors import InputError
from annotator.learn.labels.classes import (
    LabelOptions,
    LabelSet,
    lineages_of,
    make_labels,
)
from annotator.learn.labels.ontology import (
    BUILT_IN_GROUPING,
    TABLE_2_SYNONYMS,
    Ontology,
    built_in_ontology,
    grouped_by_table_2,
    ontology_or_built_in,
)


def cohort_of(
    values, dataset_ids, field="tissue", numbers=None, level: Level = Level.TERM
) -> Cohort:
    samples = len(values)
    profiles = Profiles(
        np.array([f"S{i}" for i in range(samples)], dtype=object),
        np.array([], dtype=object),
        np.array([], dtype=object),
        csr_matrix((samples, 0), dtype=np.float32),
    )
    if numbers is None:
        numbers = [np.nan] * samples
    return Cohort(
        replace(FIELDS[field], level=level),
        profiles,
        np.array(dataset_ids, dtype=object),
        np.array(values, dtype=object),
        np.array(numbers, dtype=np.float64),
        {},
    )


def spread(counts: dict[str, int], datasets: int = 2) -> tuple[list[str], list[str]]:
    """Samples of each value, dealt out over some datasets."""
    values = [value for value, count in counts.items() for _ in range(count)]
    dataset_ids = [f"D{i % datasets}" for count in counts.values() for i in range(count)]
    return values, dataset_ids


OPTIONS = LabelOptions(minimum_samples=4, minimum_datasets=2)


def test_the_built_in_grouping_is_the_papers_table_2() -> None:
    groups = Counter(parent for (parent,) in BUILT_IN_GROUPING.values())
    assert groups == {
        "blood_group": 10,
        "brain_group": 5,
        "epithelium_group": 6,
        "gland_group": 7,
        "intestine_group": 3,
    }
    assert BUILT_IN_GROUPING["liver"] == ("blood_group",)
    assert BUILT_IN_GROUPING["uterine endometrium"] == ("gland_group",)


def test_an_imported_ontology_takes_precedence() -> None:
    assert ontology_or_built_in({}) == built_in_ontology()
    assert ontology_or_built_in({"a": ("b",)}).parents == {"a": ("b",)}


def test_ancestors_come_nearest_first_and_by_name() -> None:
    ontology = Ontology({"a": ("z", "c"), "c": ("top",), "z": ("middle",), "middle": ("top",)})
    assert ontology.lineage("a") == ("a", "c", "z", "middle", "top")
    assert ontology.lineage("unknown") == ("unknown",)


def test_small_terms_merge_into_their_nearest_sufficient_ancestor() -> None:
    ontology = Ontology({"x1": ("x",), "x2": ("x",), "x": ("top",), "y": ("top",)})
    label_set, labels = make_labels(
        cohort_of(*spread({"x1": 2, "x2": 2, "y": 9, "top": 1})), ontology, OPTIONS
    )
    assert label_set.classes == ("x", "y")
    assert label_set.class_of == {"x1": "x", "x2": "x", "y": "y"}
    assert "'top' has 1 sample " in label_set.dropped["top"]
    assert labels.tolist() == ["x"] * 4 + ["y"] * 9 + [""]


def test_enough_samples_of_one_dataset_are_not_enough() -> None:
    values = ["x1"] * 9 + ["x2"] * 2 + ["y", "z"] * 9
    dataset_ids = ["D0"] * 9 + ["D1"] * 11 + ["D0"] * 9
    ontology = Ontology({"x1": ("x",), "x2": ("x",)})
    label_set, _ = make_labels(cohort_of(values, dataset_ids), ontology, OPTIONS)
    assert label_set.class_of == {"x1": "x", "x2": "x", "y": "y", "z": "z"}


def test_of_several_parents_the_one_with_most_samples_is_taken() -> None:
    ontology = Ontology({"t": ("a", "b"), "u": ("a", "c")})
    label_set, _ = make_labels(
        cohort_of(*spread({"t": 2, "u": 2, "a": 5, "b": 8, "c": 5})), ontology, OPTIONS
    )
    assert label_set.class_of["t"] == "b"
    assert label_set.class_of["u"] == "a"  # a tie, by name


def test_a_stranded_term_joins_a_sufficient_ancestor_by_another_way() -> None:
    # p has more samples than q and so gets t, but it is a root and stays too small.
    ontology = Ontology({"t": ("p", "q"), "q": ("top",)})
    label_set, _ = make_labels(
        cohort_of(*spread({"t": 1, "p": 2, "q": 1, "top": 9})), ontology, OPTIONS
    )
    assert label_set.class_of == {"t": "top", "q": "top", "top": "top"}
    assert set(label_set.dropped) == {"p"}


def test_group_level_takes_every_label_to_the_top() -> None:
    ontology = Ontology({"x1": ("x",), "x": ("r2", "r1")})
    counts = {"x1": 9, "x": 9, "r2": 9, "y": 9, "z": 9, "w": 9}
    cohort = cohort_of(*spread(counts), level=Level.GROUP)
    label_set, _ = make_labels(cohort, ontology, OPTIONS)
    alone = {"y": "y", "z": "z", "w": "w"}
    assert label_set.class_of == {"x1": "r1", "x": "r1", "r2": "r2"} | alone


# One root, and three terms above (nearly) every label, as in BTO.
BODY = {
    "tissues and cell types": (),
    "animal": ("tissues and cell types",),
    "whole body": ("animal",),
    "other source": ("tissues and cell types",),
    "buffy coat": ("other source",),
    "hematopoietic system": ("whole body",),
    "blood": ("hematopoietic system",),
    "blood plasma": ("blood",),
    "serum": ("hematopoietic system",),
    "spleen": ("hematopoietic system", "gland"),
    "nervous system": ("whole body",),
    "brain": ("nervous system",),
    "Cerebral-cortex": ("brain",),
    "gland": ("whole body",),
    "mammary gland": ("gland",),
    "testis": ("gland",),
    "lung": ("whole body",),
    "bronchus": ("lung",),
}
ONE_ROOT = Ontology(BODY)
TISSUES = {
    "blood": 30,
    "blood plasma": 40,
    "Cerebral-cortex": 10,
    "brain": 10,
    "mammary gland": 10,
    "testis": 6,
    "bronchus": 6,
    "lung": 2,
    "buffy coat": 5,
}


def labels_of(counts: dict[str, int], ontology: Ontology, level: str) -> LabelSet:
    return make_labels(cohort_of(*spread(counts), level=Level(level)), ontology, OPTIONS)[0]


def classes_of(counts: dict[str, int], ontology: Ontology, level: str) -> dict[str, str]:
    return dict(labels_of(counts, ontology, level).class_of)


def test_groups_are_the_highest_terms_that_do_not_cover_everything() -> None:
    assert classes_of(TISSUES, ONE_ROOT, "group") == {
        "blood": "hematopoietic system",
        "blood plasma": "hematopoietic system",
        "Cerebral-cortex": "nervous system",
        "brain": "nervous system",
        "mammary gland": "gland",
        "testis": "gland",
        "bronchus": "lung",
        "lung": "lung",
        "buffy coat": "other source",
    }


@pytest.mark.parametrize("level", ["term", "group"])
def test_rare_terms_do_not_merge_into_what_covers_everything(level) -> None:
    rare = {"bronchus": 2, "lung": 1}
    label_set = labels_of(TISSUES | rare | {"buffy coat": 11}, ONE_ROOT, level)
    assert "whole body" not in label_set.classes
    assert label_set.dropped.keys() == rare.keys()
    for reason in label_set.dropped.values():
        assert "'lung' has 3 samples of 2 datasets; a class needs 4 of 2" in reason
        assert "only 'whole body', which covers 91 % of the labelled samples" in reason


def test_what_covers_everything_is_no_answer_for_other_classes() -> None:
    label_set = labels_of(TISSUES, ONE_ROOT, "term")
    assert label_set.too_general == {"whole body", "animal", "tissues and cell types"}
    lineages = lineages_of(label_set.classes, ONE_ROOT, FIELDS["tissue"], label_set.too_general)
    assert lineages["blood plasma"] == ("blood plasma", "blood", "hematopoietic system")
    assert lineages["buffy coat"] == ("buffy coat", "other source")


def test_most_samples_may_be_of_one_term_or_of_one_group() -> None:
    mostly_blood = {"blood": 80, "brain": 5, "testis": 5, "lung": 5}
    assert classes_of(mostly_blood, ONE_ROOT, "term") == {name: name for name in mostly_blood}
    assert classes_of(mostly_blood, ONE_ROOT, "group")["blood"] == "hematopoietic system"
    # Rare kinds of blood join it, though it covers most samples.
    rare = mostly_blood | {"blood plasma": 2}
    assert classes_of(rare, ONE_ROOT, "term")["blood plasma"] == "blood"


def test_a_term_that_covers_everything_is_the_class_of_its_own_samples_alone() -> None:
    counts = TISSUES | {"whole body": 9, "lung": 1, "bronchus": 2}
    classes = classes_of(counts, ONE_ROOT, "term")
    assert [value for value, name in classes.items() if name == "whole body"] == ["whole body"]


def test_where_only_the_root_is_above_the_labels_each_label_is_a_group() -> None:
    ontology = Ontology(dict.fromkeys(("a", "b", "c", "d"), ("tissue",)))
    assert classes_of({"a": 9, "b": 9, "c": 9, "d": 2}, ontology, "group") == {
        "a": "a",
        "b": "b",
        "c": "c",
    }


def test_flat_groups_stay_groups_however_much_one_of_them_covers() -> None:
    ontology = Ontology(dict.fromkeys(("a", "b", "c", "d"), ("immune",)) | {"e": ("brain",)})
    counts = {"a": 30, "b": 20, "c": 2, "d": 2, "e": 5}
    assert set(classes_of(counts, ontology, "group").values()) == {"immune", "brain"}
    assert classes_of(counts, ontology, "term")["c"] == "immune"
    # So they do beneath a root of their own.
    under_a_root = Ontology({**ontology.parents, "immune": ("cell",), "brain": ("cell",)})
    assert set(classes_of(counts, under_a_root, "group").values()) == {"immune", "brain"}


def test_rare_labels_elsewhere_do_not_hide_what_covers_everything() -> None:
    unknown = {f"free text {number}": 1 for number in range(12)}
    assert "whole body" not in classes_of(TISSUES | unknown, ONE_ROOT, "group").values()


def test_a_label_whose_nearest_group_is_too_small_joins_the_next() -> None:
    counts = TISSUES | {"spleen": 2, "mammary gland": 1, "testis": 0}
    assert classes_of(counts, ONE_ROOT, "group")["spleen"] == "hematopoietic system"


def test_a_cycle_is_refused_by_name() -> None:
    ontology = Ontology({"a": ("b",), "b": ("a",)})
    with pytest.raises(InputError, match=r"cycle.*a"):
        make_labels(cohort_of(*spread({"a": 1})), ontology, OPTIONS)


@pytest.mark.parametrize("level", ["term", "group"])
def test_a_term_that_is_its_own_parent_is_a_root(level) -> None:
    ontology = Ontology({"x1": ("x",), "x": ("x",)})
    label_set = labels_of({"x1": 2, "x": 3}, ontology, level)
    assert label_set.class_of == {"x1": "x", "x": "x"}
    assert ontology.lineage("x1") == ("x1", "x")


def test_categories_keep_to_the_vocabulary() -> None:
    cohort = cohort_of(*spread({"male": 3, "M": 2, "female": 4, "mixed": 9}), field="sex")
    label_set, labels = make_labels(cohort, Ontology(), OPTIONS)
    assert label_set.classes == ("female", "male")
    assert label_set.class_of == {"M": "male", "female": "female", "male": "male"}
    assert label_set.dropped["mixed"].startswith("none of female, male")
    assert Counter(labels) == {"male": 5, "female": 4, "": 9}


def test_a_category_with_too_few_samples_is_dropped() -> None:
    cohort = cohort_of(*spread({"male": 5, "female": 3}), field="sex")
    label_set, _ = make_labels(cohort, Ontology(), OPTIONS)
    assert label_set.classes == ("male",)
    assert "3 samples" in label_set.dropped["female"]


def test_intervals_are_named_as_in_the_paper() -> None:
    assert interval_names((0, 65, 110)) == ("[0;65]", "(65;110]")
    assert interval_names((0.0, 30.5, 60.0)) == ("[0;30.5]", "(30.5;60]")


@pytest.mark.parametrize(
    ("years", "name"),
    [
        (0, "[0;65]"),
        (65, "[0;65]"),
        (65.01, "(65;110]"),
        (110, "(65;110]"),
        (-1, None),
        (110.5, None),
        (float("nan"), None),
    ],
)
def test_intervals_include_their_upper_limit(years, name) -> None:
    assert interval_of(years, (0, 65, 110)) == name


def test_ages_become_intervals_and_reviewed_intervals_are_accepted() -> None:
    values = ["30"] * 3 + ["20-30"] + ["70.5"] * 4 + ["(65;110]", ">89"] + ["old", "200"]
    numbers = [30.0] * 3 + [np.nan] + [70.5] * 4 + [np.nan] * 2 + [np.nan, 200.0]
    cohort = cohort_of(values, ["D0", "D1"] * 6, "age", numbers)
    label_set, labels = make_labels(cohort, Ontology(), OPTIONS)
    assert label_set.classes == ("[0;65]", "(65;110]")
    assert labels.tolist() == ["[0;65]"] * 4 + ["(65;110]"] * 6 + ["", ""]
    assert set(label_set.dropped) == {"old", "200"}


def test_lineages_are_those_of_the_ontology_in_an_ontology_field_only() -> None:
    ontology = Ontology({"male": ("top",), "x": ("top",)})
    assert lineages_of(["x"], ontology, FIELDS["tissue"]) == {"x": ("x", "top")}
    assert lineages_of(["male"], ontology, FIELDS["sex"]) == {"male": ("male",)}


TERMS = [f"t{i}" for i in range(10)]


@st.composite
def ontologies(draw) -> Ontology:
    """Any acyclic ontology: parents have smaller numbers."""
    parents = {}
    for position, term in enumerate(TERMS[1:], start=1):
        chosen = draw(st.sets(st.sampled_from(TERMS[:position]), max_size=2))
        if chosen:
            parents[term] = tuple(sorted(chosen))
    return Ontology(parents)


labelled = st.lists(
    st.tuples(st.sampled_from(TERMS), st.sampled_from(["D0", "D1", "D2"])), min_size=1, max_size=60
)
thresholds = st.builds(LabelOptions, st.integers(1, 8), st.integers(1, 3))


def covers_everything(term, values, ontology, options) -> bool:
    """The rule by hand: most samples, most labels, not its own name, no flat group."""
    counts = Counter(values)
    weights = {value: min(count, options.minimum_samples) for value, count in counts.items()}
    covered = [value for value in counts if term in ontology.lineage(value)]
    samples = sum(counts[value] for value in covered)
    labels = sum(weights[value] for value in covered)
    if samples <= len(values) / 2 or labels <= sum(weights.values()) / 2:
        return False
    if counts[term] > samples / 2:
        return False
    below = [value for value in covered if value != term]
    children = [value for value in below if term in ontology.direct_parents(value)]
    beside = [
        value
        for value in counts
        if value not in (*covered, *ontology.ancestors(term)) and ontology.direct_parents(value)
    ]
    mostly_children = sum(map(weights.get, children)) > sum(map(weights.get, below)) / 2
    return not (mostly_children and beside)


@settings(deadline=None)
@given(
    ontologies(), labelled, thresholds, st.sampled_from(Level), st.randoms(use_true_random=False)
)
def test_roll_up_holds_for_any_ontology(ontology, samples, options, level, random) -> None:
    values, dataset_ids = map(list, zip(*samples, strict=True))
    label_set, labels = make_labels(cohort_of(values, dataset_ids, level=level), ontology, options)

    for name in label_set.classes:
        chosen = labels == name
        assert chosen.sum() >= options.minimum_samples
        assert len({d for d, c in zip(dataset_ids, chosen, strict=True) if c}) >= (
            options.minimum_datasets
        )
    for value, label in zip(values, labels, strict=True):
        assert (label != "") == (value in label_set.class_of)
        assert (label == "") == (value in label_set.dropped)
        assert label == "" or label in ontology.lineage(value)
    too_broad = {name for name in TERMS if covers_everything(name, values, ontology, options)}
    for name in too_broad:
        assert set(np.array(values, dtype=object)[labels == name]) <= {name}
    if level is Level.TERM:
        for value in label_set.dropped:
            assert not set(ontology.lineage(value)) & set(label_set.classes) - too_broad

    random.shuffle(samples)
    shuffled, _ = make_labels(
        cohort_of(*map(list, zip(*samples, strict=True)), level=level), ontology, options
    )
    assert shuffled == label_set

    kept = labels != ""
    if kept.any() and level is Level.TERM:
        again, same = make_labels(
            cohort_of(labels[kept], np.array(dataset_ids, dtype=object)[kept]), ontology, options
        )
        assert again.classes == label_set.classes
        assert same.tolist() == labels[kept].tolist()


def test_table_2_groups_a_term_by_its_name_or_by_one_above_it() -> None:
    ontology = grouped_by_table_2(BODY, TISSUES)
    assert classes_of(TISSUES, ontology, "group") == {
        "blood": "blood_group",
        "blood plasma": "blood_group",
        "buffy coat": "blood_group",
        "Cerebral-cortex": "brain_group",
        "brain": "brain_group",
        "mammary gland": "epithelium_group",  # a synonym of breast
        "testis": "gland_group",
        # Neither is in Table 2: the ontology groups them.
        "bronchus": "lung",
        "lung": "lung",
    }
    assert ontology.lineage("Cerebral-cortex") == ("Cerebral-cortex", "brain", "brain_group")
    assert ontology.lineage("bronchus")[:3] == ("bronchus", "lung", "whole body")


def test_table_2_is_beside_the_terms_that_it_does_not_have() -> None:
    counts = TISSUES | {"bronchus": 2, "lung": 1, "elbow": 2}
    label_set = labels_of(counts, grouped_by_table_2(BODY, counts), "group")
    assert "only 'whole body', which covers" in label_set.dropped["bronchus"]
    assert label_set.dropped["elbow"].endswith("no group of the paper's Table 2 either")


@pytest.mark.parametrize(
    "name", ["Blood Plasma", "blood_plasma", "bloodplasma", "PLASMA", "pbmc", "whole-blood"]
)
def test_table_2_knows_labels_in_any_case_and_spacing_and_by_synonym(name) -> None:
    assert grouped_by_table_2({}, [name]).lineage(name) == (name, "blood_group")


def test_table_2_knows_the_terms_above_a_term() -> None:
    parents = {"x": ("prostate",), "prostate": ("gland",), "gland": ()}
    ontology = grouped_by_table_2(parents, ["x"])
    assert ontology.lineage("x") == ("x", "prostate", "gland_group")


def test_groups_of_table_2_stay_groups_however_much_one_of_them_covers() -> None:
    counts = {"plasma": 20, "serum": 20, "blood": 9, "skin": 5}
    classes = classes_of(counts, grouped_by_table_2({}, counts), "group")
    assert set(classes.values()) == {"blood_group", "epithelium_group"}


def test_a_term_of_several_parents_keeps_those_that_lead_to_its_group() -> None:
    parents = {"lobule": ("breast", "gland"), "breast": ("thorax",), "gland": (), "thorax": ()}
    ontology = grouped_by_table_2(parents, ["lobule"])
    assert ontology.lineage("lobule") == ("lobule", "breast", "epithelium_group")
    assert ontology.without_groups == Ontology(parents)


def test_a_cycle_beneath_table_2_is_refused() -> None:
    parents = {"blood": ("plasma",), "plasma": ("blood",)}
    with pytest.raises(InputError, match=r"cycle.*blood"):
        make_labels(
            cohort_of(*spread({"blood": 9})), grouped_by_table_2(parents, ["blood"]), OPTIONS
        )


def test_every_synonym_is_of_a_tissue_of_table_2_and_of_one_only() -> None:
    assert TABLE_2_SYNONYMS.keys() <= BUILT_IN_GROUPING.keys()
    names = [name for names in TABLE_2_SYNONYMS.values() for name in names]
    assert len(set(names)) == len(names)
    assert not set(names) & BUILT_IN_GROUPING.keys()


def test_spellings_of_a_term_are_one_class_named_by_the_term() -> None:
    index = TermIndex(
        [
            Term("X:1", "blood", (), (Synonym("whole blood", Scope.RELATED),)),
            Term("X:2", "liver"),
        ]
    )
    ontology = Ontology(index.class_parents(), names=index.class_names())
    values = {"Blood": 2, "whole_blood": 2, "X:1": 2, "LIVER": 3, " liver": 3, "liver": 1}
    label_set = labels_of(values, ontology, "term")
    assert label_set.classes == ("blood", "liver")
    assert label_set.class_of["whole_blood"] == label_set.class_of["X:1"] == "blood"


@pytest.mark.parametrize("ontology", [Ontology(), built_in_ontology()])
def test_without_an_ontology_the_commonest_spelling_names_the_class(ontology) -> None:
    label_set = labels_of(
        {"Skin": 6, "skin": 2, "SKIN ": 1, "elbow-joint": 5, "Elbow joint": 4}, ontology, "term"
    )
    assert label_set.classes == ("Skin", "elbow-joint")


def test_table_2_groups_the_spellings_of_a_term() -> None:
    index = TermIndex([Term("X:1", "prostate gland", (), (Synonym("prostate", Scope.RELATED),))])
    ontology = grouped_by_table_2(index.class_parents(), ["Prostate"], index.class_names())
    assert classes_of({"Prostate": 3, "X:1": 3}, ontology, "group") == {
        "Prostate": "gland_group",
        "X:1": "gland_group",
    }


def test_samples_are_left_out_by_any_spelling_of_a_known_value() -> None:
    index = TermIndex(
        [
            Term("X:1", "testis", (), (Synonym("testicle", Scope.RELATED),)),
            Term("X:2", "testis cell", ("X:1",)),
        ]
    )
    ontology = Ontology(index.class_parents(), names=index.class_names())
    cohort = cohort_of(*spread({"male": 12, "female": 8}), field="sex")
    known = ["Testicle", "X:2", "TESTIS", "liver"] * 5
    cohort = replace(cohort, known={"tissue": np.array(known, dtype=object)})
    assert make_labels(cohort, ontology, OPTIONS)[0].left_out == 15
