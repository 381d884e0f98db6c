"""The policy of selective prediction: from the probabilities of a release to answers.

A sample gets the deepest answer whose confidence reaches the threshold: its class
or a broader term. If no term reaches it, or if the sample is unlike all training
samples, the release abstains and gives the reason in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from annotator.learn.labels.answer_tree import NO_ANSWER, LabelTree, label_tree
from annotator.learn.selective.prediction_sets import PredictionSets
from annotator.learn.selective.threshold import OperatingPoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


QUANTILES = 101
NAMED = 2  # How many classes a reason names.


@dataclass(frozen=True, slots=True)
class SelectiveOptions:
    """The requirements for answers.

    Attributes
    ----------
    target_precision
        The share of answers that should be right.
    fitted_precision
        The precision that the threshold is fitted for; ``None`` for ``target_precision``.
        It is higher than the target if that was missed by more than chance
        (:func:`annotator.learn.validation.selective_metrics.reached_precision`).
    set_coverage
        The share of a new dataset's samples whose prediction set should contain
        the true class.
    maximum_novelty
        A sample gets no answer if a larger share than this of the held-out samples of
        known classes are more like the training samples; 1 excludes no sample.
    ordered_classes
        Whether the classes are ordered, as intervals of age are: prediction sets then
        have no gaps.
    """

    target_precision: float = 0.95
    set_coverage: float = 0.9
    maximum_novelty: float = 0.99
    ordered_classes: bool = False
    fitted_precision: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The suggestion or abstention for one sample.

    Attributes
    ----------
    value
        The answer, a class or a broader term; ``None`` for an abstention.
    confidence
        That of the answer; without one, the probability of the most probable class.
    prediction_set
        Classes, in descending order of probability.
    novelty
        The share of held-out samples of known classes that are more like the
        training samples; ``None`` if it was not measured.
    reason
        The reason for an abstention, ``None`` if there is an answer.
    best_class, best_probability
        The most probable class, whether or not it reaches the threshold, and its probability.
    lineage
        The answer and the terms above it; empty without an answer.
    """

    value: str | None
    confidence: float
    prediction_set: tuple[str, ...]
    novelty: float | None
    reason: str | None
    best_class: str
    best_probability: float
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True)
class SelectivePolicy:
    """The fitted parameters by which the probabilities of a release become answers.

    Attributes
    ----------
    operating_point
        The threshold on the confidence of answers.
    prediction_sets
        The rule by which classes are included in prediction sets.
    novelty_quantiles
        The quantiles 0, 0.01, ... 1 of the raw novelty of held-out samples of
        known classes; empty if novelty was not measured.
    maximum_novelty
        As in :class:`SelectiveOptions`.
    """

    operating_point: OperatingPoint
    prediction_sets: PredictionSets
    novelty_quantiles: tuple[Annotated[float, Meta(ge=-1e6, le=1e6)], ...]
    maximum_novelty: Annotated[float, Meta(ge=0, le=1)]

    def __post_init__(self) -> None:
        """Refuse invalid novelty quantiles.

        Raises
        ------
        ValueError
            Their number is wrong, or they are not in ascending order.
        """
        marks = self.novelty_quantiles
        if len(marks) not in (0, QUANTILES) or list(marks) != sorted(marks):
            raise ValueError(
                f"novelty quantiles must be in ascending order, and 0 or {QUANTILES} in number"
            )

    def novelty_quantile(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of held-out samples that are less novel than each sample.

        Parameters
        ----------
        raw
            Raw novelty scores, ``(samples,)``. NaN counts as the highest novelty.

        Returns
        -------
        NDArray[float64]
            Shape ``(samples,)``, between 0 and 1, linear between quantiles.

        Raises
        ------
        ValueError
            Novelty was not measured when this was fitted.
        """
        if not self.novelty_quantiles:
            raise ValueError("there are no novelty scores of held-out samples to compare with")
        marks = np.array(self.novelty_quantiles)
        place = np.searchsorted(marks, raw, side="left")  # NaN is placed last.
        upper = np.clip(place, 1, QUANTILES - 1)
        low, high = marks[upper - 1], marks[upper]
        step = np.divide(raw - low, high - low, out=np.zeros(len(raw)), where=high > low)
        share = (upper - 1 + np.clip(np.nan_to_num(step), 0, 1)) / (QUANTILES - 1)
        return np.where(place == 0, 0.0, np.where(place >= QUANTILES, 1.0, share))

    def decide(
        self,
        p: NDArray[np.float64],
        raw_novelty: NDArray[np.float64] | None,
        classes: Sequence[str],
        lineages: Mapping[str, Sequence[str]],
        field: str = "",
    ) -> list[Decision]:
        """Answer or abstain for each sample.

        Parameters
        ----------
        p
            Combined probabilities, ``(samples, classes)``.
        raw_novelty
            Raw novelty scores, ``(samples,)``. They are ignored if novelty was not
            measured when this was fitted.
        classes
            The class of each column.
        lineages
            The lineage of each class, nearest term first. An entry for a broader term
            is used as that term's own lineage.
        field
            The name of the field, for the reasons.

        Returns
        -------
        list of Decision
            One per sample, in their order.
        """
        if len(p) == 0:
            return []
        tree = label_tree(classes, lineages)
        found = decide_nodes(self, p, raw_novelty, tree)
        of_node = _node_lineages(tree, lineages)
        sets = _set_names(p, self.prediction_sets.sets(p), classes)
        novelty = [None] * len(p) if found.novelty is None else found.novelty.tolist()
        best, best_p = found.best.tolist(), found.best_probability.tolist()
        decisions = []
        for row, node in enumerate(found.answer.tolist()):
            answered = node != NO_ANSWER
            if answered:
                reason = None
            elif found.too_novel[row]:
                reason = _novelty_reason(novelty[row])
            else:
                reason = self._low_confidence_reason(p[row], classes, field)
            decisions.append(
                Decision(
                    value=tree.nodes[node] if answered else None,
                    confidence=float(found.confidence[row]) if answered else best_p[row],
                    prediction_set=sets[row],
                    novelty=novelty[row],
                    reason=reason,
                    best_class=classes[best[row]],
                    best_probability=best_p[row],
                    lineage=of_node[node] if answered else (),
                )
            )
        return decisions

    def _low_confidence_reason(
        self, p: NDArray[np.float64], classes: Sequence[str], field: str
    ) -> str:
        order = np.argsort(-p, kind="stable")[:NAMED].tolist()
        best = ", then ".join(f"{classes[column]} ({p[column]:.2f})" for column in order)
        precision = _percent(self.operating_point.target_precision)
        about = f" about {field}" if field else ""
        if self.operating_point.answers_at_all:
            problem = f"no answer{about} reaches the {precision} precision asked for"
        else:
            problem = (
                f"on held-out datasets no threshold made {precision} of the answers{about} right"
            )
        return f"{problem}: most probable is {best}"


@dataclass(frozen=True, eq=False)
class NodeDecisions:
    """Decisions as arrays, each ``(samples,)``.

    Attributes
    ----------
    answer
        Number of the node, or :data:`NO_ANSWER`.
    confidence
        The confidence of the node that reaches the threshold, NaN without one.
    best, best_probability
        The most probable class, and its probability.
    novelty
        The share of held-out samples that are less novel; ``None`` if it was not measured.
    too_novel
        Whether the release abstains because of novelty.
    """

    answer: NDArray[np.int64]
    confidence: NDArray[np.float64]
    best: NDArray[np.int64]
    best_probability: NDArray[np.float64]
    novelty: NDArray[np.float64] | None
    too_novel: NDArray[np.bool_]


def decide_nodes(
    policy: SelectivePolicy,
    p: NDArray[np.float64],
    raw_novelty: NDArray[np.float64] | None,
    tree: LabelTree,
) -> NodeDecisions:
    """Return the decisions of :meth:`SelectivePolicy.decide` as arrays, without reasons."""
    answer, confidence = tree.answers_and_probabilities(p, policy.operating_point.threshold)
    novelty = None
    too_novel = np.zeros(len(p), dtype=np.bool_)
    if raw_novelty is not None and policy.novelty_quantiles:
        novelty = policy.novelty_quantile(raw_novelty)
        too_novel = novelty > policy.maximum_novelty
    return NodeDecisions(
        np.where(too_novel, NO_ANSWER, answer),
        confidence,
        p.argmax(axis=1),
        p.max(axis=1),
        novelty,
        too_novel,
    )


def _node_lineages(tree: LabelTree, lineages: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return each node's lineage: the given one, or else one derived from its classes'."""
    result = []
    for number, name in enumerate(tree.nodes):
        if name in lineages:
            result.append(tuple(lineages[name]))
            continue
        over = {tree.nodes[other] for other in np.flatnonzero(tree.above[number])}
        member = tree.nodes[int(tree.members[number].argmax())]
        result.append((name, *(term for term in lineages.get(member, ()) if term in over)))
    return result


def _set_names(
    p: NDArray[np.float64], inside: NDArray[np.bool_], classes: Sequence[str]
) -> list[tuple[str, ...]]:
    order = np.argsort(-p, axis=1, kind="stable")
    sizes = inside.sum(axis=1).tolist()
    ordered = np.take_along_axis(inside, order, axis=1)
    columns = order[ordered].tolist()  # Row by row, the most probable first.
    result, start = [], 0
    for size in sizes:
        result.append(tuple(classes[column] for column in columns[start : start + size]))
        start += size
    return result


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def _novelty_reason(novelty: float | None) -> str:
    why = "its class may be unknown to the release, or the sample failed"
    if novelty is None or novelty >= 1:
        return f"unlike any held-out sample of the known classes: {why}"
    rounded_down = math.floor(1000 * novelty + 1e-6) / 1000
    return f"unlike {_percent(rounded_down)} of held-out samples of known classes: {why}"
