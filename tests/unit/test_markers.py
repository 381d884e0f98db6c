from __future__ import annotations

import numpy as np
import pytest

from annotator.errors import InputError
from annotator.explain.markers import HeldOutScores, class_markers

FEATURES = ("miR-1", "miR-9", "miR-21", "miR-124", "let-7a")
CLASSES = ("brain", "heart")
SCORES = np.array([[-1.0, 3.0, 1.0, 4.0, 1.0], [5.0, -2.0, 0.5, -3.0, 0.0]])
EXPRESSION = np.arange(10, dtype=np.float32).reshape(2, 5)


def markers(kind_scores=None, held_out=(), count=300, scores=SCORES):
    return class_markers(scores, kind_scores or {}, held_out, EXPRESSION, FEATURES, CLASSES, count)


def of_answer(features, classes, scores) -> HeldOutScores:
    return HeldOutScores(features, classes, {"combined": np.array(scores)})


def test_markers_are_the_features_that_support_a_class_ties_by_name() -> None:
    found = [(one.class_name, one.rank, one.feature, one.score) for one in markers()]
    assert found == [
        ("brain", 1, "miR-124", 4.0),
        ("brain", 2, "miR-9", 3.0),
        ("brain", 3, "let-7a", 1.0),
        ("brain", 4, "miR-21", 1.0),
        ("heart", 1, "miR-1", 5.0),
        ("heart", 2, "miR-21", 0.5),
    ]
    for one in markers():
        assert (one.network_rank, one.tree_rank, one.stability) == (None, None, None)


def test_each_marker_has_its_mean_expression_in_every_class() -> None:
    expression = {one.feature: one.expression for one in markers()}
    assert expression["miR-124"] == (3.0, 8.0)
    assert expression["miR-1"] == (0.0, 5.0)


def test_no_more_markers_than_asked_for() -> None:
    assert [one.feature for one in markers(count=1)] == ["miR-124", "miR-1"]
    assert [one.feature for one in markers(count=3)][:3] == ["miR-124", "miR-9", "let-7a"]


def test_a_class_may_have_no_marker() -> None:
    scores = np.stack([SCORES[0], np.zeros(5)])
    assert {one.class_name for one in markers(scores=scores)} == {"brain"}


def test_the_forest_ranks_what_it_used() -> None:
    trees = np.array([[0.2, 0.1, 0.2, 0.0, -0.3], [0.0, 0.0, 0.4, 0.0, 0.0]])
    found = markers({"forest": trees, "linear": SCORES})
    ranks = {(one.class_name, one.feature): one.tree_rank for one in found}
    assert ranks == {
        ("brain", "miR-124"): None,
        ("brain", "miR-9"): 3,
        ("brain", "let-7a"): 4,
        ("brain", "miR-21"): 2,  # after miR-1 by name
        ("heart", "miR-1"): None,
        ("heart", "miR-21"): 1,
    }


def test_the_networks_own_ranks_stand_beside_those_of_the_answer() -> None:
    network = np.array([[0.0, 1.0, 2.0, 3.0, -1.0], [0.5, 0.0, 1.5, 0.0, 0.0]])
    found = {
        (one.class_name, one.feature): (one.rank, one.network_rank, one.tree_rank)
        for one in markers({"network": network, "forest": SCORES})
    }
    assert found == {
        ("brain", "miR-124"): (1, 1, 1),
        ("brain", "miR-9"): (2, 3, 2),
        ("brain", "let-7a"): (3, 4, 3),  # against the class by the network
        ("brain", "miR-21"): (4, 2, 4),
        ("heart", "miR-1"): (1, 2, 1),
        ("heart", "miR-21"): (2, 1, 2),
    }


def test_stability_is_the_share_of_models_that_knew_the_class_and_agree() -> None:
    held_out = [
        # Other features in another order; miR-9 is not among them.
        of_answer(
            ("miR-21", "miR-124", "miR-1"),
            ("heart", "brain"),
            [[-1.0, 2.0, 3.0], [0.5, 2.0, 1.0]],
        ),
        of_answer(("miR-124", "miR-9", "miR-1"), ("brain",), [[9.0, 3.0, -1.0]]),
    ]
    found = {(one.class_name, one.feature): one.stability for one in markers(None, held_out, 2)}
    assert found == {
        ("brain", "miR-124"): 1.0,
        ("brain", "miR-9"): 0.5,
        ("heart", "miR-1"): 1.0,
        ("heart", "miR-21"): 0.0,
    }
    assert markers(None, held_out[1:])[-1].stability is None


@pytest.mark.parametrize(("count", "stability"), [(2, 0.0), (3, 1.0)])
def test_the_other_models_are_asked_for_as_many_markers(count, stability) -> None:
    other = of_answer(("miR-9", "miR-124", "miR-1"), ("brain",), [[1.0, 2.0, 3.0]])
    found = {one.feature: one.stability for one in markers(None, [other], count)}
    assert found["miR-124"] == 1.0
    assert found["miR-9"] == stability


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"count": 0}, "at least 1"),
        ({"scores": SCORES[:, :4]}, "do not fit 2 classes"),
        ({"scores": SCORES[:1]}, "do not fit 2 classes"),
        ({"kind_scores": {"forest": SCORES.T}}, "do not fit 2 classes"),
        ({"kind_scores": {"network": SCORES[:1]}}, "do not fit 2 classes"),
    ],
)
def test_says_what_does_not_fit(change, words) -> None:
    with pytest.raises(InputError, match=words):
        markers(**change)
