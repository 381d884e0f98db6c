from __future__ import annotations

import numpy as np
import pytest

from annotator.domain.held_out import HeldOutPredictions
from annotator.domain.releases import Comparison
from annotator.learn.labels.classes import LabelSet
from annotator.learn.validation import gate
from annotator.learn.validation.gate import GateOptions, judge
from annotator.learn.validation.metrics import metrics_of
from annotator.learn.validation.validate import Validation

STRICT = GateOptions(gate_margin=0.0, baseline_margin=0.0)


def _held_out(truth, said, kind="combined", first=0, classes=("a", "b", "c")):
    probabilities = np.full((len(truth), len(classes)), 0.1)
    probabilities[np.arange(len(said)), [classes.index(name) for name in said]] = 1 - 0.1 * (
        len(classes) - 1
    )
    n = len(truth)
    return HeldOutPredictions(
        sample_ids=np.array([f"s{first + i}" for i in range(n)], dtype=object),
        dataset_ids=np.array([f"d{i % 3}" for i in range(n)], dtype=object),
        truth=np.array(list(truth), dtype=object),
        folds=np.zeros(n, dtype=np.int64),
        classes=classes,
        probabilities={kind: probabilities},
    )


def _judge(candidate, baselines, live=None, options=STRICT):
    validation = Validation(
        scheme="one-dataset-out",
        label_set=LabelSet(candidate.classes, {}, {}),
        predictions=candidate,
        raw=candidate,
        baselines=baselines,
        metrics=(),
        description="",
    )
    return judge(validation, baselines, live, options)


def _of(verdict, name, compared_with):
    (found,) = (
        each
        for each in verdict.comparisons
        if (each.name, each.compared_with) == (name, compared_with)
    )
    return found


TRUTH = "aaaabbbbcccc"
GOOD = "aaaabbbbccca"
FAIR = "aaaabbbbccaa"
MAJORITY = _held_out(TRUTH, "a" * 12, "majority")


def test_a_first_release_goes_live_when_it_beats_the_baseline():
    verdict = _judge(_held_out(TRUTH, GOOD), MAJORITY)
    assert verdict.promoted
    assert verdict.reasons[0].startswith("Nothing is live yet")
    assert verdict.reasons[1] == (
        "Balanced accuracy on 12 samples of 3 held-out datasets: 0.917,"
        " always the largest class 0.333."
    )
    found = _of(verdict, "balanced_accuracy", "majority")
    assert (found.ours, found.theirs) == pytest.approx((11 / 12, 1 / 3))
    assert (found.passed, found.samples, found.datasets) == (True, 12, 3)
    assert (found.margin, found.chance) == (0.0, pytest.approx(1 / 3))
    assert found.sentence == verdict.reasons[1]


def test_the_words_are_those_of_the_figures_whatever_the_margin():
    lenient = _judge(
        _held_out(TRUTH, "b" * 12), MAJORITY, options=GateOptions(0.0, baseline_margin=-1.0)
    )
    assert lenient.promoted
    assert lenient.reasons[-1].endswith(": 0.333, always the largest class 0.333.")
    strict = _judge(_held_out(TRUTH, GOOD), MAJORITY, options=GateOptions(0.0, baseline_margin=0.9))
    assert not strict.promoted
    assert strict.reasons[-1] == (
        "Refused: balanced accuracy on 12 samples of 3 held-out datasets: 0.917,"
        " always the largest class 0.333; it must be ahead by more than 0.9."
    )


def test_what_is_no_better_than_the_majority_stays_out():
    verdict = _judge(_held_out(TRUTH, "b" * 12), MAJORITY)
    assert not verdict.promoted
    assert verdict.reasons[-1].startswith("Refused: balanced accuracy")
    assert verdict.reasons[-1].endswith(
        ": 0.333, always the largest class 0.333; it must be ahead."
    )


def test_what_is_worse_than_the_live_release_stays_out():
    live = _held_out(TRUTH, GOOD)
    verdict = _judge(_held_out(TRUTH, FAIR), MAJORITY, live)
    assert not verdict.promoted
    assert verdict.reasons[0] == (
        "Refused: accuracy on 12 samples of 3 held-out datasets: 0.833, live release 0.917;"
        " it may not fall behind."
    )
    found = _of(verdict, "accuracy", "live")
    assert (found.ours, found.theirs, found.passed) == (
        *(pytest.approx(10 / 12), pytest.approx(11 / 12)),
        False,
    )
    assert found.chance is None


def test_the_margin_is_how_far_it_may_fall_behind():
    live, candidate = _held_out(TRUTH, GOOD), _held_out(TRUTH, FAIR)
    within = _judge(candidate, MAJORITY, live, GateOptions(1 / 12, 0.0))
    assert within.promoted
    assert within.reasons[0] == (
        "Accuracy on 12 samples of 3 held-out datasets: 0.833, live release 0.917;"
        " it may fall behind by at most 0.0833333."
    )
    assert not _judge(candidate, MAJORITY, live, GateOptions(0.08, 0.0)).promoted


def test_as_good_as_the_live_release_is_good_enough():
    live = _held_out(TRUTH, GOOD)
    assert _judge(_held_out(TRUTH, GOOD), MAJORITY, live).promoted


def test_balanced_accuracy_counts_too():
    truth = "a" * 18 + "bb"
    live = _held_out(truth, "a" * 15 + "bbb" + "bb", classes=("a", "b"))
    candidate = _held_out(truth, "a" * 18 + "ab", classes=("a", "b"))
    verdict = _judge(candidate, _held_out(truth, "a" * 20, "majority", classes=("a", "b")), live)
    assert not verdict.promoted
    assert verdict.reasons[0].startswith("Accuracy on 20 samples")
    assert ": 0.950, live release" in verdict.reasons[0]
    assert verdict.reasons[1].startswith("Refused: balanced accuracy on 20 samples")
    assert ": 0.750, live release" in verdict.reasons[1]


def test_only_samples_in_common_are_compared():
    live = _held_out("cccc" + "a" * 20, "ccca" + "b" * 20, first=8)
    verdict = _judge(_held_out(TRUTH, GOOD), MAJORITY, live)
    assert verdict.promoted
    found = _of(verdict, "accuracy", "live")
    assert (found.samples, found.theirs) == (4, pytest.approx(3 / 4))


def test_the_order_of_the_live_release_does_not_matter():
    live = _held_out(TRUTH, GOOD)
    turned = HeldOutPredictions(
        sample_ids=live.sample_ids[::-1],
        dataset_ids=live.dataset_ids[::-1],
        truth=live.truth[::-1],
        folds=live.folds,
        classes=live.classes,
        probabilities={"combined": live.probabilities["combined"][::-1]},
    )
    candidate = _held_out(TRUTH, FAIR)
    first, second = _judge(candidate, MAJORITY, live), _judge(candidate, MAJORITY, turned)
    assert first == second


def test_without_samples_in_common_the_baselines_decide():
    live = _held_out(TRUTH, TRUTH, first=100)
    verdict = _judge(_held_out(TRUTH, FAIR), MAJORITY, live)
    assert verdict.promoted
    assert "none of its 12 held-out samples" in verdict.reasons[0]
    assert not _judge(_held_out(TRUTH, "b" * 12), MAJORITY, live).promoted


def test_each_release_is_judged_by_its_own_classes():
    # The live release knew c as part of b, and was right about it.
    live = _held_out("aaaabbbbbbbb", "aaaabbbbbbba", classes=("a", "b"))
    verdict = _judge(_held_out(TRUTH, FAIR), MAJORITY, live)
    assert not verdict.promoted
    assert "other classes" in verdict.reasons[0]
    assert not any("classes" in reason for reason in verdict.reasons[1:])
    assert _of(verdict, "accuracy", "live").theirs == pytest.approx(11 / 12)
    # Mean over the candidate's classes: 1, 1 and 3/4.
    assert _of(verdict, "balanced_accuracy", "live").theirs == pytest.approx(11 / 12)


def test_the_known_fields_have_to_be_beaten():
    known = _held_out(TRUTH, GOOD, "known_fields")
    assert not _judge(_held_out(TRUTH, GOOD), known).promoted
    verdict = _judge(_held_out(TRUTH, TRUTH), known)
    assert verdict.promoted
    assert "already known fields alone 0.917" in verdict.reasons[-1]
    assert not _judge(_held_out(TRUTH, TRUTH), known, None, GateOptions(0.0, 0.1)).promoted


def test_two_classes_need_the_better_auc_too():
    candidate = _held_out("aaabbb", "aaabba", classes=("a", "b"))
    baseline = _held_out("aaabbb", "aaabaa", "known_fields", classes=("a", "b"))
    assert _judge(candidate, baseline).promoted
    # The same answers, but ordered without a mistake.
    baseline.probabilities["known_fields"][:] = [
        [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.6, 0.4]
    ]  # fmt: skip
    verdict = _judge(candidate, baseline)
    assert not verdict.promoted
    assert _of(verdict, "auc", "known_fields").theirs == 1.0
    assert verdict.reasons[-1] == (
        "Refused: AUC on 6 samples of 3 held-out datasets: 0.833,"
        " already known fields alone 1.000; it must be ahead."
    )


def test_a_baseline_is_no_worse_than_chance():
    # Always naming the largest class of training, where it is the rarer one held out.
    majority = _held_out("abab", "baba", "majority", classes=("a", "b"))
    verdict = _judge(_held_out("abab", "aaab", classes=("a", "b")), majority)
    assert verdict.promoted
    for name in ("balanced_accuracy", "auc"):
        found = _of(verdict, name, "majority")
        assert (found.theirs, found.chance) == (0.0, 0.5)
        assert "always the largest class 0.000, chance 0.500" in found.sentence
    assert not _judge(_held_out("abab", "aaaa", classes=("a", "b")), majority).promoted


def test_figures_that_are_no_numbers_are_refused():
    candidate = _held_out(TRUTH, GOOD)
    candidate.probabilities["combined"][3, 1] = np.nan
    verdict = _judge(candidate, MAJORITY)
    assert not verdict.promoted
    assert "not finite" in verdict.reasons[0]


def test_a_broken_live_release_can_be_replaced():
    live = _held_out(TRUTH, TRUTH)
    live.probabilities["combined"][0, 0] = np.inf
    verdict = _judge(_held_out(TRUTH, FAIR), MAJORITY, live)
    assert verdict.promoted
    assert "not finite" in verdict.reasons[0]


@pytest.mark.parametrize(("truth", "reason"), [("", "no held-out sample"), ("aaa", "class 'a'")])
def test_a_validation_that_shows_nothing_is_refused(truth, reason):
    verdict = _judge(_held_out(truth, truth), MAJORITY)
    assert not verdict.promoted
    assert reason in verdict.reasons[0]


def _two_classes(strength, kind, n=240):
    """Scores of two classes, 80 % of them the first; the stronger, the more telling."""
    random = np.random.default_rng(1)
    truth = np.where(random.random(n) < 0.8, "a", "b").astype(object)
    noise = np.random.default_rng(len(kind)).normal(size=n)
    logit = strength * np.where(truth == "b", 1.0, -1.0) + noise - 1.4
    second = 1 / (1 + np.exp(-logit))
    return HeldOutPredictions(
        sample_ids=np.array([f"s{i}" for i in range(n)], dtype=object),
        dataset_ids=np.array([f"d{i % 12}" for i in range(n)], dtype=object),
        truth=truth,
        folds=np.arange(n) % 4,
        classes=("a", "b"),
        probabilities={kind: np.stack([1 - second, second], axis=1)},
    )


@pytest.mark.parametrize(("strength", "promoted"), [(1.0, True), (0.97, True), (0.4, False)])
def test_a_plain_model_may_be_level_but_not_ahead_by_more_than_chance(strength, promoted):
    plain_kind = "logistic_regression"
    plain = _two_classes(1.0, plain_kind)
    verdict = _judge(_two_classes(strength, "combined"), plain)
    assert verdict.promoted is promoted
    compared = [each for each in verdict.comparisons if each.compared_with == plain_kind]
    assert [each.name for each in compared] == ["balanced_accuracy", "auc"]
    assert all(each.passed for each in compared) is promoted
    for each in compared:
        assert "plain logistic regression" in each.sentence
        assert ("within chance" in each.sentence) is (each.ours < each.theirs or not each.passed)


def test_probabilities_that_follow_class_shares_are_judged_at_equal_priors():
    candidate = _two_classes(0.6, "combined")
    known = _held_out(candidate.truth, ["a", "b"] * 120, "known_fields", classes=("a", "b"))
    validation = Validation(
        scheme="one-dataset-out",
        label_set=LabelSet(candidate.classes, {}, {}),
        predictions=candidate,
        raw=candidate,
        baselines=known,
        metrics=(),
        description="",
        balanced_training=False,
    )
    fair, plain = judge(validation, known, None, STRICT), _judge(candidate, known)
    of_model = {metric.name: metric.value for metric in metrics_of(candidate)}
    of_known = {metric.name: metric.value for metric in metrics_of(known)}
    at_equal, as_given = "balanced_accuracy_at_equal_priors", "balanced_accuracy"
    assert of_model[at_equal] > of_model[as_given] + 0.05
    for verdict, name in ((fair, at_equal), (plain, as_given)):
        assert [each.name for each in verdict.comparisons] == [name, "auc"]
        for each in verdict.comparisons:
            # One number, one name: the metrics of the validation hold what is compared.
            assert (each.ours, each.theirs) == (of_model[each.name], of_known[each.name])
    assert "Balanced accuracy at equal priors on 240 samples of 12 held-out" in fair.reasons[1]


@pytest.mark.parametrize(
    ("ours", "theirs", "margin", "passed", "figures"),
    [
        (0.846, 0.834, 0.02, True, "0.846, live release 0.834"),
        (0.8338, 0.8342, 0.0, False, "0.8338, live release 0.8342; it may not fall behind"),
        (
            *(0.81381, 0.834, 0.02, False),
            "0.8138, live release 0.8340; it may fall behind by at most 0.02",
        ),
        (0.834, 0.834, 0.0, True, "0.834, live release 0.834"),
    ],
)
def test_a_sentence_has_the_digits_that_show_which_is_higher(ours, theirs, margin, passed, figures):
    compared = Comparison("accuracy", "live", ours, theirs, margin, passed)
    assert gate._worded_values(compared) == figures
