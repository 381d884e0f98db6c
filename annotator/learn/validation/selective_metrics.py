"""What a release's answers can be trusted with, fitted and measured on held-out predictions.

Each held-out prediction is by models that had not seen the sample's dataset,
calibrated as the release calibrates its own. They give the operating point (the
threshold on the confidence of an answer), the prediction sets, and what raw novelty is
usual for samples of known classes. How a sample is then
decided on is in :mod:`annotator.learn.selective.policy`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import COMBINED, TERM_FIGURES, Curve, HeldOutPredictions, Metric
from annotator.learn.labels.answer_tree import NO_ANSWER, LabelTree, label_tree
from annotator.learn.selective.policy import QUANTILES, Trust, TrustOptions, decide_nodes
from annotator.learn.selective.pooling import beyond_chance
from annotator.learn.selective.prediction_sets import fit_prediction_sets
from annotator.learn.selective.threshold import fit_operating_point, reliability, risk_coverage
from annotator.learn.validation.metrics import (
    mean_over_groups,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.learn.validation.cross_calibration import Part

RAISES = 20
"""Steps from the target precision up to 1 that the threshold can be raised by."""


def fit_trust(
    held_out: HeldOutPredictions, lineages: Mapping[str, Sequence[str]], options: TrustOptions
) -> Trust:
    """Fit on held-out predictions how probabilities become answers.

    Parameters
    ----------
    held_out
        Of whole datasets held out, with the calibration of the release; ``"combined"`` is
        used, and ``novelty`` where there is some.
    lineages
        Class to its lineage, nearest first.
    options
        What is asked of the answers.

    Returns
    -------
    Trust

    Raises
    ------
    ValueError
        There are no held-out predictions.
    """
    if len(held_out.truth) == 0:
        raise ValueError("trust needs held-out predictions")
    p = held_out.probabilities[COMBINED]
    truth = held_out.truth_index
    tree = label_tree(held_out.classes, lineages)
    asked = options.fitted_precision or options.target_precision
    return Trust(
        replace(
            fit_operating_point(p, truth, tree, asked), target_precision=options.target_precision
        ),
        fit_prediction_sets(
            p, truth, held_out.dataset_ids, options.set_coverage, options.ordered_classes
        ),
        _quantiles(held_out.novelty),
        options.maximum_novelty,
    )


@dataclass(frozen=True, eq=False)
class _CrossFitted:
    """What samples are answered by trust that was fitted without their part."""

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
    options: TrustOptions,
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
        trust = fit_trust(part.others, lineages, options)
        raw = None if held_out.novelty is None else held_out.novelty[here]
        decided = decide_nodes(trust, p[here], raw, found.tree)
        found.answer[here], found.too_novel[here] = decided.answer, decided.too_novel
        found.inside[here] = trust.prediction_sets.sets(p[here])
    return found


def reached_precision(
    held_out: HeldOutPredictions,
    parts: Sequence[Part],
    lineages: Mapping[str, Sequence[str]],
    options: TrustOptions,
) -> TrustOptions:
    """Return options whose threshold does not miss the target precision beyond chance.

    What is fitted for is raised until the cross-fitted precision is no longer below the
    target by more than chance makes it with probability :data:`LARGEST_CHANCE` (one-sided
    t test of the wrong answers in excess over the datasets that are answered).

    Parameters
    ----------
    held_out, parts
        As for :func:`cross_fitted`; without parts the options are returned as they are.
    lineages, options
        As for :func:`fit_trust`.
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
    """Return whether precision is below the target beyond chance over datasets."""
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
    options: TrustOptions,
    new_terms: NDArray[np.bool_] | None = None,
) -> tuple[Metric, ...]:
    """Measure the answers on folds that trust was not fitted on.

    For each part trust is fitted on the others and decides for this one.

    ``answered``, ``answered_class``
        Share of samples that get an answer, and share that get their most
        probable class as the answer, not a broader term.
    ``precision``
        Share of answers that are right: the true class is in the answer.
    ``mean_depth``
        Of the answers, 0 for the top of the ontology.
    ``always_class_precision``, ``always_class_depth``
        The same if every sample were answered by its most probable class.
    ``always_top_precision``, ``always_top_depth``
        The same if every sample were answered by its most probable top term.
    ``prediction_set_coverage``, ``prediction_set_coverage_over_datasets``
        Share of prediction sets that hold the true class: mean over samples,
        and within datasets, then mean over datasets.
    ``prediction_set_size``
        Mean number of classes in a set.
    ``novelty_abstained``
        Share of samples, all of known classes, without an answer for being too
        novel; only where novelty was measured.
    ``accuracy_of_new_terms``, ``accuracy_of_learned_terms`` and the like
        Each of :data:`~annotator.domain.held_out.TERM_FIGURES` of the samples for which only other
        terms of their class were learned, and of the others. Only where both are told
        apart and there are such samples.

    Parameters
    ----------
    held_out
        Each sample calibrated by what the other parts show.
    parts
        From :func:`annotator.learn.validation.cross_calibration.cross_calibrated`.
    lineages, options
        As for :func:`fit_trust`.
    new_terms
        Whether training samples lacked the sample's curated value, which may have been
        merged into a broader class, ``(samples,)``.

    Returns
    -------
    tuple of Metric
        Of the kind ``"combined"``; metrics of answers are left out where there
        are none. Empty where there are no parts.
    """
    if not parts:
        return ()
    found = _cross_fit(held_out, parts, lineages, options)
    tree, p, truth, answer = found.tree, found.p, found.truth, found.answer
    too_novel, inside = found.too_novel, found.inside
    figures = _answer_figures(answer, p, truth, tree) | _fixed_depth_figures(p, truth, tree)
    covered = inside[np.arange(len(p)), truth]
    figures["prediction_set_coverage"] = float(covered.mean())
    figures["prediction_set_coverage_over_datasets"] = mean_over_groups(
        covered, held_out.dataset_ids
    )
    figures["prediction_set_size"] = float(inside.sum(axis=1).mean())
    if held_out.novelty is not None:
        figures["novelty_abstained"] = float(too_novel.mean())
    datasets, given = held_out.dataset_ids, answer != NO_ANSWER
    everything = np.ones(len(p), dtype=np.bool_)
    metrics = [
        _metric(name, value, datasets[given if name in ("precision", "mean_depth") else everything])
        for name, value in figures.items()
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
    """Return the figures of samples whose own term was learned, or was not."""
    if len(answer) == 0:
        return []
    figures = _answer_figures(answer, p, truth, tree)
    figures["accuracy"] = float((p.argmax(axis=1) == truth).mean())
    figures["prediction_set_coverage"] = float(covered.mean())
    behind = {"precision": dataset_ids[answer != NO_ANSWER]}
    return [
        _metric(f"{name}_of_{title}_terms", figures[name], behind.get(name, dataset_ids))
        for name in TERM_FIGURES
        if name in figures
    ]


def curves(held_out: HeldOutPredictions) -> tuple[Curve, ...]:
    """Draw the reliability and the risk-coverage curve of each model kind and combined."""
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
    """Return a figure of all kinds combined over the samples of these datasets."""
    return Metric(COMBINED, name, None, value, len(dataset_ids), len(set(dataset_ids)))


def _answer_figures(
    answer: NDArray[np.int64], p: NDArray[np.float64], truth: NDArray[np.int64], tree: LabelTree
) -> dict[str, float]:
    given = answer != NO_ANSWER
    figures = {
        "answered": float(given.mean()),
        "answered_class": float((answer == p.argmax(axis=1)).mean()),
    }
    if given.any():
        figures["precision"] = float(tree.claims[answer[given], truth[given]].mean())
        figures["mean_depth"] = float(tree.depth[answer[given]].mean())
    return figures


def _fixed_depth_figures(
    p: NDArray[np.float64], truth: NDArray[np.int64], tree: LabelTree
) -> dict[str, float]:
    top = tree.top
    of_top = tree.claims[top].astype(np.float64) @ p.T
    answers = {"class": p.argmax(axis=1), "top": top[of_top.argmax(axis=0)]}
    return {
        f"always_{name}_{figure}": float(values.mean())
        for name, answer in answers.items()
        for figure, values in (
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
    # Interpolation may leave the order by a rounding error.
    return tuple(np.maximum.accumulate(marks).tolist())
