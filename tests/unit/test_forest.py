from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from annotator.errors import ArtefactError
from annotator.learn.models.forest import ForestModel, ForestOptions, fit_forest
from annotator.learn.models.kind import TrainingPart
from annotator.learn.models.presets import PRESETS

TINY = ForestOptions(first_trees=10, trees=12, top_features=8, down_sample=False)
BOTH = pytest.mark.parametrize("options", [TINY, replace(TINY, down_sample=True)])


def problem(seed=0, sizes=(40, 30, 20), features=20):
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    inputs = random.normal(size=(len(truth), features)).astype(np.float32)
    inputs[np.arange(len(truth)), truth] += 4
    return inputs, truth


def part_of(inputs, truth) -> TrainingPart:
    dataset = np.zeros(len(truth), dtype=np.int64)
    weights = np.ones(len(truth))
    return TrainingPart(inputs, truth, dataset, dataset, weights, int(truth.max()) + 1)


def fit(options=TINY, seed=1, threads=1, **changes) -> ForestModel:
    return fit_forest(part_of(*problem(**changes)), options, seed, threads)


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
    trees = fit(options).trees
    used = set(trees.feature.tolist()) - {-1}
    assert {0, 1, 2} <= used
    assert len(used) <= 8
    assert len(trees.sizes) == 12
    assert len(set(fit(replace(options, top_features=99)).trees.feature.tolist()) - {-1}) > 8


def test_the_papers_numbers() -> None:
    options = PRESETS["paper"].kinds["forest"]
    assert (options.first_trees, options.trees, options.top_features) == (100, 500, 1000)
    assert options.down_sample


def test_down_sampled_trees_see_as_many_of_each_class_as_the_smallest_has() -> None:
    trees = fit(replace(TINY, down_sample=True), sizes=(200, 30, 5)).trees
    np.testing.assert_array_equal(trees.weight[trees.roots], 15)
    leaf_weights = trees.weight[trees.feature < 0]
    of_tree = np.repeat(np.arange(len(trees.sizes)), trees.sizes)[trees.feature < 0]
    for number in range(len(trees.sizes)):
        here = of_tree == number
        np.testing.assert_allclose(leaf_weights[here] @ trees.values[here], 5, rtol=1e-5)


def test_down_sampling_finds_rare_classes() -> None:
    random = np.random.default_rng(5)
    truth = np.repeat([0, 1], [300, 12])
    inputs = random.normal(size=(312, 10)).astype(np.float32)
    inputs[:, 0] += 1.5 * truth
    unseen = random.normal(size=(100, 10)).astype(np.float32)
    unseen[:, 0] += 1.5
    part = part_of(inputs, truth)
    plain = fit_forest(part, TINY, 1, 1).predict(unseen)[:, 1]
    balanced = fit_forest(part, replace(TINY, down_sample=True), 1, 1)
    assert balanced.predict(unseen)[:, 1].mean() > plain.mean() + 0.2


@BOTH
def test_it_comes_back_from_its_bytes_unchanged(options) -> None:
    inputs, _ = problem(seed=7)
    model = fit(options)
    again = ForestModel.from_bytes(model.to_bytes(), 20, 3, options)
    assert np.array_equal(again.predict(inputs), model.predict(inputs))
    assert again.to_bytes() == model.to_bytes()


@BOTH
def test_trees_have_no_more_leaves_than_wanted(options) -> None:
    trees = fit(replace(options, maximum_leaves=3)).trees
    assert set(trees.sizes.tolist()) == {5}  # three leaves and two splits
    assert trees.sizes.max() < fit(options).trees.sizes.max()


class Harmful:
    def __reduce__(self):
        return print, ("code ran",)


def test_what_is_no_forest_is_refused(capsys) -> None:
    whole = fit().to_bytes()
    for content in (b"", pickle.dumps(Harmful()), whole[:-100], whole[100:]):
        with pytest.raises(ArtefactError, match="forest"):
            ForestModel.from_bytes(content, 20, 3, TINY)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("features", "classes", "options"),
    [(2, 3, TINY), (20, 4, TINY), (20, 3, replace(TINY, trees=13))],
)
def test_a_forest_of_another_shape_is_refused(features, classes, options) -> None:
    with pytest.raises(ArtefactError, match="forest"):
        ForestModel.from_bytes(fit().to_bytes(), features, classes, options)
