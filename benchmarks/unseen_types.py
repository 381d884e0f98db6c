"""What makes a sample hard: its dataset, or its cell type, being new?

Each sample is predicted twice by models that have not learned from it. Once its whole
dataset is held out, as in ``real_data.py``; once its cell type is held out, in every
dataset, while the other types of its own dataset are learned from. The second time
nothing of the laboratory, the protocol or the sequencer is new.

    python benchmarks/unseen_types.py --data ../shared/data --json unseen_types.json
    python benchmarks/unseen_types.py --presets default

Both are scored by the group of the type, on samples that both could score. "only here"
are samples of types that no other dataset holds: with their dataset held out, type and
dataset are new, with their type held out the type alone. "elsewhere, too" are the others:
with their dataset held out only the dataset is new.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from bootstrap import draws, estimate, shares
from real_data import PRESETS, chosen
from report import COMBINED, OURS, PAPER, PAPERS_MODELS, as_text, shown
from robustness import read_cohort
from runs import SEED, plain

from annotator.domain import HeldOutPredictions
from annotator.learn.cross_calibration import cross_calibrated
from annotator.learn.folds import FoldData, fit_and_predict, take_profiles
from annotator.learn.labels import GROUP, LabelOptions, leaf_labels, make_labels
from annotator.learn.metrics import is_correct
from annotator.learn.parallel import Parallelism, run_all
from annotator.learn.presets import preset_for
from annotator.learn.splits import dataset_folds
from annotator.logs import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain import Cohort
    from annotator.learn.ontology import Ontology
    from annotator.learn.options import Preset

ATLAS = "cellular_micrornaome"
DATASET, TYPE = "dataset", "type"
MODELS = {PAPER: PAPERS_MODELS, OURS: (COMBINED,)}


@dataclass(frozen=True, eq=False)
class Labelled:
    """The samples that have a group.

    Attributes
    ----------
    cohort
        The samples; its values are their cell types.
    labels, leaves
        Group and leaf of each, ``(samples,)``.
    classes
        The groups.
    """

    cohort: Cohort
    labels: NDArray[np.object_]
    leaves: NDArray[np.object_]
    classes: tuple[str, ...]


def labelled(cohort: Cohort, ontology: Ontology) -> Labelled:
    """Give samples their groups and leave out those without one."""
    options = LabelOptions(tissue_level=GROUP)
    label_set, labels = make_labels(cohort, ontology, options)
    leaves = leaf_labels(cohort, ontology, options, labels)
    rows = np.flatnonzero(labels.astype(str) != "")
    return Labelled(
        replace(
            cohort,
            profiles=take_profiles(cohort.profiles, rows),
            dataset_ids=cohort.dataset_ids[rows],
            values=cohort.values[rows],
            numbers=cohort.numbers[rows],
        ),
        labels[rows],
        leaves[rows],
        label_set.classes,
    )


def only_here(types: NDArray[np.object_], dataset_ids: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Say which samples are of a type that no other dataset holds, ``(samples,)``."""
    pairs = set(zip(types.tolist(), dataset_ids.tolist(), strict=True))
    of_type = [name for name, _ in pairs]
    return np.array([of_type.count(name) == 1 for name in types.tolist()])


def predict(
    given: Labelled,
    held_out_by: NDArray[np.object_],
    preset: Preset,
    folds: int,
    workers: int,
    said: Callable[[int, int], None],
) -> HeldOutPredictions:
    """Predict every sample by models that know nothing of its dataset, or of its type.

    Parameters
    ----------
    given
        The samples.
    held_out_by
        What is held out together, ``(samples,)``.
    preset, folds, workers, said
        How models are made, on how many folds, and who is told of them.
    """
    cohort = given.cohort
    data = FoldData(
        field=cohort.field,
        profiles=cohort.profiles,
        dataset_ids=cohort.dataset_ids,
        labels=given.labels,
        leaves=given.leaves,
        numbers=None,
        limits=(),
        feature_kinds=None,
        classes=given.classes,
        fold_of=dataset_folds(held_out_by, given.labels, folds, SEED),
        preset=preset,
        seed=SEED,
        threads=1,
    )
    numbers = np.unique(data.fold_of).tolist()
    results = run_all(fit_and_predict, data, numbers, Parallelism(workers=workers), said)
    found = [result for result in results if len(result.rows)]
    rows = np.concatenate([result.rows for result in found])
    order = np.argsort(rows)
    rows = rows[order]
    raw = HeldOutPredictions(
        sample_ids=cohort.profiles.sample_ids[rows],
        dataset_ids=cohort.dataset_ids[rows],
        truth=given.labels[rows],
        folds=data.fold_of[rows],
        classes=data.classes,
        probabilities={
            kind: np.concatenate([result.raw[kind] for result in found])[order]
            for kind in found[0].raw
        },
    )
    return cross_calibrated(raw, preset)


def right_answers(
    given: Labelled, predictions: HeldOutPredictions, models: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Return 1 where a model is right, 0 where not, NaN where not scored, ``(samples,)`` each."""
    place = {name: row for row, name in enumerate(given.cohort.profiles.sample_ids.tolist())}
    rows = [place[name] for name in predictions.sample_ids.tolist()]
    found = {}
    for model in models:
        found[model] = np.full(len(given.labels), np.nan)
        found[model][rows] = is_correct(predictions, model)
    return found


def rows_of(
    given: Labelled, right: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> list[dict[str, object]]:
    """Return accuracy for each part of the samples and each thing that was held out.

    Parameters
    ----------
    given
        The samples.
    right
        :data:`DATASET` and :data:`TYPE`, to what :func:`right_answers` found for each
        ``"preset model"``.
    """
    ids = given.cohort.dataset_ids
    scored = np.all([np.isfinite(each) for one in right.values() for each in one.values()], axis=0)
    alone = only_here(given.cohort.values, ids)
    weights = draws(len(np.unique(ids[scored].astype(str))), seed=SEED)
    found = []
    for title, part in (
        ("all", scored),
        ("type elsewhere, too", scored & ~alone),
        ("type only here", scored & alone),
    ):
        for held_out, models in right.items():
            accuracy = {
                model: plain(
                    estimate(
                        shares(
                            np.where(part, answers, 0.0)[scored],
                            part[scored].astype(np.float64),
                            ids[scored],
                            weights,
                        )
                    )
                )
                for model, answers in models.items()
            }
            found.append(
                {
                    "samples": title,
                    "number": int(part.sum()),
                    "held_out": held_out,
                    "accuracy": accuracy,
                }
            )
    return found


def main() -> None:
    """Run both ways with each preset and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--presets", type=lambda text: chosen(PRESETS, text), default=list(PRESETS))
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=0, help="0: one a core")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args()
    if not (options.data / ATLAS).is_dir():
        raise SystemExit(f"{options.data / ATLAS} is not here: nothing to run on")
    given = labelled(*read_cohort(options.data / ATLAS))
    held_out_by = {DATASET: given.cohort.dataset_ids, TYPE: given.cohort.values}
    right: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in held_out_by}
    for preset in options.presets:
        for name, groups in held_out_by.items():
            with progress(f"{preset}, {name} held out", "folds") as said:
                predictions = predict(
                    given,
                    groups,
                    preset_for(preset, "tissue"),
                    options.folds,
                    options.workers,
                    said,
                )
            found = right_answers(given, predictions, MODELS[preset])
            right[name] |= {f"{preset} {model}": answers for model, answers in found.items()}
    rows = rows_of(given, right)
    models = list(right[DATASET])
    cells = [
        [
            row["samples"],
            row["number"],
            row["held_out"],
            *(shown(row["accuracy"][model]) for model in models),
        ]
        for row in rows
    ]
    print(as_text((["samples", "number", "held out", *models], cells)))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
