"""Leave classes out of training, and measure whether their samples are recognised as unknown.

Datasets are grouped into folds and classes are assigned to the same folds. The models
of a fold are trained without its datasets and without its classes. Known samples are
those of the fold's datasets whose class was learned; unknown samples are all samples of
the fold's classes, including those of datasets whose other samples were learned from,
which are harder to recognise. Thus every class is unknown once, and every dataset is new
once.

    python -m benchmarks.accuracy.unknown_classes --data ../shared/data --json unknown_classes.json

The AUROC compares unknown with known samples, over all folds and for each class with all
known samples. "novelty" is the score of the release, "distance" its part that needs no
models, "doubt" one minus the highest probability. "caught" is the share of unknown samples
that score above all but 1, 5 or 10 % of the known ones, for which the program would abstain
needlessly. Nonsensical samples are made from known ones and compared with them in the same
way.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score
from tabulate import tabulate

from annotator.domain.fields import Level
from annotator.learn.features.matrix import reads_per_million
from annotator.learn.labels.classes import LabelOptions
from annotator.learn.models.presets import PRESETS
from annotator.learn.release.fitting import TrainingSamples, fit_field_model
from annotator.learn.validation.splits import dataset_folds
from annotator.learn.validation.validate import labelled_samples
from benchmarks.accuracy.robustness import read_cohort

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.profiles import Cohort, Profiles
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.models.preset import Preset
    from annotator.learn.release.field_model import FieldModel

ATLASES = {"cellular_micrornaome": Level.GROUP, "tcga": Level.TERM}
SCORES = ("novelty", "distance", "doubt")
FALSE_ABSTENTIONS = (0.01, 0.05, 0.1)
STRANGE_OF_A_FOLD = 40

Scores = dict[str, "NDArray[np.float64]"]


@dataclass(frozen=True, eq=False)
class Fold:
    """The scores of one fold's samples: :data:`SCORES` to an array each."""

    known: Scores
    unknown: Mapping[str, Scores]
    strange: Mapping[str, Scores]
    training_samples: int
    accuracy: float


# Nonsensical samples


def _with_rows(profiles: Profiles, rows: NDArray[np.float32]) -> Profiles:
    return replace(profiles, counts=csr_matrix(rows))


def shuffled(profiles: Profiles, random: np.random.Generator) -> Profiles:
    """Shuffle every sample's counts over the features."""
    rows = random.permuted(profiles.counts.toarray(), axis=1)
    return _with_rows(profiles, rows)


def one_feature(profiles: Profiles, random: np.random.Generator) -> Profiles:
    """Assign all reads to one random feature."""
    rows = np.zeros(profiles.counts.shape, dtype=np.float32)
    column = random.integers(0, rows.shape[1], len(rows))
    rows[np.arange(len(rows)), column] = np.asarray(profiles.counts.sum(axis=1)).ravel()
    return _with_rows(profiles, rows)


def even(profiles: Profiles, random: np.random.Generator) -> Profiles:
    """Assign about the same number of reads to all features."""
    return _with_rows(profiles, random.poisson(100, profiles.counts.shape).astype(np.float32))


def thinned(profiles: Profiles, random: np.random.Generator) -> Profiles:
    """Keep 1 % of the reads: not nonsensical, but with less information."""
    counts = profiles.counts.copy()
    counts.data = random.binomial(np.rint(counts.data).astype(np.int64), 0.01).astype(np.float32)
    counts.eliminate_zeros()
    return replace(profiles, counts=counts)


STRANGE: Mapping[str, Callable[[Profiles, np.random.Generator], Profiles]] = {
    "counts shuffled over features": shuffled,
    "all reads in one feature": one_feature,
    "the same count everywhere": even,
    "1 % of the reads": thinned,
}


# Folds


def scores_of(model: FieldModel, profiles: Profiles) -> Scores:
    """Return every score of some samples."""
    raw = model.predict_raw(profiles)
    log_rpm = np.log2(1 + reads_per_million(profiles, model.features)).astype(np.float32)
    return {
        "novelty": model.novelty_scores(profiles, raw),
        "distance": model.novelty_reference.score(log_rpm),
        "doubt": 1 - np.mean(list(raw.values()), axis=0).max(axis=1),
    }


def run_fold(
    cohort: Cohort,
    labels: NDArray[np.object_],
    left_out: Sequence[str],
    held_out: NDArray[np.bool_],
    preset: Preset,
    seed: int,
) -> Fold:
    """Train without some classes and datasets, and score their samples."""
    unknown = np.isin(labels.astype(str), left_out)
    training = np.flatnonzero(~held_out & ~unknown)
    classes = tuple(sorted(set(labels[training].tolist())))
    samples = TrainingSamples(
        cohort.profiles.take(training), labels[training], cohort.dataset_ids[training], classes
    )
    model = fit_field_model(samples, cohort.definition, preset, seed, threads=1)
    known = np.flatnonzero(held_out & ~unknown & np.isin(labels.astype(str), classes))
    profiles = cohort.profiles.take(known)
    combined = np.mean(list(model.predict_raw(profiles).values()), axis=0)
    random = np.random.default_rng(seed)
    some = cohort.profiles.take(random.permutation(known)[:STRANGE_OF_A_FOLD])
    return Fold(
        known=scores_of(model, profiles),
        unknown={
            name: scores_of(model, cohort.profiles.take(np.flatnonzero(labels == name)))
            for name in left_out
        },
        strange={name: scores_of(model, change(some, random)) for name, change in STRANGE.items()},
        training_samples=len(training),
        accuracy=float(np.mean(np.array(classes)[combined.argmax(axis=1)] == labels[known])),
    )


def run_folds(
    cohort: Cohort,
    ontology: Ontology,
    preset: Preset,
    folds: int,
    seed: int,
) -> list[Fold]:
    """Run every fold and print the progress."""
    labelled = labelled_samples(cohort, ontology, LabelOptions())
    cohort, labels, label_set = labelled.cohort, labelled.labels, labelled.label_set
    fold_of = dataset_folds(cohort.dataset_ids, labels, folds, seed)
    found = []
    for number in range(folds):
        started = time.monotonic()
        left_out = label_set.classes[number::folds]
        fold = run_fold(cohort, labels, left_out, fold_of == number, preset, seed + number)
        found.append(fold)
        print(
            f"fold {number + 1} of {folds}: without {', '.join(left_out)};"
            f" {fold.training_samples} training samples, {len(fold.known['doubt'])} known samples,"
            f" accuracy {fold.accuracy:.3f}, {time.monotonic() - started:.0f} s",
            flush=True,
        )
    return found


# Metrics


def auroc(known: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return how often a sample of ``other`` scores higher than a known one."""
    truth = np.r_[np.zeros(len(known)), np.ones(len(other))]
    return float(roc_auc_score(truth, np.r_[known, other]))


def caught(known: NDArray[np.float64], other: NDArray[np.float64]) -> dict[str, float]:
    """Return the share of ``other`` above the threshold of each share of false abstentions."""
    return {
        f"{share:g}": float(np.mean(other > np.quantile(known, 1 - share)))
        for share in FALSE_ABSTENTIONS
    }


def together(parts: Sequence[Scores], score: str) -> NDArray[np.float64]:
    """Return one score of several parts, concatenated."""
    return np.concatenate([part[score] for part in parts])


def figures(folds: Sequence[Fold]) -> dict[str, Any]:
    """Return all metrics of a run."""
    unknown: dict[str, list[Scores]] = defaultdict(list)
    strange: dict[str, list[Scores]] = defaultdict(list)
    for fold in folds:
        for name, scores in fold.unknown.items():
            unknown[name].append(scores)
        for name, scores in fold.strange.items():
            strange[name].append(scores)
    every = [scores for parts in unknown.values() for scores in parts]
    result: dict[str, Any] = {
        "known_samples": sum(len(fold.known["doubt"]) for fold in folds),
        "unknown_samples": sum(len(scores["doubt"]) for scores in every),
        "classes": {name: len(together(parts, "doubt")) for name, parts in unknown.items()},
        "scores": {},
    }
    for score in SCORES:
        known = together([fold.known for fold in folds], score)
        of_class = {name: auroc(known, together(parts, score)) for name, parts in unknown.items()}
        result["scores"][score] = {
            "auroc": auroc(known, together(every, score)),
            "mean_over_classes": float(np.mean(list(of_class.values()))),
            "caught": caught(known, together(every, score)),
            "classes": of_class,
            "strange": {
                name: {
                    "auroc": auroc(known, together(parts, score)),
                    "caught": caught(known, together(parts, score)),
                }
                for name, parts in strange.items()
            },
        }
    return result


def show(found: Mapping[str, Any]) -> None:
    """Print the tables of one atlas."""
    scores = found["scores"]
    head = [
        "score",
        "AUROC",
        "mean over classes",
        *(f"caught at {s:.0%}" for s in FALSE_ABSTENTIONS),
    ]
    rows = [
        [name, each["auroc"], each["mean_over_classes"], *each["caught"].values()]
        for name, each in scores.items()
    ]
    print(f"\n{found['known_samples']} known and {found['unknown_samples']} unknown samples")
    print(tabulate(rows, head, tablefmt="github", floatfmt=".3f"))
    print("\nAUROC of each class left out")
    rows = [
        [name, samples, *(scores[score]["classes"][name] for score in SCORES)]
        for name, samples in found["classes"].items()
    ]
    print(tabulate(sorted(rows), ("class", "samples", *SCORES), tablefmt="github", floatfmt=".3f"))
    print("\nAUROC of samples that look like nothing, and the share caught by novelty at 1 %")
    rows = [
        [
            name,
            *(scores[score]["strange"][name]["auroc"] for score in SCORES),
            scores["novelty"]["strange"][name]["caught"]["0.01"],
        ]
        for name in STRANGE
    ]
    print(tabulate(rows, ("samples", *SCORES, "caught"), tablefmt="github", floatfmt=".3f"))
    print(flush=True)


def main() -> None:
    """Train without classes, score the samples left out, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--atlas", choices=tuple(ATLASES), action="append")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="default")
    parser.add_argument("--quick", action="store_true", help="use only the linear model kind")
    parser.add_argument("--folds", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all metrics to this file")
    options = parser.parse_args()
    preset = PRESETS[options.preset]
    if options.quick:
        preset = PRESETS["default"].changed({"network": None, "forest": None, "boosting": None})
    results: dict[str, Any] = {
        "preset": preset.name,
        "kinds": "linear" if options.quick else "all",
        "folds": options.folds,
        "seed": options.seed,
        "atlases": {},
    }
    for atlas in options.atlas or ATLASES:
        folder = options.data / atlas
        if not folder.is_dir():
            raise SystemExit(f"{folder} is not here: nothing to run on")
        cohort, ontology = read_cohort(folder, ATLASES[atlas])
        print(f"{atlas}, {preset.name} preset")
        folds = run_folds(cohort, ontology, preset, options.folds, options.seed)
        results["atlases"][atlas] = figures(folds)
        show(results["atlases"][atlas])
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
