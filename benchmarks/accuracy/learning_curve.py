"""Measure what further samples bring, with samples drawn as a preset's `training_samples` draws.

Datasets are divided into thirds at random, as in `divisions.py`. Each third in turn is
predicted by models that are fitted on the other two: on all of their samples, and on the
samples that are drawn of them for several maximum numbers. The answer is the product of the
model kinds, without calibration, which would need models of its own.

    python -m benchmarks.accuracy.learning_curve --data ../shared/data
    python -m benchmarks.accuracy.learning_curve --only tcga-tissue --most 500,1000,2000,4000

The table has means over the divisions, and the difference from fitting on all samples with its
95 % interval over datasets (resampled 1,000 times, all divisions together).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tabulate import tabulate

from benchmarks.accuracy.divisions import SEED, THIRDS, read_task, third_of
from benchmarks.accuracy.real_data import ROOT, TASKS, chosen, import_atlas
from benchmarks.speed.annotation_speed import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.accuracy.divisions import Labelled

REPLICATES = 1000
LEAST = 1e-9


@dataclass(frozen=True, eq=False)
class Curve:
    """The results of one division with one maximum number of samples.

    Attributes
    ----------
    most
        The maximum; 0 for all samples.
    fitted, of
        Number of samples that models were fitted on, and of which they were drawn.
    per_part
        Largest number of fitted samples per dataset and class.
    seconds
        Processor seconds of the fit.
    right
        Whether each test sample was given its class, ``(samples,)``.
    dataset_ids, truth
        Dataset and class of each test sample, ``(samples,)``.
    """

    most: int
    fitted: int
    of: int
    per_part: int
    seconds: float
    right: NDArray[np.bool_]
    dataset_ids: NDArray[np.object_]
    truth: NDArray[np.object_]


def fit_one(data: tuple[Labelled, Sequence[int]], number: int) -> Curve:
    """Fit one division with one maximum number of samples, and predict its test part."""
    import time

    from annotator.learn.labels.classes import LabelOptions, make_labels
    from annotator.learn.models.presets import preset_for
    from annotator.learn.release.fitting import TrainingSamples, fit_field_model
    from annotator.learn.validation.drawing import drawn_rows

    labelled, mosts = data
    division, place = divmod(number, len(mosts))
    most = mosts[place]
    cohort = labelled.cohort
    repeat, third = divmod(division, THIRDS)
    is_test = third_of(cohort.dataset_ids, repeat) == third
    training, test = (cohort.take(np.flatnonzero(each)) for each in (~is_test, is_test))
    options = LabelOptions(1, 1)
    label_set, labels = make_labels(training, labelled.ontology, options)
    rows = drawn_rows(labels, training.dataset_ids, most, SEED)
    drawn = training.take(rows)
    started = time.process_time()
    model = fit_field_model(
        TrainingSamples(drawn.profiles, labels[rows], drawn.dataset_ids, label_set.classes),
        cohort.definition,
        preset_for("default", cohort.field),
        SEED,
        threads=1,
    )
    seconds = time.process_time() - started
    _, truth = make_labels(test, labelled.ontology, options)
    known = np.flatnonzero([name in label_set.classes for name in truth])
    raw = model.predict_raw(test.profiles.take(known))
    score = sum(np.log(np.maximum(p, LEAST)) for p in raw.values())
    answers = np.array(label_set.classes, dtype=object)[np.asarray(score).argmax(axis=1)]
    _, parts = np.unique(
        np.char.add(labels[rows].astype(str), drawn.dataset_ids.astype(str)), return_counts=True
    )
    return Curve(
        *(most, len(rows), len(labels), int(parts.max()), seconds),
        answers == truth[known],
        test.dataset_ids[known],
        truth[known],
    )


def _over(right: NDArray[np.float64], groups: NDArray[np.object_]) -> float:
    """Return the mean over groups of the mean within each."""
    place = np.unique(groups.astype(str), return_inverse=True)[1]
    return float((np.bincount(place, right) / np.bincount(place)).mean())


def _joined(found: Sequence[Curve]) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    return (
        np.concatenate([one.right for one in found]).astype(np.float64),
        np.concatenate([one.dataset_ids for one in found]),
    )


def difference(found: Sequence[Curve], everything: Sequence[Curve]) -> tuple[float, float, float]:
    """Return the difference in accuracy from fitting on all samples, with its interval."""
    ours, datasets = _joined(found)
    theirs, _ = _joined(everything)
    place = np.unique(datasets.astype(str), return_inverse=True)[1]
    gain, size = np.bincount(place, ours - theirs), np.bincount(place)
    drawn = np.random.default_rng(SEED).integers(len(size), size=(REPLICATES, len(size)))
    low, high = np.quantile(gain[drawn].sum(axis=1) / size[drawn].sum(axis=1), [0.025, 0.975])
    return float(gain.sum() / size.sum()), float(low), float(high)


def table(results: Sequence[Curve]) -> str:
    """Return the table of a task."""
    rows = []
    everything = [one for one in results if one.most == 0]
    for most in sorted({one.most for one in results}, key=lambda each: each or np.inf):
        found = [one for one in results if one.most == most]
        right, _ = _joined(found)
        seconds, of_all = (np.array([one.seconds for one in each]) for each in (found, everything))
        rows.append(
            [
                "all" if most == 0 else most,
                round(np.mean([one.fitted for one in found])),
                max(one.per_part for one in found),
                f"{right.mean():.3f}",
                f"{np.mean([_over(one.right, one.dataset_ids) for one in found]):.3f}",
                f"{np.mean([_over(one.right, one.truth) for one in found]):.3f}",
                "{:+.3f} [{:+.3f}; {:+.3f}]".format(*difference(found, everything)),
                f"{np.mean(seconds / of_all):.2f}",
            ]
        )
    headers = (
        *("at most", "fitted", "per dataset and class", "accuracy", "over datasets"),
        *("over classes", "difference in accuracy", "time of the fit, of that on all"),
    )
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)


def main() -> None:
    """Fit and report, task by task."""
    from annotator.learn.running.parallel import Parallelism, run_all
    from annotator.logs import progress

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument(
        *("--only",),
        type=lambda text: chosen(list(TASKS), text),
        default=["cellular-group", "tcga-tissue"],
    )
    parser.add_argument("--most", type=numbers, default=[250, 500, 1000, 2000, 4000])
    parser.add_argument("--repeats", type=int, default=1, help="divisions are three times as many")
    parser.add_argument("--workers", type=int, default=0, help="0: one per core")
    options = parser.parse_args()
    mosts = [*options.most, 0]
    for key in options.only:
        with tempfile.TemporaryDirectory(prefix="annotator-curve-") as scratch:
            home = Path(scratch) / "home"
            import_atlas(options.data / TASKS[key].atlas, home)
            labelled = read_task(key, home)
        with progress(key, "fits") as shown:
            found = run_all(
                fit_one,
                (labelled, mosts),
                range(options.repeats * THIRDS * len(mosts)),
                Parallelism(workers=options.workers),
                shown,
            )
        # They arrive in any order; divisions must be in the same order for every maximum.
        found = sorted(found, key=lambda one: (one.most, tuple(sorted(set(one.dataset_ids)))))
        print(f"\n{TASKS[key].title}\n\n{table(found)}", flush=True)


if __name__ == "__main__":
    main()
