from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.learn.labels.answer_tree import NO_ANSWER, ROUNDING, label_tree
from annotator.learn.labels.ontology import Ontology

TISSUES = {
    "colon": ("colon", "intestine", "organ"),
    "ileum": ("ileum", "intestine", "organ"),
    "liver": ("liver", "gland", "organ"),
    "testis": ("testis", "gland", "gonad", "organ"),
}


def names(tree, p, threshold):
    return [None if node == NO_ANSWER else tree.nodes[node] for node in tree.answers(p, threshold)]


def test_a_parent_has_the_sum_of_its_classes() -> None:
    tree = label_tree(tuple(TISSUES), TISSUES)
    found = tree.members @ np.array([0.4, 0.3, 0.2, 0.1])
    of = dict(zip(tree.nodes, found, strict=True))
    assert of == pytest.approx(
        {
            "colon": 0.4,
            "ileum": 0.3,
            "liver": 0.2,
            "testis": 0.1,
            "gland": 0.3,
            "gonad": 0.1,
            "intestine": 0.7,
            "organ": 1.0,
        }
    )


def test_depth_is_the_longest_way_down() -> None:
    lineages = {"cell": ("cell", "blood", "tissue", "part"), "skin": ("skin", "part")}
    tree = label_tree(("cell", "skin"), lineages)
    depth = dict(zip(tree.nodes, tree.depth.tolist(), strict=True))
    assert depth == {"part": 0, "tissue": 1, "blood": 2, "cell": 3, "skin": 1}


def test_the_answer_is_as_deep_as_is_sure_enough() -> None:
    tree = label_tree(tuple(TISSUES), TISSUES)
    p = np.array(
        [
            [0.96, 0.02, 0.01, 0.01],
            [0.50, 0.46, 0.02, 0.02],
            [0.40, 0.10, 0.30, 0.20],
            [0.00, 0.03, 0.02, 0.95],
        ]
    )
    assert names(tree, p, 0.95) == ["colon", "intestine", None, "testis"]
    assert names(tree, p, 2.0) == [None] * 4


def test_a_term_of_two_parents_can_back_off_to_either() -> None:
    lineages = {
        "platelet": ("platelet", "blood", "marrow", "body"),
        "serum": ("serum", "blood", "body"),
        "stem cell": ("stem cell", "marrow", "body"),
        "skin": ("skin", "body"),
    }
    tree = label_tree(tuple(lineages), lineages)
    p = np.array([[0.5, 0.48, 0.01, 0.01], [0.5, 0.01, 0.48, 0.01], [0.6, 0.19, 0.2, 0.01]])
    assert names(tree, p, 0.75) == ["blood", "marrow", "marrow"]
    level = np.array([[0.6, 0.2, 0.2, 0.0]])  # By name where nothing else decides.
    assert names(tree, level, 0.75) == ["blood"]
    assert tree.nodes[: tree.classes] == tuple(lineages)


def test_two_classes_without_an_ontology() -> None:
    tree = label_tree(("female", "male"), {})
    p = np.array([[0.97, 0.03], [0.4, 0.6], [0.04, 0.96]])
    assert names(tree, p, 0.95) == ["female", None, "male"]
    assert tree.depth.tolist() == [0, 0]
    assert tree.top.tolist() == [0, 1]


def test_a_class_that_is_an_ancestor_of_another_is_a_right_answer_for_both() -> None:
    lineages = {"blood": ("blood",), "T cell": ("T cell", "blood"), "skin": ("skin",)}
    tree = label_tree(tuple(lineages), lineages)
    p = np.array([[0.5, 0.47, 0.03], [0.02, 0.97, 0.01]])
    assert names(tree, p, 0.95) == ["blood", "T cell"]
    assert tree.claims[0].tolist() == [True, True, False]
    assert tree.top.tolist() == [0, 2]


def test_what_holds_every_class_is_no_answer() -> None:
    lineages = {"colon": ("colon", "gut", "organ"), "ileum": ("ileum", "gut", "organ")}
    tree = label_tree(tuple(lineages), lineages)
    assert names(tree, np.array([[0.5, 0.5], [0.9, 0.1]]), 0.8) == [None, "colon"]


def test_a_class_that_holds_every_class_is_an_answer_for_itself_only() -> None:
    lineages = {"blood": ("blood",), "T cell": ("T cell", "blood")}
    tree = label_tree(tuple(lineages), lineages)
    p = np.array([[0.5, 0.5], [0.97, 0.03], [0.03, 0.97]])
    assert names(tree, p, 0.95) == [None, "blood", "T cell"]
    assert tree.claims[0].tolist() == [True, False]
    assert tree.top.tolist() == [0, 1]


def test_of_terms_that_hold_the_same_the_nearest_is_the_answer() -> None:
    lineages = {
        "a": ("a", "near", "far", "all"),
        "b": ("b", "near", "far", "all"),
        "c": ("c", "all"),
    }
    tree = label_tree(tuple(lineages), lineages)
    assert names(tree, np.array([[0.5, 0.5, 0.0]]), 0.9) == ["near"]
    # A class comes before a mere term that holds no more, whatever its name and place.
    only = {"z": ("z", "a term"), "d": ("d", "a term", "z"), "e": ("e",)}
    tree = label_tree(tuple(only), only)
    assert names(tree, np.array([[0.5, 0.5, 0.0]]), 0.9) == ["z"]


@pytest.mark.parametrize("classes", [(), ("a", "a")])
def test_classes_are_needed_and_each_once(classes) -> None:
    with pytest.raises(ValueError, match="classes"):
        label_tree(classes, {})


@st.composite
def trees(draw):
    """An ontology without cycles over some terms, some of which are classes; probabilities."""
    terms = [f"t{number}" for number in range(draw(st.integers(2, 9)))]
    parents = {
        term: tuple(draw(st.lists(st.sampled_from(terms[:place]), max_size=3, unique=True)))
        for place, term in enumerate(terms)
        if place
    }
    ontology = Ontology(parents)
    classes = draw(st.lists(st.sampled_from(terms), min_size=1, max_size=6, unique=True))
    seed = draw(st.integers(0, 1000))
    p = np.random.default_rng(seed).dirichlet(np.full(len(classes), 0.3), 20)
    return ontology, label_tree(classes, {name: ontology.lineage(name) for name in classes}), p


@given(trees())
@settings(max_examples=150, deadline=None)
def test_parents_are_never_less_probable_nor_deeper(case) -> None:
    ontology, tree, p = case
    found = p @ tree.members.T
    place = {name: number for number, name in enumerate(tree.nodes)}
    for name in tree.nodes[: tree.classes]:
        for ancestor in ontology.ancestors(name):
            assert (found[:, place[ancestor]] >= found[:, place[name]] - ROUNDING).all()
            assert tree.depth[place[ancestor]] < tree.depth[place[name]]
    for child, parent in np.argwhere(tree.above):
        assert (found[:, parent] >= found[:, child] - ROUNDING).all()
        assert tree.depth[parent] < tree.depth[child]


@given(trees(), st.floats(0.5, 1))
@settings(max_examples=150, deadline=None)
def test_answers_are_those_of_the_definition(case, threshold) -> None:
    _, tree, p = case
    for row, answer in zip(p, tree.answers(p, threshold), strict=True):
        of_claim = [
            round(float(row[claims].sum()), 9) if claims.any() else -1 for claims in tree.claims
        ]
        reaching = [
            (-tree.depth[node], -of_claim[node], tree.nodes[node], node)
            for node in range(len(tree.nodes))
            if of_claim[node] >= threshold - ROUNDING
        ]
        expected = min(reaching)[-1] if reaching else NO_ANSWER
        assert answer == expected


@given(trees())
@settings(max_examples=100, deadline=None)
def test_every_class_is_in_a_top_answer(case) -> None:
    _, tree, _ = case
    assert tree.claims[tree.top].any(axis=0).all()
