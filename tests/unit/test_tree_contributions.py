"""The oracle is the definition: Shapley values over all subsets of features, where
the expectation given a subset follows the known splits and averages the others
by the training weight of their branches."""

from __future__ import annotations

import json
from functools import cache
from itertools import combinations
from math import factorial

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from annotator.errors import InputError
from annotator.explain import forest_shap, trees
from annotator.explain.trees import TreeExplainer, boosting_explainer, forest_explainer
from annotator.learn.models.boosting import model_of_booster
from annotator.learn.models.forest import ForestModel, trees_of_forest


def explained(explainer, inputs, targets) -> tuple[np.ndarray, np.ndarray]:
    """Contributions to each sample's class, and what they are counted from."""
    return explainer.contributions(inputs, targets), explainer.references(np.asarray(targets))


def of_forest(estimator, columns, features=5) -> TreeExplainer:
    return forest_explainer(trees_of_forest(estimator, np.asarray(columns)), features)


def of_booster(booster, classes=3) -> TreeExplainer:
    model = model_of_booster(booster, classes)
    return boosting_explainer(model.trees, model.start, booster.num_features())


def forest_contributions(estimator, columns, inputs, targets):
    return explained(of_forest(estimator, columns, inputs.shape[1]), inputs, targets)


def boosting_contributions(booster, inputs, targets, classes=3):
    return explained(of_booster(booster, classes), inputs, targets)


def stored_probabilities(estimator, inputs) -> np.ndarray:
    """Probabilities by the trees in single precision, as they are stored."""
    trees = trees_of_forest(estimator, np.arange(inputs.shape[1]))
    probabilities = ForestModel(trees).predict(inputs)
    np.testing.assert_allclose(probabilities, estimator.predict_proba(inputs), atol=1e-6)
    return probabilities


def shapley(expectation, features: int) -> np.ndarray:
    """Return Shapley values of ``expectation(frozenset)`` and, last, that of the empty set."""
    known = cache(expectation)
    values = np.zeros(features + 1)
    values[-1] = known(frozenset())
    for feature in range(features):
        others = [other for other in range(features) if other != feature]
        for size in range(features):
            weight = factorial(size) * factorial(features - size - 1) / factorial(features)
            for subset in map(frozenset, combinations(others, size)):
                values[feature] += weight * (known(subset | {feature}) - known(subset))
    return values


def forest_expectation(estimator, row, target):
    def of_node(tree, node, subset):
        left, right = tree.children_left[node], tree.children_right[node]
        if left < 0:
            return tree.value[node, 0, target]
        if tree.feature[node] in subset:
            goes_left = np.float32(row[tree.feature[node]]) <= tree.threshold[node]
            return of_node(tree, left if goes_left else right, subset)
        weight = tree.weighted_n_node_samples
        return (
            weight[left] * of_node(tree, left, subset)
            + weight[right] * of_node(tree, right, subset)
        ) / (weight[left] + weight[right])

    return lambda subset: np.mean(
        [of_node(member.tree_, 0, subset) for member in estimator.estimators_]
    )


def booster_expectation(booster, row, target):
    learner = json.loads(booster.save_raw("json"))["learner"]
    model = learner["gradient_booster"]["model"]
    base = json.loads(learner["learner_model_param"]["base_score"])

    def of_node(tree, node, subset):
        left, right = tree["left_children"][node], tree["right_children"][node]
        if left < 0:
            return tree["split_conditions"][node]
        feature = tree["split_indices"][node]
        if feature in subset:
            goes_left = row[feature] < np.float32(tree["split_conditions"][node])
            return of_node(tree, left if goes_left else right, subset)
        weight = tree["sum_hessian"]
        return (
            weight[left] * of_node(tree, left, subset)
            + weight[right] * of_node(tree, right, subset)
        ) / (weight[left] + weight[right])

    own = [
        tree
        for tree, group in zip(model["trees"], model["tree_info"], strict=True)
        if group == target
    ]
    start = base[target] if isinstance(base, list) else base
    return lambda subset: start + sum(of_node(tree, 0, subset) for tree in own)


def make_data(seed: int, samples: int = 60, features: int = 5, classes: int = 3):
    random = np.random.default_rng(seed)
    # Few distinct values: thresholds and inputs coincide, zeros are common.
    inputs = random.integers(-2, 4, (samples, features)).astype(np.float32) / np.float32(3)
    labels = (inputs[:, 0] + 0.5 * inputs[:, 1] * (inputs[:, 2] > 0) + 1).astype(int) % classes
    labels[:classes] = np.arange(classes)
    return inputs, labels


def fit_forest(inputs, labels, **options) -> RandomForestClassifier:
    settings = {"n_estimators": 4, "max_depth": 4, "random_state": 0} | options
    return RandomForestClassifier(**settings).fit(inputs, labels)


def fit_booster(inputs, labels, classes=3, **options) -> xgboost.Booster:
    parameters = {
        "objective": "multi:softprob",
        "num_class": classes,
        "max_depth": 3,
        "nthread": 1,
    } | options
    return xgboost.train(parameters, xgboost.DMatrix(inputs, labels), 3)


@pytest.mark.parametrize("weights", [None, "balanced_subsample"])
def test_forest_equals_the_definition_of_shapley_values(weights) -> None:
    inputs, labels = make_data(1)
    estimator = fit_forest(inputs, labels, class_weight=weights)
    rows, targets = inputs[:6], np.array([0, 1, 2, 0, 1, 2])
    values, bias = forest_contributions(estimator, np.arange(5), rows, targets)
    for number, (row, target) in enumerate(zip(rows, targets, strict=True)):
        expected = shapley(forest_expectation(estimator, row, target), 5)
        np.testing.assert_allclose(values[number], expected[:-1], atol=1e-6)
        np.testing.assert_allclose(bias[number], expected[-1], atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_boosting_equals_the_definition_of_shapley_values(classes) -> None:
    inputs, labels = make_data(2, classes=classes)
    booster = fit_booster(inputs, labels, classes)
    rows, targets = inputs[:6], np.arange(6) % classes
    values, bias = boosting_contributions(booster, rows, targets, classes)
    for number, (row, target) in enumerate(zip(rows, targets, strict=True)):
        expected = shapley(booster_expectation(booster, row, int(target)), 5)
        np.testing.assert_allclose(values[number], expected[:-1], atol=1e-5)
        np.testing.assert_allclose(bias[number], expected[-1], atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), classes=st.integers(2, 4), depth=st.integers(1, 7))
def test_boosting_equals_what_xgboost_itself_says(seed, classes, depth) -> None:
    inputs, labels = make_data(seed, classes=classes)
    booster = fit_booster(inputs, labels, classes, max_depth=depth)
    targets = np.random.default_rng(seed).integers(0, classes, len(inputs))
    values, bias = boosting_contributions(booster, inputs, targets, classes)
    margins = booster.predict(xgboost.DMatrix(inputs), output_margin=True)
    rows = np.arange(len(inputs))
    np.testing.assert_allclose(values.sum(axis=1) + bias, margins[rows, targets], atol=1e-5)
    theirs = booster.predict(xgboost.DMatrix(inputs), pred_contribs=True, strict_shape=True)
    np.testing.assert_allclose(values, theirs[rows, targets, :-1], atol=1e-5)
    np.testing.assert_allclose(bias, theirs[rows, targets, -1], atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    classes=st.integers(2, 4),
    depth=st.sampled_from([1, 3, None]),
    features=st.integers(1, 6),
)
def test_forest_contributions_sum_to_the_probability(seed, classes, depth, features) -> None:
    inputs, labels = make_data(seed, features=max(3, features), classes=classes)
    estimator = fit_forest(inputs[:, :features], labels, max_depth=depth)
    targets = np.random.default_rng(seed).integers(0, classes, len(inputs))
    values, bias = forest_contributions(
        estimator, np.arange(features), inputs[:, :features], targets
    )
    probability = stored_probabilities(estimator, inputs[:, :features])
    np.testing.assert_allclose(
        values.sum(axis=1) + bias, probability[np.arange(len(inputs)), targets], atol=2e-6
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), scale=st.sampled_from([1e-3, 1.0, 1e30]))
def test_inputs_beside_a_threshold_go_the_way_that_the_forest_sends_them(seed, scale) -> None:
    random = np.random.default_rng(seed)
    inputs = (random.normal(size=(80, 3)) * scale).astype(np.float32)
    estimator = fit_forest(inputs, random.integers(0, 3, 80), max_depth=None)
    thresholds = np.concatenate(
        [member.tree_.threshold[member.tree_.feature >= 0] for member in estimator.estimators_]
    )
    near = thresholds.astype(np.float32)
    edges = np.concatenate(
        [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))]
    )
    rows = random.choice(edges, (200, 3))
    targets = random.integers(0, 3, 200)
    values, bias = forest_contributions(estimator, np.arange(3), rows, targets)
    np.testing.assert_allclose(
        values.sum(axis=1) + bias,
        stored_probabilities(estimator, rows)[np.arange(200), targets],
        atol=2e-6,
    )


def test_deep_trees_are_explained_in_single_precision() -> None:
    random = np.random.default_rng(13)
    inputs = random.normal(size=(400, 60)).astype(np.float32)
    labels = random.integers(0, 12, 400)
    estimator = fit_forest(inputs, labels, max_depth=None, max_features=2)
    assert max(member.tree_.max_depth for member in estimator.estimators_) > 20
    values, bias = forest_contributions(estimator, np.arange(60), inputs, labels)
    np.testing.assert_allclose(
        values.sum(axis=1) + bias,
        stored_probabilities(estimator, inputs)[np.arange(400), labels],
        atol=1e-5,
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**16), features=st.integers(1, 6), splits=st.integers(1, 12))
def test_forest_equals_the_definition_on_any_tree(seed, features, splits) -> None:
    """Extremely random trees split on a feature again and again along one path."""
    inputs, labels = make_data(seed, features=max(3, features))
    estimator = fit_forest(
        inputs[:, :features],
        labels,
        n_estimators=1,
        max_features=1,
        max_depth=None,
        max_leaf_nodes=splits + 1,
    )
    target = seed % 3
    values, bias = forest_contributions(
        estimator, np.arange(features), inputs[:2], np.array([target] * 2)
    )
    for number in range(2):
        expected = shapley(forest_expectation(estimator, inputs[number], target), features)
        np.testing.assert_allclose(values[number, :features], expected[:-1], atol=1e-6)
        np.testing.assert_allclose(bias[number], expected[-1], atol=1e-6)


def test_a_zero_that_stands_on_a_threshold_of_zero_goes_left() -> None:
    inputs = np.array([[-1.0], [1.0]] * 4, np.float32)
    estimator = fit_forest(inputs, np.array([0, 1] * 4), bootstrap=False)
    assert estimator.estimators_[0].tree_.threshold[0] == 0.0
    values, bias = forest_contributions(
        estimator, np.array([0]), np.zeros((1, 1), np.float32), np.array([0])
    )
    assert (values.sum() + bias)[0] == pytest.approx(1.0)


def test_columns_place_the_forests_features_among_the_inputs() -> None:
    inputs, labels = make_data(5)
    columns = np.array([7, 2, 0, 9, 4])
    wide = np.full((len(inputs), 11), 5.0, np.float32)
    wide[:, columns] = inputs
    estimator = fit_forest(inputs, labels)
    narrow_values, narrow_bias = forest_contributions(estimator, np.arange(5), inputs, labels)
    values, bias = forest_contributions(estimator, columns, wide, labels)
    assert values.shape == wide.shape
    np.testing.assert_allclose(values[:, columns], narrow_values, atol=2e-6)
    np.testing.assert_allclose(bias, narrow_bias, atol=2e-6)
    assert not values[:, [1, 3, 5, 6, 8, 10]].any()
    assert np.abs(narrow_values).sum() > 1.0


def test_targets_are_columns_of_predict_proba_whatever_the_classes_are_called() -> None:
    inputs, labels = make_data(6)
    names = np.array(["liver", "blood", "brain"], dtype=object)[labels]
    estimator = fit_forest(inputs, names)
    for target, name in enumerate(estimator.classes_):
        values, bias = forest_contributions(
            estimator, np.arange(5), inputs, np.full(len(inputs), target)
        )
        np.testing.assert_allclose(
            values.sum(axis=1) + bias, estimator.predict_proba(inputs)[:, target], atol=1e-5
        )
        assert (values.sum(axis=1) + bias)[names == name].mean() > 0.5


def test_a_forest_of_single_leaves_explains_nothing() -> None:
    inputs, labels = make_data(7)
    estimator = fit_forest(inputs, labels, min_samples_split=1000)
    assert estimator.estimators_[0].tree_.node_count == 1
    values, bias = forest_contributions(estimator, np.arange(5), inputs, labels)
    assert not values.any()
    np.testing.assert_allclose(
        bias, estimator.predict_proba(inputs)[np.arange(len(inputs)), labels], atol=1e-6
    )


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_chunks_groups_parts_and_the_length_of_pieces_change_nothing(monkeypatch, kind) -> None:
    inputs, labels = make_data(8)

    def by_kind():
        if kind == "forest":
            forest = fit_forest(inputs, labels, max_depth=None)
            return forest_contributions(forest, np.arange(5), inputs, labels)
        return boosting_contributions(fit_booster(inputs, labels), inputs, labels)

    whole = by_kind()
    monkeypatch.setattr(forest_shap, "VALUES_AT_ONCE", 300)
    monkeypatch.setattr(trees, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(trees, "NODES_OF_A_GROUP", 1)
    monkeypatch.setattr(trees, "CONDITIONS_AT_ONCE", 5)
    monkeypatch.setattr(trees, "CONDITIONS_KEPT", 0)
    for bits in (2, 3, 8):
        monkeypatch.setattr(forest_shap, "MOST_BITS", bits)
        for one, other in zip(whole, by_kind(), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-6)


def test_an_explainer_gives_the_same_again() -> None:
    inputs, labels = make_data(8)
    booster = fit_booster(inputs, labels)
    for explainer in (
        of_forest(fit_forest(inputs, labels), np.arange(5)),
        of_booster(booster),
    ):
        first = explained(explainer, inputs, labels)
        explained(explainer, inputs, (labels + 1) % 3)
        for one, other in zip(first, explained(explainer, inputs, labels), strict=True):
            np.testing.assert_array_equal(one, other)


def test_no_samples_give_no_rows() -> None:
    inputs, labels = make_data(9)
    none = np.empty((0, 5), np.float32), np.empty(0, np.int64)
    for values, bias in (
        forest_contributions(fit_forest(inputs, labels), np.arange(5), *none),
        boosting_contributions(fit_booster(inputs, labels), *none),
    ):
        assert values.shape == (0, 5)
        assert bias.shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, t: (x[:, :4], t), "features"),
        (lambda x, t: (x[0], t), "shape"),
        (lambda x, t: (np.where(x == x[3], np.float32(np.nan), x), t), "not finite"),
        (lambda x, t: (x, t[:-1]), "do not fit"),
        (lambda x, t: (x, t.astype(float)), "do not fit"),
        (lambda x, t: (x, t + 1), "class number 3"),
        (lambda x, t: (x, t - 1), "class number -1"),
    ],
)
def test_says_which_input_does_not_fit(change, words) -> None:
    inputs, labels = make_data(10)
    estimator, booster = fit_forest(inputs, labels), fit_booster(inputs, labels)
    with pytest.raises(InputError, match=words):
        of_forest(estimator, np.arange(5)).contributions(*change(inputs, labels))
    with pytest.raises(InputError, match=words):
        of_booster(booster).contributions(*change(inputs, labels))
