"""Runs of the benchmark: the stored part of a validation, and the metrics made from it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.accuracy.bootstrap import (
    BASELINE,
    METRICS,
    Estimate,
    HeldOut,
    draws,
    estimate,
    gain,
    replicated,
    shares,
)
from benchmarks.accuracy.report import COMBINED, OURS, PAPER, PAPERS_MODELS, SELECTIVE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from annotator.domain.held_out import HeldOutPredictions
    from annotator.learn.selective.policy import SelectiveOptions
    from annotator.learn.validation.cross_calibration import Part
    from annotator.learn.validation.validate import Validation

SEED = 20200330


@dataclass(frozen=True)
class Run:
    """The results of one evaluation.

    Attributes
    ----------
    held_out
        Held-out samples with the predictions of models and baselines.
    description
        How datasets were held out, as text.
    metrics
        Metrics of the combination from the validation.
    answers
        Results of :func:`answers_of` per sample; empty without selective prediction.
    """

    held_out: HeldOut
    description: str
    metrics: Mapping[str, float]
    answers: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def answers_of(
    predictions: HeldOutPredictions,
    parts: Sequence[Part],
    lineages: Mapping[str, Sequence[str]],
    options: SelectiveOptions,
) -> dict[str, NDArray[np.float64]]:
    """Decide each sample by the threshold that was fitted on the other parts of the folds.

    Returns
    -------
    dict
        ``answered``, ``right`` (the true class is in the answer), ``class``
        (answered with the most probable class) and ``covered`` (the prediction set
        contains the true class) as 0 and 1, and ``size`` of the set; each
        ``(samples,)``. The means are those of
        :func:`annotator.learn.validation.selective_metrics.cross_fitted`.
    """
    from annotator.learn.validation.selective_metrics import fit_policy

    found = {
        name: np.zeros(len(predictions.truth))
        for name in ("answered", "right", "class", "covered", "size")
    }
    novelty = predictions.novelty
    for part in parts:
        here = np.flatnonzero(part.own)
        decisions = fit_policy(part.others, lineages, options).decide(
            predictions.probabilities[COMBINED][here],
            None if novelty is None else novelty[here],
            predictions.classes,
            lineages,
        )
        for row, decision in zip(here, decisions, strict=True):
            truth = predictions.truth[row]
            found["answered"][row] = decision.value is not None
            found["right"][row] = decision.value in lineages[truth]
            found["class"][row] = decision.value == decision.best_class
            found["covered"][row] = truth in decision.prediction_set
            found["size"][row] = len(decision.prediction_set)
    return found


def selective_estimates(run: Run) -> dict[str, dict[str, float | None]]:
    """Return the metrics of :data:`report.SELECTIVE`, with intervals if samples are known."""
    found = {
        name: plain(Estimate(run.metrics[name], math.nan, math.nan))
        for name in SELECTIVE
        if name in run.metrics
    }
    if not run.answers:
        return found
    datasets, answers = run.held_out.dataset_ids, run.answers
    weights = draws(len(set(datasets)), seed=SEED)
    everything = np.ones(len(datasets))
    for name, part, whole in (
        ("answered", answers["answered"], everything),
        ("precision", answers["right"], answers["answered"]),
        ("answered_class", answers["class"], everything),
        ("prediction_set_coverage", answers["covered"], everything),
        ("prediction_set_size", answers["size"], everything),
    ):
        values = shares(part, whole, datasets, weights)
        if math.isfinite(values[0]):
            found[name] = plain(estimate(values))
    return {name: found[name] for name in SELECTIVE if name in found}


def as_run(validation: Validation, answers: Mapping[str, NDArray[np.float64]] | None = None) -> Run:
    """Return the part of a validation that is stored."""
    predictions, baselines = validation.predictions, validation.baselines
    if baselines.sample_ids.tolist() != predictions.sample_ids.tolist():
        raise SystemExit("baselines and models were not scored on the same samples")
    column = {name: place for place, name in enumerate(predictions.classes)}
    held_out = HeldOut(
        sample_ids=predictions.sample_ids,
        dataset_ids=predictions.dataset_ids,
        truth=np.array([column[name] for name in predictions.truth], dtype=np.int64),
        folds=predictions.folds,
        classes=predictions.classes,
        probabilities=dict(predictions.probabilities)
        | {BASELINE + name: p for name, p in baselines.probabilities.items()},
    )
    metrics = {
        metric.name: metric.value
        for metric in validation.metrics
        if metric.model_kind == COMBINED and metric.class_name is None
    }
    return Run(held_out, validation.description, metrics, answers or {})


def save_run(path: Path, run: Run) -> None:
    """Write a run to one file that cannot run code; an interrupted run leaves no file."""
    held_out = run.held_out
    about = {
        "classes": held_out.classes,
        "models": list(held_out.probabilities),
        "description": run.description,
        "metrics": dict(run.metrics),
        "answers": list(run.answers),
    }
    arrays = {f"model_{i}": p for i, p in enumerate(held_out.probabilities.values())}
    arrays |= {f"answer_{name}": values for name, values in run.answers.items()}
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez_compressed(
        unfinished,
        about=np.array(json.dumps(about)),
        sample_ids=held_out.sample_ids.astype(str),
        dataset_ids=held_out.dataset_ids.astype(str),
        truth=held_out.truth,
        folds=held_out.folds,
        **arrays,
    )
    unfinished.replace(path)


def load_run(path: Path) -> Run:
    """Read a stored run."""
    with np.load(path, allow_pickle=False) as content:
        if "folds" not in content:
            raise SystemExit(
                f"{path} was written by an earlier version, without folds: delete it and run again"
            )
        about = json.loads(str(content["about"]))
        held_out = HeldOut(
            sample_ids=content["sample_ids"].astype(object),
            dataset_ids=content["dataset_ids"].astype(object),
            truth=content["truth"],
            folds=content["folds"],
            classes=tuple(about["classes"]),
            probabilities={model: content[f"model_{i}"] for i, model in enumerate(about["models"])},
        )
        answers = {name: content[f"answer_{name}"] for name in about["answers"]}
    return Run(held_out, about["description"], about["metrics"], answers)


def plain(found: Estimate) -> dict[str, float | None]:
    """Return an estimate for JSON, which has no NaN."""
    values = {"value": found.value, "low": found.low, "high": found.high}
    return {name: round(v, 5) if math.isfinite(v) else None for name, v in values.items()}


def same_samples(one: HeldOut, other: HeldOut) -> tuple[HeldOut, HeldOut] | None:
    """Return both on their common samples, in one order; ``None`` if that is not possible."""
    if one.classes != other.classes:
        return None
    _, first, second = np.intersect1d(
        one.sample_ids.astype(str), other.sample_ids.astype(str), return_indices=True
    )
    return (take(one, first), take(other, second)) if len(first) else None


def take(held_out: HeldOut, rows: NDArray[np.int64]) -> HeldOut:
    """Return some of the samples."""
    return HeldOut(
        held_out.sample_ids[rows],
        held_out.dataset_ids[rows],
        held_out.truth[rows],
        held_out.folds[rows],
        held_out.classes,
        {model: p[rows] for model, p in held_out.probabilities.items()},
    )


def metric_estimates(held_out: HeldOut) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return every metric of every model, with its interval."""
    weights = draws(len(set(held_out.dataset_ids)), seed=SEED)
    return {
        model: {
            name: plain(estimate(v)) for name, v in replicated(held_out, model, weights).items()
        }
        for model in held_out.probabilities
    }


def differences(runs: Mapping[str, Run]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return the gain of ours over the better of the paper's models, and over the baselines.

    Positive is better, also for the calibration error. Each replicate is compared with the
    model that is best in it.
    """
    found: dict[str, dict[str, dict[str, float | None]]] = {}
    if OURS not in runs:
        return found
    ours = runs[OURS].held_out
    rivals = {"baselines": (ours, [m for m in ours.probabilities if m.startswith(BASELINE)])}
    if PAPER in runs:
        paper = runs[PAPER].held_out
        rivals[PAPER] = (paper, [m for m in PAPERS_MODELS if m in paper.probabilities])
    for name, (rival, models) in rivals.items():
        pair = same_samples(ours, rival)
        if pair is None or not models:
            continue
        weights = draws(len(set(pair[0].dataset_ids)), seed=SEED)
        mine = replicated(pair[0], COMBINED, weights)
        theirs = [replicated(pair[1], model, weights) for model in models]
        found[name] = {
            metric: plain(estimate(gain(mine[metric], [one[metric] for one in theirs], metric)))
            for metric in METRICS
            if metric in mine
        }
    return found
