from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.domain.held_out import HeldOutPredictions
from annotator.learn.selective.policy import SelectiveOptions, SelectivePolicy
from annotator.learn.selective.prediction_sets import PredictionSets
from annotator.learn.selective.threshold import NEVER, OperatingPoint
from annotator.learn.validation.cross_calibration import Part
from annotator.learn.validation.selective_metrics import (
    cross_fitted,
    curves,
    fit_policy,
    reached_precision,
)
from annotator.plain_data import plain, typed

LINEAGES = {
    "colon": ("colon", "intestine", "body"),
    "ileum": ("ileum", "intestine", "body"),
    "liver": ("liver", "gland", "body"),
    "testis": ("testis", "gland", "body"),
}
CLASSES = tuple(LINEAGES)
POINT = OperatingPoint(0.95, 0.9, 0.96, 0.7, 1000, 1.5)
RAMP = tuple(number / 100 for number in range(101))
POLICY = SelectivePolicy(POINT, PredictionSets(0.9, 0.8), RAMP, 0.99)
OPTIONS = SelectiveOptions(0.9, 0.9, 0.99)


def parts_of(predictions: HeldOutPredictions) -> tuple[Part, ...]:
    """Each fold and the others, as they are."""
    return tuple(
        Part(own, predictions.take(~own))
        for own in (predictions.folds == fold for fold in np.unique(predictions.folds))
    )


def held_out(samples=3000, datasets=60, seed=0, novelty=True) -> HeldOutPredictions:
    """Calibrated predictions in which classes of one group are confused most."""
    random = np.random.default_rng(seed)
    group = random.beta(0.25, 0.25, samples)
    within = random.beta(0.5, 0.5, (2, samples))
    p = np.column_stack(
        [
            group * within[0],
            group * (1 - within[0]),
            (1 - group) * within[1],
            (1 - group) * (1 - within[1]),
        ]
    )
    truth = (p.cumsum(axis=1) < random.random((samples, 1))).sum(axis=1)
    number = random.integers(0, datasets, samples)
    return HeldOutPredictions(
        sample_ids=np.array([f"s{sample}" for sample in range(samples)], dtype=object),
        dataset_ids=np.array([f"d{each}" for each in number], dtype=object),
        truth=np.array(CLASSES, dtype=object)[np.minimum(truth, 3)],
        folds=number % 5,
        classes=CLASSES,
        probabilities={"forest": np.full((samples, 4), 0.25), "combined": p},
        novelty=random.exponential(1, samples) if novelty else None,
    )


def test_a_sure_sample_gets_its_class_and_an_unsure_one_a_term_or_a_reason() -> None:
    p = np.array([[0.93, 0.05, 0.01, 0.01], [0.5, 0.45, 0.03, 0.02], [0.3, 0.1, 0.38, 0.22]])
    sure, broad, none = POLICY.decide(p, None, CLASSES, LINEAGES, "tissue")
    assert (sure.value, sure.confidence, sure.reason) == ("colon", 0.93, None)
    assert sure.lineage == LINEAGES["colon"]
    assert sure.prediction_set == ("colon",)
    assert (broad.value, broad.lineage) == ("intestine", ("intestine", "body"))
    assert broad.confidence == pytest.approx(0.95)
    assert (broad.best_class, broad.best_probability) == ("colon", 0.5)
    assert broad.prediction_set == ("colon", "ileum")
    assert none.value is None
    assert none.lineage == ()
    assert none.confidence == none.best_probability == 0.38
    assert none.prediction_set == ("liver", "colon", "testis")
    assert none.novelty is None
    assert none.reason == (
        "no answer about tissue reaches the 95 % precision asked for: most probable is liver"
        " (0.38), then colon (0.30)"
    )


def test_a_sample_unlike_training_gets_no_answer_however_sure_the_models_are() -> None:
    p = np.tile([0.97, 0.01, 0.01, 0.01], (5, 1))
    raw = np.array([0.5, 0.99, 0.995, 7.0, np.nan])
    decisions = POLICY.decide(p, raw, CLASSES, LINEAGES)
    assert [each.value for each in decisions] == ["colon", "colon", None, None, None]
    assert [each.novelty for each in decisions] == pytest.approx([0.5, 0.99, 0.995, 1, 1])
    why = "its class may be unknown to the release, or the sample failed"
    assert decisions[2].reason == (f"unlike 99.5 % of held-out samples of known classes: {why}")
    assert decisions[3].reason == f"unlike any held-out sample of the known classes: {why}"
    assert decisions[3].prediction_set == ("colon",)
    assert decisions[3].best_class == "colon"


def test_novelty_can_be_let_through() -> None:
    p = np.array([[0.97, 0.01, 0.01, 0.01]])
    (decision,) = replace(POLICY, maximum_novelty=1.0).decide(p, np.array([7.0]), CLASSES, LINEAGES)
    assert (decision.value, decision.novelty) == ("colon", 1.0)


def test_raw_novelty_without_held_out_novelty_is_not_looked_at() -> None:
    p = np.array([[0.97, 0.01, 0.01, 0.01]])
    policy = replace(POLICY, novelty_quantiles=())
    (decision,) = policy.decide(p, np.array([7.0]), CLASSES, LINEAGES)
    assert (decision.value, decision.novelty) == ("colon", None)
    with pytest.raises(ValueError, match="novelty"):
        policy.novelty_quantile(np.array([7.0]))


def test_novelty_that_never_differs_abstains_from_nothing_usual() -> None:
    policy = replace(POLICY, novelty_quantiles=(2.0,) * 101)
    assert policy.novelty_quantile(np.array([1.0, 2.0, 2.1])).tolist() == [0, 0, 1]


@given(st.lists(st.floats(-5, 5), min_size=101, max_size=101), st.floats(-6, 6), st.floats(-6, 6))
def test_novelty_quantiles_rise_with_the_raw_score(marks, one, other) -> None:
    policy = replace(POLICY, novelty_quantiles=tuple(sorted(marks)))
    low, high = policy.novelty_quantile(np.array(sorted([one, other])))
    assert 0 <= low <= high <= 1
    below = sum(mark < min(one, other) for mark in marks)
    assert (below - 1) / 100 <= low <= below / 100 + 1e-12


def test_no_threshold_at_all_is_said() -> None:
    policy = replace(POLICY, operating_point=OperatingPoint(0.95, NEVER, None, 0.0, 30, None))
    (decision,) = policy.decide(np.array([[1.0, 0, 0, 0]]), None, CLASSES, LINEAGES, "tissue")
    assert decision.value is None
    assert decision.reason is not None
    assert "no threshold made 95 % of the answers about tissue right" in decision.reason


def test_a_given_lineage_of_a_broader_term_is_used() -> None:
    p = np.array([[0.5, 0.45, 0.03, 0.02]])
    lineages = LINEAGES | {"intestine": ("intestine", "gut", "body")}
    (decision,) = POLICY.decide(p, None, CLASSES, lineages)
    assert decision.lineage == ("intestine", "gut", "body")


def test_no_samples_no_decisions() -> None:
    assert POLICY.decide(np.zeros((0, 4)), None, CLASSES, LINEAGES) == []


def test_what_is_fitted_holds_on_other_samples() -> None:
    policy = fit_policy(held_out(seed=1), LINEAGES, OPTIONS)
    new = held_out(seed=2)
    decisions = policy.decide(new.probabilities["combined"], new.novelty, CLASSES, LINEAGES)
    answered = [
        each.value in LINEAGES[truth]
        for each, truth in zip(decisions, new.truth, strict=True)
        if each.value is not None
    ]
    assert np.mean(answered) > 0.88
    covered = [
        truth in each.prediction_set for each, truth in zip(decisions, new.truth, strict=True)
    ]
    assert np.mean(covered) > 0.88
    assert np.mean([each.reason is not None and "unlike" in each.reason for each in decisions]) < (
        0.02
    )


def test_cross_fitted_figures() -> None:
    predictions = held_out()
    figures = {
        each.name: each
        for each in cross_fitted(predictions, parts_of(predictions), LINEAGES, OPTIONS)
    }
    value = {name: each.value for name, each in figures.items()}
    assert set(value) == {
        "answered",
        "answered_class",
        "precision",
        "mean_depth",
        "always_class_precision",
        "always_class_depth",
        "always_top_precision",
        "always_top_depth",
        "prediction_set_coverage",
        "prediction_set_coverage_over_datasets",
        "prediction_set_size",
        "novelty_abstained",
    }
    assert value["precision"] == pytest.approx(0.9, abs=0.03)
    assert value["always_class_precision"] < value["always_top_precision"]
    assert value["always_class_precision"] < value["precision"]
    assert 0 < value["answered_class"] < value["answered"] < 1
    # "body" holds every class, so that the top of the answers is one below it.
    assert value["always_top_depth"] == 1
    assert value["always_class_depth"] == 2
    assert 1 < value["mean_depth"] < 2
    assert value["prediction_set_coverage_over_datasets"] == pytest.approx(0.9, abs=0.04)
    assert 1 < value["prediction_set_size"] < 4
    assert value["novelty_abstained"] == pytest.approx(0.01, abs=0.01)
    assert {each.model_kind for each in figures.values()} == {"combined"}
    assert figures["answered"].samples == 3000
    assert figures["precision"].samples == round(3000 * value["answered"])
    assert figures["answered"].datasets == 60


def test_figures_of_samples_whose_own_term_was_not_learned() -> None:
    predictions = held_out()
    # The less probable the true class, the more likely its term was new.
    column = np.array([CLASSES.index(name) for name in predictions.truth])
    new = predictions.probabilities["combined"][np.arange(3000), column] < 0.5
    plain = cross_fitted(predictions, parts_of(predictions), LINEAGES, OPTIONS)
    found = cross_fitted(predictions, parts_of(predictions), LINEAGES, OPTIONS, new)
    assert found[: len(plain)] == plain
    figures = {each.name: each for each in found}
    wholes = {
        "accuracy": "always_class_precision",
        "answered": "answered",
        "precision": "precision",
        "prediction_set_coverage": "prediction_set_coverage",
    }
    assert len(found) == len(plain) + 2 * len(wholes)
    for name, whole in wholes.items():
        parts = [figures[f"{name}_of_{part}_terms"] for part in ("new", "learned")]
        assert parts[0].value < parts[1].value
        samples = [part.samples for part in parts]
        assert sum(samples) == figures[whole].samples
        mean = np.average([part.value for part in parts], weights=samples)
        assert mean == pytest.approx(figures[whole].value)
    assert figures["answered_of_new_terms"].samples == new.sum()
    assert figures["answered_of_new_terms"].datasets == len(set(predictions.dataset_ids[new]))
    # Where every term was learned there is nothing to tell apart.
    assert (
        cross_fitted(
            predictions, parts_of(predictions), LINEAGES, OPTIONS, np.zeros(3000, dtype=bool)
        )
        == plain
    )


def test_cross_fitting_never_looks_at_the_fold_it_decides_for() -> None:
    predictions = held_out(1000)
    fold = predictions.folds == 0
    # Were the fold's own labels used, wrong ones throughout would stop all answers there.
    wrong = predictions.truth.copy()
    wrong[fold] = "testis"
    turned = replace(predictions, truth=wrong, folds=np.where(fold, 0, 1))
    others = {
        each.name: each.value for each in cross_fitted(turned, parts_of(turned), LINEAGES, OPTIONS)
    }
    alone = fit_policy(
        replace(
            predictions,
            **{
                name: getattr(predictions, name)[~fold]
                for name in ("sample_ids", "dataset_ids", "truth", "folds", "novelty")
            },
            probabilities={"combined": predictions.probabilities["combined"][~fold]},
        ),
        LINEAGES,
        OPTIONS,
    )
    mine = alone.decide(
        predictions.probabilities["combined"][fold],
        None if predictions.novelty is None else predictions.novelty[fold],
        CLASSES,
        LINEAGES,
    )
    in_fold = sum(each.value is not None for each in mine)
    assert in_fold > 0.3 * fold.sum()
    # The other part is decided by the wrong labels of this fold: never.
    assert others["answered"] * 1000 == pytest.approx(in_fold)


def test_without_novelty_or_answers_their_figures_are_left_out() -> None:
    predictions = held_out(60, novelty=False)
    names = {
        each.name
        for each in cross_fitted(
            predictions,
            parts_of(predictions),
            LINEAGES,
            replace(OPTIONS, target_precision=0.999),
        )
    }
    assert "novelty_abstained" not in names
    assert "precision" not in names
    assert {"answered", "always_class_precision"} <= names


def test_one_fold_cannot_be_cross_fitted() -> None:
    predictions = held_out(100)
    assert cross_fitted(predictions, (), LINEAGES, OPTIONS) == ()


def test_the_threshold_rises_where_precision_is_missed_beyond_chance() -> None:
    """Half of the datasets are wrong with high confidence in the parts that decide."""
    predictions = held_out()
    parts = parts_of(predictions)
    kept = reached_precision(predictions, parts, LINEAGES, OPTIONS)
    assert kept.fitted_precision == OPTIONS.target_precision
    # What the other parts show is better than what a part then meets.
    lucky = tuple(
        replace(part, others=replace(part.others, probabilities=_certain(part.others)))
        for part in parts
    )
    raised = reached_precision(predictions, lucky, LINEAGES, OPTIONS)
    assert raised.fitted_precision > OPTIONS.target_precision
    assert raised.target_precision == OPTIONS.target_precision
    policy = fit_policy(predictions, LINEAGES, raised)
    assert policy.operating_point.target_precision == OPTIONS.target_precision
    assert (
        policy.operating_point.threshold
        > fit_policy(predictions, LINEAGES, OPTIONS).operating_point.threshold
    )


def _certain(predictions: HeldOutPredictions) -> dict[str, np.ndarray]:
    """Probabilities with which low confidences are right, too."""
    truth = np.array([CLASSES.index(name) for name in predictions.truth])
    p = np.full((len(truth), len(CLASSES)), 0.4 / (len(CLASSES) - 1))
    p[np.arange(len(truth)), truth] = 0.6
    return {**predictions.probabilities, "combined": p}


def test_curves_of_every_kind() -> None:
    found = [(curve.name, curve.model_kind) for curve in curves(held_out(200))]
    assert found == [
        ("reliability", "forest"),
        ("risk_coverage", "forest"),
        ("reliability", "combined"),
        ("risk_coverage", "combined"),
    ]


def test_ordered_classes_get_sets_without_gaps() -> None:
    policy = fit_policy(held_out(), LINEAGES, replace(OPTIONS, ordered_classes=True))
    assert policy.prediction_sets.contiguous
    (decision,) = policy.decide(np.array([[0.49, 0.0, 0.0, 0.51]]), None, CLASSES, LINEAGES)
    assert decision.prediction_set[:2] == ("testis", "colon")
    assert set(decision.prediction_set) == set(CLASSES)


def test_a_policy_needs_predictions() -> None:
    with pytest.raises(ValueError, match="held-out"):
        fit_policy(held_out(0), LINEAGES, OPTIONS)


@pytest.mark.parametrize("novelty", [True, False])
def test_json_round_trip(novelty) -> None:
    policy = fit_policy(held_out(300, novelty=novelty), LINEAGES, OPTIONS)
    text = json.dumps(plain(policy), allow_nan=False)
    assert typed(json.loads(text), SelectivePolicy) == policy
    assert len(policy.novelty_quantiles) == (101 if novelty else 0)


@pytest.mark.parametrize(
    "change",
    [
        {"operating_point": {}},
        {"prediction_sets": None},
        {"novelty_quantiles": [0.1, 0.2]},
        {"novelty_quantiles": list(RAMP[::-1])},
        {"novelty_quantiles": [float("nan")] * 101},
        {"novelty_quantiles": None},
        {"maximum_novelty": 1.5},
        {"maximum_novelty": "much"},
    ],
)
def test_malformed_json_is_refused(change) -> None:
    with pytest.raises(ValueError):
        typed(plain(POLICY) | change, SelectivePolicy)


@pytest.mark.parametrize("data", [None, {}, []])
def test_json_with_missing_parts_is_refused(data) -> None:
    with pytest.raises(ValueError, match=r"Expected `object`|missing required field"):
        typed(data, SelectivePolicy)
