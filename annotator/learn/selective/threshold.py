"""How sure an answer must be, so that as many answers are right as asked for.

One threshold on the probability of a node (:mod:`annotator.learn.labels.answer_tree`)
decides how deep each sample is answered and whether it is answered at all. It
is chosen on held-out predictions from the precision asked for, as in selective
classification (Geifman & El-Yaniv 2017, "Selective classification for deep
neural networks"), with the correction of conformal risk control (Angelopoulos
et al. 2022, arXiv:2208.02814): one further answer is counted, and counted as
wrong, so that little data means caution.
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
LOWEST_THRESHOLD = 0.5  # Below it two answers that exclude one another could both reach it.
NEVER = 2.0  # A threshold that no probability reaches.
STEPS = 1e6  # Thresholds are multiples of 1 / STEPS.


@dataclass(frozen=True)
class OperatingPoint:
    """How sure an answer must be.

    Attributes
    ----------
    target_precision
        The share of answers that should be right.
    threshold
        What the probability of an answer must reach; :data:`NEVER` where no
        threshold gives the precision asked for.
    precision
        The share of right answers among held-out samples, ``None`` without answers.
    answered
        The share of held-out samples that get an answer.
    samples
        How many held-out samples it was fitted on.
    mean_depth
        Of the answers, ``None`` without answers.
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
    """What every possible threshold gives on held-out samples.

    Attributes
    ----------
    thresholds
        Descending, float64, ``(thresholds,)``; the last is 0.5.
    answered, errors
        How many samples are answered at each, and how many of them wrongly, int64.
    depth
        The sum of the depths of the answers, int64.
    samples
        How many samples there are.
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

    A raised threshold turns the answer of a sample into a broader one and at
    last into none. Each level of depth thus gives the answer for one stretch of
    thresholds: above what deeper levels reach, up to what it reaches itself.

    Parameters
    ----------
    p
        Probabilities of the classes for held-out samples, ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    tree
        Of the same classes.
    """
    node, probability, depths = tree.levels(p)
    # Rounded down: a threshold taken from a sample is then reached by that sample.
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


def fit_operating_point(
    p: NDArray[np.float64],
    truth_index: NDArray[np.int64],
    tree: LabelTree,
    target: float,
) -> OperatingPoint:
    """Choose the lowest threshold at which enough answers are right.

    Both must hold: (errors + 1) / (answers + 1) is at most 1 - ``target``; and the
    precision stays at ``target`` for higher thresholds too, down to half as many
    answers, so that no lucky threshold is taken. What the very surest answers
    do is left out of it: there one wrong label would decide alone.

    Parameters
    ----------
    p
        Probabilities of the classes for held-out samples, ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    tree
        Of the same classes.
    target
        The share of answers that should be right: the true class is in the
        answer, or is the answer.

    Returns
    -------
    OperatingPoint
        Its threshold is :data:`NEVER` where none will do.
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
    """Return the share of wrong answers against the share of samples answered.

    The surest are answered first; samples of equal confidence are answered
    together.

    Parameters
    ----------
    confidence, correct
        Shape ``(samples,)``.
    model_kind
        Whose answers they are.

    Returns
    -------
    Curve
        At most 200 points, the last with all samples; none without samples.
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
    """Return accuracy against confidence (Naeini et al. 2015).

    Parameters
    ----------
    probabilities
        Shape ``(samples, classes)``.
    truth_index
        The column of each sample's class, ``(samples,)``.
    bins
        Equally wide bins of the highest probability; empty ones give no point.
    model_kind
        Whose probabilities they are.
    """
    confidence = probabilities.max(axis=1)
    correct = (probabilities.argmax(axis=1) == truth_index).astype(np.float64)
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    size = np.bincount(bin_of, minlength=bins)
    sure = _divided(np.bincount(bin_of, weights=confidence, minlength=bins), size)
    right = _divided(np.bincount(bin_of, weights=correct, minlength=bins), size)
    points = tuple(
        CurvePoint(float(sure[number]), float(right[number]), int(size[number]))
        for number in np.flatnonzero(size)
    )
    return Curve(RELIABILITY, model_kind, points)


def _at_least(
    values: NDArray[np.float64], weights: NDArray[np.int64], thresholds: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the summed weight of the values that reach each threshold."""
    order = np.argsort(values, kind="stable")
    total = np.concatenate([[0], np.cumsum(weights[order])])
    below = np.searchsorted(values[order], thresholds, side="left")
    return np.asarray(total[-1] - total[below], dtype=np.int64)


def _divided(
    above: NDArray[np.int64] | NDArray[np.float64], below: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Divide, NaN where there is nothing to divide by."""
    result = np.full(len(below), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
