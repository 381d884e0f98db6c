"""The oracle is the definition, in loops: every score of every class by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from annotator.errors import InputError
from annotator.explain import deep_lift
from annotator.explain.class_scores import (
    class_leaves,
    forest_mean_differences,
    mean_differences,
    network_class_scores,
    some_of_each_class,
)
from annotator.explain.deep_lift import DeepLift
from annotator.explain.trees import forest_contributions

CLASS_OF_LEAF = (0, 1, 1, 2, 0, 2, 2)
FEATURES = 9


def make_layers(seed: int = 1, outputs: int = 7):
    random = np.random.default_rng(seed)
    sizes = (FEATURES, 8, 6, outputs)
    return [
        (
            random.normal(0, before**-0.5, (before, after)).astype(np.float32),
            random.normal(0, 0.3, after).astype(np.float32),
        )
        for before, after in itertools.pairwise(sizes)
    ]


def make_inputs(seed: int = 2, samples: int = 25) -> np.ndarray:
    random = np.random.default_rng(seed)
    inputs = random.normal(0, 2, (samples, FEATURES)).astype(np.float32)
    inputs[random.random(inputs.shape) < 0.3] = 0.0
    return inputs


def by_loops(layers, inputs, class_of_leaf) -> np.ndarray:
    """Scores (samples, classes, features): of the leaf with the highest logit in the class."""
    explainer = DeepLift(layers)
    logits = explainer.forward(inputs).logits
    scores = np.zeros((len(inputs), max(class_of_leaf) + 1, inputs.shape[1]))
    for row, one in enumerate(inputs):
        for number in range(scores.shape[1]):
            leaves = [leaf for leaf, own in enumerate(class_of_leaf) if own == number]
            best = max(leaves, key=lambda leaf, row=row: logits[row, leaf])
            scores[row, number] = explainer.contributions(one[None], np.array([best]))[0]
    return scores


def test_the_leaf_of_a_class_is_the_most_probable_within_it() -> None:
    probabilities = np.array([[0.1, 0.3, 0.2, 0.4], [0.2, 0.2, 0.5, 0.1]])
    found = class_leaves(probabilities, (1, 0, 0, 1))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, [[1, 3], [2, 0]])
    np.testing.assert_array_equal(class_leaves(np.ones((1, 3)), (0, 1, 1)), [[0, 1]])
    np.testing.assert_array_equal(class_leaves(np.ones((2, 3)), (0, 1, 2)), [[0, 1, 2]] * 2)


@pytest.mark.parametrize("class_of_leaf", [(0, 1, 0), (0, 2, 2, 0), ()])
def test_classes_that_do_not_fit_the_leaves_are_refused(class_of_leaf) -> None:
    with pytest.raises(InputError, match="class of each output"):
        class_leaves(np.ones((2, 4)), class_of_leaf)


def test_scores_of_all_classes_come_in_the_order_of_the_samples(monkeypatch) -> None:
    layers, inputs = make_layers(), make_inputs()
    expected = by_loops(layers, inputs, CLASS_OF_LEAF)
    monkeypatch.setattr(deep_lift, "VALUES_AT_ONCE", 4 * 3 * FEATURES)
    parts = list(network_class_scores(layers, inputs, CLASS_OF_LEAF))
    assert [(rows.start, rows.stop) for rows, _ in parts][:2] == [(0, 4), (4, 8)]
    assert all(scores.dtype == np.float32 for _, scores in parts)
    assert all(len(inputs[rows]) == len(scores) for rows, scores in parts)
    found = np.concatenate([scores for _, scores in parts])
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("leaves", [CLASS_OF_LEAF, (0, 1, 2)])
def test_mean_differences_are_those_of_the_paper(monkeypatch, leaves) -> None:
    layers, inputs = make_layers(outputs=len(leaves)), make_inputs()
    classes = np.random.default_rng(3).integers(0, 3, len(inputs))
    scores = by_loops(layers, inputs, leaves)
    expected = np.zeros((3, FEATURES))
    for number in range(3):
        others = [other for other in range(3) if other != number]
        of_class = scores[classes == number]
        expected[number] = (of_class[:, number] - of_class[:, others].mean(axis=1)).mean(axis=0)
    monkeypatch.setattr(deep_lift, "VALUES_AT_ONCE", 4 * FEATURES)
    found = mean_differences(layers, inputs, classes, leaves, 3)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_class_without_samples_has_no_differences() -> None:
    found = mean_differences(make_layers(), make_inputs(), np.zeros(25, int), CLASS_OF_LEAF, 3)
    assert found[0].any()
    assert not found[1:].any()
    none = np.empty((0, FEATURES), np.float32), np.empty(0, np.int64)
    assert not mean_differences(make_layers(), *none, CLASS_OF_LEAF, 3).any()


def make_forest(seed: int = 4, classes: int = 3):
    inputs = make_inputs(seed, 60)
    labels = (np.abs(inputs[:, 0]) + inputs[:, 1] > 1).astype(int) + (inputs[:, 2] > 1)
    labels[:classes] = np.arange(classes)
    columns = np.array([6, 0, 2, 1])
    estimator = RandomForestClassifier(5, max_depth=4, random_state=0)
    return estimator.fit(inputs[:, columns], labels), columns, inputs, labels


def test_forest_differences_equal_those_from_the_values_of_all_classes() -> None:
    estimator, columns, inputs, labels = make_forest()
    scores = np.stack(
        [
            forest_contributions(estimator, columns, inputs, np.full(len(inputs), number))[0]
            for number in range(3)
        ],
        axis=1,
    )
    expected = np.zeros((3, FEATURES))
    for number in range(3):
        others = [other for other in range(3) if other != number]
        of_class = scores[labels == number]
        expected[number] = (of_class[:, number] - of_class[:, others].mean(axis=1)).mean(axis=0)
    found = forest_mean_differences(estimator, columns, inputs, labels, 3, FEATURES)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(expected).max() > 0.1
    assert not found[:, [3, 4, 5, 7, 8]].any()


def test_a_forest_is_asked_about_some_samples_of_each_class() -> None:
    estimator, columns, inputs, labels = make_forest()
    rows = some_of_each_class(labels, 4, seed=7)
    assert np.bincount(labels[rows]).tolist() == [4, 4, 4]
    some = forest_mean_differences(estimator, columns, inputs, labels, 3, FEATURES, 4, seed=7)
    by_hand = forest_mean_differences(estimator, columns, inputs[rows], labels[rows], 3, FEATURES)
    np.testing.assert_array_equal(some, by_hand)
    everything = forest_mean_differences(estimator, columns, inputs, labels, 3, FEATURES)
    assert np.abs(some - everything).max() > 1e-3


def test_some_of_each_class_are_drawn_by_the_seed() -> None:
    classes = np.array([0] * 50 + [2] * 3 + [1] * 50)
    drawn = some_of_each_class(classes, 10, seed=1)
    assert np.bincount(classes[drawn]).tolist() == [10, 10, 3]
    assert (np.diff(drawn) > 0).all()
    assert drawn[9] > 10  # not simply the first
    np.testing.assert_array_equal(drawn, some_of_each_class(classes, 10, seed=1))
    assert drawn.tolist() != some_of_each_class(classes, 10, seed=2).tolist()
    np.testing.assert_array_equal(some_of_each_class(classes, None, 1), np.arange(103))
    assert some_of_each_class(np.empty(0, np.int64), 10, 1).shape == (0,)
