"""The gate decides whether a candidate goes live.

A candidate must be no worse than the live release on the held-out samples that
both predicted, and better than the baselines that do not use expression.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import COMBINED, HeldOutPredictions
from annotator.domain.profiles import rows_by
from annotator.domain.releases import Comparison, GateVerdict
from annotator.domain.wording import counted
from annotator.learn.validation.baselines import KNOWN_FIELDS, LOGISTIC_REGRESSION, MAJORITY
from annotator.learn.validation.metrics import (
    area_under_roc,
    is_correct_at_equal_priors,
    mean_over_groups,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.validation.validate import Validation

LIVE = "live"
ROUNDING = 1e-9
"""Smaller differences are ignored."""

REFUSED = "Refused: "
"""The start of each sentence against a candidate."""

FEWEST_DIGITS, MOST_DIGITS = 3, 9
DRAWS = 200

WORDS = {
    LIVE: "live release",
    MAJORITY: "always the largest class",
    KNOWN_FIELDS: "already known fields alone",
    LOGISTIC_REGRESSION: "plain logistic regression",
}
"""The releases and baselines to compare with, as reports name them."""

METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "balanced_accuracy_at_equal_priors": "balanced accuracy at equal priors",
    "auc": "AUC",
}

MetricFunction = Callable[[HeldOutPredictions, str], float]


@dataclass(frozen=True, slots=True)
class GateOptions:
    """How strict the gate is.

    Attributes
    ----------
    gate_margin
        The largest difference by which accuracy and balanced accuracy may fall behind the
        live release.
    baseline_margin
        The margin by which the candidate must be above its baselines.
    """

    gate_margin: float
    baseline_margin: float


@dataclass
class _Findings:
    """Sentences and comparisons that are collected for a verdict."""

    reasons: list[str] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    is_refused: bool = False

    def add(self, reason: str) -> None:
        self.reasons.append(reason)

    def refuse(self, reason: str) -> None:
        self.is_refused = True
        self.reasons.append(f"{REFUSED}{reason}")

    def compare(self, comparison: Comparison, part: HeldOutPredictions) -> None:
        """Add a comparison on some held-out samples, and its sentence."""
        samples, datasets = len(part.sample_ids), len(set(part.dataset_ids))
        where = f"{counted(samples, 'sample')} of {counted(datasets, 'held-out dataset')}"
        sentence = f"{METRIC_WORDS[comparison.name]} on {where}: {_worded_values(comparison)}."
        if comparison.passed:
            self.add(sentence[0].upper() + sentence[1:])
        else:
            self.refuse(sentence)
        self.comparisons.append(
            replace(comparison, samples=samples, datasets=datasets, sentence=self.reasons[-1])
        )


def judge(
    candidate: Validation,
    baselines: HeldOutPredictions,
    live: HeldOutPredictions | None,
    options: GateOptions,
) -> GateVerdict:
    """Decide whether a candidate goes live, with the reasons.

    With the live release, accuracy and balanced accuracy are compared on the
    samples that both releases held out, each judged by its own classes (a class
    may have been merged or split in between); balanced accuracy is the mean over
    the candidate's classes for both. If the releases have no sample in common, the
    candidate is judged by its baselines alone: metrics from different samples would
    compare the samples, not the models, and a live release whose samples are all
    gone could otherwise never be replaced.

    Balanced accuracy must be higher than that of each baseline on the samples that
    both predicted, and for two classes so must the area under the receiver operating
    characteristic (AUC). If classes did not have equal weights in training, balanced
    accuracy at equal priors is used instead, for baselines too. A baseline counts as
    no worse than chance, which is one over the number of classes, and 0.5 for AUC.
    Pooled over folds, always the largest class would be worse than chance, since that
    class is rarer in training in the folds that hold it out.

    Parameters
    ----------
    candidate
        The candidate's validation; its ``predictions`` must have the kind ``combined``.
    baselines
        Baseline predictions, held out in the same folds.
    live
        The live release's held-out predictions, ``None`` if there is no live release.
    options
        The margins.

    Returns
    -------
    GateVerdict
        Every comparison gives one sentence in ``reasons``, whether it passed or not.
    """
    predictions, findings = candidate.predictions, _Findings()
    problem = _unusable(predictions)
    if problem is not None:
        return GateVerdict(promoted=False, reasons=(problem,))
    _compare_with_live(findings, predictions, live, options.gate_margin)
    metrics = _compared_metrics(predictions, candidate.balanced_training)
    for kind in baselines.probabilities:
        compare = (
            _compare_with_plain_model if kind == LOGISTIC_REGRESSION else _compare_with_baseline
        )
        compare(findings, predictions, baselines, kind, metrics, options.baseline_margin)
    broken = sorted(
        {
            METRIC_WORDS[each.name]
            for each in findings.comparisons
            if not (math.isfinite(each.ours) and math.isfinite(each.theirs))
        }
    )
    if broken:
        findings.refuse(f"not a finite number: {', '.join(broken)}.")
    return GateVerdict(
        not findings.is_refused, tuple(findings.reasons), tuple(findings.comparisons)
    )


def _compared_metrics(
    predictions: HeldOutPredictions, balanced_training: bool
) -> dict[str, MetricFunction]:
    """Return the metrics that are compared with those of baselines, by name."""
    right: Callable[[HeldOutPredictions, str], NDArray[np.bool_]]
    # Baselines assume equal priors.
    if balanced_training:
        name, right = "balanced_accuracy", HeldOutPredictions.correct
    else:
        name, right = "balanced_accuracy_at_equal_priors", is_correct_at_equal_priors
    metrics: dict[str, MetricFunction] = {
        name: lambda part, kind: mean_over_groups(right(part, kind), part.truth)
    }
    if len(predictions.classes) == 2:
        metrics["auc"] = _auc
    return metrics


def _unusable(predictions: HeldOutPredictions) -> str | None:
    if len(predictions.sample_ids) == 0:
        return f"{REFUSED}no held-out sample could be scored."
    if COMBINED not in predictions.probabilities:
        return f"{REFUSED}the validation has no combined prediction."
    if not np.isfinite(predictions.probabilities[COMBINED]).all():
        return f"{REFUSED}held-out probabilities are not finite numbers."
    if len(set(predictions.truth)) < 2:
        return (
            f"{REFUSED}the held-out samples that could be scored are all of the class"
            f" {predictions.truth[0]!r}, so nothing shows that classes are told apart."
        )
    return None


def _common_rows(
    first: HeldOutPredictions, second: HeldOutPredictions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the samples that are in both, in the same order."""
    place = {sample: row for row, sample in enumerate(second.sample_ids)}
    rows = [row for row, sample in enumerate(first.sample_ids) if sample in place]
    other = [place[first.sample_ids[row]] for row in rows]
    return np.array(rows, dtype=np.int64), np.array(other, dtype=np.int64)


def _worded_values(comparison: Comparison) -> str:
    """Return both values in words, and the requirement if it is not obvious from them."""
    ours, theirs, chance = comparison.ours, comparison.theirs, comparison.chance
    compared_with, margin = comparison.compared_with, comparison.margin
    bar = theirs if chance is None or chance <= theirs else chance
    required = bar
    if compared_with != LOGISTIC_REGRESSION:
        required = bar - margin if compared_with == LIVE else bar + margin
    digits = _digits(ours, bar, required)
    words = f"{ours:.{digits}f}, {WORDS.get(compared_with, compared_with)} {theirs:.{digits}f}"
    if bar > theirs:
        words += f", chance {bar:.{digits}f}"
    if comparison.passed and ours >= bar - ROUNDING:
        return words
    return f"{words}; {_requirement(compared_with, margin)}"


def _requirement(compared_with: str, margin: float) -> str:
    if compared_with == LOGISTIC_REGRESSION:
        return f"it may fall behind only within chance, in {DRAWS} random draws of the datasets"
    if compared_with == LIVE:
        return f"it may fall behind by at most {margin:g}" if margin else "it may not fall behind"
    if margin < 0:
        return f"it may fall behind by less than {-margin:g}"
    return f"it must be ahead by more than {margin:g}" if margin else "it must be ahead"


def _digits(ours: float, theirs: float, required: float) -> int:
    """Return the fewest digits that show whether our value is above or below the other two."""
    for digits in range(FEWEST_DIGITS, MOST_DIGITS):
        shown = round(theirs, digits), round(theirs, digits) + required - theirs
        if all(
            _side(round(ours, digits), as_shown) == _side(ours, value)
            for as_shown, value in zip(shown, (theirs, required), strict=True)
        ):
            return digits
    return FEWEST_DIGITS  # equal up to rounding errors


def _side(ours: float, theirs: float) -> int:
    return int(ours > theirs + ROUNDING) - int(ours < theirs - ROUNDING)


def _compare_with_live(
    findings: _Findings,
    predictions: HeldOutPredictions,
    live: HeldOutPredictions | None,
    margin: float,
) -> None:
    if live is None:
        findings.add("Nothing is live yet, so there is no release to compare with.")
        return
    rows, live_rows = _common_rows(predictions, live)
    if len(rows) == 0:
        findings.add(
            "Not compared with the live release: none of its"
            f" {len(live.sample_ids)} held-out samples is among the candidate's"
            f" {len(predictions.sample_ids)}; the baselines alone decide.",
        )
        return
    if COMBINED not in live.probabilities or not np.isfinite(live.probabilities[COMBINED]).all():
        findings.add(
            "Not compared with the live release: its held-out probabilities are missing or not"
            " finite numbers; the baselines alone decide.",
        )
        return
    ours, theirs = predictions.take(rows), live.take(live_rows)
    if set(ours.classes) != set(theirs.classes):
        findings.add("The live release has other classes: each release is judged by its own.")
    our_correct, their_correct = ours.correct(COMBINED), theirs.correct(COMBINED)
    compared = {
        "accuracy": (float(our_correct.mean()), float(their_correct.mean())),
        "balanced_accuracy": (
            mean_over_groups(our_correct, ours.truth),
            mean_over_groups(their_correct, ours.truth),
        ),
    }
    for name, (our_value, their_value) in compared.items():
        passed = our_value >= their_value - margin - ROUNDING
        findings.compare(Comparison(name, LIVE, our_value, their_value, margin, passed), ours)


def _compare_with_baseline(
    findings: _Findings,
    predictions: HeldOutPredictions,
    baselines: HeldOutPredictions,
    kind: str,
    metrics: dict[str, MetricFunction],
    margin: float,
) -> None:
    rows, baseline_rows = _common_rows(predictions, baselines)
    if len(rows) == 0:
        findings.refuse(f"no sample to compare with {WORDS.get(kind, kind)}.")
        return
    ours, theirs = predictions.take(rows), baselines.take(baseline_rows)
    for name, metric in metrics.items():
        our_value, their_value = metric(ours, COMBINED), metric(theirs, kind)
        chance = 0.5 if name == "auc" else 1 / len(set(ours.truth))
        passed = our_value > max(their_value, chance) + margin + ROUNDING
        comparison = Comparison(name, kind, our_value, their_value, margin, passed, chance=chance)
        findings.compare(comparison, ours)


def _compare_with_plain_model(
    findings: _Findings,
    predictions: HeldOutPredictions,
    baselines: HeldOutPredictions,
    kind: str,
    metrics: dict[str, MetricFunction],
    margin: float,
) -> None:
    """Refuse a candidate that is behind a plain model of expression by more than chance.

    Such a model uses expression, too, so a candidate may be equally good, and chance
    decides which of two equally good models is ahead on a few datasets. Datasets are
    drawn with replacement (bootstrap); the candidate is refused if its gain is below
    ``margin``, or 0 if that is lower, in 97.5 % of the draws.
    """
    rows, other_rows = _common_rows(predictions, baselines)
    if len(rows) == 0:
        return
    ours, theirs = predictions.take(rows), baselines.take(other_rows)
    allowed = min(margin, 0.0)
    for name, metric in metrics.items():
        passed = _likely_highest_gain(ours, theirs, kind, metric) >= allowed
        our_value, their_value = metric(ours, COMBINED), metric(theirs, kind)
        findings.compare(Comparison(name, kind, our_value, their_value, allowed, passed), ours)


def _likely_highest_gain(
    ours: HeldOutPredictions,
    theirs: HeldOutPredictions,
    kind: str,
    metric: MetricFunction,
) -> float:
    """Return the 97.5 % quantile of the gain over draws of datasets with replacement."""
    generator = np.random.default_rng(0)
    members = list(rows_by(ours.dataset_ids).values())
    # Each draw copies the predictions: not those of other kinds.
    ours = replace(ours, probabilities={COMBINED: ours.probabilities[COMBINED]})
    theirs = replace(theirs, probabilities={kind: theirs.probabilities[kind]})
    gains = []
    for _ in range(DRAWS):
        drawn = generator.integers(0, len(members), len(members))
        rows = np.concatenate([members[each] for each in drawn])
        gain = metric(ours.take(rows), COMBINED) - metric(theirs.take(rows), kind)
        gains.append(gain)
    known = np.array(gains)[np.isfinite(gains)]
    return float(np.quantile(known, 0.975)) if len(known) else 0.0


def _auc(predictions: HeldOutPredictions, kind: str) -> float:
    second = predictions.classes[1]
    return area_under_roc(predictions.probabilities[kind][:, 1], predictions.truth == second)
