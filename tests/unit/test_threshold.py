from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.learn.labels.answer_tree import NO_ANSWER, label_tree
from annotator.learn.selective.calibration import expected_calibration_error
from annotator.learn.selective.threshold import (
    MOST_POINTS,
    NEVER,
    OperatingPoint,
    fit_threshold,
    reliability,
    risk_coverage,
    threshold_table,
)
from annotator.plain_data import plain, typed

LINEAGES = {
    "colon": ("colon", "intestine", "body"),
    "ileum": ("ileum", "intestine", "body"),
    "liver": ("liver", "gland", "body"),
    "testis": ("testis", "gland", "gonad", "body"),
    "gonad": ("gonad", "body"),
}
TREE = label_tree(tuple(LINEAGES), LINEAGES)
PLAIN = label_tree(("a", "b"), {})


def calibrated(samples, seed=0):
    """Probabilities that mean what they say, and true classes drawn from them."""
    random = np.random.default_rng(seed)
    p = random.dirichlet(np.full(len(LINEAGES), 0.3), samples)
    truth = (p.cumsum(axis=1) < random.random((samples, 1))).sum(axis=1)
    return p, np.minimum(truth, len(LINEAGES) - 1)


def surest(p_of_best, correct):
    """Two classes; the first has the probability, and is the true one where correct."""
    first = np.asarray(p_of_best, dtype=float)
    return np.column_stack([first, 1 - first]), np.where(correct, 0, 1)


def figures(p, truth, tree, threshold):
    answer = tree.answers(p, threshold)
    given_ = answer != NO_ANSWER
    right = tree.claims[answer[given_], truth[given_]]
    return int(given_.sum()), int((~right).sum()), int(tree.depth[answer[given_]].sum())


@given(st.integers(0, 10_000), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_every_threshold_is_counted_as_its_answers_are(seed, samples) -> None:
    p, truth = calibrated(samples, seed)
    table = threshold_table(p, truth, TREE)
    assert table.thresholds[-1] == 0.5
    assert (np.diff(table.thresholds) < 0).all()
    for row, threshold in enumerate(table.thresholds):
        counted = (table.answered[row], table.errors[row], table.depth[row])
        assert counted == figures(p, truth, TREE, threshold)


@pytest.mark.parametrize("target", [0.8, 0.9, 0.95, 0.99])
def test_the_precision_asked_for_holds_on_new_samples(target) -> None:
    p, truth = calibrated(4000, seed=1)
    point = fit_threshold(p, truth, TREE, target)
    assert point.precision is not None
    assert point.precision >= target
    new_p, new_truth = calibrated(20_000, seed=2)
    answered, errors, _ = figures(new_p, new_truth, TREE, point.threshold)
    assert 1 - errors / answered > target - 3 * np.sqrt(target * (1 - target) / 1500)
    # It is not more careful than it need be.
    assert 1 - errors / answered < target + 0.5 * (1 - target) + 0.01
    assert answered / len(new_p) == pytest.approx(point.answered, abs=0.05)


def test_overconfident_probabilities_raise_the_threshold() -> None:
    p, truth = calibrated(4000, seed=3)
    honest = fit_threshold(p, truth, TREE, 0.9).threshold
    sharper = p**3 / (p**3).sum(axis=1, keepdims=True)
    assert fit_threshold(sharper, truth, TREE, 0.9).threshold > honest + 0.05


def test_a_higher_target_answers_less_and_less_deeply() -> None:
    p, truth = calibrated(4000, seed=4)
    points = [fit_threshold(p, truth, TREE, target) for target in (0.8, 0.9, 0.95)]
    assert points[0].threshold < points[1].threshold < points[2].threshold
    assert points[0].answered > points[1].answered > points[2].answered
    depths = [point.mean_depth for point in points]
    assert depths == sorted(depths, reverse=True)


def test_little_data_means_caution() -> None:
    # (0 + 1) / (answers + 1) <= 0.05 needs 19 right answers.
    p, truth = surest(np.full(18, 0.9), np.ones(18, dtype=bool))
    none = fit_threshold(p, truth, PLAIN, 0.95)
    assert none == OperatingPoint(0.95, NEVER, None, 0.0, 18, None)
    assert not none.answers_at_all
    p, truth = surest(np.full(19, 0.9), np.ones(19, dtype=bool))
    point = fit_threshold(p, truth, PLAIN, 0.95)
    assert point.answers_at_all
    assert (point.precision, point.answered, point.samples) == (1, 1, 19)


def test_a_precision_that_cannot_be_reached_means_no_answers() -> None:
    random = np.random.default_rng(5)
    p, truth = surest(random.uniform(0.5, 1, 2000), random.random(2000) < 0.7)
    assert fit_threshold(p, truth, PLAIN, 0.9).threshold == NEVER


def test_one_wrong_label_among_the_surest_does_not_decide() -> None:
    confidence = np.linspace(1, 0.6, 400)
    correct = np.ones(400, dtype=bool)
    correct[1] = False
    p, truth = surest(confidence, correct)
    assert fit_threshold(p, truth, PLAIN, 0.95).answered > 0.99


def test_a_threshold_that_is_good_by_luck_is_not_taken() -> None:
    # A hundred right, then a hundred of which twenty are wrong, then four hundred right: all 600
    # would be precise enough, but only thanks to the least sure ones.
    correct = np.ones(600, dtype=bool)
    correct[100:200:5] = False
    p, truth = surest(np.linspace(1, 0.55, 600), correct)
    assert threshold_table(p, truth, PLAIN).precision[-1] > 0.96
    assert fit_threshold(p, truth, PLAIN, 0.95).answered == pytest.approx(1 / 5, abs=0.02)


def test_certain_probabilities_that_do_not_quite_sum_to_one_reach_their_threshold() -> None:
    p = np.array([[0.1] * 10] * 50)  # Sums of these differ in the last digit.
    names = tuple("abcdefghij")
    lineages = {name: (name, "group") for name in names[:9]} | {"j": ("j",)}
    tree = label_tree(names, lineages)
    point = fit_threshold(p, np.zeros(50, dtype=np.int64), tree, 0.9)
    assert point.answered == 1
    shifted = p[:, [9, *range(9)]][:, [*range(1, 10), 0]]
    assert (tree.answers(shifted, point.threshold) != NO_ANSWER).all()


def test_risk_coverage_answers_the_surest_first() -> None:
    curve = risk_coverage(np.array([0.6, 0.9, 0.8, 0.7]), np.array([False, True, True, True]))
    assert curve.name == "risk_coverage"
    assert [(point.x, point.y, point.samples) for point in curve.points] == [
        (0.25, 0, 1),
        (0.5, 0, 2),
        (0.75, 0, 3),
        (1, 0.25, 4),
    ]


def test_equal_confidence_is_answered_together() -> None:
    curve = risk_coverage(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]), "forest")
    assert curve.model_kind == "forest"
    assert [point.samples for point in curve.points] == [1, 3]
    assert curve.points[-1].y == pytest.approx(1 / 3)


def test_a_long_risk_coverage_curve_is_thinned_but_whole() -> None:
    p, truth = calibrated(5000)
    correct = p.argmax(axis=1) == truth
    curve = risk_coverage(p.max(axis=1), correct)
    assert len(curve.points) == MOST_POINTS
    assert [point.x for point in curve.points] == sorted({point.x for point in curve.points})
    assert curve.points[-1].x == 1
    assert curve.points[-1].y == pytest.approx(1 - correct.mean())
    assert risk_coverage(np.zeros(0), np.zeros(0, dtype=bool)).points == ()


def test_reliability_agrees_with_the_calibration_error() -> None:
    p, truth = calibrated(3000)
    p = p**2 / (p**2).sum(axis=1, keepdims=True)
    curve = reliability(p, truth)
    assert sum(point.samples for point in curve.points) == 3000
    gap = sum(point.samples * abs(point.x - point.y) for point in curve.points) / 3000
    assert gap == pytest.approx(expected_calibration_error(p, truth))
    assert [point.x for point in curve.points] == sorted(point.x for point in curve.points)


@pytest.mark.parametrize("target", [0.8, 0.999])
def test_json_round_trip(target) -> None:
    p, truth = calibrated(300)
    point = fit_threshold(p, truth, TREE, target)
    text = json.dumps(plain(point), allow_nan=False)
    assert typed(json.loads(text), OperatingPoint) == point


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0.4},
        {"threshold": float("nan")},
        {"threshold": 3},
        {"precision": 1.1},
        {"answered": -0.1},
        {"samples": -1},
        {"mean_depth": float("inf")},
        {"target_precision": "often"},
    ],
)
def test_malformed_json_is_refused(change) -> None:
    with pytest.raises(ValueError):
        typed(plain(OperatingPoint(0.9, 0.8, 0.9, 0.5, 10, 1.0)) | change, OperatingPoint)


@pytest.mark.parametrize("data", [None, {}, [1], {"threshold": 0.9}])
def test_json_with_missing_parts_is_refused(data) -> None:
    with pytest.raises(ValueError, match=r"Expected `object`|missing required field"):
        typed(data, OperatingPoint)
