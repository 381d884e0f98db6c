from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.errors import CohortError
from annotator.learn.validation.splits import (
    choose_folds,
    cross_validation_folds,
    dataset_folds,
    describe_dataset_folds,
    scored_mask,
)

labels_of = st.lists(st.sampled_from("abc"), min_size=6, max_size=60)


def _array(values) -> np.ndarray:
    return np.array(list(values), dtype=object)


@given(labels_of, st.integers(2, 6), st.integers(0, 99))
def test_cross_validation_deals_every_class_evenly(labels, folds, seed):
    labels = _array(labels)
    dealt = cross_validation_folds(labels, folds, seed)
    assert np.ptp(np.bincount(dealt, minlength=folds)) <= 1
    for class_name in set(labels):
        assert np.ptp(np.bincount(dealt[labels == class_name], minlength=folds)) <= 1
    assert np.array_equal(dealt, cross_validation_folds(labels, folds, seed))


def test_cross_validation_deals_at_random():
    labels = _array("a" * 50 + "b" * 50)
    first, second = (cross_validation_folds(labels, 5, seed) for seed in (1, 2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first[:50], np.arange(50) % 5)


def test_more_folds_than_samples_is_an_error():
    with pytest.raises(CohortError, match="3 labelled samples"):
        cross_validation_folds(_array("aab"), 5, 0)


def test_one_fold_is_a_mistake():
    with pytest.raises(ValueError, match="at least 2"):
        cross_validation_folds(_array("aab"), 1, 0)
    with pytest.raises(ValueError, match="at least 2"):
        dataset_folds(_array("123"), _array("aab"), 1, 0)


def test_each_dataset_by_itself():
    datasets = _array(["d2", "d1", "d2", "d3"])
    assert dataset_folds(datasets, _array("abab"), None, 7).tolist() == [1, 0, 1, 2]


def test_a_single_dataset_cannot_be_held_out():
    with pytest.raises(CohortError, match="at least 2"):
        dataset_folds(_array("ddd"), _array("aab"), None, 0)


cohorts = st.lists(
    st.tuples(st.integers(0, 14).map("d{}".format), st.sampled_from("abcdef")),
    min_size=2,
    max_size=80,
).filter(lambda pairs: len({dataset for dataset, _ in pairs}) > 1)


@given(cohorts, st.integers(2, 12), st.integers(0, 9), st.randoms(use_true_random=False))
def test_grouped_folds(pairs, folds, seed, random):
    datasets, labels = (_array(column) for column in zip(*pairs, strict=True))
    dealt = dataset_folds(datasets, labels, folds, seed)
    n_datasets = len(set(datasets))
    assert set(dealt) == set(range(min(folds, n_datasets)))
    for dataset in set(datasets):
        assert len(set(dealt[datasets == dataset])) == 1
    order = list(range(len(pairs)))
    random.shuffle(order)
    assert np.array_equal(dataset_folds(datasets[order], labels[order], folds, seed), dealt[order])
    if max(len(set(labels[datasets == dataset])) for dataset in datasets) < folds:
        for class_name in set(labels):
            held = labels == class_name
            if len(set(datasets[held])) > 1:
                assert len(set(dealt[held])) > 1, f"{class_name} is in one fold only"


def test_grouped_folds_are_alike_in_size():
    generator = np.random.default_rng(3)
    sizes = generator.integers(5, 40, 60)
    datasets = _array(np.repeat([f"d{i}" for i in range(60)], sizes))
    labels = _array(np.repeat(generator.choice(list("abcdef"), 60), sizes))
    dealt = np.bincount(dataset_folds(datasets, labels, 10, 0))
    assert dealt.max() < 1.4 * dealt.min()


def test_the_seed_decides_between_equal_datasets():
    datasets, labels = _array(list("abcdefghijkl")), _array("xy" * 6)
    dealt = {tuple(dataset_folds(datasets, labels, 3, seed)) for seed in range(5)}
    assert len(dealt) > 1


def test_only_samples_whose_class_remains_in_training_are_scored():
    labels, folds = _array("aabbcc"), np.array([0, 1, 0, 1, 2, 2])
    assert scored_mask(labels, folds).tolist() == [True, True, True, True, False, False]


def test_nothing_is_scored_where_training_has_one_class():
    labels, folds = _array("aab"), np.array([0, 1, 1])
    assert scored_mask(labels, folds).tolist() == [True, False, False]


def test_folds_are_chosen_by_the_number_of_datasets():
    assert choose_folds(12, 12) is None
    assert choose_folds(13, 12) == 10


def test_folds_in_words():
    datasets = _array(["d1", "d2", "d3"])
    by_itself = describe_dataset_folds(np.array([0, 1, 2]), datasets)
    assert by_itself == "one dataset out: each of 3 datasets held out by itself"
    assert "3 datasets in 2 folds" in describe_dataset_folds(np.array([0, 1, 1]), datasets)
