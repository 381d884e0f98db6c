from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from annotator.domain import FIELDS, Cohort, Profiles
from annotator.errors import InputError
from annotator.learn.labels import (
    LabelOptions,
    interval_names,
    interval_of,
    lineages_of,
    make_labels,
)
from annotator.learn.ontology import (
    BUILT_IN_GROUPING,
    Ontology,
    built_in_ontology,
    ontology_or_built_in,
)


def cohort_of(values, dataset_ids, field="tissue", numbers=None) -> Cohort:
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
        field,
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
    assert "'top' has 1 samples" in label_set.dropped["top"]
    assert labels.tolist() == ["x"] * 4 + ["y"] * 9 + [""]


def test_enough_samples_of_one_dataset_are_not_enough() -> None:
    values = ["x1"] * 9 + ["x2"] * 2
    dataset_ids = ["D0"] * 9 + ["D1"] * 2
    ontology = Ontology({"x1": ("x",), "x2": ("x",)})
    label_set, _ = make_labels(cohort_of(values, dataset_ids), ontology, OPTIONS)
    assert label_set.classes == ("x",)


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
    options = LabelOptions(minimum_samples=4, minimum_datasets=2, tissue_level="group")
    label_set, _ = make_labels(cohort_of(*spread({"x1": 9, "x": 9, "r2": 9})), ontology, options)
    assert label_set.class_of == {"x1": "r1", "x": "r1", "r2": "r2"}


def test_a_cycle_is_refused_by_name() -> None:
    ontology = Ontology({"a": ("b",), "b": ("a",)})
    with pytest.raises(InputError, match=r"circle.*a"):
        make_labels(cohort_of(*spread({"a": 1})), ontology, OPTIONS)


@pytest.mark.parametrize("level", ["term", "group"])
def test_a_term_that_is_its_own_parent_is_a_root(level) -> None:
    ontology = Ontology({"x1": ("x",), "x": ("x",)})
    options = LabelOptions(minimum_samples=4, minimum_datasets=2, tissue_level=level)
    label_set, _ = make_labels(cohort_of(*spread({"x1": 2, "x": 3})), ontology, options)
    assert label_set.class_of == {"x1": "x", "x": "x"}
    assert ontology.lineage("x1") == ("x1", "x")


def test_categories_keep_to_the_vocabulary() -> None:
    cohort = cohort_of(*spread({"male": 5, "female": 4, "unknown": 9}), field="sex")
    label_set, labels = make_labels(cohort, Ontology(), OPTIONS)
    assert label_set.classes == ("female", "male")
    assert label_set.dropped == {"unknown": "not in the vocabulary: female, male"}
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
    values = ["30"] * 4 + ["70.5"] * 4 + ["(65;110]"] * 2 + ["old", "200"]
    numbers = [30.0] * 4 + [70.5] * 4 + [np.nan] * 2 + [np.nan, 200.0]
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
thresholds = st.builds(
    LabelOptions, st.integers(1, 8), st.integers(1, 3), st.sampled_from(["term", "group"])
)


@settings(deadline=None)
@given(ontologies(), labelled, thresholds, st.randoms(use_true_random=False))
def test_roll_up_holds_for_any_ontology(ontology, samples, options, random) -> None:
    values, dataset_ids = map(list, zip(*samples, strict=True))
    label_set, labels = make_labels(cohort_of(values, dataset_ids), ontology, options)

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
    if options.tissue_level == "term":
        for value in label_set.dropped:
            assert not set(ontology.lineage(value)) & set(label_set.classes)

    random.shuffle(samples)
    shuffled, _ = make_labels(cohort_of(*map(list, zip(*samples, strict=True))), ontology, options)
    assert shuffled == label_set

    kept = labels != ""
    if kept.any():
        again, same = make_labels(
            cohort_of(labels[kept], np.array(dataset_ids, dtype=object)[kept]), ontology, options
        )
        assert again.classes == label_set.classes
        assert same.tolist() == labels[kept].tolist()
