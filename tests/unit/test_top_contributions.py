from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotator.domain import Contribution
from annotator.errors import InputError
from annotator.explain.top import leading_columns, leading_features, top_contributions


def contribution(feature: str, score: float, kind: str = "network") -> Contribution:
    return Contribution(kind, "deeplift", "blood", 1, 1, feature, score, 1.0)


def test_orders_by_absolute_score_and_keeps_sign_and_expression() -> None:
    values = np.array([[0.5, -2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    expression = np.array([[10.0, 20.0, 30.0, 40.0], [1.0, 2.0, 3.0, 4.0]])
    first, second = top_contributions(
        "forest", "tree_shap", ["blood", "lung"], 2, values, ["a", "b", "c", "d"], expression, 3
    )
    assert [(c.rank, c.feature, c.score, c.expression) for c in first] == [
        (1, "b", -2.0, 20.0),
        (2, "d", 1.0, 40.0),
        (3, "a", 0.5, 10.0),
    ]
    assert {(c.model_kind, c.method, c.class_name, c.class_rank) for c in first} == {
        ("forest", "tree_shap", "blood", 2)
    }
    assert second == ()


def test_ties_at_the_boundary_go_to_the_first_name() -> None:
    names = ["z", "y", "x", "b", "a"]
    values = np.array([[1.0, -1.0, 1.0, 5.0, 1.0]])
    (top,) = top_contributions("network", "deeplift", ["blood"], 1, values, names, values, 3)
    assert [c.feature for c in top] == ["b", "a", "x"]


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(0, 4), st.integers(1, 12)),
        elements=st.integers(-3, 3).map(float),
    ),
    st.integers(1, 15),
    st.randoms(use_true_random=False),
)
def test_equals_a_full_sort_whatever_the_order_of_columns(values, count, random) -> None:
    names = [f"feature-{number}" for number in range(values.shape[1])]
    expected = [
        [
            (name, score)
            for negative_size, name, score in sorted(
                (-abs(score), name, score) for name, score in zip(names, row, strict=True)
            )
            if negative_size < 0
        ][:count]
        for row in values
    ]
    order = list(range(values.shape[1]))
    random.shuffle(order)
    shuffled = values[:, order]
    result = top_contributions(
        "network",
        "deeplift",
        ["blood"] * len(values),
        1,
        shuffled,
        [names[i] for i in order],
        shuffled,
        count,
    )
    assert [[(c.feature, c.score) for c in row] for row in result] == expected
    assert [[c.rank for c in row] for row in result] == [
        list(range(1, len(row) + 1)) for row in expected
    ]


@pytest.mark.parametrize(
    ("values", "names", "count", "words"),
    [
        (np.ones((1, 2)), ["a"], 1, "do not agree"),
        (np.ones(2), ["a", "b"], 1, "do not agree"),
        (np.ones((1, 2)), ["a", "b"], 0, "at least 1"),
        (np.array([[0.0, 1.0], [1.0, np.nan]]), ["a", "b"], 1, "row 1"),
    ],
)
def test_says_what_is_wrong(values, names, count, words) -> None:
    with pytest.raises(InputError, match=words):
        top_contributions(
            "network", "deeplift", ["blood"] * len(values), 1, values, names, values, count
        )


def test_expression_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="do not agree"):
        top_contributions(
            "network", "deeplift", ["blood"], 1, np.ones((1, 2)), ["a", "b"], np.ones((1, 1)), 1
        )


def test_leading_features_weigh_kinds_alike_whatever_their_units() -> None:
    network = [contribution("a", 300.0), contribution("b", 100.0)]
    forest = [contribution("b", 0.03, "forest"), contribution("c", 0.01, "forest")]
    assert leading_features({"network": network, "forest": forest}) == ("b", "a", "c")


def test_leading_features_speak_for_the_prediction() -> None:
    network = [contribution("against", -5.0), contribution("for", 1.0), contribution("split", 2.0)]
    forest = [contribution("split", -3.0, "forest"), contribution("for", 1.0, "forest")]
    assert leading_features({"network": network, "forest": forest}) == ("for",)


def test_leading_features_are_counted_and_tie_by_name() -> None:
    network = [contribution(name, 1.0) for name in "fedcba"]
    assert leading_features({"network": network}) == ("a", "b", "c", "d", "e")
    assert leading_features({"network": network}, count=2) == ("a", "b")
    assert leading_features({"network": [], "forest": []}) == ()


def test_columns_for_and_against_are_strongest_first_and_ties_by_name():
    scores = np.array([0.5, -0.25, 0.0, 2.0, 0.5, -3.0])
    assert leading_columns(scores, ["f", "e", "d", "c", "b", "a"], 2) == ((3, 4), (5, 1))
    assert leading_columns(scores, ["f", "e", "d", "c", "b", "a"], 9) == ((3, 4, 0), (5, 1))
    assert leading_columns(np.zeros(2), ["a", "b"], 1) == ((), ())
