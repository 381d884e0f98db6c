from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import f_classif

from annotator.errors import ArtefactError
from annotator.learn.models.boosting import (
    BoostingModel,
    fit_boosting,
    model_of_booster,
    telling_features,
)
from annotator.learn.models.kind import TrainingPart
from annotator.learn.models.presets import PRESETS

TINY = replace(PRESETS["default"].kinds["boosting"], rounds=6, top_features=10, column_share=0.5)


def problem(seed=0, samples=90, features=20, classes=3):
    random = np.random.default_rng(seed)
    truth = np.arange(samples) % classes
    inputs = random.normal(size=(samples, features)).astype(np.float32)
    inputs[np.arange(samples), truth] += 4
    return inputs, truth


def fit(seed=1, threads=1, classes=3, options=TINY) -> BoostingModel:
    inputs, truth = problem(classes=classes)
    dataset = np.zeros(len(truth), dtype=np.int64)
    part = TrainingPart(inputs, truth, dataset, dataset, np.ones(len(truth)), classes)
    return fit_boosting(part, options, seed, threads)


@pytest.mark.parametrize("classes", [2, 3])
def test_it_learns_two_and_more_classes(classes) -> None:
    inputs, truth = problem(seed=7, classes=classes)
    probabilities = fit(classes=classes).predict(inputs)
    assert probabilities.shape == (90, classes)
    assert probabilities.dtype == np.float64
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


def test_seeds_decide_and_threads_do_not() -> None:
    assert fit().to_bytes() == fit(threads=2).to_bytes()
    assert fit().to_bytes() != fit(seed=2).to_bytes()


def test_trees_use_the_telling_features_only() -> None:
    model = fit(options=replace(TINY, top_features=3))
    assert set(np.unique(model.trees.feature).tolist()) <= {-1, 0, 1, 2}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(2, 4), st.integers(1, 6))
def test_probabilities_are_those_of_xgboost(seed, classes, depth) -> None:
    inputs, truth = problem(seed, classes=classes)
    inputs = np.round(inputs, 1)  # values that stand on thresholds
    options = {"objective": "multi:softprob", "num_class": classes, "max_depth": depth}
    data = xgboost.DMatrix(inputs, truth)
    booster = xgboost.train(options | {"nthread": 1}, data, 5)
    found = model_of_booster(booster, classes).predict(inputs)
    np.testing.assert_allclose(found, booster.predict(data), atol=1e-6)


def test_telling_features_are_those_of_the_f_statistic() -> None:
    inputs, truth = problem(seed=11)
    expected = np.sort(np.argsort(-f_classif(inputs, truth)[0])[:7])
    assert telling_features(inputs, truth, 7).tolist() == expected.tolist()


def test_it_comes_back_from_its_bytes_unchanged() -> None:
    inputs, _ = problem(seed=7)
    model = fit()
    again = BoostingModel.from_bytes(model.to_bytes(), 20, 3, TINY)
    assert np.array_equal(again.predict(inputs), model.predict(inputs))
    assert again.to_bytes() == model.to_bytes()


@pytest.mark.parametrize(
    ("features", "classes", "options"),
    [(2, 3, TINY), (20, 4, TINY), (20, 3, replace(TINY, rounds=7))],
)
def test_trees_of_another_shape_are_refused(features, classes, options) -> None:
    with pytest.raises(ArtefactError, match="boosting"):
        BoostingModel.from_bytes(fit().to_bytes(), features, classes, options)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"{L", b"\x80\x04x", b'{"learner": {}}'])
def test_what_is_no_boosting_is_refused(content) -> None:
    with pytest.raises(ArtefactError, match="boosting"):
        BoostingModel.from_bytes(content, 20, 3, TINY)
