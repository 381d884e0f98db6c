from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annotator.errors import ArtefactError
from annotator.learn.neighbours import NeighboursModel, fit_neighbours
from annotator.learn.options import NeighbourOptions
from annotator.learn.within_class import WithinClass

OPTIONS = NeighbourOptions(sharpness=20.0, weight_power=0.5, within_class=5.0, largest_cohort=1000)


def shifted(seed=0, datasets=8, size=9, features=50):
    """Datasets of one class each, shifted along directions that say nothing."""
    random = np.random.default_rng(seed)
    dataset = np.repeat(np.arange(datasets), size)
    truth = dataset % 2
    useless = random.normal(size=(2, features))
    values = random.normal(size=(len(dataset), features))
    values += (random.normal(size=(datasets, 2)) * 2.5 @ useless)[dataset]
    values[:, :5] += 2.0 * truth[:, None]
    values -= values.mean(axis=0)
    return values.astype(np.float32), truth, dataset


def fit(values, truth, dataset, options=OPTIONS, weights=None, seed=1):
    weights = np.ones(len(truth)) if weights is None else weights
    return fit_neighbours(values, truth, truth, weights, 2, options, seed, dataset)


def test_probabilities_are_votes_by_cosine():
    values, truth, dataset = shifted()
    plain = NeighbourOptions(20.0, 0.5, 0.0, 1000)
    weights = np.random.default_rng(0).uniform(0.5, 2, len(truth))
    rows = values.astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    votes = np.exp(20 * rows @ rows.T) * np.sqrt(weights)
    expected = np.stack([votes[:, truth == each].sum(axis=1) for each in (0, 1)], axis=1)
    expected /= expected.sum(axis=1, keepdims=True)
    found = fit(values, truth, dataset, plain, weights).predict(values)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_shrinking_helps_on_unseen_datasets():
    right = {0.0: [], 5.0: []}
    for seed in range(5):
        values, truth, dataset = shifted(seed)
        for strength, found in right.items():
            options = NeighbourOptions(20.0, 0.5, strength, 1000)
            for left_out in np.unique(dataset):
                rest = dataset != left_out
                model = fit(values[rest], truth[rest], dataset[rest], options)
                said = model.predict(values[~rest]).argmax(axis=1)
                found.append((said == truth[~rest]).mean())
    assert np.mean(right[5.0]) > np.mean(right[0.0]) + 0.03


def test_more_samples_than_allowed_are_thinned_out():
    values, truth, dataset = shifted()
    few = NeighbourOptions(20.0, 0.5, 5.0, 20)
    first, again, other = (fit(values, truth, dataset, few, seed=seed) for seed in (1, 1, 2))
    assert len(first.samples) == 20
    assert first.to_bytes() == again.to_bytes() != other.to_bytes()


def test_a_sample_without_reads_gets_probabilities_too():
    values, truth, dataset = shifted()
    found = fit(values, truth, dataset).predict(np.zeros((1, 50), dtype=np.float32))
    np.testing.assert_allclose(found, [[0.5, 0.5]])


def test_it_comes_back_from_its_bytes_and_what_does_not_fit_is_refused():
    values, truth, dataset = shifted()
    model = fit(values, truth, dataset)
    again = NeighboursModel.from_bytes(model.to_bytes(), 50, 2, OPTIONS)
    assert np.array_equal(again.predict(values), model.predict(values))
    for features, classes in ((51, 2), (50, 3)):
        with pytest.raises(ArtefactError):
            NeighboursModel.from_bytes(model.to_bytes(), features, classes, OPTIONS)
    with pytest.raises(ArtefactError, match="do not fit"):
        NeighboursModel.from_bytes(
            model.to_bytes(), 50, 2, NeighbourOptions(20.0, 0.5, 5.0, largest_cohort=10)
        )
    for part in ("scales", "sharpness"):
        damaged = replace(model, **{part: -getattr(model, part)})
        with pytest.raises(ArtefactError, match="do not fit"):
            NeighboursModel.from_bytes(damaged.to_bytes(), 50, 2, OPTIONS)


def test_features_are_scaled_alike_in_training_and_new_samples():
    values, truth, dataset = shifted()
    plain, learned = (
        fit(values, truth, dataset, replace(OPTIONS, scale_steps=steps, scale_penalty=0.03))
        for steps in (0, 20)
    )
    assert (plain.scales == 1).all()
    assert learned.scales.std() > 0.05
    assert learned.sharpness != plain.sharpness
    # Kept samples went through what new ones go through.
    shrunk = WithinClass(learned.directions.astype(float), learned.factors.astype(float)).shrink(
        values.astype(float)
    )
    rows = shrunk * learned.scales
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, learned.samples, atol=1e-6)
    votes = np.exp(learned.sharpness * rows @ rows.T) @ learned.counts
    np.testing.assert_allclose(
        learned.predict(values), votes / votes.sum(axis=1, keepdims=True), atol=1e-4
    )
    again = NeighboursModel.from_bytes(learned.to_bytes(), 50, 2, OPTIONS)
    assert np.array_equal(again.predict(values), learned.predict(values))


def test_scales_are_learned_only_from_enough_datasets():
    values, truth, dataset = shifted()
    few, enough = (
        fit(values, truth, dataset, replace(OPTIONS, scale_steps=5, scale_datasets=least))
        for least in (9, 8)
    )
    assert (few.scales == 1).all()
    assert (enough.scales != 1).any()
