"""Selective prediction, fitted and measured on held-out predictions.

Each held-out prediction comes from models fitted without the sample's dataset, with
the calibration of the release. From these predictions come the threshold on the
confidence of an answer, the prediction sets, and the distribution of raw novelty for
samples of known classes. :mod:`annotator.learn.selective.policy` then answers or
abstains.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import COMBINED, TERM_METRICS, Curve, HeldOutPredictions, Metric
from annotator.learn.labels.answer_tree import NO_ANSWER, LabelTree, label_tree
from annotator.learn.selective.policy import (
    QUANTILES,
    SelectiveOptions,
    SelectivePolicy,
    decide_nodes,
)
from annotator.learn.selective.pooling import beyond_chance
from annotator.learn.selective.prediction_sets import fit_prediction_sets
from annotator.learn.selective.threshold import fit_threshold, reliability, risk_coverage
from annotator.learn.validation.metrics import (
    mean_over_groups,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.learn.validation.cross_calibration import Part

RAISES = 20
"""Number of steps from the target precision to 1 by which the fitted precision is raised."""


def fit_policy(
    held_out: HeldOutPredictions, lineages: Mapping[str, Sequence[str]], options: SelectiveOptions
) -> SelectivePolicy:
    """Fit the parameters of selective prediction on held-out predictions.

    Parameters
    ----------
    held_out
        Predictions for held-out datasets, with the calibration of the release;
        ``"combined"`` is used, and ``novelty`` if it was measured.
    lineages
        The lineage of each class, nearest term first.
    options
        The requirements for answers.

    Returns
    -------
    SelectivePolicy

    Raises
    ------
    ValueError
        There are no held-out predictions.
    """
    if len(held_out.truth) == 0:
        raise ValueError("selective prediction needs held-out predictions to be fitted on")
    p = held_out.probabilities[COMBINED]
    truth = held_out.truth_index
    tree = label_tree(held_out.classes, lineages)
    asked = options.fitted_precision or options.target_precision
    return SelectivePolicy(
        replace(fit_threshold(p, truth, tree, asked), target_precision=options.target_precision),
        fit_prediction_sets(
            p, truth, held_out.dataset_ids, options.set_coverage, options.ordered_classes
        ),
        _quantiles(held_out.novelty),
        options.maximum_novelty,
    )


@dataclass(frozen=True, eq=False)
class _CrossFitted:
    """The answers for samples, from parameters fitted without the samples' own part."""

    tree: LabelTree
    p: NDArray[np.float64]
    truth: NDArray[np.int64]
    answer: NDArray[np.int64]
    too_novel: NDArray[np.bool_]
    inside: NDArray[np.bool_]


def _cross_fit(
    held_out: HeldOutPredictions,
    parts: Sequence[Part],
    lineages: Mapping[str, Sequence[str]],
    options: SelectiveOptions,
) -> _CrossFitted:
    p = held_out.probabilities[COMBINED]
    found = _CrossFitted(
        label_tree(held_out.classes, lineages),
        p,
        held_out.truth_index,
        np.full(len(p), NO_ANSWER, dtype=np.int64),
        np.zeros(len(p), dtype=np.bool_),
        np.zeros(p.shape, dtype=np.bool_),
    )
    for part in parts:
        here = part.own
        policy = fit_policy(part.others, lineages, options)
        raw = None if held_out.novelty is None else held_out.novelty[here]
        decided = decide_nodes(policy, p[here], raw, found.tree)
        found.answer[here], found.too_novel[here] = decided.answer, decided.too_novel
        found.inside[here] = policy.prediction_sets.sets(p[here])
    return found


def reached_precision(
    held_out: HeldOutPredictions,
    parts: Sequence[Part],
    lineages: Mapping[str, Sequence[str]],
    options: SelectiveOptions,
) -> SelectiveOptions:
    """Return options whose threshold does not miss the target precision by more than chance.

    The fitted precision is raised until the cross-fitted precision is no longer
    significantly below the target (one-sided t test of the excess of wrong answers, over
    the datasets with answers, at the level
    :data:`~annotator.learn.selective.pooling.LARGEST_CHANCE`).

    Parameters
    ----------
    held_out, parts
        As for :func:`cross_fitted`; without parts the options are returned as they are.
    lineages, options
        As for :func:`fit_policy`.
    """
    for step in range(RAISES):
        share = step / RAISES
        asked = options.target_precision + share * (1 - options.target_precision)
        raised = replace(options, fitted_precision=asked)
        found = _cross_fit(held_out, parts, lineages, raised)
        if not parts or not _missed(held_out, found, options.target_precision):
            return raised
    return raised


def _missed(held_out: HeldOutPredictions, found: _CrossFitted, asked: float) -> bool:
    """Return whether precision is below the target by more than chance over datasets."""
    given = found.answer != NO_ANSWER
    if not given.any():
        return False
    wrong = ~found.tree.claims[found.answer[given], found.truth[given]]
    _, dataset = np.unique(held_out.dataset_ids[given].astype(str), return_inverse=True)
    excess = np.bincount(dataset, weights=wrong - (1 - asked))
    return beyond_chance(np.asarray(excess, dtype=np.float64))


def cross_fitted(
    held_out: HeldOutPredictions,
    parts: Sequence[Part],
    lineages: Mapping[str, Sequence[str]],
    options: SelectiveOptions,
    new_terms: NDArray[np.bool_] | None = None,
) -> tuple[Metric, ...]:
    """Measure the answers on folds that selective prediction was not fitted on.

    For each part, selective prediction is fitted on the other parts.

    ``answered``, ``answered_class``
        Share of samples that get an answer, and share that get their most
        probable class as the answer, not a broader term.
    ``precision``
        Share of answers that are right: the true class is in the answer.
    ``mean_depth``
        Mean depth of the answers, 0 for the top of the ontology.
    ``always_class_precision``, ``always_class_depth``
        The same if every sample were answered with its most probable class.
    ``always_top_precision``, ``always_top_depth``
        The same if every sample were answered with its most probable top term.
    ``prediction_set_coverage``, ``prediction_set_coverage_over_datasets``
        Share of prediction sets that contain the true class: mean over samples,
        and within datasets, then mean over datasets.
    ``prediction_set_size``
        Mean number of classes in a set.
    ``novelty_abstained``
        Share of samples, all of known classes, without an answer because they are
        too novel; only if novelty was measured.
    ``accuracy_of_new_terms``, ``accuracy_of_learned_terms`` and so on
        Each of :data:`~annotator.domain.held_out.TERM_METRICS` for samples whose class was
        learned only from other terms, and for all others; only with ``new_terms`` and if
        there are samples of both.

    Parameters
    ----------
    held_out
        Predictions, each calibrated on the other parts.
    parts
        The parts from :func:`annotator.learn.validation.cross_calibration.cross_calibrated`.
    lineages, options
        As for :func:`fit_policy`.
    new_terms
        Whether no training sample had the sample's curated value, which may have been
        merged into a broader class, ``(samples,)``.

    Returns
    -------
    tuple of Metric
        Metrics of the kind ``"combined"``; those of answers are left out if there are no
        answers. Empty if there are no parts.
    """
    if not parts:
        return ()
    found = _cross_fit(held_out, parts, lineages, options)
    tree, p, truth, answer = found.tree, found.p, found.truth, found.answer
    too_novel, inside = found.too_novel, found.inside
    values = _answer_metrics(answer, p, truth, tree) | _fixed_depth_metrics(p, truth, tree)
    covered = inside[np.arange(len(p)), truth]
    values["prediction_set_coverage"] = float(covered.mean())
    values["prediction_set_coverage_over_datasets"] = mean_over_groups(
        covered, held_out.dataset_ids
    )
    values["prediction_set_size"] = float(inside.sum(axis=1).mean())
    if held_out.novelty is not None:
        values["novelty_abstained"] = float(too_novel.mean())
    datasets, given = held_out.dataset_ids, answer != NO_ANSWER
    everything = np.ones(len(p), dtype=np.bool_)
    metrics = [
        _metric(name, value, datasets[given if name in ("precision", "mean_depth") else everything])
        for name, value in values.items()
    ]
    if new_terms is not None and new_terms.any():
        for title, part in (("new", new_terms), ("learned", ~new_terms)):
            some = (answer[part], p[part], truth[part], covered[part], datasets[part])
            metrics += _term_metrics(title, *some, tree)
    return tuple(metrics)


def _term_metrics(
    title: str,
    answer: NDArray[np.int64],
    p: NDArray[np.float64],
    truth: NDArray[np.int64],
    covered: NDArray[np.bool_],
    dataset_ids: NDArray[np.object_],
    tree: LabelTree,
) -> list[Metric]:
    """Return the metrics of samples whose own terms are learned ones, or new ones."""
    if len(answer) == 0:
        return []
    values = _answer_metrics(answer, p, truth, tree)
    values["accuracy"] = float((p.argmax(axis=1) == truth).mean())
    values["prediction_set_coverage"] = float(covered.mean())
    behind = {"precision": dataset_ids[answer != NO_ANSWER]}
    return [
        _metric(f"{name}_of_{title}_terms", values[name], behind.get(name, dataset_ids))
        for name in TERM_METRICS
        if name in values
    ]


def curves(held_out: HeldOutPredictions) -> tuple[Curve, ...]:
    """Return the reliability and risk-coverage curves of each model kind and the combination."""
    truth = held_out.truth_index
    return tuple(
        curve
        for kind, p in held_out.probabilities.items()
        for curve in (
            reliability(p, truth, model_kind=kind),
            risk_coverage(p.max(axis=1), held_out.correct(kind), kind),
        )
    )


def _metric(name: str, value: float, dataset_ids: NDArray[np.object_]) -> Metric:
    """Return a metric of the combination over samples, given the dataset of each."""
    return Metric(COMBINED, name, None, value, len(dataset_ids), len(set(dataset_ids)))


def _answer_metrics(
    answer: NDArray[np.int64], p: NDArray[np.float64], truth: NDArray[np.int64], tree: LabelTree
) -> dict[str, float]:
    given = answer != NO_ANSWER
    values = {
        "answered": float(given.mean()),
        "answered_class": float((answer == p.argmax(axis=1)).mean()),
    }
    if given.any():
        values["precision"] = float(tree.claims[answer[given], truth[given]].mean())
        values["mean_depth"] = float(tree.depth[answer[given]].mean())
    return values


def _fixed_depth_metrics(
    p: NDArray[np.float64], truth: NDArray[np.int64], tree: LabelTree
) -> dict[str, float]:
    top = tree.top
    of_top = tree.claims[top].astype(np.float64) @ p.T
    answers = {"class": p.argmax(axis=1), "top": top[of_top.argmax(axis=0)]}
    return {
        f"always_{name}_{metric}": float(values.mean())
        for name, answer in answers.items()
        for metric, values in (
            ("precision", tree.claims[answer, truth]),
            ("depth", tree.depth[answer]),
        )
    }


def _quantiles(novelty: NDArray[np.float64] | None) -> tuple[float, ...]:
    if novelty is None:
        return ()
    known = novelty[np.isfinite(novelty)]
    if len(known) == 0:
        return ()
    marks = np.quantile(known, np.linspace(0, 1, QUANTILES))
    # Interpolation may violate the order by a rounding error.
    return tuple(np.maximum.accumulate(marks).tolist())
