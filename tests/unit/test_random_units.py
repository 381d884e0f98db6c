from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.errors import ArtefactError
from annotator.explain.deep_lift import DeepLift
from annotator.learn.models import random_units
from annotator.learn.models.kind import TrainingPart
from annotator.learn.models.linear import LinearModel, LinearOptions, fit_linear
from annotator.learn.models.random_units import (
    UnitOptions,
    completed_numbers,
    correlation_weights,
    fit_random_units,
)
from tests.support.explained import output_difference

OPTIONS = LinearOptions((), 0.0, random_units=120, ridge=1.0)
LIMITS = (0.0, 20.0, 40.0, 60.0)


def weak_signal(seed=0, samples=120, features=30, classes=3):
    """Many features, each a little shifted by the class; numbers by intervals of 20."""
    random = np.random.default_rng(seed)
    truth = np.arange(samples) % classes
    dataset = np.arange(samples) // 10
    numbers = 20.0 * truth + random.uniform(2, 18, samples)
    values = random.normal(size=(samples, features))
    values[:, : features // 2] += (numbers - numbers.mean())[:, None] / 25
    return values.astype(np.float32), truth, dataset, numbers


def part_of(values, truth, dataset, numbers=None, classes=3) -> TrainingPart:
    limits = LIMITS if numbers is not None else ()
    weights = np.ones(len(truth))
    return TrainingPart(values, truth, dataset, dataset, weights, classes, numbers, limits)


def fit(values, truth, dataset, numbers=None, options=OPTIONS, seed=1, classes=3):
    return fit_linear(part_of(values, truth, dataset, numbers, classes), options, seed)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    units=st.sampled_from([3, 40]),
    targets=st.integers(1, 4),
    ridge=st.sampled_from([0.1, 1.0, 20.0]),
)
def test_scores_of_held_out_datasets_are_those_of_a_fit_without_them(
    seed, units, targets, ridge
) -> None:
    """Centred as with all samples: that is the one thing a refit would do otherwise."""
    random = np.random.default_rng(seed)
    dataset = random.integers(0, 5, 25) * 7
    hidden = np.maximum(random.normal(size=(25, units)), 0)
    wanted, weights = random.normal(size=(25, targets)), random.uniform(0.2, 3, 25)
    solved = random_units._ridge(hidden, wanted, weights, ridge)
    held_out = wanted - random_units._held_out_residuals(solved, weights, dataset)
    np.testing.assert_allclose(solved.centre, np.average(hidden, axis=0, weights=weights))
    np.testing.assert_allclose(solved.means, np.average(wanted, axis=0, weights=weights))

    def refitted(rows):
        values, root = hidden[rows] - solved.centre, weights[rows, None]
        gram = values.T @ (values * root) + ridge * np.eye(units)
        return np.linalg.solve(gram, values.T @ ((wanted[rows] - solved.means) * root))

    everything = refitted(np.ones(25, dtype=bool))
    np.testing.assert_allclose(solved.coefficients, everything, atol=1e-8)
    for each in np.unique(dataset):
        own = dataset == each
        expected = solved.means + (hidden[own] - solved.centre) @ refitted(~own)
        np.testing.assert_allclose(held_out[own], expected, atol=1e-7)


def test_it_learns_a_weak_signal_of_unseen_datasets() -> None:
    values, truth, dataset, numbers = weak_signal(samples=300)
    known = dataset < 20
    for given_numbers in (None, numbers[known]):
        model = fit(values[known], truth[known], dataset[known], given_numbers)
        probabilities = model.predict(values[~known])
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        assert (probabilities.argmax(axis=1) == truth[~known]).mean() > 0.6
    error = np.abs(model.numbers(values[~known]) - numbers[~known]).mean()
    assert error < 0.75 * np.abs(numbers[~known] - numbers[known].mean()).mean()


def test_confidence_is_that_of_held_out_datasets() -> None:
    """Enough units to know every training sample by heart, and nothing to learn."""
    random = np.random.default_rng(3)
    values = random.normal(size=(100, 60)).astype(np.float32)
    truth, dataset = np.arange(100) % 2, np.arange(100) // 5
    options = replace(OPTIONS, random_units=800, ridge=0.01)
    probabilities = fit(values, truth, dataset, options=options, classes=2).predict(values)
    fresh = random.normal(size=(100, 60)).astype(np.float32)
    assert probabilities.max(axis=1).mean() < 0.85
    model = fit(values, truth, dataset, options=options, classes=2)
    assert model.predict(fresh).max(axis=1).mean() < 0.65


def test_the_order_of_numbers_is_the_order_of_classes() -> None:
    values, truth, dataset, numbers = weak_signal()
    model = fit(values, truth, dataset, numbers)
    assert model.of_number
    order = np.argsort(model.numbers(values))
    expected = model.predict(values)[order] @ np.arange(3)
    assert (np.diff(expected) > -1e-6).all()
    assert not fit(values, truth, dataset).of_number


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_a_network_that_deep_lift_explains(classes) -> None:
    values, truth, dataset, _ = weak_signal(classes=classes)
    model = fit(values, truth, dataset, classes=classes)
    network = DeepLift(model.dense_layers())
    logits = network.forward(values).logits.astype(float)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        shares / shares.sum(axis=1, keepdims=True), model.predict(values), atol=1e-4
    )
    scores = network.contributions(values, truth)
    difference = output_difference(network, values, truth)
    np.testing.assert_allclose(scores.sum(axis=1), difference, atol=1e-3)


def test_the_seed_decides() -> None:
    values, truth, dataset, _ = weak_signal()
    first, again, other = (fit(values, truth, dataset, seed=seed) for seed in (1, 1, 2))
    assert first.to_bytes() == again.to_bytes()
    assert first.to_bytes() != other.to_bytes()


@pytest.mark.parametrize("with_numbers", [False, True])
def test_it_comes_back_from_its_bytes(with_numbers) -> None:
    values, truth, dataset, numbers = weak_signal()
    model = fit(values, truth, dataset, numbers if with_numbers else None)
    again = LinearModel.from_bytes(model.to_bytes(), 30, 3, OPTIONS)
    assert np.array_equal(again.predict(values), model.predict(values))
    assert again.of_number == with_numbers
    if with_numbers:
        assert np.array_equal(again.numbers(values), model.numbers(values))


def test_bytes_that_do_not_fit_are_refused() -> None:
    values, truth, dataset, numbers = weak_signal()
    model = fit(values, truth, dataset, numbers)
    content = model.to_bytes()
    for features, classes, options in (
        (31, 3, OPTIONS),
        (30, 4, OPTIONS),
        (30, 3, replace(OPTIONS, random_units=121)),
        (30, 3, LinearOptions((0.1,), 0.0)),
    ):
        with pytest.raises(ArtefactError, match="linear"):
            LinearModel.from_bytes(content, features, classes, options)
    short = replace(model, number=model.number[:-1])
    with pytest.raises(ArtefactError, match="120 coefficients of the number do not fit 120 units"):
        LinearModel.from_bytes(short.to_bytes(), 30, 3, OPTIONS)
    plain = LinearModel(np.zeros((3, 30), np.float32), np.zeros(3, np.float32))
    with pytest.raises(ArtefactError, match="linear"):
        LinearModel.from_bytes(plain.to_bytes(), 30, 3, OPTIONS)


@pytest.mark.parametrize("steps", [0, 1])
def test_inputs_count_by_their_correlation_with_what_is_learned(steps) -> None:
    values, truth, dataset, numbers = weak_signal(samples=600)
    for given_numbers in (None, numbers):
        part = part_of(values, truth, dataset, given_numbers)
        found = fit_random_units(part, UnitOptions(200, 1.0, steps), 1, given_numbers)
        size = np.sqrt((found.kernel**2).mean(axis=1))
        assert size[:15].min() > 2 * size[15:].mean()


def test_correlation_weights_are_powers_of_the_correlation() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(50, 6)).astype(np.float32)
    target = random.normal(size=50) + values[:, 2]
    values[:, 4] = 3.0
    found = correlation_weights(values, target[:, None], 0.75)
    others = [0, 1, 2, 3, 5]
    expected = np.abs([np.corrcoef(values[:, each], target)[0, 1] for each in others]) ** 0.75
    np.testing.assert_allclose(found[others], expected / expected.max(), rtol=1e-4)
    assert found[4] == 0
    assert found.max() == found[2] == 1
    np.testing.assert_array_equal(correlation_weights(values, target[:, None], 0.0), np.ones(6))


def test_of_several_targets_the_root_mean_square_correlation_counts() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=(40, 3)).astype(np.float32)
    targets = random.normal(size=(40, 2))
    squares = np.array(
        [[np.corrcoef(v, t)[0, 1] ** 2 for t in targets.T] for v in values.T.astype(float)]
    )
    expected = np.sqrt(squares.mean(axis=1))
    found = correlation_weights(values, targets, 1.0)
    np.testing.assert_allclose(found, expected / expected.max(), rtol=1e-4)


def test_without_any_correlation_all_inputs_count_the_same() -> None:
    assert correlation_weights(np.ones((5, 3), np.float32), np.eye(5), 0.75).tolist() == [1, 1, 1]
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert correlation_weights(values, np.ones((5, 1)), 0.75).tolist() == [1, 1, 1]


def test_numbers_that_are_not_known_are_the_usual_ones_of_their_interval() -> None:
    numbers = np.array([10.0, np.nan, 14.0, 30.0, np.nan, np.nan])
    interval = np.array([0, 0, 0, 1, 1, 2])
    found = completed_numbers(numbers, interval, LIMITS)
    # Of the last interval nothing is known but its limits.
    assert found.tolist() == [10.0, 12.0, 14.0, 30.0, 30.0, 50.0]
    known = np.arange(6.0)
    np.testing.assert_array_equal(completed_numbers(known, interval, LIMITS), known)
