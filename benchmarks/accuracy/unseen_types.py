"""Compare the accuracy for samples of new datasets with that for samples of new cell types.

Each sample is predicted twice by models that have not learned from it. Once its whole
dataset is held out, as in ``real_data.py``; once its cell type is held out in every
dataset, while other types of its own dataset are learned from.

    python -m benchmarks.accuracy.unseen_types --data ../shared/data --json unseen_types.json
    python -m benchmarks.accuracy.unseen_types --presets default

Both are scored by the group of the type, on samples that both could score and whose dataset
was learned from while their type was held out; most datasets contain only one type. "only
here" are samples of types that no other dataset contains: with their dataset held out, type
and dataset are new; with their type held out, only the type is new. "elsewhere, too" are the
others: with their dataset held out, only the dataset is new. The last row of each is the
second minus the first, with the interval of the difference.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.learn.labels.classes import LabelOptions
from annotator.learn.models.presets import preset_for
from annotator.learn.release.fitting import TrainingSamples
from annotator.learn.running.parallel import Parallelism, run_all
from annotator.learn.validation.cross_calibration import cross_calibrated
from annotator.learn.validation.folds import FoldData, fit_and_predict
from annotator.learn.validation.splits import dataset_folds
from annotator.learn.validation.validate import labelled_samples, raw_predictions
from annotator.logs import progress
from benchmarks.accuracy.bootstrap import draws, estimate, shares
from benchmarks.accuracy.real_data import PRESETS, chosen
from benchmarks.accuracy.report import COMBINED, OURS, PAPER, PAPERS_MODELS, as_text, shown
from benchmarks.accuracy.robustness import read_cohort
from benchmarks.accuracy.runs import SEED, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.held_out import HeldOutPredictions
    from annotator.domain.profiles import Cohort
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.models.preset import Preset

ATLAS = "cellular_micrornaome"
DATASET, TYPE, DIFFERENCE = "dataset", "type", "difference"
MODELS = {PAPER: PAPERS_MODELS, OURS: (COMBINED,)}


@dataclass(frozen=True, eq=False)
class Labelled:
    """The samples that have a group.

    Attributes
    ----------
    cohort
        The samples; its values are their cell types.
    labels
        Group of each, ``(samples,)``.
    classes
        The groups.
    """

    cohort: Cohort
    labels: NDArray[np.object_]
    classes: tuple[str, ...]


def labelled(cohort: Cohort, ontology: Ontology) -> Labelled:
    """Give samples their groups and leave out those without one."""
    found = labelled_samples(cohort, ontology, LabelOptions())
    return Labelled(found.cohort, found.labels, found.label_set.classes)


def only_here(types: NDArray[np.object_], dataset_ids: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Return whether each sample has a type that no other dataset contains, ``(samples,)``."""
    pairs = set(zip(types.tolist(), dataset_ids.tolist(), strict=True))
    of_type = [name for name, _ in pairs]
    return np.array([of_type.count(name) == 1 for name in types.tolist()])


def others_learned(
    dataset_ids: NDArray[np.object_], fold_of: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether each sample's dataset also has samples in other folds, ``(samples,)``."""
    pairs = set(zip(dataset_ids.tolist(), fold_of.tolist(), strict=True))
    of_dataset = [name for name, _ in pairs]
    return np.array([of_dataset.count(name) > 1 for name in dataset_ids.tolist()])


def predict(
    given: Labelled,
    fold_of: NDArray[np.int64],
    preset: Preset,
    workers: int,
    report: Callable[[int, int], None],
) -> HeldOutPredictions:
    """Predict every sample by models that have not learned from its fold.

    Parameters
    ----------
    given
        The samples.
    fold_of
        The fold of each, ``(samples,)``.
    preset, workers, report
        How models are fitted, the number of parallel folds, and the function called with
        the progress.
    """
    cohort = given.cohort
    data = FoldData(
        samples=TrainingSamples(cohort.profiles, given.labels, cohort.dataset_ids, given.classes),
        definition=cohort.definition,
        fold_of=fold_of,
        preset=preset,
        seed=SEED,
        threads=1,
    )
    numbers = np.unique(fold_of).tolist()
    results = run_all(fit_and_predict, data, numbers, Parallelism(workers=workers), report)
    scored = [result for result in results if len(result.rows)]
    predictions, _ = cross_calibrated(raw_predictions(cohort, data, scored), preset)
    return predictions


def right_answers(
    given: Labelled, predictions: HeldOutPredictions, models: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Return 1 if a model is right, 0 if it is wrong, NaN if not scored, ``(samples,)`` each."""
    place = {name: row for row, name in enumerate(given.cohort.profiles.sample_ids.tolist())}
    rows = [place[name] for name in predictions.sample_ids.tolist()]
    found = {}
    for model in models:
        found[model] = np.full(len(given.labels), np.nan)
        found[model][rows] = predictions.correct(model)
    return found


def rows_of(
    given: Labelled,
    right: Mapping[str, Mapping[str, NDArray[np.float64]]],
    counted: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """Return the accuracy per part of the samples, with datasets and with types held out.

    Parameters
    ----------
    given
        The samples.
    right
        :data:`DATASET` and :data:`TYPE` to the result of :func:`right_answers` for each
        ``"preset model"``.
    counted
        Samples that count if all models scored them, ``(samples,)``.
    """
    scored = np.all([np.isfinite(each) for one in right.values() for each in one.values()], axis=0)
    rows = np.flatnonzero(scored & counted)
    ids = given.cohort.dataset_ids[rows]
    alone = only_here(given.cohort.values, given.cohort.dataset_ids)[rows]
    weights = draws(len(np.unique(ids.astype(str))), seed=SEED)
    found = []
    for title, part in (
        ("all", np.ones(len(rows))),
        ("type elsewhere, too", (~alone).astype(np.float64)),
        ("type only here", alone.astype(np.float64)),
    ):
        accuracy = {
            held_out: {
                model: shares(part * answers[rows], part, ids, weights)
                for model, answers in models.items()
            }
            for held_out, models in right.items()
        }
        accuracy[DIFFERENCE] = {
            model: known - accuracy[DATASET][model] for model, known in accuracy[TYPE].items()
        }
        found += [
            {
                "samples": title,
                "number": int(part.sum()),
                "held_out": held_out,
                "accuracy": {model: plain(estimate(each)) for model, each in models.items()},
            }
            for held_out, models in accuracy.items()
        ]
    return found


def main() -> None:
    """Run both ways with each preset and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--presets", type=lambda text: chosen(PRESETS, text), default=list(PRESETS))
    parser.add_argument("--folds", type=int, default=10, help="number of folds of datasets")
    parser.add_argument("--type-folds", type=int, default=20, help="number of folds of types")
    parser.add_argument("--workers", type=int, default=0, help="0: one per core")
    parser.add_argument("--json", type=Path, help="write all metrics to this file")
    options = parser.parse_args()
    if not (options.data / ATLAS).is_dir():
        raise SystemExit(f"{options.data / ATLAS} is not here: nothing to run on")
    given = labelled(*read_cohort(options.data / ATLAS))
    fold_of = {
        name: dataset_folds(groups, given.labels, folds, SEED)
        for name, groups, folds in (
            (DATASET, given.cohort.dataset_ids, options.folds),
            (TYPE, given.cohort.values, options.type_folds),
        )
    }
    right: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in fold_of}
    for preset in options.presets:
        for name, folds in fold_of.items():
            with progress(f"{preset}, {name} held out", "folds") as report:
                predictions = predict(
                    given, folds, preset_for(preset, "tissue"), options.workers, report
                )
            found = right_answers(given, predictions, MODELS[preset])
            right[name] |= {f"{preset} {model}": answers for model, answers in found.items()}
    rows = rows_of(given, right, others_learned(given.cohort.dataset_ids, fold_of[TYPE]))
    models = list(right[DATASET])
    cells = [
        [
            row["samples"],
            row["number"],
            row["held_out"],
            *(shown(row["accuracy"][each], row["held_out"] == DIFFERENCE) for each in models),
        ]
        for row in rows
    ]
    print(as_text((["samples", "number", "held out", *models], cells)))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
