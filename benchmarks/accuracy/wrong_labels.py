"""Give some samples of a real atlas a wrong tissue and count how many are listed as suspects.

Labels are swapped before anything is trained; then whole datasets are held out, and labels
are ranked by the predictions of models that were fitted without the dataset.

    python -m benchmarks.accuracy.wrong_labels --data ../shared/data --json wrong_labels.json
    python -m benchmarks.accuracy.wrong_labels --atlas cellular_micrornaome --quick

There are three schemes: "uniform" gives a sample another class at random; "exchange" exchanges
the labels of two samples of different classes; "inside" exchanges those of two samples in the
same dataset, which is the hardest, since the dataset's other labels no longer help; fewer can
be exchanged in datasets with one class. "found" is the share of all swapped labels among the
first 5 % of the held-out samples; "margin" is the same share if labels are ranked by
log P(predicted) - log P(label) alone; "area" is the area under the curve of labels found against
samples examined; "listed" is the share of samples in the list; "of list" is the share of the list
that was swapped. All other labels are assumed to be right, although some are not.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tabulate import tabulate

from annotator.domain.fields import Level
from annotator.domain.held_out import COMBINED
from annotator.learn.labels.classes import LabelOptions, class_index, make_labels
from annotator.learn.models.presets import PRESETS
from annotator.learn.validation.plan import ModelPlan
from annotator.learn.validation.suspect_labels import label_log_odds, suspect_labels
from annotator.learn.validation.validate import Parallelism, one_dataset_out
from benchmarks.accuracy.robustness import read_cohort

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain.held_out import HeldOutPredictions
    from annotator.domain.profiles import Cohort
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.models.preset import Preset

ATLASES = {"cellular_micrornaome": ("group", "term"), "tcga": ("term",)}
SCHEMES = ("uniform", "exchange", "inside")
TOP = 0.05


@dataclass(frozen=True)
class Row:
    """The results of one run."""

    atlas: str
    level: str
    scheme: str
    seed: int
    samples: int
    swapped: int
    found: float
    margin: float
    area: float
    listed: float
    of_list: float
    accuracy: float
    seconds: float


def swap(
    cohort: Cohort, labels: NDArray[np.object_], scheme: str, share: float, seed: int
) -> tuple[Cohort, NDArray[np.bool_]]:
    """Return the cohort with swapped labels, and which; samples without a class keep theirs."""
    random = np.random.default_rng(seed)
    rows = random.permutation(np.flatnonzero(labels != ""))
    wanted = round(share * len(rows))
    values, wrong = cohort.values.copy(), np.zeros(len(labels), dtype=np.bool_)
    if scheme == "uniform":
        classes = sorted(set(labels[rows]))
        for row in rows[:wanted]:
            other = random.choice([name for name in classes if name != labels[row]])
            # A curated value below that class, with the frequency it has there.
            values[row] = cohort.values[random.choice(np.flatnonzero(labels == other))]
            wrong[row] = True
        return replace(cohort, values=values), wrong
    datasets = cohort.dataset_ids if scheme == "inside" else np.full(len(labels), "")
    for place, first in enumerate(rows):
        if wrong.sum() + 2 > wanted:
            break
        if wrong[first]:
            continue
        later = rows[place + 1 :]
        fit = ~wrong[later] & (labels[later] != labels[first])
        partners = later[fit & (datasets[later] == datasets[first])]
        if len(partners):
            second = partners[0]
            values[first], values[second] = values[second], values[first]
            wrong[[first, second]] = True
    return replace(cohort, values=values), wrong


def margin(predictions: HeldOutPredictions) -> NDArray[np.float64]:
    """Return log P(most probable other class) - log P(label)."""
    probabilities = np.maximum(predictions.probabilities[COMBINED], 1e-6)
    own = class_index(predictions.truth, predictions.classes)
    rows = np.arange(len(own))
    others = probabilities.copy()
    others[rows, own] = 0
    return np.asarray(np.log(others.max(axis=1)) - np.log(probabilities[rows, own]))


def share_found(score: NDArray[np.float64], wrong: NDArray[np.bool_], swapped: int) -> float:
    """Return the share of all swapped labels among the samples ranked first."""
    order = np.argsort(-score, kind="stable")
    return float(wrong[order][: math.ceil(TOP * len(score))].sum() / swapped)


def area(score: NDArray[np.float64], wrong: NDArray[np.bool_], swapped: int) -> float:
    """Return the area under found against examined; an unranked swapped sample is not found."""
    order = np.argsort(-score, kind="stable")
    return float((np.cumsum(wrong[order]) / swapped).mean())


def quick(preset: Preset) -> Preset:
    """Return the preset with only its linear kind."""
    linear = preset.changed({"network": None, "forest": None, "boosting": None})
    return replace(linear, name=f"{preset.name}, linear")


def run(
    atlas: tuple[str, Cohort, Ontology],
    level: str,
    scheme: str,
    seed: int,
    preset: Preset,
    options: argparse.Namespace,
) -> Row:
    """Swap labels, hold datasets out, rank the labels, and count the swapped ones found."""
    name, cohort, ontology = atlas
    definition = replace(cohort.definition, level=Level(level))
    cohort = replace(cohort, definition=definition)
    _, before = make_labels(cohort, ontology, LabelOptions())
    swapped, wrong = swap(cohort, before, scheme, options.share, seed)
    if not wrong.any():
        raise SystemExit(f"{name}: no labels to swap ({scheme}); raise --share")
    started = time.monotonic()
    predictions = one_dataset_out(
        swapped,
        ontology,
        ModelPlan(preset, seed=seed),
        folds=options.folds,
        parallel=Parallelism(workers=options.workers),
    ).predictions
    seconds = time.monotonic() - started
    row_of = {sample: row for row, sample in enumerate(cohort.profiles.sample_ids)}
    rows = np.array([row_of[sample] for sample in predictions.sample_ids])
    odds = label_log_odds(predictions)
    listed = suspect_labels(predictions)
    first = listed[: math.ceil(TOP * len(rows))]
    hits = [bool(wrong[row_of[each.sample_id]]) for each in listed]
    best = np.array(predictions.classes)[predictions.probabilities[COMBINED].argmax(axis=1)]
    return Row(
        atlas=name,
        level=level,
        scheme=scheme,
        seed=seed,
        samples=len(rows),
        swapped=int(wrong.sum()),
        found=sum(hits[: len(first)]) / int(wrong.sum()),
        margin=share_found(margin(predictions), wrong[rows], int(wrong.sum())),
        area=area(odds, wrong[rows], int(wrong.sum())),
        listed=len(listed) / len(rows),
        of_list=float(np.mean(hits)) if hits else math.nan,
        accuracy=float((best == before[rows]).mean()),
        seconds=seconds,
    )


def main() -> None:
    """Run everything, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--atlas", choices=tuple(ATLASES), action="append")
    parser.add_argument("--level", choices=("group", "term"), action="append")
    parser.add_argument("--scheme", choices=SCHEMES, action="append")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, from --first-seed")
    parser.add_argument("--first-seed", type=int, default=101)
    parser.add_argument("--share", type=float, default=0.03, help="share of labels to swap")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--workers", type=int, default=0, help="parallel folds; 0: one per core")
    parser.add_argument("--quick", action="store_true", help="use only the linear kind")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    preset = quick(PRESETS["default"]) if options.quick else PRESETS["default"]
    found: list[Row] = []
    for name in options.atlas or ATLASES:
        if not (options.data / name).is_dir():
            raise SystemExit(f"{options.data / name} is not here: nothing to run on")
        atlas = (name, *read_cohort(options.data / name))
        for level in (each for each in ATLASES[name] if each in (options.level or ATLASES[name])):
            for scheme in options.scheme or SCHEMES:
                for seed in range(options.first_seed, options.first_seed + options.seeds):
                    found.append(run(atlas, level, scheme, seed, preset, options))
                    print(
                        f"{name}, {level}, {scheme}, seed {seed}: found {found[-1].found:.3f}"
                        f" of {found[-1].swapped} in the first {TOP:.0%}",
                        flush=True,
                    )
    print()
    print(
        tabulate([asdict(row) for row in found], headers="keys", tablefmt="github", floatfmt=".3f")
    )
    if options.json:
        report = {"preset": preset.name, "share": options.share, "top": TOP, "folds": options.folds}
        rows = [asdict(row) for row in found]
        options.json.write_text(json.dumps(report | {"runs": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
