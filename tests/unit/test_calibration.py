from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from annotator.learn.selective.calibration import (
    PRIOR_SAMPLES,
    SMALLEST,
    USUAL_SLOPE_OF_VOTES,
    Calibration,
    expected_calibration_error,
    fit_calibration,
)
from annotator.learn.selective.pooling import Pooling
from annotator.plain_data import plain, typed


def drawn(probabilities, random) -> np.ndarray:
    """Draw a class for each row."""
    truth = (probabilities.cumsum(axis=1) < random.random((len(probabilities), 1))).sum(axis=1)
    return np.minimum(truth, probabilities.shape[1] - 1)


def overconfident(samples=3000, classes=4, sharpness=3.0, seed=0):
    """Probabilities that are calibrated once their logarithms are divided by ``sharpness``."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (samples, classes))
    truth = drawn(softmax(logits, axis=1), random)
    return softmax(sharpness * logits, axis=1), truth


def votes(slope, samples=3000, classes=4, seed=0):
    """Shares of votes whose classes are drawn by exp(slope * share)."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(classes, 0.7), samples)
    return shares, drawn(softmax(slope * shares, axis=1), random)


def loss(probabilities, truth) -> float:
    return float(-np.log(probabilities[np.arange(len(truth)), truth]).mean())


@pytest.mark.parametrize("sharpness", [0.5, 1.5, 4.0])
def test_a_known_slope_of_log_probabilities_is_found(sharpness) -> None:
    probabilities, truth = overconfident(sharpness=sharpness)
    calibration = fit_calibration({"network": probabilities}, truth)
    assert calibration.slopes["network"] == pytest.approx(1 / sharpness, rel=0.1)
    assert calibration.samples == 3000


@pytest.mark.parametrize("slope", [3.0, 10.0, 25.0])
def test_a_known_slope_of_votes_is_found(slope) -> None:
    shares, truth = votes(slope)
    calibration = fit_calibration({"forest": shares}, truth)
    assert calibration.slopes["forest"] == pytest.approx(slope, rel=0.1)
    # The same numbers of another kind are log-probabilities.
    assert fit_calibration({"network": shares}, truth).slopes["network"] < slope / 2


def test_the_shares_of_votes_and_not_their_logarithms_are_what_counts() -> None:
    shares = np.array([[0.6, 0.39, 0.01], [0.0, 0.5, 0.5]])
    network = np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]])
    calibration = Calibration({"forest": 4.0, "network": 1.0}, 2.0, 9)
    calibrated, combined = calibration.apply({"forest": shares, "network": network})
    np.testing.assert_allclose(calibrated["forest"], softmax(4 * shares, axis=1))
    np.testing.assert_allclose(combined, softmax(4 * shares + np.log(network), axis=1))
    assert (combined > 0).all()  # that no tree votes for a class is no proof against it


def test_classes_that_no_kind_gives_anything_do_not_disturb_the_slope() -> None:
    shares, truth = votes(10.0)
    some = np.arange(len(truth)) < 100
    shares[some, truth[some]] = 0
    shares[some] /= shares[some].sum(axis=1, keepdims=True)
    found = fit_calibration({"forest": shares}, truth)
    without = fit_calibration({"forest": shares[~some]}, truth[~some])
    assert found.slopes["forest"] == pytest.approx(without.slopes["forest"], rel=1e-3)
    assert found.sharpness == pytest.approx(without.sharpness, rel=1e-3)


def test_a_known_sharpness_is_found() -> None:
    """Kinds that err apart are together surer than each by itself."""
    random = np.random.default_rng(5)
    logits = random.normal(0, 1.5, (6000, 3))
    truth = drawn(softmax(logits, axis=1), random)
    parts = random.normal(0, 0.7, (6000, 3))
    kinds = {
        "network": softmax(logits + parts, axis=1),
        "linear": softmax(logits - parts, axis=1),
    }
    found = fit_calibration(kinds, truth)
    # The mean of the two is exact: what each slope takes away the sharpness gives back.
    assert found.slopes["network"] < 0.95
    assert found.sharpness > 1.05
    for factor in found.factors.values():
        assert factor == pytest.approx(0.5, rel=0.1)


def test_calibration_makes_confidence_honest() -> None:
    probabilities, truth = overconfident()
    calibrated, _ = fit_calibration({"network": probabilities}, truth).apply(
        {"network": probabilities}
    )
    before = expected_calibration_error(probabilities, truth)
    after = expected_calibration_error(calibrated["network"], truth)
    assert before > 0.15
    assert after < 0.06


def test_families_of_kinds_count_the_same() -> None:
    good, truth = overconfident()
    noise = np.random.default_rng(9).dirichlet(np.ones(4), len(truth))
    raw = {"network": good, "boosting": noise, "forest": good, "linear": good}
    calibration = fit_calibration(raw, truth)
    third, sixth = pytest.approx(1 / 3), pytest.approx(1 / 6)
    assert calibration.weights == {
        "network": third,
        "linear": third,
        "forest": sixth,
        "boosting": sixth,
    }
    assert fit_calibration({"boosting": noise}, truth).weights == {"boosting": 1}


def test_the_combination_is_the_product_to_the_power_of_the_sharpness() -> None:
    network, _ = overconfident(samples=40)
    shares, _ = votes(1.0, samples=40)
    calibration = Calibration({"network": 0.8, "forest": 6.0}, 1.3, 40)
    kinds = {"network": network, "forest": shares}
    calibrated, combined = calibration.apply(kinds)
    mean_logits = (np.log(calibrated["network"]) + np.log(calibrated["forest"])) / 2
    np.testing.assert_allclose(combined, softmax(1.3 * mean_logits, axis=1), rtol=1e-9)
    factors = calibration.factors
    assert factors == {"network": pytest.approx(0.52), "forest": pytest.approx(3.9)}
    scores = factors["network"] * np.log(network) + factors["forest"] * shares
    np.testing.assert_allclose(combined, softmax(scores, axis=1), rtol=1e-9)


def test_a_handful_of_samples_does_not_make_it_certain() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]])
    found = fit_calibration({"network": probabilities, "forest": probabilities}, np.array([0, 1]))
    assert 1 <= found.slopes["network"] < 2
    assert USUAL_SLOPE_OF_VOTES * 0.8 < found.slopes["forest"] < USUAL_SLOPE_OF_VOTES * 1.25
    assert 0.8 < found.sharpness < 1.25


@pytest.mark.parametrize(("kind", "usual"), [("network", 1.0), ("forest", USUAL_SLOPE_OF_VOTES)])
def test_it_is_the_minimum_of_the_likelihood_and_the_prior(kind, usual) -> None:
    probabilities, truth = overconfident(samples=20, sharpness=1.3)
    scores = np.log(probabilities) if kind == "network" else probabilities

    def objective(log_slope: float) -> float:
        calibrated = softmax(usual * np.exp(log_slope) * scores, axis=1)
        return 20 * loss(calibrated, truth) + PRIOR_SAMPLES * log_slope**2 / 2

    best = minimize_scalar(objective, bounds=(-3, 3), method="bounded")
    found = fit_calibration({kind: probabilities}, truth).slopes[kind]
    assert (probabilities > SMALLEST).all()  # so that no limit is in the way
    assert found == pytest.approx(usual * np.exp(best.x), rel=1e-3)


def test_the_order_of_kinds_and_a_repeat_change_nothing() -> None:
    probabilities, truth = overconfident()
    other, _ = overconfident(seed=1)
    first = fit_calibration({"network": probabilities, "linear": other}, truth)
    assert fit_calibration({"linear": other, "network": probabilities}, truth) == first


def test_a_class_that_no_kind_knows_stays_impossible() -> None:
    probabilities = np.array([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0]])
    calibration = Calibration({"network": 2.0, "forest": 9.0}, 0.5, 9)
    kinds = {"network": probabilities, "forest": probabilities}
    assert calibration.apply(kinds)[0]["forest"][:, 2].tolist() == [0, 0]
    assert calibration.apply(kinds)[1][:, 2].tolist() == [0, 0]
    calibration = Calibration({"network": 2.0}, 0.5, 9)
    calibrated, combined = calibration.apply({"network": probabilities})
    assert calibrated["network"][:, 2].tolist() == [0, 0]
    np.testing.assert_allclose(combined.sum(axis=1), 1)


def test_only_samples_of_a_known_dataset_are_pooled() -> None:
    probabilities, truth = overconfident(samples=50)
    kinds = {"network": probabilities}
    alone = fit_calibration(kinds, truth)
    pooling = replace(alone, pooling=Pooling(0.5))
    datasets = np.array(["a", "b"] * 25, dtype=object)
    assert np.array_equal(pooling.apply(kinds)[1], alone.apply(kinds)[1])
    calibrated, alone_combined = pooling.apply(kinds)
    combined = pooling.pooling.apply(alone_combined, datasets)
    assert np.array_equal(combined, Pooling(0.5).apply(alone.apply(kinds)[1], datasets))
    assert np.array_equal(calibrated["network"], alone.apply(kinds)[0]["network"])


def test_it_survives_json_unchanged() -> None:
    probabilities, truth = overconfident(samples=50)
    fitted = fit_calibration({"network": probabilities, "forest": probabilities}, truth)
    for calibration in (fitted, replace(fitted, pooling=Pooling(0.3, 0.8))):
        again = typed(json.loads(json.dumps(plain(calibration))), Calibration)
        assert again == calibration
        assert again.factors == calibration.factors


def as_json(**changes):
    """A calibration as plain data, with parts changed; ``None`` leaves one out."""
    data = plain(Calibration({"network": 1.0}, 1.0, 1)) | changes
    return {name: value for name, value in data.items() if value is not None}


def test_the_data_that_is_changed_here_is_a_calibration() -> None:
    assert typed(as_json(), Calibration) == Calibration({"network": 1.0}, 1.0, 1)
    assert typed(as_json(pooling=None), Calibration).pooling.strength == 0


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        as_json(slopes=None),
        as_json(sharpness=None),
        as_json(samples=None),
        as_json(pooling=[]),
        as_json(pool={"strength": 0.1, "exponent": 1.0}),
        as_json(slopes={}),
        as_json(slopes={"network": 0}),
        as_json(slopes={"network": -1}),
        as_json(slopes={"network": float("inf")}),
        as_json(slopes={"network": float("nan")}),
        as_json(slopes={"network": "x"}),
        as_json(slopes=[1.0]),
        as_json(sharpness=0),
        as_json(sharpness=float("inf")),
        as_json(sharpness=float("nan")),
        as_json(pooling={"strength": 0.9, "exponent": 1.0}),
        {"temperatures": {"network": 1}, "exponents": {"network": 1}, "samples": 1},
    ],
)
def test_what_is_no_calibration_is_refused(data) -> None:
    with pytest.raises(ValueError):
        typed(data, Calibration)


def test_other_model_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="the calibration is for"):
        Calibration({"network": 1.0}, 1.0, 1).apply({"linear": np.ones((1, 2)) / 2})


def test_nothing_to_fit_on_is_an_error() -> None:
    with pytest.raises(ValueError, match="held-out"):
        fit_calibration({"network": np.empty((0, 2))}, np.empty(0, dtype=np.int64))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 6), st.integers(1, 3))
def test_any_probabilities_give_finite_probabilities(seed, samples, classes, kinds) -> None:
    random = np.random.default_rng(seed)
    names = ["network", "forest", "boosting"][:kinds]
    raw = {name: random.dirichlet(np.full(classes, 0.05), samples) for name in names}
    truth = random.integers(classes, size=samples)
    calibrated, combined = fit_calibration(raw, truth).apply(raw)
    for kind, each in calibrated.items():
        np.testing.assert_allclose(each.sum(axis=1), 1, rtol=1e-9)
        assert np.isfinite(each).all()
        best = np.take_along_axis(each, raw[kind].argmax(axis=1)[:, None], axis=1)[:, 0]
        np.testing.assert_allclose(best, each.max(axis=1))  # ties aside, the same class leads
    np.testing.assert_allclose(combined.sum(axis=1), 1, rtol=1e-9)
    assert (combined >= 0).all()


def test_calibration_error_of_known_cases() -> None:
    sure = np.array([[0.8, 0.2]] * 10)
    assert expected_calibration_error(sure, np.array([0] * 8 + [1] * 2)) == pytest.approx(0)
    assert expected_calibration_error(sure, np.array([0] * 10)) == pytest.approx(0.2)
    assert np.isnan(expected_calibration_error(np.empty((0, 2)), np.empty(0, dtype=np.int64)))
