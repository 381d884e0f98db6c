"""Copies of libraries are found; replicates are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from annotator.domain.profiles import Profiles
from annotator.learn.features.copies import copies, is_copy

FEATURES = 400


def profiles_of(table: np.ndarray) -> Profiles:
    samples, features = table.shape
    return Profiles(
        np.array([f"S{row}" for row in range(samples)], dtype=object),
        np.array([f"f{column}" for column in range(features)], dtype=object),
        np.array(["srna"] * features, dtype=object),
        csr_matrix(table.astype(np.float32)),
    )


def libraries(samples: int, seed: int = 0, spread: float = 0.3) -> np.ndarray:
    """Replicates of one profile with a relative standard deviation of ``spread``."""
    random = np.random.default_rng(seed)
    profile = np.exp(random.normal(4, 2, FEATURES))
    mean = profile * np.exp(random.normal(0, spread, (samples, FEATURES)))
    return random.poisson(mean).astype(np.float64)


def with_noise(counts, random):
    return np.round(counts * random.normal(1, 0.01, len(counts)).clip(0.5))


def half(counts, random):
    return random.binomial(counts.astype(int), 0.5)


def rescaled(counts, random):
    return np.round(counts * 0.37)


def with_another_feature(counts, random):
    return np.where(np.arange(len(counts)) == np.argmin(counts), counts.sum() * 4, counts)


def without_the_largest(counts, random):
    return np.where(counts == counts.max(), 0, counts)


def equal(counts, random):
    return counts


@pytest.mark.parametrize(
    "change", [equal, with_noise, half, rescaled, with_another_feature, without_the_largest]
)
def test_a_copy_is_found_among_replicates(change):
    table = libraries(40)
    copy = change(table[7], np.random.default_rng(1))
    assert copies(profiles_of(np.vstack([table, copy]))) == ((7, 40),)


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.3])
def test_replicates_are_no_copies(spread):
    assert copies(profiles_of(libraries(60, spread=spread))) == ()


def test_copies_of_copies_are_one_group():
    table = libraries(30)
    random = np.random.default_rng(2)
    again = [with_noise(table[3], random), table[3], rescaled(table[3], random), table[11]]
    assert copies(profiles_of(np.vstack([table, *again]))) == ((3, 30, 31, 32), (11, 33))


def test_equal_counts_of_few_features_are_no_evidence():
    table = np.zeros((5, FEATURES))
    table[:, :4] = 100
    assert copies(profiles_of(table)) == ()


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (3, 0)])
def test_nothing_is_found_in_nothing(shape):
    assert copies(profiles_of(np.zeros(shape))) == ()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 20))
def test_whether_two_libraries_are_copies_depends_on_neither_order_nor_scale(seed, factor):
    first, second = libraries(2, seed)
    random = np.random.default_rng(seed)
    assert not is_copy(first, second)
    assert not is_copy(second, first)
    copy = np.round(first * factor)
    assert is_copy(first, copy) == is_copy(copy, first)
    assert is_copy(first, with_noise(first, random))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_the_order_of_samples_does_not_matter(seed):
    random = np.random.default_rng(seed)
    table = libraries(25, seed)
    table = np.vstack([table, with_noise(table[2], random), half(table[20], random)])
    order = random.permutation(len(table))
    found = copies(profiles_of(table[order]))
    assert {frozenset(order[list(group)].tolist()) for group in found} == {
        frozenset({2, 25}),
        frozenset({20, 26}),
    }
