from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binom

from annotator.learn.selective.prediction_sets import (
    PredictionSets,
    dataset_quantile,
    fit_prediction_sets,
)
from annotator.plain_data import plain, typed

CLASSES, DATASETS = 5, 15


def datasets(random, number):
    """Samples of datasets that each shift all their samples; large datasets are easier."""
    large = random.random(number) < 0.3
    ids = np.repeat(np.arange(number), np.where(large, 60, 5))
    truth = random.integers(0, CLASSES, len(ids))
    ease = random.normal(np.where(large, 4, 1), 2)[ids]
    shift = random.normal(0, 1, (number, CLASSES))[ids]
    logits = shift + random.normal(0, 0.3, (len(ids), CLASSES))
    logits[np.arange(len(ids)), truth] += ease
    return softmax(logits, axis=1), truth, ids.astype(str).astype(object)


def test_sets_hold_the_true_class_of_new_datasets_where_ordinary_ones_do_not() -> None:
    random = np.random.default_rng(11)
    repetitions, coverage = 1000, 0.9
    by_dataset = ordinary = size = 0
    for _ in range(repetitions):
        p, truth, ids = datasets(random, DATASETS)
        new_p, new_truth, _ = datasets(random, 1)
        sets = fit_prediction_sets(p, truth, ids, coverage)
        inside = sets.sets(new_p[:1])[0]
        by_dataset += bool(inside[new_truth[0]])
        size += int(inside.sum())
        # Ordinary split-conformal sets: each sample a dataset of its own.
        alone = fit_prediction_sets(p, truth, np.arange(len(p)).astype(object), coverage)
        ordinary += bool(alone.sets(new_p[:1])[0, new_truth[0]])
    lowest, highest = binom.ppf([0.001, 0.999], repetitions, coverage)
    assert by_dataset >= lowest
    assert by_dataset <= highest + repetitions / (DATASETS + 1)  # Not by sets of everything.
    assert size / repetitions < 0.9 * CLASSES
    assert ordinary < lowest


def test_each_dataset_weighs_the_same() -> None:
    scores = np.concatenate([np.zeros(1000), np.arange(1, 10)]).astype(float)
    ids = np.array(["large"] * 1000 + [f"d{number}" for number in range(9)], dtype=object)
    # Ten datasets of weight 1/11: nine of them reach 9/11 = 0.818, ten 0.909.
    assert dataset_quantile(scores, ids, 0.81) == 8
    assert dataset_quantile(scores, ids, 0.9) == 9
    assert dataset_quantile(scores, ids, 0.92) == math.inf


def test_the_quantile_is_exact_at_the_edge_despite_rounding() -> None:
    ids = np.array([f"d{number}" for number in range(9)], dtype=object)
    assert dataset_quantile(np.arange(9.0), ids, 0.9) == 8  # 9 · 1/10
    assert dataset_quantile(np.arange(8.0), ids[:8], 0.9) == math.inf


def test_too_few_datasets_promise_nothing_but_all_classes() -> None:
    p = np.array([[0.9, 0.1, 0.0]] * 50)
    sets = fit_prediction_sets(p, np.zeros(50, dtype=np.int64), np.array(["a"] * 50, object), 0.9)
    assert sets.limit is None
    assert sets.sets(p[:1]).all()
    assert dataset_quantile(np.zeros(0), np.zeros(0, dtype=object), 0.9) == math.inf


def test_the_most_probable_class_is_always_in() -> None:
    sets = PredictionSets(coverage=0.9, limit=0.2)
    p = np.array([[0.4, 0.35, 0.25], [0.85, 0.1, 0.05]])
    assert sets.sets(p).tolist() == [[True, False, False], [True, False, False]]


def test_ordered_classes_leave_no_gap() -> None:
    p = np.array([[0.45, 0.1, 0.44, 0.01]])
    assert PredictionSets(0.9, 0.6).sets(p).tolist() == [[True, False, True, False]]
    assert PredictionSets(0.9, 0.6, contiguous=True).sets(p).tolist() == [[True, True, True, False]]


@given(
    st.floats(0.01, 0.99),
    st.one_of(st.floats(0, 1), st.none()),
    st.booleans(),
)
def test_json_round_trip(coverage, limit, contiguous) -> None:
    sets = PredictionSets(coverage, limit, contiguous)
    assert typed(json.loads(json.dumps(plain(sets), allow_nan=False)), PredictionSets) == sets


@pytest.mark.parametrize(
    "change",
    [{"coverage": 1.0}, {"coverage": "x"}, {"limit": -1}, {"limit": math.nan}, {"contiguous": 1}],
)
def test_malformed_json_is_refused(change) -> None:
    with pytest.raises(ValueError):
        typed(plain(PredictionSets(0.9, 0.5)) | change, PredictionSets)


@pytest.mark.parametrize("data", [None, [], {}, {"coverage": 0.9}])
def test_json_with_missing_parts_is_refused(data) -> None:
    with pytest.raises(ValueError, match=r"Expected `object`|missing required field"):
        typed(data, PredictionSets)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12)), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_the_quantile_is_the_smallest_score_that_has_the_weight(pairs) -> None:
    scores = np.array([score for score, _ in pairs])
    ids = np.array([str(dataset) for _, dataset in pairs], dtype=object)
    names = sorted(set(ids))

    def reached(limit) -> float:
        return sum((scores[ids == name] <= limit).mean() for name in names) / (len(names) + 1)

    found = dataset_quantile(scores, ids, 0.8)
    enough = [score for score in scores if reached(score) >= 0.8 - 1e-9]
    assert found == (min(enough) if enough else math.inf)


def test_bad_arguments_are_refused() -> None:
    ids = np.array(["a"], dtype=object)
    with pytest.raises(ValueError, match="coverage"):
        dataset_quantile(np.zeros(1), ids, 1.0)
    with pytest.raises(ValueError, match="numbers"):
        dataset_quantile(np.array([np.nan]), ids, 0.9)
