from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from annotator.learn import feature_scales
from annotator.learn.feature_scales import _objective, fit_feature_scales


def atlas(seed=0, datasets=10, size=6, features=30, informative=5, shift=2.0):
    """Datasets of both classes: few features tell them apart, as many do in one dataset only."""
    random = np.random.default_rng(seed)
    dataset = np.repeat(np.arange(datasets), size)
    truth = np.tile(np.repeat([0, 1], size // 2), datasets)
    values = random.normal(size=(len(dataset), features))
    values[:, :informative] += shift * truth[:, None]
    # Within one dataset these tell the classes apart, but every time the other way round.
    turned = random.choice([-1.0, 1.0], size=(datasets, informative))[dataset]
    values[:, -informative:] += 1.5 * turned * (2 * truth[:, None] - 1)
    return values - values.mean(axis=0), truth, dataset


def learn(values, truth, dataset, steps=60, penalty=0.033, seed=0):
    ones = np.ones(len(truth))
    return fit_feature_scales(values, truth, dataset, ones, ones, 10.0, steps, penalty, seed)


def loss(parameters, values, truth, dataset, weights, votes, penalty):
    """The objective, written down once more and sample by sample."""
    scaled = values * np.exp(parameters[:-1])
    unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    total = counted = 0.0
    for sample in range(len(values)):
        others = dataset != dataset[sample]
        same = others & (truth == truth[sample])
        if same.any():
            said = np.exp(parameters[-1]) * unit @ unit[sample] + np.log(votes)
            total -= weights[sample] * (logsumexp(said[same]) - logsumexp(said[others]))
            counted += weights[sample]
    pairs = len({*zip(truth.tolist(), dataset.tolist(), strict=True)})
    per_class = pairs / len(set(truth.tolist()))
    return total / counted + penalty / per_class * (parameters[:-1] ** 2).sum()


@pytest.mark.parametrize("sharpness", [7.0, 120.0])
def test_the_slope_is_the_derivative_of_what_is_said_to_be_minimised(sharpness):
    values, truth, dataset = atlas(datasets=4, features=8, informative=2)
    random = np.random.default_rng(1)
    weights, votes = random.uniform(0.5, 2, (2, len(truth)))
    truth[0] = 2  # alone: nothing can be learned of its class
    parameters = np.append(random.normal(size=8) * 0.3, np.log(sharpness))
    objective = _objective(values.astype(np.float32), truth, dataset, weights, votes, 0.5)
    found = objective.slope(parameters.astype(np.float32))
    step = 1e-5
    expected = [
        (
            loss(parameters + step * each, values, truth, dataset, weights, votes, 0.5)
            - loss(parameters - step * each, values, truth, dataset, weights, votes, 0.5)
        )
        / (2 * step)
        for each in np.eye(9)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=3e-5 * sharpness)


def test_what_holds_only_within_a_dataset_counts_less_than_what_holds_across():
    values, truth, dataset = atlas(datasets=4, size=40)
    scales = learn(values, truth, dataset).scales
    across, noise, within = scales[:5].mean(), scales[5:-5].mean(), scales[-5:].mean()
    assert across > 1 > noise
    assert across > 1.5 * within
    # Where only the sample itself is left out, its dataset's other samples speak for them.
    each_alone = learn(values, truth, np.arange(len(truth))).scales
    assert within < 0.75 * each_alone[-5:].mean()


def test_samples_of_unseen_datasets_are_recognised_better():
    right = {0: [], 60: []}
    for seed in range(8):
        values, truth, dataset = atlas(seed, datasets=24, features=100, shift=1.2)
        known = dataset < 16
        for steps, found in right.items():
            learned = learn(values[known], truth[known], dataset[known], steps)
            scaled = values * learned.scales
            unit = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
            votes = np.exp(learned.sharpness * unit[~known] @ unit[known].T)
            said = votes @ np.eye(2)[truth[known]]
            found.append((said.argmax(axis=1) == truth[~known]).mean())
    assert np.mean(right[60]) > np.mean(right[0]) + 0.03


def test_a_penalty_keeps_them_together():
    values, truth, dataset = atlas()
    spread = [np.log(learn(values, truth, dataset, penalty=each).scales).std() for each in (0, 5)]
    assert spread[1] < spread[0] / 3


def test_classes_of_one_dataset_teach_nothing():
    values, _, dataset = atlas()
    learned = learn(values, dataset, dataset)
    assert (learned.scales == 1).all()
    assert learned.sharpness == pytest.approx(10.0)


def test_samples_of_no_dataset_are_left_aside():
    values, truth, dataset = atlas()
    aside = np.arange(len(truth)) % 7 == 0
    found = learn(values, truth, np.where(aside, -1, dataset))
    expected = learn(values[~aside], truth[~aside], dataset[~aside])
    assert np.array_equal(found.scales, expected.scales)
    assert found.sharpness == expected.sharpness


def test_a_sample_without_reads_does_no_harm():
    values, truth, dataset = atlas()
    values[3] = 0
    learned = learn(values, truth, dataset)
    assert np.isfinite(learned.scales).all()
    assert np.isfinite(learned.sharpness)


def test_of_a_large_cohort_a_part_is_learned_from(monkeypatch):
    monkeypatch.setattr(feature_scales, "MOST_SAMPLES", 40)
    values, truth, dataset = atlas()
    first, again, other = (learn(values, truth, dataset, seed=seed).scales for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
