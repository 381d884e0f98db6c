from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from annotator.learn.calibration import (
    FLOOR,
    PRIOR_SAMPLES,
    Calibration,
    expected_calibration_error,
    fit_calibration,
)
from annotator.learn.pooling import Pooling


def overconfident(samples=3000, classes=4, sharpness=3.0, seed=0):
    """Probabilities that are calibrated once their logarithms are divided by ``sharpness``."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (samples, classes))
    truth = (softmax(logits, axis=1).cumsum(axis=1) < random.random((samples, 1))).sum(axis=1)
    return softmax(sharpness * logits, axis=1), np.minimum(truth, classes - 1)


def loss(probabilities, truth) -> float:
    return float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())


def test_a_known_temperature_is_found() -> None:
    probabilities, truth = overconfident(sharpness=1.5)
    calibration = fit_calibration({"network": probabilities}, truth)
    assert calibration.temperatures["network"] == pytest.approx(1.5, rel=0.1)
    assert calibration.samples == 3000


def test_calibration_makes_confidence_honest() -> None:
    probabilities, truth = overconfident()
    calibrated, _ = fit_calibration({"network": probabilities}, truth).apply(
        {"network": probabilities}
    )
    before = expected_calibration_error(probabilities, truth)
    after = expected_calibration_error(calibrated["network"], truth)
    assert before > 0.15
    assert after < 0.06


def test_the_better_kind_weighs_more_and_the_combination_is_not_worse() -> None:
    good, truth = overconfident()
    noise = np.random.default_rng(9).dirichlet(np.ones(4), len(truth))
    kinds = {"network": good, "forest": noise}
    calibration = fit_calibration(kinds, truth)
    assert calibration.weights["network"] > 0.9
    assert sum(calibration.weights.values()) == pytest.approx(1)
    calibrated, combined = calibration.apply(kinds)
    assert loss(combined, truth) <= loss(calibrated["network"], truth) + 1e-3


def test_equal_kinds_weigh_the_same() -> None:
    probabilities, truth = overconfident()
    calibration = fit_calibration({"a": probabilities, "b": probabilities}, truth)
    assert calibration.weights["a"] == pytest.approx(0.5, abs=1e-3)


def test_a_handful_of_samples_does_not_make_it_certain() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    calibration = fit_calibration({"a": probabilities}, np.array([0, 1]))
    assert 0.5 < calibration.temperatures["a"] <= 1


def test_it_is_the_minimum_of_the_likelihood_and_the_prior() -> None:
    probabilities, truth = overconfident(samples=20, sharpness=1.3)
    logs = np.log(probabilities)

    def objective(exponent: float) -> float:
        calibrated = softmax(exponent * logs, axis=1)
        return loss(calibrated, truth) + PRIOR_SAMPLES / 20 * (exponent - 1) ** 2 / 2

    best = minimize_scalar(objective, bounds=(0.01, 10), method="bounded")
    found = 1 / fit_calibration({"a": probabilities}, truth).temperatures["a"]
    assert (probabilities > FLOOR).all()  # so that no floor is in the way
    assert found == pytest.approx(best.x, rel=1e-3)


def test_weights_decide_whose_mistakes_count() -> None:
    truth = np.repeat([0, 1], 100)
    first_half, second_half = truth == 0, truth == 1
    sure = np.array([0.9, 0.1])
    knows_first = np.where(first_half[:, None], sure, 0.5)
    knows_second = np.where(second_half[:, None], sure[::-1], 0.5)
    # Beside what they know both kinds mislead now and then.
    knows_first[150:170], knows_second[50:70] = sure, sure[::-1]
    kinds = {"a": knows_first, "b": knows_second}
    for_first = fit_calibration(kinds, truth, np.where(first_half, 1.0, 0.01))
    for_second = fit_calibration(kinds, truth, np.where(second_half, 1.0, 0.01))
    assert for_first.weights["a"] > 0.6 > 0.4 > for_second.weights["a"]
    # How sure each kind is by itself is fitted with every sample counting the same.
    assert for_first.temperatures == for_second.temperatures


def test_few_datasets_draw_the_kinds_together() -> None:
    probabilities, truth = overconfident()
    misled = np.random.default_rng(0).permutation(probabilities)
    kinds = {"a": probabilities, "b": misled}
    many, few = fit_calibration(kinds, truth), fit_calibration(kinds, truth, datasets=2)
    assert many.weights["b"] < few.weights["b"] < 0.6


def test_the_order_of_kinds_and_a_repeat_change_nothing() -> None:
    probabilities, truth = overconfident()
    other, _ = overconfident(seed=1)
    first = fit_calibration({"a": probabilities, "b": other}, truth)
    assert fit_calibration({"b": other, "a": probabilities}, truth) == first


def test_a_class_that_no_kind_knows_stays_impossible() -> None:
    probabilities = np.array([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0]])
    calibration = Calibration({"a": 2.0}, {"a": 0.5}, 9)
    calibrated, combined = calibration.apply({"a": probabilities})
    assert calibrated["a"][:, 2].tolist() == [0, 0]
    np.testing.assert_allclose(combined.sum(axis=1), 1)


def test_a_calibration_of_before_there_was_pooling_pools_nothing() -> None:
    probabilities, truth = overconfident(samples=50)
    data = fit_calibration({"network": probabilities}, truth).to_json()
    del data["pooling"]
    assert Calibration.from_json(data).pooling.strength == 0


def test_only_samples_of_a_known_dataset_are_pooled() -> None:
    probabilities, truth = overconfident(samples=50)
    kinds = {"network": probabilities}
    alone = fit_calibration(kinds, truth)
    pooling = replace(alone, pooling=Pooling(0.5))
    datasets = np.array(["a", "b"] * 25, dtype=object)
    assert np.array_equal(pooling.apply(kinds)[1], alone.apply(kinds)[1])
    calibrated, combined = pooling.apply(kinds, datasets)
    assert np.array_equal(combined, Pooling(0.5).apply(alone.apply(kinds)[1], datasets))
    assert np.array_equal(calibrated["network"], alone.apply(kinds)[0]["network"])


def test_it_survives_json_unchanged() -> None:
    probabilities, truth = overconfident(samples=50)
    calibration = fit_calibration({"a": probabilities}, truth)
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"temperatures": {}, "exponents": {}, "samples": 1},
        {"temperatures": {"a": 0}, "exponents": {"a": 1}, "samples": 1},
        {"temperatures": {"a": 1}, "exponents": {"a": -1}, "samples": 1},
        {"temperatures": {"a": 1}, "exponents": {"b": 1}, "samples": 1},
        {"temperatures": {"a": float("inf")}, "exponents": {"a": 1}, "samples": 1},
        {"temperatures": {"a": "x"}, "exponents": {"a": 1}, "samples": 1},
    ],
)
def test_what_is_no_calibration_is_refused(data) -> None:
    with pytest.raises(ValueError):
        Calibration.from_json(data)


def test_other_model_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="calibrated for"):
        Calibration({"a": 1.0}, {"a": 1.0}, 1).apply({"b": np.ones((1, 2)) / 2})


def test_nothing_to_fit_on_is_an_error() -> None:
    with pytest.raises(ValueError, match="held-out"):
        fit_calibration({"a": np.empty((0, 2))}, np.empty(0, dtype=np.int64))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 6), st.integers(1, 3))
def test_any_probabilities_give_finite_probabilities(seed, samples, classes, kinds) -> None:
    random = np.random.default_rng(seed)
    raw = {f"k{i}": random.dirichlet(np.full(classes, 0.05), samples) for i in range(kinds)}
    truth = random.integers(classes, size=samples)
    calibrated, combined = fit_calibration(raw, truth).apply(raw)
    for kind, each in calibrated.items():
        np.testing.assert_allclose(each.sum(axis=1), 1, rtol=1e-9)
        above_floor = raw[kind].max(axis=1) > 2e-4
        assert (each.argmax(axis=1) == raw[kind].argmax(axis=1))[above_floor].all()
    np.testing.assert_allclose(combined.sum(axis=1), 1, rtol=1e-9)
    assert (combined >= 0).all()


def test_calibration_error_of_known_cases() -> None:
    sure = np.array([[0.8, 0.2]] * 10)
    assert expected_calibration_error(sure, np.array([0] * 8 + [1] * 2)) == pytest.approx(0)
    assert expected_calibration_error(sure, np.array([0] * 10)) == pytest.approx(0.2)
    assert np.isnan(expected_calibration_error(np.empty((0, 2)), np.empty(0, dtype=np.int64)))
