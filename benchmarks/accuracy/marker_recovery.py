"""Test which of the paper's enriched miRNAs (Table 4) are class markers on real atlases.

    python -m benchmarks.accuracy.marker_recovery --data ../shared/data
    python -m benchmarks.accuracy.marker_recovery --only tcga-tissue --json recovery.json
    python -m benchmarks.accuracy.marker_recovery --only cellular-group,tcga-tissue --document

The network of preset ``default`` is fitted once on all labelled samples of each atlas,
with the linear model that is its wide path, from the files and without a database; its
seed does not depend on the trees, which are left out. Markers are the network's own, as
in the paper (D1, section 2.3.4), which a release ranks beside those of its answer. The
test is that of a release: hypergeometric, with all features that the model could use as
background, and Benjamini-Hochberg over the categories and classes of an atlas.

There are two tables per atlas. The first compares each category of Table 4 with the
classes that were assigned to its tissue before anything was run, for the paper's 300
markers per class and for ``--few``, since 300 of a few hundred features are most of them.
The second lists the rank of every miRNA among the markers of these classes, and of the
class that ranks it best. As in a release, only features that are more abundant in a class
count. ``--document`` also fills the table of docs/measurements/explanations.md.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import vstack
from tabulate import tabulate

from annotator.atlas.names import table4
from annotator.domain.fields import FIELDS, FeatureKind, Level
from annotator.domain.profiles import Cohort, Profiles
from annotator.explain.class_scores import mean_differences
from annotator.explain.deep_lift import DeepLift
from annotator.explain.enrichment import expressed_features
from annotator.explain.markers import class_markers
from annotator.jobs.retrain.enrichment import named_features, reference_sets, release_enrichments
from annotator.learn.labels.classes import LabelOptions
from annotator.learn.labels.ontology import ontology_or_built_in
from annotator.learn.models.presets import preset_for
from annotator.learn.release.fitting import fit_field_model
from annotator.learn.validation.validate import labelled_samples
from annotator.reading.importers import read_counts, read_ontology, read_samples
from benchmarks.accuracy.runs import SEED
from benchmarks.document import fill_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.explanations import ClassEnrichment, ClassMarker
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.release.field_model import FieldModel

ROOT = Path(__file__).resolve().parents[2]
FIELD = "tissue"
PAPER_MARKERS = 300


@dataclass(frozen=True)
class Task:
    """One atlas at one level of its ontology, with its classes for the tissues of Table 4."""

    title: str
    atlas: str
    level: str
    expected: Mapping[str, tuple[str, ...]]


TASKS = {
    "cellular-group": Task(
        "cell types, groups",
        "cellular_micrornaome",
        Level.GROUP,
        {
            "skin": ("Epithelial",),
            "blood": ("Immune", "RBC", "Platelet", "Plasma"),
            "brain": ("Brain",),
            "muscle": ("Muscle",),
            "intestine": ("Epithelial",),
            "embryonic tissue": ("Stem",),
        },
    ),
    "cellular-tissue": Task(
        "cell types",
        "cellular_micrornaome",
        Level.TERM,
        {
            "skin": ("Keratinocyte",),
            "blood": ("Mononuclear_immune_cell", "Immune", "RBC", "Platelet", "Plasma"),
            "brain": ("Neuron",),
            "muscle": ("Muscle", "Myoblast"),
            "intestine": ("Epithelial",),
            "embryonic tissue": ("iPSC", "Embryonic_stem_cell_H9", "Stem"),
        },
    ),
    "tcga-tissue": Task(
        "TCGA, tissue",
        "tcga",
        Level.TERM,
        {
            "skin": ("skin",),
            "blood": ("lymph node (DLBC)",),  # its leukaemias come from only one site
            "brain": ("brain",),
            "muscle": ("soft tissue",),
            "intestine": ("colorectum",),
            "embryonic tissue": ("testis",),  # germ cell tumours
        },
    ),
}


def read_atlas(folder: Path) -> tuple[Cohort, Ontology]:
    """Read an atlas's files as the cohort of tissue."""
    values = {record.sample_id: record for record in read_samples(folder / "samples.tsv").records}
    with read_counts(folder / "counts.tsv.gz") as file:
        ids, counts = file.sample_ids, vstack([rows for _, rows in file.batches()], format="csr")
        features = np.array(file.feature_names, dtype=object)
    profiles = Profiles(
        np.array(ids, dtype=object),
        features,
        np.full(len(features), FeatureKind.SRNA.value, dtype=object),
        counts,
    )
    labelled = [values[name].values.get(FIELD, "") for name in ids]
    cohort = Cohort(
        FIELDS[FIELD],
        profiles,
        np.array([values[name].dataset_id for name in ids], dtype=object),
        np.array(labelled, dtype=object),
        np.full(len(ids), np.nan),
        {},
    )
    path = folder / "ontology.tsv"
    return cohort, ontology_or_built_in(read_ontology(path).parents if path.is_file() else {})


def fitted(cohort: Cohort, ontology: Ontology, level: Level) -> tuple[FieldModel, Profiles, Any]:
    """Fit the network on all samples with a class; return it, their profiles and their classes."""
    cohort = replace(cohort, definition=replace(cohort.definition, level=level))
    samples = labelled_samples(cohort, ontology, LabelOptions()).training_samples()
    preset = preset_for("default", FIELD).changed({"forest": None, "boosting": None})
    model = fit_field_model(samples, cohort.definition, preset, SEED)
    place = {name: number for number, name in enumerate(model.classes)}
    index = np.array([place[name] for name in samples.labels], dtype=np.int64)
    return model, samples.profiles, index


def all_markers(
    model: FieldModel,
    profiles: Profiles,
    class_index: NDArray[np.int64],
    means: NDArray[np.floating],
) -> tuple[ClassMarker, ...]:
    """Return every feature with a positive D1 per class."""
    network = model.network
    assert network is not None
    deep_lift = DeepLift(network.layers, network.wide)
    scores = mean_differences(deep_lift, model.inputs(profiles), class_index)
    return class_markers(scores, {}, (), means, model.features, model.classes, len(model.features))


def first(markers: Sequence[ClassMarker], count: int) -> list[ClassMarker]:
    """Return the first markers of each class."""
    return [marker for marker in markers if marker.rank <= count]


def recovered(
    enrichments: Sequence[ClassEnrichment], expected: Mapping[str, tuple[str, ...]]
) -> list[ClassEnrichment]:
    """Return the tests of the categories in the classes that are assigned to them."""
    return [
        found
        for category, names in expected.items()
        for found in enrichments
        if found.set_name == category and found.class_name in names
    ]


def places(
    markers: Sequence[ClassMarker],
    classes: Sequence[str],
    features: Sequence[str],
    means: NDArray[np.floating],
    expected: Mapping[str, tuple[str, ...]],
) -> list[dict[str, Any]]:
    """Return the rank of each miRNA of Table 4 in the classes assigned to its tissue."""
    has = expressed_features(means, classes, features)
    rank = {
        (marker.class_name, marker.feature): marker.rank
        for marker in markers
        if marker.feature in has[marker.class_name]
    }
    rows = []
    for category, mirnas in table4().items():
        for mirna in mirnas:
            for feature in named_features([mirna], features):
                found = {name: rank[name, feature] for name in classes if (name, feature) in rank}
                best = min(found, key=lambda name, found=found: (found[name], name), default=None)
                rows.append(
                    {
                        "category": category,
                        "mirna": mirna,
                        "feature": feature,
                        "ranks": {name: found.get(name) for name in expected[category]},
                        "best_class": best,
                        "best_rank": found.get(best) if best is not None else None,
                    }
                )
    return rows


def run(task: Task, data: Path, few: int) -> dict[str, Any]:
    """Fit the models of one atlas, explain them, and compare the markers."""
    started = time.monotonic()
    cohort, ontology = read_atlas(data / task.atlas)
    model, profiles, class_index = fitted(cohort, ontology, task.level)
    rpm = model.expression(profiles)
    means = np.stack([rpm[class_index == each].mean(axis=0) for each in range(len(model.classes))])
    markers = all_markers(model, profiles, class_index, means)
    sources = reference_sets([])
    tests = {
        count: release_enrichments(
            sources, first(markers, count), model.classes, model.features, means
        )
        for count in (PAPER_MARKERS, few)
    }
    return {
        "title": task.title,
        "samples": len(class_index),
        "classes": list(model.classes),
        "background": len(model.features),
        "seconds": time.monotonic() - started,
        "expected": {
            str(count): [asdict(one) for one in recovered(found, task.expected)]
            for count, found in tests.items()
        },
        "all": {str(count): [asdict(one) for one in found] for count, found in tests.items()},
        "places": places(markers, model.classes, model.features, means, task.expected),
    }


def show(result: Mapping[str, Any]) -> None:
    """Print both tables."""
    print(
        f"\n{result['title']}: {result['samples']} samples, {len(result['classes'])} classes,"
        f" background {result['background']} features, {result['seconds']:.0f} s"
    )
    by_count = list(result["expected"].items())
    header = ["category", "class", "in background"]
    header += [f"{what} of {n}" for n, _ in by_count for what in ("recovered", "p", "q")]
    rows = []
    for tests in zip(*(tests for _, tests in by_count), strict=True):
        row = [tests[0]["set_name"], tests[0]["class_name"], tests[0]["set_size"]]
        for test in tests:
            row += [f"{test['overlap']}/{test['set_size']}"]
            row += [f"{test['p_value']:.2g}", f"{test['q_value']:.2g}"]
        rows.append(row)
    print(tabulate(rows, header, disable_numparse=True))
    for count, tests in result["all"].items():
        significant = sorted(
            (test for test in tests if test["q_value"] < 0.05), key=lambda t: t["q_value"]
        )
        found = [
            f"{test['set_name']} in {test['class_name']}"
            f" ({test['overlap']}/{test['set_size']}, q {test['q_value']:.2g})"
            for test in significant
        ]
        print(f"q < 0.05 of all classes, {count} markers: {'; '.join(found) or 'none'}")
    rows = [
        [
            place["category"],
            place["mirna"],
            place["feature"],
            ", ".join(f"{name} {rank or '-'}" for name, rank in place["ranks"].items()),
            f"{place['best_class']} {place['best_rank']}" if place["best_class"] else "-",
        ]
        for place in result["places"]
    ]
    print(tabulate(rows, ["category", "miRNA", "feature", "rank", "best rank"]))


def document_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of the document: one row per category and class of each atlas."""
    rows = []
    for result in results.values():
        for test in result["expected"][str(PAPER_MARKERS)]:
            ranks = {
                place["feature"]: place["ranks"][test["class_name"]]
                for place in result["places"]
                if place["category"] == test["set_name"]
            }
            first_three = sorted(test["features"], key=lambda name, ranks=ranks: ranks[name])[:3]
            rows.append(
                [
                    result["title"],
                    test["set_name"],
                    test["class_name"],
                    f"{test['overlap']} of {test['set_size']}",
                    f"{test['markers']} of {test['background']}",
                    f"{test['p_value']:.2g}",
                    f"{test['q_value']:.2g}",
                    ", ".join(f"{name} ({ranks[name]})" for name in first_three),
                ]
            )
    header = ["data", "Table 4", "class", "recovered", "markers", "p", "q", "first (rank)"]
    table: str = tabulate(rows, header, tablefmt="github", disable_numparse=True)
    return table


def main() -> None:
    """Run the requested tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--only", default=",".join(TASKS), help=f"some of {', '.join(TASKS)}")
    parser.add_argument("--few", type=int, default=50, help="number of markers in the second test")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    parser.add_argument(
        "--document", action="store_true", help="fill docs/measurements/explanations.md"
    )
    options = parser.parse_args()
    keys = options.only.split(",")
    if unknown := set(keys) - set(TASKS):
        parser.error(f"{', '.join(sorted(unknown))}: not among {', '.join(TASKS)}")
    results = {}
    for key in keys:
        if not (options.data / TASKS[key].atlas).is_dir():
            raise SystemExit(f"{options.data / TASKS[key].atlas} is not here: nothing to run on")
        results[key] = run(TASKS[key], options.data, options.few)
        show(results[key])
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.document:
        document = ROOT / "docs" / "measurements" / "explanations.md"
        fill_document(document, "recovery", document_table(results))


if __name__ == "__main__":
    main()
