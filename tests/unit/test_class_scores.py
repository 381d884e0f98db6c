"""The oracle is the definition, in loops: every score of every class by itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import xgboost
from sklearn.ensemble import RandomForestClassifier

from annotator.explain import deep_lift
from annotator.explain.class_scores import (
    mean_differences,
    sampled_mean_differences,
    some_of_each_class,
)
from annotator.explain.deep_lift import DeepLift
from annotator.explain.trees import boosting_explainer, forest_explainer
from annotator.learn.models.boosting import model_of_booster
from annotator.learn.models.forest import trees_of_forest

FEATURES = 9


def make_layers(seed: int = 1, outputs: int = 3):
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


def by_loops(explainer, inputs, classes, count) -> np.ndarray:
    """Mean over a class's samples of its scores less the mean of those of the others."""
    scores = np.stack(
        [explainer.contributions(inputs, np.full(len(inputs), each)) for each in range(count)],
        axis=1,
    )
    expected = np.zeros((count, inputs.shape[1]))
    for number in range(count):
        others = [other for other in range(count) if other != number]
        own = scores[classes == number]
        if len(own):
            expected[number] = (own[:, number] - own[:, others].mean(axis=1)).mean(axis=0)
    return expected


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("wide", [False, True])
def test_mean_differences_are_those_of_the_paper(monkeypatch, classes, wide) -> None:
    random = np.random.default_rng(3)
    path = random.normal(0, 1, (FEATURES, classes)) if wide else None
    network, inputs = DeepLift(make_layers(outputs=classes), path), make_inputs()
    labels = random.integers(0, classes, len(inputs))
    expected = by_loops(network, inputs, labels, classes)
    monkeypatch.setattr(deep_lift, "VALUES_AT_ONCE", 4 * FEATURES)
    found = mean_differences(network, inputs, labels)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_a_class_without_samples_has_no_differences() -> None:
    network = DeepLift(make_layers())
    found = mean_differences(network, make_inputs(), np.zeros(25, int))
    assert found[0].any()
    assert not found[1:].any()
    none = np.empty((0, FEATURES), np.float32), np.empty(0, np.int64)
    assert not mean_differences(network, *none).any()


def make_data(seed: int = 4, classes: int = 3):
    inputs = make_inputs(seed, 60)
    labels = (np.abs(inputs[:, 0]) + inputs[:, 1] > 1).astype(int) + (inputs[:, 2] > 1)
    labels = labels % classes
    labels[:classes] = np.arange(classes)
    return inputs, labels


@pytest.mark.parametrize("classes", [2, 3])
def test_forest_differences_equal_those_from_the_values_of_all_classes(classes) -> None:
    inputs, labels = make_data(classes=classes)
    columns = np.array([6, 0, 2, 1])
    estimator = RandomForestClassifier(5, max_depth=4, random_state=0)
    grown = trees_of_forest(estimator.fit(inputs[:, columns], labels), columns)
    forest = forest_explainer(grown, inputs.shape[1])
    expected = by_loops(forest, inputs, labels, classes)
    found = sampled_mean_differences(forest, inputs, labels, classes, sum_to_zero=True)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(expected).max() > 0.1
    assert not found[:, [3, 4, 5, 7, 8]].any()
    # Explaining every class gives the same: it only takes longer.
    slowly = sampled_mean_differences(forest, inputs, labels, classes, sum_to_zero=False)
    np.testing.assert_allclose(slowly, expected, atol=2e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_margins_do_not_sum_to_zero_and_are_taken_from_every_class(classes) -> None:
    inputs, labels = make_data(classes=classes)
    options = {"objective": "multi:softprob", "num_class": classes, "max_depth": 3, "nthread": 1}
    model = model_of_booster(xgboost.train(options, xgboost.DMatrix(inputs, labels), 4), classes)
    booster = boosting_explainer(model.trees, model.start, inputs.shape[1])
    expected = by_loops(booster, inputs, labels, classes)
    found = sampled_mean_differences(booster, inputs, labels, classes, sum_to_zero=False)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(expected).max() > 0.1
    if classes > 2:  # two margins are each other's opposite, nearly
        one_class = sampled_mean_differences(booster, inputs, labels, classes, sum_to_zero=True)
        assert np.abs(one_class - expected).max() > 1e-3


def test_a_class_without_samples_has_no_differences_by_trees() -> None:
    inputs, labels = make_data()
    estimator = RandomForestClassifier(3, random_state=0).fit(inputs, labels)
    forest = forest_explainer(trees_of_forest(estimator, np.arange(FEATURES)), FEATURES)
    for sum_to_zero in (True, False):
        found = sampled_mean_differences(
            forest, inputs, np.ones(60, int), 3, sum_to_zero=sum_to_zero
        )
        assert found[1].any()
        assert not found[[0, 2]].any()


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
