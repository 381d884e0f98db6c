"""The map of samples."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from annotator.errors import InputError
from annotator.explain.sample_map import sample_map


def cloud(sizes, features=60, distance=4.0, seed=1):
    """Samples of some classes around a centre each."""
    random = np.random.default_rng(seed)
    place = np.repeat(np.arange(len(sizes)), sizes)
    centres = random.normal(0, distance, (len(sizes), features))
    values = (centres[place] + random.normal(size=(len(place), features))).astype(np.float32)
    ids = np.array([f"s{number:04}" for number in range(len(place))], dtype=object)
    datasets = np.array([f"d{number % 5}" for number in range(len(place))], dtype=object)
    return values, ids, datasets, np.array([f"c{each}" for each in place], dtype=object)


def test_neighbours_are_of_the_same_class():
    values, ids, datasets, classes = cloud([40, 30, 20])
    found = sample_map(values, ids, datasets, classes, seed=3)
    assert found.positions.shape == (90, 2)
    assert found.positions.dtype == np.float32
    assert found.sample_ids.tolist() == ids.tolist()
    assert found.dataset_ids.tolist() == datasets.tolist()
    distance = np.linalg.norm(found.positions[:, None] - found.positions[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (classes[distance.argmin(axis=1)] == classes).mean() > 0.95


def test_the_same_seed_gives_the_same_map_on_any_number_of_threads():
    given = cloud([60, 60], features=1500)
    with threadpool_limits(limits=2):
        first = sample_map(*given, seed=3)
    with threadpool_limits(limits=1):
        again = sample_map(*given, seed=3)
    assert np.array_equal(first.positions, again.positions)


def test_the_level_of_a_feature_does_not_matter():
    values, *rest = cloud([3, 2])  # few enough to be placed by their components
    lifted = values + np.arange(values.shape[1], dtype=np.float32)
    plain, moved = (sample_map(each, *rest, seed=1).positions for each in (values, lifted))
    assert np.abs(plain).max() > 1
    assert np.allclose(plain, moved, atol=1e-3)


def test_of_many_samples_every_class_keeps_its_share():
    values, ids, datasets, classes = cloud([100, 30, 4])
    found = sample_map(values, ids, datasets, classes, seed=3, maximum=40)
    names, sizes = np.unique(found.classes.astype(str), return_counts=True)
    assert dict(zip(names, sizes.tolist(), strict=True)) == {"c0": 18, "c1": 18, "c2": 4}
    place = {name: row for row, name in enumerate(ids)}
    rows = [place[name] for name in found.sample_ids]
    assert rows == sorted(set(rows))
    assert found.classes.tolist() == classes[rows].tolist()
    other = sample_map(values, ids, datasets, classes, seed=4, maximum=40)
    assert other.sample_ids.tolist() != found.sample_ids.tolist()


@pytest.mark.parametrize("samples", [0, 1, 2, 3, 5, 6, 7, 12])
@pytest.mark.parametrize("features", [1, 2, 60])
def test_few_samples_and_few_features(samples, features):
    found = sample_map(*cloud([samples], features=features), seed=1)
    assert found.positions.shape == (samples, 2)
    assert np.isfinite(found.positions).all()


def test_samples_that_are_all_alike():
    values, *rest = cloud([20])
    found = sample_map(np.ones_like(values), *rest, seed=1)
    assert not found.positions.any()


def test_no_features():
    _, *rest = cloud([20])
    assert sample_map(np.zeros((20, 0), np.float32), *rest, seed=1).positions.shape == (20, 2)


def test_two_samples_lie_apart():
    first, second = sample_map(*cloud([1, 1]), seed=1).positions
    assert not np.allclose(first, second)


def test_what_cannot_be_laid_out():
    values, ids, datasets, classes = cloud([10])
    with pytest.raises(InputError, match="one row per sample"):
        sample_map(values[1:], ids, datasets, classes, seed=1)
    with pytest.raises(InputError, match="at least 1"):
        sample_map(values, ids, datasets, classes, seed=1, maximum=0)
    values[3, 4] = np.nan
    with pytest.raises(InputError, match="row 3"):
        sample_map(values, ids, datasets, classes, seed=1)
