"""Measure models on samples with fewer reads, missing features, or other names of features.

Trains on part of the datasets and predicts the others, undistorted and distorted:
with counts thinned to fewer reads, random features left out, or features renamed.

    python -m benchmarks.accuracy.robustness --data ../shared/data --json robustness.json
    python -m benchmarks.accuracy.robustness --simulated --plot robustness.svg

"answered" is the share of samples whose confidence reaches the threshold for 95 % precision on
the undistorted samples; "precision" is the share of those that are right. "matched" and
"approximate" are shares of a sample's reads; "known" is the median of known_features.
Probabilities are the mean of the model kinds, not calibrated.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from tabulate import tabulate

from annotator.domain.fields import FIELDS, Level
from annotator.domain.held_out import COMBINED
from annotator.domain.profiles import Cohort, Profiles
from annotator.learn.features.matrix import feature_coverage, total_reads
from annotator.learn.features.mirbase import members as members_of
from annotator.learn.features.mirbase import name_table, written
from annotator.learn.labels.classes import LabelOptions
from annotator.learn.labels.ontology import Ontology
from annotator.learn.models.presets import PRESETS
from annotator.learn.release.field_model import FieldModel
from annotator.learn.release.fitting import TrainingSamples, fit_field_model
from annotator.learn.validation.splits import dataset_folds
from annotator.learn.validation.validate import labelled_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.learn.models.preset import Preset
    from annotator.learn.release.field_model import FieldModel

READS = (1e7, 1e6, 1e5, 3e4, 1e4, 3e3, 1e3, 300, 100)
DROPPED = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
KNOWN_LIMITS = (0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, np.inf)
TARGET_PRECISION = 0.95


@dataclass(frozen=True, eq=False)
class Split:
    """A model and the samples of other datasets that it predicts."""

    model: FieldModel
    profiles: Profiles
    truth: NDArray[np.object_]
    dataset_ids: NDArray[np.object_]


@dataclass(frozen=True)
class Row:
    """The metrics of the samples after one distortion."""

    distortion: str
    level: str
    samples: int
    accuracy: float
    mean_over_datasets: float
    answered: float
    precision: float
    known: float
    matched: float
    approximate: float
    median_reads: float


# Distortions


def thinned(profiles: Profiles, reads: float, seed: int = 0) -> Profiles:
    """Draw about ``reads`` of each sample's sRNA reads; smaller samples stay as they are."""
    random = np.random.default_rng(seed)
    totals = total_reads(profiles)
    keep = np.minimum(1, np.divide(reads, totals, out=np.ones_like(totals), where=totals > 0))
    counts = profiles.counts.copy()
    whole = np.rint(counts.data).astype(np.int64)
    drawn = random.binomial(whole, np.repeat(keep, np.diff(counts.indptr)))
    counts.data = drawn.astype(np.float32)
    counts.eliminate_zeros()
    return replace(profiles, counts=counts)


def without_features(profiles: Profiles, share: float, seed: int = 0) -> Profiles:
    """Leave out a share of the features, drawn at random, the same for all samples."""
    number = len(profiles.features)
    order = np.random.default_rng(seed).permutation(number)
    kept = np.sort(order[round(share * number) :])
    return Profiles(
        profiles.sample_ids,
        profiles.features[kept],
        profiles.kinds[kept],
        csr_matrix(profiles.counts[:, kept]),
    )


def renamed(profiles: Profiles, rename: Callable[[str], str]) -> Profiles:
    """Rename features; those that get the same name are summed."""
    new = [rename(name) for name in profiles.features.tolist()]
    names = list(dict.fromkeys(new))
    position = {name: column for column, name in enumerate(names)}
    columns = np.array([position[name] for name in new])
    kinds = np.empty(len(names), dtype=object)
    kinds[columns] = profiles.kinds
    summing = csr_matrix(
        (np.ones(len(new), np.float32), (np.arange(len(new)), columns)), (len(new), len(names))
    )
    counts = csr_matrix(profiles.counts @ summing)
    counts.sort_indices()
    return Profiles(profiles.sample_ids, np.array(names, dtype=object), kinds, counts)


def without_species(name: str) -> str:
    """Return a name without the species: ``miR-21-5p`` for ``hsa-miR-21-5p``."""
    return name.removeprefix("hsa-")


def accession(name: str) -> str:
    """Return the accession, ``MIMAT0000076`` for ``hsa-miR-21-5p``; other names are unchanged."""
    known = name_table().accessions
    found = [known.get(member, {}).get("mature") for member in members_of(name)]
    return "/".join(each.upper() for each in found if each) if all(found) else name


@cache
def mature_names() -> Mapping[str, list[str]]:
    """Return each accession's names in all releases of the table."""
    names: dict[str, list[str]] = {}
    for name, by_kind in sorted(name_table().accessions.items()):
        if "mature" in by_kind and name.startswith("hsa-mir-"):
            names.setdefault(by_kind["mature"], []).append(name)
    return names


def other_release(name: str) -> str:
    """Return the name of a miRNA in another release, if it has one."""
    entry = name_table().accessions.get(name.lower(), {}).get("mature", "")
    others = [each for each in mature_names().get(entry, []) if each != name.lower()]
    return others[0].replace("hsa-mir-", "hsa-miR-") if others else name


def stem_loop(name: str) -> str:
    """Return the stem-loop, ``hsa-mir-21`` for ``hsa-miR-21-5p``; of merged names, the first's."""
    first = members_of(name)[0]
    if not first.startswith(("hsa-mir-", "hsa-let-")):
        return name
    entry = name_table().accessions.get(first, {}).get("mature")
    text = written(name_table().current[entry]) if entry else first
    return text.removesuffix("-5p").removesuffix("-3p")


def without_arm(name: str) -> str:
    """Return the name of releases up to 17: ``hsa-miR-21`` for ``-5p``, starred for ``-3p``."""
    if "/" in name or not name.startswith(("hsa-miR-", "hsa-let-")):
        return name
    return name.removesuffix("-5p") if name.endswith("-5p") else name.replace("-3p", "*")


RENAMINGS: Mapping[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "no species": without_species,
    "accessions": accession,
    "other release": other_release,
    "stem-loops": stem_loop,
    "no arms": without_arm,
    "unknown names": lambda name: f"x{name[::-1]}",
}


def beside(profiles: Profiles, other: Sequence[str]) -> Profiles:
    """Add features without any reads, as a mirror has features of other samples."""
    further = [name for name in other if name not in set(profiles.features.tolist())]
    counts = profiles.counts.copy()
    counts.resize(counts.shape[0], counts.shape[1] + len(further))
    return Profiles(
        profiles.sample_ids,
        np.concatenate([profiles.features, np.array(further, dtype=object)]),
        np.concatenate([profiles.kinds, np.array(["srna"] * len(further), dtype=object)]),
        counts,
    )


def distortions(profiles: Profiles, seed: int) -> Iterator[tuple[str, str, Profiles]]:
    """Yield the name and extent of every distortion with the distorted copy."""
    yield "none", "", profiles
    for reads in READS:
        yield "reads", f"{reads:.0f}", thinned(profiles, reads, seed)
    for factor in (1e-2, 1e2):
        scaled = replace(profiles, counts=profiles.counts * np.float32(factor))
        yield "factor", f"{factor:g}", scaled
    for share in DROPPED:
        yield "features left out", f"{share:.0%}", without_features(profiles, share, seed)
    for name, rename in RENAMINGS.items():
        yield "names", name, renamed(profiles, rename)
    mixed = beside(renamed(profiles, accession), profiles.features.tolist())
    yield "names", "accessions beside", mixed


# Measuring


def mean_over(hits: NDArray[np.bool_], groups: NDArray[np.object_]) -> float:
    """Return the mean of the groups' means."""
    return float(np.mean([hits[groups == group].mean() for group in sorted(set(groups))]))


def lowest_threshold(
    confidence: NDArray[np.float64], hits: NDArray[np.bool_], target: float
) -> float:
    """Return the lowest threshold at which the target precision is reached."""
    order = np.argsort(-confidence, kind="stable")
    precision = np.cumsum(hits[order]) / np.arange(1, len(hits) + 1)
    reached = np.flatnonzero(precision >= target)
    return float(confidence[order[reached[-1]]]) if len(reached) else np.inf


def measure(split: Split, seed: int = 0) -> tuple[list[Row], list[dict[str, Any]]]:
    """Predict every distorted copy; return one row per copy, and accuracy by known_features.

    The latter is computed separately over all thinned copies and over all copies with
    features left out.
    """
    rows: list[Row] = []
    pooled: dict[str, list[tuple[NDArray[np.float64], NDArray[np.bool_]]]] = {}
    threshold = 0.0
    classes = np.array(split.model.classes, dtype=object)
    for what, level, profiles in distortions(split.profiles, seed):
        probabilities = split.model.predict(profiles)[COMBINED]
        confidence = probabilities.max(axis=1)
        hits = np.asarray(classes[probabilities.argmax(axis=1)] == split.truth)
        if what == "none":
            threshold = lowest_threshold(confidence, hits, TARGET_PRECISION)
        answered = confidence >= threshold
        known = split.model.known_features(profiles)
        coverage = feature_coverage(profiles, split.model.features)
        pooled.setdefault(what, []).append((known, hits))
        rows.append(
            Row(
                what,
                level,
                len(hits),
                float(hits.mean()),
                mean_over(hits, split.dataset_ids),
                float(answered.mean()),
                float(hits[answered].mean()) if answered.any() else float("nan"),
                float(np.median(known)),
                float(np.median(coverage.found)),
                float(np.median(coverage.approximate)),
                float(np.median(total_reads(profiles))),
            )
        )
    return rows, [
        row for what in ("reads", "features left out") for row in by_known(what, pooled[what])
    ]


def by_known(
    what: str, parts: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]]
) -> list[dict[str, Any]]:
    """Return the accuracy by the number of the model's features that samples express."""
    known = np.concatenate([part[0] for part in parts])
    hits = np.concatenate([part[1] for part in parts])
    bins = np.digitize(known, KNOWN_LIMITS) - 1
    return [
        {
            "distortion": what,
            "known_from": KNOWN_LIMITS[number],
            "samples": int((bins == number).sum()),
            "accuracy": float(hits[bins == number].mean()),
        }
        for number in range(len(KNOWN_LIMITS) - 1)
        if (bins == number).any()
    ]


# Data


def read_cohort(folder: Path, level: Level = Level.GROUP) -> tuple[Cohort, Ontology]:
    """Read the tissues of an atlas from its files."""
    import pandas as pd

    with (folder / "samples.tsv").open(encoding="utf-8", newline="") as handle:
        samples = list(csv.DictReader(handle, delimiter="\t"))
    table = pd.read_csv(folder / "counts.tsv.gz", sep="\t", index_col=0)
    counts = csr_matrix(table[[row["sample_id"] for row in samples]].to_numpy(np.float32).T)
    profiles = Profiles(
        np.array([row["sample_id"] for row in samples], dtype=object),
        np.array(table.index.tolist(), dtype=object),
        np.full(len(table), "srna", dtype=object),
        counts,
    )
    parents: dict[str, tuple[str, ...]] = {}
    ontology = folder / "ontology.tsv"
    if ontology.is_file():
        for line in ontology.read_text(encoding="utf-8").splitlines()[1:]:
            term, parent = line.split("\t")
            parents[term] = (*parents.get(term, ()), parent)
    values = [row["tissue"] for row in samples]
    dataset_ids = [row["dataset_id"] for row in samples]
    return cohort_of(profiles, dataset_ids, values, level), Ontology(parents)


def cohort_of(
    profiles: Profiles,
    dataset_ids: Sequence[str],
    tissues: Sequence[str],
    level: Level = Level.GROUP,
) -> Cohort:
    """Return a cohort of tissues."""
    return Cohort(
        replace(FIELDS["tissue"], level=level),
        profiles,
        np.array(dataset_ids, dtype=object),
        np.array(tissues, dtype=object),
        np.full(len(tissues), np.nan),
        {},
    )


def simulated_cohort(samples: int = 360, datasets: int = 36) -> tuple[Cohort, Ontology]:
    """Simulate an atlas and return it with its true tissues."""
    from annotator.atlas.simulate import SimulationOptions, simulate_atlas

    atlas = simulate_atlas(
        SimulationOptions(samples=samples, datasets=datasets, failed_libraries=0)
    )
    tissues = [str(atlas.truth["tissue"][name]) for name in atlas.profiles.sample_ids]
    dataset_ids = [sample.dataset_id for sample in atlas.samples]
    return cohort_of(atlas.profiles, dataset_ids, tissues), Ontology(atlas.terms)


def split_of(
    cohort: Cohort, ontology: Ontology, preset: Preset, seed: int, parts: int = 3
) -> Split:
    """Train on all but one of ``parts`` groups of datasets."""
    labelled = labelled_samples(cohort, ontology, LabelOptions())
    labels, datasets = labelled.labels, labelled.cohort.dataset_ids
    folds = dataset_folds(datasets, labels, parts, seed)
    training = np.flatnonzero(folds != 0)
    classes = tuple(sorted(set(labels[training])))
    asked = np.flatnonzero((folds == 0) & np.isin(labels.astype(str), classes))
    profiles = labelled.cohort.profiles
    samples = TrainingSamples(
        profiles.take(training), labels[training], datasets[training], classes
    )
    model = fit_field_model(samples, cohort.definition, preset, seed, threads=1)
    held_out = profiles.take(asked)
    return Split(model, held_out, labels[asked], datasets[asked])


# Output


def plot(rows: Sequence[Row], target: Path) -> None:
    """Plot accuracy and answered share against reads, features left out, and names."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), sharey=True, layout="constrained")
    plain = rows[0]
    for axis, what, label in zip(
        axes,
        ("reads", "features left out", "names"),
        ("sRNA reads of a sample, at most", "features left out", "features renamed"),
        strict=True,
    ):
        chosen = [row for row in rows if row.distortion == what]
        positions = range(len(chosen))
        for name, style in (
            ("accuracy", "o-"),
            ("precision", "^:"),
            ("answered", "s--"),
            ("known", "x-"),
        ):
            values = [min(getattr(row, name), 1.0) for row in chosen]
            line = axis.plot(positions, values, style if what != "names" else style[0], label=name)
            axis.axhline(min(getattr(plain, name), 1.0), color=line[0].get_color(), lw=0.4)
        axis.set_xticks(list(positions), [row.level for row in chosen], rotation=60, ha="right")
        axis.set_xlabel(label)
        axis.set_ylim(0, 1.02)
    axes[0].set_ylabel("share of held-out samples")
    axes[2].legend(loc="lower right", fontsize="small")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)
    plt.close(figure)


def main() -> None:
    """Train a model, predict the distorted samples, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--atlas", default="cellular_micrornaome")
    parser.add_argument("--simulated", action="store_true", help="use a simulated atlas instead")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all metrics to this file")
    parser.add_argument("--plot", type=Path, help="draw to this .svg or .png file")
    options = parser.parse_args()
    folder = options.data / options.atlas
    if not options.simulated and not folder.is_dir():
        raise SystemExit(f"{folder} is not here: give --data, or --simulated to do without")
    cohort, ontology = simulated_cohort() if options.simulated else read_cohort(folder)
    started = time.monotonic()
    split = split_of(cohort, ontology, PRESETS[options.preset], options.seed)
    seconds = time.monotonic() - started
    rows, known = measure(split, options.seed)
    print(
        f"trained in {seconds:.0f} s; {len(split.truth)} samples of"
        f" {len(set(split.dataset_ids))} held-out datasets, {len(split.model.classes)} classes"
    )
    table = [asdict(row) for row in rows]
    print(tabulate(table, headers="keys", tablefmt="github", floatfmt=".3f"))
    print()
    print(tabulate(known, headers="keys", tablefmt="github", floatfmt=".3f"))
    if options.json:
        figures = {
            "atlas": "simulated" if options.simulated else options.atlas,
            "preset": options.preset,
            "seed": options.seed,
            "rows": table,
            "by_known_features": known,
        }
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
