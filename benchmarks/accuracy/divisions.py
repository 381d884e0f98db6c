"""Choose settings on random divisions of the datasets, with everything fitted on one part.

    python -m benchmarks.accuracy.divisions --data ../shared/data
    python -m benchmarks.accuracy.divisions --only cellular-group --repeats 1
    python -m benchmarks.accuracy.divisions --seed 2
    python -m benchmarks.accuracy.divisions --report

The datasets of an atlas are divided into thirds at random, several times (``--repeats``).
Each third in turn is the test part and the other two are the training part, so that every
dataset is tested equally often. Everything is fitted on the training part, as in a
retraining: features, models, calibration, pooling and threshold (from grouped folds within
it). The test part is predicted once and only scored. Only the set of classes is decided on
all labels, as in a validation.

The benchmark compares each model kind, their combination, the two models of the paper's
preset, a plain logistic regression and a plain XGBoost (log reads per million, balanced
weights). It prints means over the divisions, in how many divisions each model is ahead of
each other one, whether the combination is behind a single kind beyond chance (over
datasets), and the results of the threshold: precision and answered share, beside the
largest share that any threshold on the same confidences could answer at the target
precision.

A setting of the presets changes only if it wins here in the median and loses beyond
chance nowhere. Settings chosen on the divisions of one seed are reported on those of
another (``--seed``), on which nothing was chosen. Fits are kept in the results folder,
so that a run can be made in parts; ``--report`` fits nothing and prints existing results.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import t as student
from tabulate import tabulate

from benchmarks.accuracy.real_data import ROOT, TASKS, chosen, import_atlas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.profiles import Cohort, Profiles
    from annotator.learn.labels.ontology import Ontology

SEED = 20200330
THIRDS = 3
REPEATS = 3
FOLDS = 10
TARGET = 0.95
COMBINED, LOGISTIC, XGBOOST = "combined", "logistic regression", "plain XGBoost"
PAPER = "paper's "
ANSWERS = ("threshold", "precision", "answered", "largest share")
DEFAULT_TASKS = ("cellular-group", "cellular-tissue", "tcga-tissue")


def third_of(dataset_ids: NDArray[np.object_], repeat: int, seed: int = SEED) -> NDArray[np.int64]:
    """Divide datasets into thirds at random; return the third of each sample, ``(samples,)``.

    The result does not depend on the order of the samples.
    """
    names, place = np.unique(dataset_ids.astype(str), return_inverse=True)
    order = np.random.default_rng([seed, repeat]).permutation(len(names))
    third = np.empty(len(names), dtype=np.int64)
    third[order] = np.arange(len(names)) % THIRDS
    return third[place]


@dataclass(frozen=True, eq=False)
class Labelled:
    """A cohort whose values are the classes, and the ontology that its labels roll up along."""

    cohort: Cohort
    classes: tuple[str, ...]
    ontology: Ontology
    too_general: frozenset[str]


def read_task(key: str, home: Path) -> Labelled:
    """Read a task's labelled samples from its atlas."""
    from annotator.domain.fields import LabelScheme, Level
    from annotator.jobs.retrain.plan import plan_of, read_labelled
    from annotator.learn.validation.validate import labelled_samples
    from annotator.settings import Settings
    from annotator.store.server.connection import open_database

    task = TASKS[key]
    settings = Settings(home=home, fields=task.fields())
    plan = plan_of(settings, task.field)
    with open_database(settings) as database:
        read, ontology = read_labelled(database, plan)
    found = labelled_samples(read.cohort, ontology, plan.models.labels)
    cohort, label_set = found.cohort, found.label_set
    if cohort.definition.scheme is LabelScheme.ONTOLOGY:
        # The values are the classes from here on: they are not grouped again.
        definition = replace(cohort.definition, level=Level.TERM)
        cohort = replace(cohort, definition=definition, values=found.labels)
    return Labelled(cohort, label_set.classes, ontology, label_set.too_general)


def fit_division(labelled: Labelled, number: int, seed: int, folds: int, target: Path) -> None:
    """Fit everything on the training part of a division, predict the test part, store both."""
    from annotator.learn.labels.classes import LabelOptions, make_labels, training_numbers
    from annotator.learn.models.presets import preset_for
    from annotator.learn.release.fitting import TrainingSamples, fit_field_model
    from annotator.learn.validation.plan import ModelPlan
    from annotator.learn.validation.validate import one_dataset_out

    cohort = labelled.cohort
    repeat, third = divmod(number, THIRDS)
    is_test = third_of(cohort.dataset_ids, repeat, seed) == third
    training, test = (cohort.take(np.flatnonzero(each)) for each in (~is_test, is_test))
    # The classes are already decided: none of them is too small here.
    options = LabelOptions(1, 1)
    preset = preset_for("default", cohort.field)
    plan = ModelPlan(preset, options, SEED)
    inner = one_dataset_out(training, labelled.ontology, plan, folds=folds)
    label_set, labels = make_labels(training, labelled.ontology, options)
    _, truth = make_labels(test, labelled.ontology, options)
    test, truth = _scored(test, truth, label_set.classes)
    numbers, limits = training_numbers(training, label_set)
    samples = TrainingSamples(
        training.profiles, labels, training.dataset_ids, label_set.classes, numbers, limits
    )
    model = fit_field_model(samples, cohort.definition, preset, SEED, threads=1)
    raw = model.predict_raw(test.profiles)
    papers = fit_field_model(
        replace(samples, numbers=None, limits=()),
        cohort.definition,
        preset_for("paper", cohort.field),
        SEED,
        threads=1,
    )
    predicted = papers.predict(test.profiles)
    others = {f"{PAPER}{kind}": predicted[kind] for kind in ("network", "forest")}
    others[LOGISTIC] = _plain_logistic(training, labels, test.profiles, label_set.classes)
    others[XGBOOST] = _plain_xgboost(training, labels, test.profiles, label_set.classes)
    _store(
        target,
        {
            "classes": np.array(label_set.classes, dtype=str),
            "kinds": np.array(sorted(raw), dtype=str),
            "others": np.array(sorted(others), dtype=str),
            "test_truth": truth.astype(str),
            "test_datasets": test.dataset_ids.astype(str),
            "test_novelty": model.novelty_scores(test.profiles, raw),
            **{f"test {kind}": p for kind, p in (raw | others).items()},
            "inner_truth": inner.raw.truth.astype(str),
            "inner_datasets": inner.raw.dataset_ids.astype(str),
            "inner_folds": inner.raw.folds,
            "inner_novelty": _numbers(inner.raw.novelty),
            **{f"inner {kind}": p for kind, p in inner.raw.probabilities.items()},
        },
    )


def _numbers(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
    assert values is not None
    return values


def _scored(
    test: Cohort, truth: NDArray[np.object_], classes: Sequence[str]
) -> tuple[Cohort, NDArray[np.object_]]:
    """Return the test samples whose class could be learned, and their classes."""
    rows = np.flatnonzero(np.isin(truth.astype(str), np.array(classes, dtype=str)))
    return test.take(rows), truth[rows]


def _store(target: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished.npz")
    np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]
    unfinished.replace(target)


def _plain_logistic(
    training: Cohort, labels: NDArray[np.object_], test: Profiles, classes: tuple[str, ...]
) -> NDArray[np.float64]:
    from annotator.learn.validation.baselines import reference_probabilities

    kinds = training.definition.feature_kinds
    return reference_probabilities(training.profiles, labels, test, classes, kinds)


def _plain_xgboost(
    training: Cohort, labels: NDArray[np.object_], test: Profiles, classes: tuple[str, ...]
) -> NDArray[np.float64]:
    """Fit XGBoost with its defaults on log reads per million, with balanced class weights."""
    from sklearn.utils.class_weight import compute_sample_weight
    from xgboost import XGBClassifier

    from annotator.learn.features.matrix import fit_features
    from annotator.learn.models.preset import LOG_RPM, UNSCALED, FeatureOptions

    fitted = fit_features(
        training.profiles,
        FeatureOptions(LOG_RPM, UNSCALED, maximum_zero_share=0.9),
        training.definition.feature_kinds,
    )
    index = np.array([classes.index(label) for label in labels])
    model = XGBClassifier(n_estimators=100, n_jobs=1, random_state=SEED)
    model.fit(
        fitted.transform(training.profiles),
        index,
        sample_weight=compute_sample_weight("balanced", index),
    )
    return np.asarray(model.predict_proba(fitted.transform(test)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Scored:
    """The results of one division.

    Attributes
    ----------
    correct
        Model to whether it is right for each test sample, ``(samples,)``.
    metrics
        Model to its metrics.
    confidence
        Confidence of the combination's most probable class, ``(samples,)``.
    dataset_ids, truth
        Datasets and true classes of the test samples, ``(samples,)``.
    answers
        Results of the threshold.
    """

    correct: dict[str, NDArray[np.bool_]]
    metrics: dict[str, dict[str, float]]
    confidence: NDArray[np.float64]
    dataset_ids: NDArray[np.object_]
    truth: NDArray[np.int64]
    answers: dict[str, float]


def score_division(file: Path, lineages: Mapping[str, tuple[str, ...]]) -> Scored:
    """Calibrate, pool and set the threshold on the training part; score the test part."""
    from annotator.domain.held_out import HeldOutPredictions
    from annotator.learn.models.presets import PRESETS
    from annotator.learn.selective.policy import SelectiveOptions
    from annotator.learn.validation.cross_calibration import (
        cross_calibrated,
        release_calibration,
        with_calibration,
    )
    from annotator.learn.validation.selective_metrics import fit_policy, reached_precision

    with np.load(file) as stored:
        found = {name: stored[name] for name in stored.files}
    kinds, classes = found["kinds"].tolist(), tuple(found["classes"].tolist())
    inner = HeldOutPredictions(
        sample_ids=np.arange(len(found["inner_truth"])).astype(str).astype(object),
        dataset_ids=found["inner_datasets"].astype(object),
        truth=found["inner_truth"].astype(object),
        folds=found["inner_folds"],
        classes=classes,
        probabilities={kind: found[f"inner {kind}"] for kind in kinds},
        novelty=found["inner_novelty"],
    )
    preset = PRESETS["default"]
    calibration = release_calibration(inner, preset)
    assert calibration is not None
    held_out, parts = cross_calibrated(inner, preset)
    options = reached_precision(held_out, parts, lineages, SelectiveOptions(TARGET))
    policy = fit_policy(with_calibration(inner, calibration), lineages, options)
    dataset_ids = found["test_datasets"].astype(object)
    raw = {kind: found[f"test {kind}"] for kind in kinds}
    calibrated, alone = calibration.apply(raw)
    combined = calibration.pooling.apply(alone, dataset_ids)
    probabilities = {COMBINED: combined, **calibrated}
    probabilities |= {name: found[f"test {name}"] for name in found["others"].tolist()}
    column = {name: place for place, name in enumerate(classes)}
    truth = np.array([column[name] for name in found["test_truth"].tolist()])
    correct = {name: p.argmax(axis=1) == truth for name, p in probabilities.items()}
    return Scored(
        correct,
        {name: _metrics(p, correct[name], truth, dataset_ids) for name, p in probabilities.items()},
        combined.max(axis=1),
        dataset_ids,
        truth,
        _answers(policy, combined, found["test_novelty"], truth, classes, lineages),
    )


def _metrics(
    p: NDArray[np.float64],
    correct: NDArray[np.bool_],
    truth: NDArray[np.int64],
    dataset_ids: NDArray[np.object_],
) -> dict[str, float]:
    from annotator.learn.selective.calibration import expected_calibration_error
    from annotator.learn.validation.metrics import area_under_roc, log_loss, mean_over_groups

    of_class = [
        mean_over_groups(correct[truth == each], dataset_ids[truth == each])
        for each in np.unique(truth)
    ]
    found = {
        "accuracy": float(correct.mean()),
        "mean over datasets": mean_over_groups(correct, dataset_ids),
        "mean over classes": float(np.mean(of_class)),
        "log loss": log_loss(p, truth),
        "calibration error": expected_calibration_error(p, truth),
    }
    if p.shape[1] == 2:
        found["AUC"] = area_under_roc(p[:, 1], truth == 1)
    return found


def _answers(
    policy: Any,
    combined: NDArray[np.float64],
    novelty: NDArray[np.float64],
    truth: NDArray[np.int64],
    classes: tuple[str, ...],
    lineages: Mapping[str, tuple[str, ...]],
) -> dict[str, float]:
    """Return precision, answered share, and the largest share at the target precision."""
    from annotator.learn.labels.answer_tree import NO_ANSWER, label_tree
    from annotator.learn.selective.policy import decide_nodes
    from annotator.learn.selective.threshold import threshold_table

    tree = label_tree(classes, lineages)
    answer = decide_nodes(policy, combined, novelty, tree).answer
    given = answer != NO_ANSWER
    table = threshold_table(combined, truth, tree)
    enough = table.precision >= TARGET
    return {
        "threshold": policy.operating_point.threshold,
        "answered": float(given.mean()),
        "precision": float(tree.claims[answer[given], truth[given]].mean())
        if given.any()
        else math.nan,
        "largest share": float(table.answered[enough].max(initial=0) / table.samples),
    }


def wins(scored: Sequence[Scored], metric: str) -> list[list[str]]:
    """Return in how many divisions the first model of each pair is ahead of the other."""
    models = list(scored[0].metrics)

    def ahead(first: str, other: str) -> str:
        if first == other:
            return ""
        return str(sum(s.metrics[first][metric] > s.metrics[other][metric] for s in scored))

    return [[first, *(ahead(first, other) for other in models)] for first in models]


def gain_over_datasets(
    scored: Sequence[Scored], first: str, other: str
) -> tuple[float, float, float]:
    """Return the mean gain in accuracy per dataset with its 95 % interval over datasets.

    A dataset that is tested in several divisions counts once, with its mean gain.
    """
    gains: dict[str, list[float]] = {}
    for each in scored:
        gain = each.correct[first].astype(float) - each.correct[other]
        for name in np.unique(each.dataset_ids.astype(str)):
            gains.setdefault(name, []).append(float(gain[each.dataset_ids == name].mean()))
    values = np.array([np.mean(each) for each in gains.values()])
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def pooled_calibration_error(scored: Sequence[Scored], model: str = COMBINED) -> float:
    """Return the calibration error over the test samples of all divisions together."""
    bins = 15
    confidence = np.concatenate([each.confidence for each in scored])
    right = np.concatenate([each.correct[model] for each in scored])
    bin_of = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    gap = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(right))


def report(key: str, scored: Sequence[Scored]) -> str:
    """Return the results of a task's divisions as text."""
    models = list(scored[0].metrics)
    metrics = list(scored[0].metrics[COMBINED])
    rows = [
        [model, *(float(np.mean([s.metrics[model][metric] for s in scored])) for metric in metrics)]
        for model in models
    ]
    parts = [
        f"{TASKS[key].title}: means over {len(scored)} divisions, "
        f"{np.mean([len(s.truth) for s in scored]):.0f} test samples of "
        f"{np.mean([len(set(s.dataset_ids)) for s in scored]):.0f} datasets each",
        tabulate(rows, headers=["model", *metrics], tablefmt="github", floatfmt=".3f"),
        "Divisions in which the model of the row is ahead of that of the column, accuracy",
        tabulate(wins(scored, "accuracy"), headers=["", *models], tablefmt="github"),
        "The combination's gain in accuracy, mean over datasets [95 % over datasets]",
        tabulate(
            [
                [model, _interval(gain_over_datasets(scored, COMBINED, model))]
                for model in models
                if model != COMBINED
            ],
            headers=["over", "gain"],
            tablefmt="github",
        ),
        _threshold_text(scored),
    ]
    return "\n\n".join(parts)


def _interval(found: tuple[float, float, float]) -> str:
    return "{:+.3f} [{:+.3f}; {:+.3f}]".format(*found)


def _threshold_text(scored: Sequence[Scored]) -> str:
    answers = [each.answers for each in scored]
    rows = [[number, *(each[name] for name in ANSWERS)] for number, each in enumerate(answers)]
    mean = {name: float(np.nanmean([each[name] for each in answers])) for name in answers[0]}
    rows.append(
        ["mean", *(mean[n] for n in ("threshold", "precision", "answered", "largest share"))]
    )
    return "\n\n".join(
        [
            f"The threshold, at a target precision of {TARGET}",
            tabulate(
                rows,
                headers=["division", *ANSWERS],
                tablefmt="github",
                floatfmt=".3f",
            ),
            f"Answered, of the largest share: {mean['answered'] / mean['largest share']:.3f};"
            f" calibration error over all test samples: {pooled_calibration_error(scored):.3f}",
        ]
    )


def lineages_of_task(labelled: Labelled) -> dict[str, tuple[str, ...]]:
    """Return the lineage of every class."""
    from annotator.domain.fields import FIELDS
    from annotator.learn.labels.classes import lineages_of

    return lineages_of(
        labelled.classes,
        labelled.ontology,
        FIELDS[labelled.cohort.field],
        labelled.too_general,
    )


def _fit_one(data: tuple[Labelled, str, int, int, Path], number: int) -> int:
    labelled, key, seed, folds, out = data
    fit_division(labelled, number, seed, folds, division_file(out, key, seed, number))
    return number


def division_file(out: Path, key: str, seed: int, number: int) -> Path:
    """Return the file with the predictions of a division."""
    return out / "divisions" / f"{key}.{seed}.{number}.npz"


def summary(scored_of: Mapping[str, Sequence[Scored]]) -> str:
    """Return one table of all tasks: means over the divisions, one row per model."""
    shown = ("accuracy", "mean over datasets", "mean over classes")
    models = list(next(iter(scored_of.values()))[0].metrics)

    def cell(scored: Sequence[Scored], model: str) -> str:
        means = [np.mean([each.metrics[model][name] for each in scored]) for name in shown]
        return " / ".join(f"{mean:.3f}" for mean in means)

    rows = [[model, *(cell(scored, model) for scored in scored_of.values())] for model in models]
    rows += [
        ["calibration error", *(f"{pooled_calibration_error(s):.3f}" for s in scored_of.values())],
        *(
            [f"{name}, target {TARGET}", *(_mean_answer(s, name) for s in scored_of.values())]
            for name in ("precision", "answered", "largest share")
        ),
        ["divisions", *(str(len(scored)) for scored in scored_of.values())],
    ]
    headers = ["accuracy / over datasets / over classes", *(TASKS[key].title for key in scored_of)]
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def _mean_answer(scored: Sequence[Scored], name: str) -> str:
    return f"{np.nanmean([each.answers[name] for each in scored]):.3f}"


def run_task(key: str, options: argparse.Namespace) -> list[Scored]:
    """Fit the missing divisions of a task, and print the results of all."""
    import json

    from annotator.learn.running.parallel import Parallelism, run_all
    from annotator.logs import progress

    numbers = range(options.repeats * THIRDS)
    lineage_file = options.out / "divisions" / f"{key}.json"
    missing = [n for n in numbers if not division_file(options.out, key, options.seed, n).is_file()]
    if (missing and not options.report) or not lineage_file.is_file():
        with tempfile.TemporaryDirectory(prefix="annotator-divisions-") as scratch:
            home = Path(scratch) / "home"
            import_atlas(options.data / TASKS[key].atlas, home)
            labelled = read_task(key, home)
        lineage_file.parent.mkdir(parents=True, exist_ok=True)
        lineage_file.write_text(json.dumps(lineages_of_task(labelled)), encoding="utf-8")
        with progress(key, "divisions") as shown:
            parallel = Parallelism(workers=options.workers)
            data = (labelled, key, options.seed, options.folds, options.out)
            run_all(_fit_one, data, missing, parallel, shown)
    lineages = {name: tuple(of) for name, of in json.loads(lineage_file.read_text("utf-8")).items()}
    there = [n for n in numbers if division_file(options.out, key, options.seed, n).is_file()]
    scored = [
        score_division(division_file(options.out, key, options.seed, n), lineages) for n in there
    ]
    print(report(key, scored), end="\n\n", flush=True)
    return scored


def main() -> None:
    """Fit and report, task by task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument(
        "--only", type=lambda text: chosen(list(TASKS), text), default=list(DEFAULT_TASKS)
    )
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--seed", type=int, default=SEED, help="of the divisions")
    parser.add_argument("--folds", type=int, default=FOLDS, help="within each training part")
    parser.add_argument("--workers", type=int, default=0, help="0: one per core")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--report", action="store_true", help="fit nothing")
    options = parser.parse_args()
    for key in options.only:
        if not options.report and not (options.data / TASKS[key].atlas).is_dir():
            raise SystemExit(f"{options.data / TASKS[key].atlas} is not here: nothing to run on")
    print(summary({key: run_task(key, options) for key in options.only}))


if __name__ == "__main__":
    main()
