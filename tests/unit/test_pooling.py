"""The other samples of a dataset speak for a sample."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from annotator.learn.selective.pooling import (
    MOST_CONTRIBUTING,
    STRENGTHS,
    Pooling,
    first_of_datasets,
    fit_pooling,
)
from annotator.plain_data import plain, typed

HALF = Pooling(strength=0.5)


def names(*dataset_ids):
    return np.array(dataset_ids, dtype=object)


def held_out(datasets=40, samples=6, classes=4, mixed=False, seed=0):
    """Unsure probabilities of samples; a dataset holds one class, or any."""
    random = np.random.default_rng(seed)
    dataset = np.repeat(np.arange(datasets), samples)
    truth = random.integers(0, classes, datasets)[dataset]
    if mixed:
        truth = random.integers(0, classes, len(dataset))
    logits = random.normal(0, 1, (len(dataset), classes))
    logits[np.arange(len(truth)), truth] += 1
    return softmax(logits, axis=1), truth, dataset.astype(str).astype(object)


def accuracy(p, truth):
    return float((p.argmax(axis=1) == truth).mean())


def test_it_is_the_blend_of_the_definition():
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.6, 0.3]])
    found = Pooling(0.4, 1.5).apply(p, names("d", "d", "d"))
    for row in range(3):
        others = np.delete(p, row, axis=0)
        weight = 0.4 * others.mean(axis=0).max() ** 2
        blend = (1 - weight) * np.log(p[row]) + weight * np.log(others).mean(axis=0)
        np.testing.assert_allclose(found[row], softmax(1.5 * blend))


def test_who_has_no_other_sample_keeps_its_probabilities():
    p, _, _ = held_out(datasets=5, samples=1)
    assert np.array_equal(Pooling(0.5, 2.0).apply(p, names(*"abcde")), p)
    contributing = np.array([True, False, False, False, False])
    found = HALF.apply(p, names(*"aabbb"), contributing)
    assert np.array_equal(found[[0, 2, 3, 4]], p[[0, 2, 3, 4]])
    assert not np.allclose(found[1], p[1])


def test_no_strength_changes_nothing():
    p, _, dataset = held_out()
    assert np.array_equal(Pooling(0.0, 2.0).apply(p, dataset), p)


def test_a_dataset_of_two_tissues_is_left_almost_as_it_is():
    sure = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.45, 0.55]])
    divided = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.45, 0.55]])
    of_one = HALF.apply(sure, np.full(4, "d", dtype=object))
    of_two = HALF.apply(divided, np.full(5, "d", dtype=object))
    assert of_one[3, 0] > 0.6
    assert of_two[4, 0] == pytest.approx(0.45, abs=0.02)


def test_impossible_classes_stay_impossible():
    p = np.array([[0.0, 0.6, 0.4], [0.5, 0.3, 0.2], [0.8, 0.1, 0.1]])
    found = HALF.apply(p, names("d", "d", "d"))
    assert found[0, 0] == 0
    np.testing.assert_allclose(found.sum(axis=1), 1)


@given(st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(random):
    p, _, dataset = held_out(datasets=4, samples=3)
    order = list(range(len(p)))
    random.shuffle(order)
    np.testing.assert_allclose(
        HALF.apply(p[order], dataset[order]), HALF.apply(p, dataset)[order], atol=1e-12
    )


def test_only_the_first_samples_of_a_large_dataset_speak():
    dataset = names(*["b", "a"] * (MOST_CONTRIBUTING + 3), "c")
    first = first_of_datasets(dataset)
    assert first.sum() == 2 * MOST_CONTRIBUTING + 1
    assert first[: 2 * MOST_CONTRIBUTING].all()
    assert first[-1]
    p, _, _ = held_out(datasets=len(dataset), samples=1)
    changed = p.copy()
    changed[-3:-1] = changed[-3:-1][:, ::-1]  # the last of both large datasets
    before, after = HALF.apply(p, dataset), HALF.apply(changed, dataset)
    assert np.array_equal(before[:-3], after[:-3])


def test_pooling_is_found_where_datasets_hold_one_class():
    p, truth, dataset = held_out()
    pooling = fit_pooling(p, truth, dataset)
    assert pooling.strength == max(STRENGTHS)
    fresh, of_fresh, elsewhere = held_out(seed=1)
    assert accuracy(pooling.apply(fresh, elsewhere), of_fresh) > accuracy(fresh, of_fresh) + 0.02


def test_nothing_is_pooled_where_the_samples_of_a_dataset_differ():
    for seed in range(5):
        p, truth, dataset = held_out(mixed=True, seed=seed)
        assert fit_pooling(p, truth, dataset) == Pooling()


def test_what_an_exponent_alone_gains_is_not_pooling_s():
    """Probabilities that are too modest or too bold would gain from an exponent anyway."""
    for seed in range(5):
        p, truth, dataset = held_out(datasets=300, mixed=True, seed=seed)
        for exponent in (0.4, 2.5):
            distorted = softmax(exponent * np.log(p), axis=1)
            assert fit_pooling(distorted, truth, dataset) == Pooling()


def test_nothing_is_pooled_where_nothing_shows_that_it_helps():
    p, truth, dataset = held_out(datasets=1, samples=8)
    assert fit_pooling(p, truth, dataset) == Pooling()  # one dataset
    p, truth, dataset = held_out(samples=1)
    assert fit_pooling(p, truth, dataset) == Pooling()  # no dataset of several samples


def test_a_gain_that_two_datasets_disagree_on_is_chance():
    p = np.array([[0.5, 0.5], [0.9, 0.1], [0.5, 0.5], [0.9, 0.1]])
    truth = np.array([0, 0, 1, 0])
    assert fit_pooling(p, truth, names("a", "a", "b", "b")) == Pooling()


def test_pooled_probabilities_mean_what_they_say():
    p, truth, dataset = held_out(datasets=300)
    pooling = fit_pooling(p, truth, dataset)
    blunt = replace(pooling, exponent=1.0)
    rows = np.arange(len(truth))

    def loss(chosen):
        return -np.log(chosen.apply(p, dataset)[rows, truth]).mean()

    assert loss(pooling) < loss(blunt)


def test_it_comes_back_from_json():
    pooling = Pooling(0.3, 1.25)
    assert typed(json.loads(json.dumps(plain(pooling))), Pooling) == pooling


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"force": 0.3, "exponent": 1.0},
        {"strength": 0.6, "exponent": 1.0},
        {"strength": -0.1, "exponent": 1.0},
        {"strength": 0.5, "exponent": 0.0},
        {"strength": 0.5, "exponent": float("inf")},
        {"strength": float("nan"), "exponent": 1.0},
        {"strength": "much", "exponent": 1.0},
    ],
)
def test_damaged_json_is_refused(data):
    with pytest.raises(ValueError, match=r"Expected `(object|float)`|finite|unknown"):
        typed(data, Pooling)
