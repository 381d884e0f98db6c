"""Whether a candidate release may go live.

It has to be no worse than the live release on the very samples that both were
tested on while held out, and better than what needs no expression at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain import GateVerdict, HeldOutPredictions
from annotator.learn.baselines import KNOWN_FIELDS, LOGISTIC_REGRESSION, MAJORITY
from annotator.learn.metrics import (
    area_under_roc,
    is_correct,
    is_correct_at_equal_priors,
    mean_over_groups,
    select_samples,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.evaluate import Validation

COMBINED = "combined"
ROUNDING = 1e-9
"""Differences below this are not differences."""

BASELINE_WORDS = {
    MAJORITY: "always naming the largest class",
    KNOWN_FIELDS: "the already known fields by themselves",
    LOGISTIC_REGRESSION: "a plain logistic regression",
}

DRAWS = 200

FIGURE_WORDS = {"balanced_accuracy": "balanced accuracy", "auc": "AUC"}


Right = Callable[[HeldOutPredictions, str], "NDArray[np.bool_]"]


@dataclass(frozen=True, slots=True)
class GateOptions:
    """How strict the gate is.

    Attributes
    ----------
    gate_margin
        How far accuracy and balanced accuracy may fall behind the live release.
    baseline_margin
        How far the candidate must be above its baselines.
    """

    gate_margin: float
    baseline_margin: float


@dataclass
class _Findings:
    """Sentences and figures, gathered on the way to a verdict."""

    passed: bool = True
    reasons: list[str] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, passed: bool, reason: str) -> None:
        self.passed = self.passed and passed
        self.reasons.append(reason)


def judge(
    candidate: Validation,
    baselines: HeldOutPredictions,
    live: HeldOutPredictions | None,
    options: GateOptions,
) -> GateVerdict:
    """Decide whether a candidate goes live, and say why.

    Against the live release, accuracy and balanced accuracy are compared on the
    samples that both releases held out, each judged by its own classes (a class
    may have been merged or split in between); balanced accuracy is the mean over
    the candidate's classes for both. Where no sample is in common, the candidate
    is judged by its baselines alone: figures from different samples would compare
    the samples, not the models, and a live release of which no sample is left
    could otherwise never be replaced.

    Against each baseline, balanced accuracy must be higher on the samples that
    both predicted, and for two classes the area under the receiver operating
    characteristic (AUC) too. A baseline counts as no worse than chance, which is
    one over the number of classes, and 0.5 for AUC: pooled over folds, always
    naming the largest class comes out below it, since that class is the rarer
    where it was held out.

    Parameters
    ----------
    candidate
        Its ``predictions`` must have the kind ``combined``.
    baselines
        Held out in the same folds.
    live
        The live release's held-out predictions, ``None`` where nothing is live.
    options
        The margins.

    Returns
    -------
    GateVerdict
        Every comparison gives one sentence in ``reasons``, whichever way it went.
    """
    predictions, findings = candidate.predictions, _Findings()
    # Balanced accuracy is compared with rules under equal priors.
    right = is_correct if candidate.balanced_training else is_correct_at_equal_priors
    problem = _unusable(predictions)
    if problem is not None:
        return GateVerdict(promoted=False, reasons=(problem,))
    correct = is_correct(predictions, COMBINED)
    findings.figures |= {
        "samples": float(len(correct)),
        "accuracy": float(correct.mean()),
        "balanced_accuracy": mean_over_groups(correct, predictions.truth),
    }
    _compare_with_live(findings, predictions, live, options.gate_margin)
    for kind in baselines.probabilities:
        if kind == LOGISTIC_REGRESSION:
            _compare_with_plain_model(
                findings, predictions, baselines, right, options.baseline_margin
            )
        else:
            _compare_with_baseline(
                findings, predictions, baselines, kind, right, options.baseline_margin
            )
    broken = sorted(name for name, value in findings.figures.items() if not math.isfinite(value))
    if broken:
        findings.add(False, f"Refused: not a finite number: {', '.join(broken)}.")
    return GateVerdict(findings.passed, tuple(findings.reasons), findings.figures)


def _unusable(predictions: HeldOutPredictions) -> str | None:
    if len(predictions.sample_ids) == 0:
        return "Refused: no held-out sample could be scored."
    if COMBINED not in predictions.probabilities:
        return "Refused: the validation has no combined prediction."
    if not np.isfinite(predictions.probabilities[COMBINED]).all():
        return "Refused: held-out probabilities are not finite numbers."
    if len(set(predictions.truth)) < 2:
        return (
            "Refused: the held-out samples that could be scored are all of the class"
            f" {predictions.truth[0]!r}, so nothing shows that classes are told apart."
        )
    return None


def _common_rows(
    first: HeldOutPredictions, second: HeldOutPredictions
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the samples that both hold, in the same order."""
    place = {sample: row for row, sample in enumerate(second.sample_ids)}
    rows = [row for row, sample in enumerate(first.sample_ids) if sample in place]
    other = [place[first.sample_ids[row]] for row in rows]
    return np.array(rows, dtype=np.int64), np.array(other, dtype=np.int64)


def _not_behind(name: str, candidate: float, live: float, margin: float) -> tuple[bool, str]:
    passed = candidate >= live - margin - ROUNDING
    words = "not worse than" if passed else "worse than"
    return passed, (
        f"{name} {candidate:.4f} is {words} the live release's {live:.4f}"
        f" (may fall behind by {margin:.4f})"
    )


def _compare_with_live(
    findings: _Findings,
    predictions: HeldOutPredictions,
    live: HeldOutPredictions | None,
    margin: float,
) -> None:
    if live is None:
        findings.add(True, "Nothing is live yet, so there is no release to compare with.")
        return
    rows, live_rows = _common_rows(predictions, live)
    findings.figures["samples_in_common_with_live"] = float(len(rows))
    if len(rows) == 0:
        findings.add(
            True,
            "Not compared with the live release: none of its"
            f" {len(live.sample_ids)} held-out samples is among the candidate's"
            f" {len(predictions.sample_ids)}; the baselines alone decide.",
        )
        return
    if COMBINED not in live.probabilities or not np.isfinite(live.probabilities[COMBINED]).all():
        findings.add(
            True,
            "Not compared with the live release: its held-out probabilities are missing or not"
            " finite numbers; the baselines alone decide.",
        )
        return
    ours, theirs = select_samples(predictions, rows), select_samples(live, live_rows)
    our_correct, their_correct = is_correct(ours, COMBINED), is_correct(theirs, COMBINED)
    where = f"On {len(rows)} samples that both held out, "
    if set(ours.classes) != set(theirs.classes):
        where += "each judged by its own classes, which differ, "
    compared = {
        "accuracy": (float(our_correct.mean()), float(their_correct.mean())),
        "balanced_accuracy": (
            mean_over_groups(our_correct, ours.truth),
            mean_over_groups(their_correct, ours.truth),
        ),
    }
    for name, (our_figure, their_figure) in compared.items():
        findings.figures[f"{name}_in_common"] = our_figure
        findings.figures[f"live_{name}_in_common"] = their_figure
        passed, sentence = _not_behind(name.replace("_", " "), our_figure, their_figure, margin)
        findings.add(passed, f"{where}{sentence}.")


def _compare_with_baseline(
    findings: _Findings,
    predictions: HeldOutPredictions,
    baselines: HeldOutPredictions,
    kind: str,
    right: Right,
    margin: float,
) -> None:
    rows, baseline_rows = _common_rows(predictions, baselines)
    words = BASELINE_WORDS.get(kind, kind)
    if len(rows) == 0:
        findings.add(False, f"Refused: no sample to compare with {words} ({kind}).")
        return
    ours, theirs = select_samples(predictions, rows), select_samples(baselines, baseline_rows)
    chance = 1 / len(set(ours.truth))
    compared = {
        "balanced_accuracy": (
            mean_over_groups(right(ours, COMBINED), ours.truth),
            max(mean_over_groups(is_correct(theirs, kind), theirs.truth), chance),
        )
    }
    if len(predictions.classes) == 2:
        compared["auc"] = (_auc(ours, COMBINED), max(_auc(theirs, kind), 0.5))
        findings.figures["auc"] = compared["auc"][0]
    for name, (our_figure, their_figure) in compared.items():
        findings.figures[f"{kind}_{name}"] = their_figure
        passed = our_figure > their_figure + margin + ROUNDING
        compared_words = "above" if our_figure > their_figure + ROUNDING else "not above"
        findings.add(
            passed,
            f"On {len(rows)} held-out samples, {FIGURE_WORDS[name]} {our_figure:.4f} is"
            f" {compared_words} the {their_figure:.4f} of {words} (must be above by more than"
            f" {margin:.4f}{'' if passed else ', and is not'}).",
        )


def _compare_with_plain_model(
    findings: _Findings,
    predictions: HeldOutPredictions,
    baselines: HeldOutPredictions,
    right: Right,
    margin: float,
) -> None:
    """Refuse a candidate that is behind a plain model of expression by more than chance.

    Such a model needs expression, too: to be level with it is no fault, and which of
    two level ones is ahead on a few datasets is chance. Datasets are drawn with
    replacement (bootstrap); the difference must not be below ``margin`` in 97.5 % of
    the draws.
    """
    rows, other_rows = _common_rows(predictions, baselines)
    if len(rows) == 0:
        return
    ours, theirs = select_samples(predictions, rows), select_samples(baselines, other_rows)
    figures: dict[str, Callable[[HeldOutPredictions, str], float]] = {
        "balanced_accuracy": lambda part, kind: mean_over_groups(right(part, kind), part.truth)
    }
    if len(predictions.classes) == 2:
        figures["auc"] = _auc
    for name, figure in figures.items():
        our_figure, their_figure = figure(ours, COMBINED), figure(theirs, LOGISTIC_REGRESSION)
        highest = _likely_highest_gain(ours, theirs, figure)
        findings.figures[f"{LOGISTIC_REGRESSION}_{name}"] = their_figure
        passed = highest >= min(margin, 0.0)
        findings.add(
            passed,
            f"On {len(rows)} held-out samples, {FIGURE_WORDS[name]} {our_figure:.4f} beside the"
            f" {their_figure:.4f} of {BASELINE_WORDS[LOGISTIC_REGRESSION]} (must be level within"
            f" 97.5 % of {DRAWS} draws of the datasets{'' if passed else ', and is not'}).",
        )


def _likely_highest_gain(
    ours: HeldOutPredictions,
    theirs: HeldOutPredictions,
    figure: Callable[[HeldOutPredictions, str], float],
) -> float:
    """Return the 97.5 % quantile of the gain over draws of datasets with replacement."""
    generator = np.random.default_rng(0)
    members = [np.flatnonzero(ours.dataset_ids == name) for name in sorted(set(ours.dataset_ids))]
    gains = []
    for _ in range(DRAWS):
        drawn = generator.integers(0, len(members), len(members))
        rows = np.concatenate([members[each] for each in drawn])
        gain = figure(select_samples(ours, rows), COMBINED) - figure(
            select_samples(theirs, rows), LOGISTIC_REGRESSION
        )
        gains.append(gain)
    known = np.array(gains)[np.isfinite(gains)]
    return float(np.quantile(known, 0.975)) if len(known) else 0.0


def _auc(predictions: HeldOutPredictions, kind: str) -> float:
    second = predictions.classes[1]
    return area_under_roc(predictions.probabilities[kind][:, 1], predictions.truth == second)
