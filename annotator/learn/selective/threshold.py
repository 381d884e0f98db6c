"""The confidence threshold from which on a release answers with the target precision.

One threshold on the probability of a node (:mod:`annotator.learn.labels.answer_tree`)
decides how specific the answer for each sample is, and whether there is one. It is
chosen on held-out predictions for the target precision, as in selective
classification (Geifman & El-Yaniv 2017, "Selective classification for deep neural
networks"), with the correction of conformal risk control (Angelopoulos et al. 2022,
arXiv:2208.02814): one further answer is counted, as a wrong one, so that thresholds
fitted on few samples are cautious.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from annotator.domain.held_out import Curve, CurvePoint

if TYPE_CHECKING:
    from annotator.learn.labels.answer_tree import LabelTree

Share = Annotated[float, Meta(ge=0, le=1)]

RELIABILITY, RISK_COVERAGE = "reliability", "risk_coverage"
MOST_POINTS = 200
LOWEST_THRESHOLD = 0.5  # Two mutually exclusive answers could both reach a lower one.
NEVER = 2.0  # A threshold that no probability reaches.
STEPS = 1e6  # Thresholds are multiples of 1 / STEPS.


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold on the confidence of answers, and its results on held-out samples.

    Attributes
    ----------
    target_precision
        The share of answers that should be right.
    threshold
        The lowest confidence of an answer; :data:`NEVER` if no threshold reaches the
        target precision.
    precision
        The share of answers for held-out samples that are right, ``None`` without answers.
    answered
        The share of held-out samples that get an answer.
    samples
        Number of held-out samples that it was fitted on.
    mean_depth
        The mean depth of the answers, ``None`` without answers.
    """

    target_precision: Share
    threshold: Annotated[float, Meta(ge=0.5, le=2.0)]
    precision: Share | None
    answered: Share
    samples: Annotated[int, Meta(ge=0)]
    mean_depth: Annotated[float, Meta(ge=0)] | None

    @property
    def answers_at_all(self) -> bool:
        """Whether any sample can be answered."""
        return self.threshold <= 1


@dataclass(frozen=True, eq=False)
class ThresholdTable:
    """The results of every possible threshold on held-out samples.

    Attributes
    ----------
    thresholds
        Descending, float64, ``(thresholds,)``; the last is 0.5.
    answered, errors
        The number of answers and of wrong answers at each threshold, int64.
    depth
        The sum of the depths of the answers at each threshold, int64.
    samples
        The number of samples.
    """

    thresholds: NDArray[np.float64]
    answered: NDArray[np.int64]
    errors: NDArray[np.int64]
    depth: NDArray[np.int64]
    samples: int

    @property
    def precision(self) -> NDArray[np.float64]:
        """The share of right answers at each threshold, NaN without answers."""
        return _divided(self.answered - self.errors, self.answered)

    @property
    def mean_depth(self) -> NDArray[np.float64]:
        """The mean depth of the answers at each threshold, NaN without answers."""
        return _divided(self.depth, self.answered)


def threshold_table(
    p: NDArray[np.float64], truth_index: NDArray[np.int64], tree: LabelTree
) -> ThresholdTable:
    """Count answers and errors at every threshold at once.

    As the threshold rises, the answer for a sample becomes broader, and in the end
    there is none. Each level of depth thus gives the answer for one range of
    thresholds: above the probabilities of deeper levels, up to its own.

    Parameters
    ----------
    p
        Probabilities of the classes for held-out samples, ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    tree
        The tree of the same classes.
    """
    node, probability, depths = tree.levels(p)
    # Rounded down, so that a sample reaches a threshold taken from its own probability.
    reach = np.floor(probability * STEPS + 1e-3) / STEPS
    reach = np.maximum.accumulate(np.minimum(reach, 1.0), axis=0)
    low = np.vstack([np.zeros((1, len(p))), reach[:-1]])
    used = (reach > low) & (reach >= LOWEST_THRESHOLD)
    high, low = reach[used], low[used]
    wrong = ~tree.claims[node, truth_index[None, :]][used]
    depth = np.broadcast_to(depths[:, None], node.shape)[used]
    thresholds = np.unique(np.append(high, LOWEST_THRESHOLD))[::-1]

    def count(weights: NDArray[np.int64]) -> NDArray[np.int64]:
        return _at_least(high, weights, thresholds) - _at_least(low, weights, thresholds)

    return ThresholdTable(
        thresholds,
        answered=count(np.ones(len(high), dtype=np.int64)),
        errors=count(wrong.astype(np.int64)),
        depth=count(depth.astype(np.int64)),
        samples=len(p),
    )


def fit_threshold(
    p: NDArray[np.float64],
    truth_index: NDArray[np.int64],
    tree: LabelTree,
    target: float,
) -> OperatingPoint:
    """Choose the lowest threshold at which enough answers are right.

    Two conditions must hold: (errors + 1) / (answers + 1) is at most 1 - ``target``; and
    the precision is at least ``target`` for higher thresholds too, down to half as many
    answers, so that no threshold is chosen by luck. Still higher thresholds are not
    considered, because a single wrong label could decide there.

    Parameters
    ----------
    p
        Probabilities of the classes for held-out samples, ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    tree
        The tree of the same classes.
    target
        The share of answers that should be right: the true class is in the
        answer, or is the answer.

    Returns
    -------
    OperatingPoint
        Its threshold is :data:`NEVER` if no threshold meets the conditions.
    """
    table = threshold_table(p, truth_index, tree)
    allowed = 1 - target
    stays = table.errors <= allowed * table.answered + 1e-9
    broken = np.concatenate([[0], np.cumsum(~stays)])
    half = np.searchsorted(table.answered, table.answered / 2, side="left")
    unbroken = broken[1:] == broken[half]
    cautious = table.errors + 1 <= allowed * (table.answered + 1) + 1e-9
    good = np.flatnonzero(unbroken & cautious)
    if len(good) == 0:
        return OperatingPoint(target, NEVER, None, 0.0, table.samples, None)
    best = int(good[-1])
    answered = int(table.answered[best])
    return OperatingPoint(
        target_precision=target,
        threshold=float(table.thresholds[best]),
        precision=float(table.precision[best]),
        answered=answered / table.samples,
        samples=table.samples,
        mean_depth=float(table.mean_depth[best]),
    )


def risk_coverage(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], model_kind: str = "combined"
) -> Curve:
    """Return the share of wrong answers as a function of the share of answered samples.

    Samples are answered in descending order of confidence; samples of equal confidence
    are answered together.

    Parameters
    ----------
    confidence, correct
        Shape ``(samples,)``.
    model_kind
        The model kind that gives the answers.

    Returns
    -------
    Curve
        At most 200 points, the last with all samples; no points without samples.
    """
    order = np.argsort(-confidence, kind="stable")
    ordered = confidence[order]
    wrong = np.cumsum(~correct[order])
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], len(ordered) > 0))
    if len(ends) > MOST_POINTS:
        ends = ends[np.linspace(0, len(ends) - 1, MOST_POINTS).round().astype(np.int64)]
    points = tuple(
        CurvePoint(x=(end + 1) / len(order), y=float(wrong[end]) / (end + 1), samples=end + 1)
        for end in ends.tolist()
    )
    return Curve(RISK_COVERAGE, model_kind, points)


def reliability(
    probabilities: NDArray[np.float64],
    truth_index: NDArray[np.int64],
    bins: int = 15,
    model_kind: str = "combined",
) -> Curve:
    """Return accuracy as a function of confidence (Naeini et al. 2015).

    Parameters
    ----------
    probabilities
        Shape ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    bins
        Number of equally wide bins of the highest probability; empty bins give no point.
    model_kind
        The model kind that gives the probabilities.
    """
    confidence = probabilities.max(axis=1)
    correct = (probabilities.argmax(axis=1) == truth_index).astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    size = np.bincount(bin_of, minlength=bins)
    mean_confidence = _divided(np.bincount(bin_of, weights=confidence, minlength=bins), size)
    accuracy = _divided(np.bincount(bin_of, weights=correct, minlength=bins), size)
    points = tuple(
        CurvePoint(float(mean_confidence[number]), float(accuracy[number]), int(size[number]))
        for number in np.flatnonzero(size)
    )
    return Curve(RELIABILITY, model_kind, points)


def _at_least(
    values: NDArray[np.float64], weights: NDArray[np.int64], thresholds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the total weight of the values that reach each threshold."""
    order = np.argsort(values, kind="stable")
    total = np.concatenate([[0], np.cumsum(weights[order])])
    below = np.searchsorted(values[order], thresholds, side="left")
    return np.asarray(total[-1] - total[below], dtype=np.int64)


def _divided(
    above: NDArray[np.int64] | NDArray[np.float64], below: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Divide arrays; the result is NaN where the divisor is 0."""
    result = np.full(len(below), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
