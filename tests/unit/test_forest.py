from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from annotator.errors import ArtefactError
from annotator.learn.forest import ForestModel, fit_forest
from annotator.learn.options import ForestOptions
from annotator.learn.presets import PRESETS

TINY = ForestOptions(first_trees=10, trees=12, top_features=8, down_sample=False)
BOTH = pytest.mark.parametrize("options", [TINY, replace(TINY, down_sample=True)])


def problem(seed=0, sizes=(40, 30, 20), features=20):
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    inputs = random.normal(size=(len(truth), features)).astype(np.float32)
    inputs[np.arange(len(truth)), truth] += 4
    return inputs, truth


def fit(options=TINY, seed=1, threads=1, **changes) -> ForestModel:
    inputs, truth = problem(**changes)
    return fit_forest(inputs, truth, np.ones(len(truth)), 3, options, seed, threads)


@BOTH
def test_it_learns(options) -> None:
    inputs, truth = problem(seed=7)
    probabilities = fit(options).predict(inputs)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


@BOTH
def test_seeds_decide_and_threads_do_not(options) -> None:
    inputs, _ = problem(seed=7)
    expected = fit(options).predict(inputs)
    assert np.array_equal(fit(options, threads=2).predict(inputs), expected)
    assert not np.array_equal(fit(options, seed=2).predict(inputs), expected)


@BOTH
def test_the_second_stage_has_the_most_telling_features(options) -> None:
    model = fit(options)
    assert {0, 1, 2} <= set(model.feature_indices.tolist())
    assert len(model.feature_indices) == 8
    assert model.feature_indices.dtype == np.int64
    assert model.estimator.n_features_in_ == 8
    assert len(model.estimator.estimators_) == 12
    assert fit(replace(options, top_features=99)).feature_indices.tolist() == list(range(20))


def test_the_papers_numbers() -> None:
    options = PRESETS["paper"].forest
    assert (options.first_trees, options.trees, options.top_features) == (100, 500, 1000)
    assert options.down_sample
    assert {tree.max_features for tree in fit(options=TINY).estimator.estimators_} == {"sqrt"}


def test_down_sampled_trees_see_as_many_of_each_class_as_the_smallest_has() -> None:
    model = fit(replace(TINY, down_sample=True), sizes=(200, 30, 5))
    for tree in model.estimator.estimators_:
        assert tree.tree_.n_node_samples[0] == 15
        np.testing.assert_allclose(tree.tree_.value[0, 0], 1 / 3)
        assert tree.max_features == "sqrt"


def test_down_sampling_finds_rare_classes() -> None:
    random = np.random.default_rng(5)
    truth = np.repeat([0, 1], [300, 12])
    inputs = random.normal(size=(312, 10)).astype(np.float32)
    inputs[:, 0] += 1.5 * truth
    unseen = random.normal(size=(100, 10)).astype(np.float32)
    unseen[:, 0] += 1.5
    weights = np.ones(312)
    plain = fit_forest(inputs, truth, weights, 2, TINY, 1, 1).predict(unseen)[:, 1]
    balanced = fit_forest(inputs, truth, weights, 2, replace(TINY, down_sample=True), 1, 1)
    assert balanced.predict(unseen)[:, 1].mean() > plain.mean() + 0.2


@BOTH
def test_it_comes_back_from_its_bytes_unchanged(options) -> None:
    inputs, _ = problem(seed=7)
    model = fit(options)
    again = ForestModel.from_bytes(model.to_bytes(), 20, 3, options)
    assert np.array_equal(again.predict(inputs), model.predict(inputs))
    assert np.array_equal(again.feature_indices, model.feature_indices)


class Harmful:
    def __reduce__(self):
        return print, ("code ran",)


def test_what_is_no_forest_is_refused(capsys) -> None:
    model = fit()
    inputs, truth = problem()
    indices = model.feature_indices
    other = LogisticRegression().fit(inputs[:, indices], truth)
    contents = [
        b"",
        pickle.dumps(Harmful()),
        model.to_bytes()[:-100],
        model.to_bytes()[100:],
        skops.io.dumps({"estimator": other, "feature_indices": indices}),
        skops.io.dumps({"estimator": model.estimator}),
        skops.io.dumps(model.estimator),
        skops.io.dumps({"estimator": model.estimator, "feature_indices": indices + 15}),
        skops.io.dumps({"estimator": model.estimator, "feature_indices": indices - 9}),
        skops.io.dumps({"estimator": model.estimator, "feature_indices": indices[:-1]}),
        skops.io.dumps({"estimator": Harmful(), "feature_indices": indices}),
    ]
    for content in contents:
        with pytest.raises(ArtefactError, match="forest"):
            ForestModel.from_bytes(content, 20, 3, TINY)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("features", "classes", "options"),
    [(5, 3, TINY), (20, 4, TINY), (20, 3, replace(TINY, trees=13))],
)
def test_a_forest_of_another_shape_is_refused(features, classes, options) -> None:
    with pytest.raises(ArtefactError, match="does not fit"):
        ForestModel.from_bytes(fit().to_bytes(), features, classes, options)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("left_child", 10_000),
        ("left_child", 0),
        ("right_child", -1),
        ("feature", 99),
        ("threshold", np.nan),
    ],
)
def test_a_tree_that_points_outside_of_itself_is_refused(part, value) -> None:
    model = fit()
    tree = model.estimator.estimators_[3].tree_
    state = tree.__getstate__()
    state["nodes"][part][0] = value
    tree.__setstate__(state)
    with pytest.raises(ArtefactError, match="tree is damaged"):
        ForestModel.from_bytes(model.to_bytes(), 20, 3, TINY)


@pytest.mark.parametrize("name", ["../escaped.json", "/etc/x.json", "a/b.npy", "..\\x.npy", "x.py"])
def test_an_archive_whose_entries_lead_elsewhere_is_refused(name) -> None:
    content = io.BytesIO(fit().to_bytes())
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr(name, b"{}")
    with pytest.raises(ArtefactError, match="which no forest has"):
        ForestModel.from_bytes(content.getvalue(), 20, 3, TINY)
