from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotator.domain.answers import ClassContributions
from annotator.errors import InputError
from annotator.explain.top import (
    Explained,
    leading_columns,
    leading_features,
    top_contributions,
)

NETWORK = Explained("network", "deeplift", 1)


def contributions(**scores: float) -> ClassContributions:
    ones = (1.0,) * len(scores)
    return ClassContributions(
        "network", "deeplift", "blood", 1, tuple(scores), tuple(scores.values()), ones
    )


def test_orders_by_absolute_score_and_keeps_sign_and_expression() -> None:
    values = np.array([[0.5, -2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    expression = np.array([[10.0, 20.0, 30.0, 40.0], [1.0, 2.0, 3.0, 4.0]])
    first, second = top_contributions(
        Explained("forest", "tree_shap", 2),
        ["blood", "lung"],
        values,
        ["a", "b", "c", "d"],
        expression,
        3,
    )
    assert first == ClassContributions(
        *("forest", "tree_shap", "blood", 2),
        features=("b", "d", "a"),
        scores=(-2.0, 1.0, 0.5),
        expression=(20.0, 40.0, 10.0),
    )
    assert second == ClassContributions("forest", "tree_shap", "lung", 2, (), (), ())


def test_ties_at_the_boundary_go_to_the_first_name() -> None:
    names = ["z", "y", "x", "b", "a"]
    values = np.array([[1.0, -1.0, 1.0, 5.0, 1.0]])
    (top,) = top_contributions(NETWORK, ["blood"], values, names, values, 3)
    assert top.features == ("b", "a", "x")


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
        NETWORK,
        ["blood"] * len(values),
        shuffled,
        [names[i] for i in order],
        shuffled,
        count,
    )
    assert [list(zip(of.features, of.scores, strict=True)) for of in result] == expected
    assert [of.expression for of in result] == [of.scores for of in result]


@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-40])
def test_ties_are_ordered_by_name_whatever_the_scale(scale: float) -> None:
    random = np.random.default_rng(1)
    values = (scale * random.integers(1, 30, (4, 100))).astype(np.float32)
    values[:, ::7] *= -1
    values[1, 5:] = 0
    names = [f"feature-{number}" for number in range(100)]
    found = top_contributions(NETWORK, ["blood"] * 4, values, names, values, 20)
    for row, top in zip(values.tolist(), found, strict=True):
        order = sorted(range(100), key=lambda i: (-abs(row[i]), names[i]))[:20]
        assert top.features == tuple(names[i] for i in order if row[i])


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
        top_contributions(NETWORK, ["blood"] * len(values), values, names, values, count)


def test_expression_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="do not agree"):
        top_contributions(NETWORK, ["blood"], np.ones((1, 2)), ["a", "b"], np.ones((1, 1)), 1)


def test_leading_features_are_those_of_the_answer_or_else_of_the_network() -> None:
    combined, network = contributions(a=0.3, b=0.1), contributions(b=100.0, c=300.0)
    forest = contributions(d=1.0)
    kinds = {"forest": forest, "network": network, "combined": combined}
    assert leading_features(kinds) == ("a", "b")
    assert leading_features({"forest": forest, "network": network}) == ("c", "b")
    assert leading_features({"forest": forest}) == ("d",)
    assert leading_features({}) == ()


def test_leading_features_support_the_answer() -> None:
    assert leading_features({"combined": contributions(against=-5.0, supports=1.0)}) == (
        "supports",
    )


def test_leading_features_are_counted_and_tie_by_name() -> None:
    network = contributions(**dict.fromkeys("fedcba", 1.0))
    assert leading_features({"network": network}) == ("a", "b", "c", "d", "e")
    assert leading_features({"network": network}, count=2) == ("a", "b")
    assert leading_features({"network": contributions(), "forest": contributions()}) == ()


def test_columns_for_and_against_are_strongest_first_and_ties_by_name():
    scores = np.array([0.5, -0.25, 0.0, 2.0, 0.5, -3.0])
    assert leading_columns(scores, ["f", "e", "d", "c", "b", "a"], 2) == ((3, 4), (5, 1))
    assert leading_columns(scores, ["f", "e", "d", "c", "b", "a"], 9) == ((3, 4, 0), (5, 1))
    assert leading_columns(np.zeros(2), ["a", "b"], 1) == ((), ())
