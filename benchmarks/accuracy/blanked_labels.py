"""Remove known labels from a real atlas, let the program fill them in, and compare.

For each atlas and preset, in a new embedded database: import, retrain (whole
datasets held out), annotate, compare. The tissue of every third dataset and the
sex and age of every fourth are removed (datasets in order of their names), so the
compared samples come from datasets that the models never saw with that label.

    python -m benchmarks.accuracy.blanked_labels --data ../shared/data

So that every preset and model kind can be compared, releases that the gate would
refuse go live here, too (ANNOTATOR_BASELINE_MARGIN=-1); "beats baselines" is whether
the held-out balanced accuracy was above that of every baseline. Samples that were
quarantined or got no answer are not compared. A tissue is right if it is the true term
or one of its ancestors; a tissue group must be the true one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ATLASES = {"cellular_micrornaome": 3, "tcga": 2}  # folds of the validation
EVERY = {"tissue": 3, "sex": 4, "age": 4}
LIMITS = (0.0, 65.0, 110.0)


@dataclass(frozen=True)
class Step:
    """The cost of one command."""

    name: str
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class BlankedAtlas:
    """An atlas with gaps, and the removed values."""

    fields: tuple[str, ...]
    samples_file: Path
    truth: Mapping[str, Mapping[str, str]]
    groups: Mapping[str, str]


def blank(folder: Path, target: Path) -> BlankedAtlas:
    """Write the samples file with gaps."""
    with (folder / "samples.tsv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    columns = list(rows[0])
    fields = tuple(field for field in EVERY if field in columns)
    order = {name: i for i, name in enumerate(sorted({row["dataset_id"] for row in rows}))}
    groups = {row["sample_id"]: row["tissue_group"] for row in rows if row.get("tissue_group")}
    truth: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        for field in fields:
            if order[row["dataset_id"]] % EVERY[field] == EVERY[field] - 1 and row[field]:
                truth[field][row["sample_id"]] = row[field]
                row[field] = ""
        row.pop("tissue_group", None)  # it would reveal the tissue in the mirror
    with target.open("w", encoding="utf-8", newline="") as handle:
        names = [name for name in columns if name != "tissue_group"]
        writer = csv.DictWriter(handle, names, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return BlankedAtlas(fields, target, truth, groups)


class Annotator:
    """Runs commands of the installed program and records their cost."""

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self.steps: list[Step] = []
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ANNOTATOR_")}
        self.environment = kept | {"ANNOTATOR_HOME": str(home)} | dict(settings)

    def run(self, *arguments: str) -> str:
        """Run a command and return its output."""
        started = time.monotonic()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "annotator", *arguments],
                env=self.environment,
                stdout=output,
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            output.seek(0)
            text = output.read().decode()
        if process.returncode != 0:
            raise SystemExit(f"annotator {arguments[0]} ended with {process.returncode}")
        self.steps.append(Step(arguments[0], time.monotonic() - started, usage.ru_maxrss / 1024))
        return text

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        rows: list[dict[str, Any]] = json.loads(self.run("sql", sql, "--format", "json"))
        self.steps.pop()
        return rows


def interval(years: float) -> str:
    """Return the paper's interval for an age."""
    low, middle, high = LIMITS
    return f"[{low:g};{middle:g}]" if years <= middle else f"({middle:g};{high:g}]"


def right(field: str, truth: str, value: str, lineages: Mapping[str, Sequence[str]]) -> bool:
    """Return whether an answer is the true value or, for a tissue, one of its ancestors."""
    if field == "age":
        return value == interval(float(truth))
    if field == "tissue":
        return value in lineages.get(truth, [truth])
    return value == truth


def accuracy(hits: Sequence[bool]) -> float:
    """Return the share that is right."""
    return sum(hits) / len(hits) if hits else float("nan")


def over_datasets(hits: Sequence[bool], datasets: Sequence[str]) -> float:
    """Return the mean of the datasets' accuracies."""
    found: dict[str, list[bool]] = defaultdict(list)
    for hit, dataset in zip(hits, datasets, strict=True):
        found[dataset].append(hit)
    return accuracy_mean([accuracy(one) for one in found.values()])


def accuracy_mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values) if values else float("nan")


def compare(program: Annotator, atlas: BlankedAtlas, name: str, preset: str) -> list[list[Any]]:
    """Return one row per field and model kind."""
    lineages = {
        row["value"]: row["lineage"]
        for row in program.query(
            "select distinct value, annotator.lineage(value) as lineage"
            " from annotator.vocabulary('tissue')"
        )
    }
    verdicts = {
        row["field"]: row
        for row in program.query(
            "select r.field,"
            " max(value) filter (where model_kind = 'combined') as ours,"
            " max(value) filter (where model_kind in"
            " ('majority', 'known_fields', 'logistic_regression')) as baseline"
            " from metric join release r using (run_id)"
            " where name = 'balanced_accuracy' and class = '' group by r.field"
        )
    }
    rows = []
    for field in atlas.fields:
        found = program.query(
            "select sample_id, dataset_id, value, lineage, confidence, models from suggestion"
            f" where field = '{field}' and status = 'suggested' order by confidence desc"
        )
        found = [row for row in found if row["sample_id"] in atlas.truth[field]]
        datasets = [row["dataset_id"] for row in found]
        answers = {
            kind: [row["models"][kind]["value"] for row in found]
            for kind in (found[0]["models"] if found else ())
        }
        answers["combined"] = [row["value"] for row in found]
        for kind, values in answers.items():
            hits = [
                right(field, atlas.truth[field][row["sample_id"]], value, lineages)
                for row, value in zip(found, values, strict=True)
            ]
            verdict = verdicts[field]
            passes = verdict["ours"] > verdict["baseline"]
            rows.append(
                [
                    name,
                    field,
                    preset,
                    kind,
                    len(hits),
                    len(set(datasets)),
                    accuracy(hits),
                    over_datasets(hits, datasets),
                    accuracy(hits[: len(hits) // 2]) if kind == "combined" else None,
                    ("yes" if passes else "no") if kind == "combined" else None,
                ]
            )
            if field == "tissue" and atlas.groups:
                grouped = [
                    atlas.groups[row["sample_id"]] in lineages.get(value, [value])
                    for row, value in zip(found, values, strict=True)
                ]
                rows.append(
                    [
                        name,
                        "tissue group",
                        preset,
                        kind,
                        len(grouped),
                        len(set(datasets)),
                        accuracy(grouped),
                        over_datasets(grouped, datasets),
                        accuracy(grouped[: len(grouped) // 2]) if kind == "combined" else None,
                        None,
                    ]
                )
    return sorted(rows, key=lambda row: row[1])


def run_atlas(
    folder: Path, preset: str, folds: int, scratch: Path
) -> tuple[list[list[Any]], list[Step]]:
    """Import, retrain, annotate and compare one atlas with one preset."""
    work = scratch / f"{folder.name}-{preset}"
    work.mkdir()
    atlas = blank(folder, work / "samples.tsv")
    program = Annotator(work / "home", {"ANNOTATOR_BASELINE_MARGIN": "-1"})
    program.run("migrate")
    ontology = folder / "ontology.tsv"
    program.run(
        "import",
        str(folder / "counts.tsv.gz"),
        str(atlas.samples_file),
        *(("--ontology", str(ontology)) if ontology.is_file() else ()),
    )
    for field in atlas.fields:
        program.run("retrain", "--field", field, "--preset", preset, "--folds", str(folds))
    program.run("annotate")
    return compare(program, atlas, folder.name, preset), program.steps


HEADERS = (
    "atlas",
    "field",
    "preset",
    "model",
    "samples",
    "datasets",
    "accuracy",
    "mean over datasets",
    "most confident half",
    "beats baselines",
)


KINDS = ("network", "forest", "boosting", "combined")
SIDE_BY_SIDE = (
    *("atlas", "field", "preset", *KINDS),
    *("mean over datasets", "most confident half", "samples", "datasets", "beats baselines"),
)


def side_by_side(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return one row per field and preset, with the accuracy of every kind side by side."""
    found = {tuple(row[:4]): row for row in rows}
    pivoted = []
    for atlas, field, preset in dict.fromkeys(tuple(row[:3]) for row in rows):
        of_kind = [found[atlas, field, preset, kind] for kind in KINDS]
        combined = of_kind[-1]
        pivoted.append(
            [
                *(atlas, field, preset, *(row[6] for row in of_kind)),
                *(combined[7], combined[8], combined[4], combined[5], combined[9]),
            ]
        )
    return sorted(pivoted, key=lambda row: (row[0], row[1], row[2]))


def main() -> None:
    """Run everything and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--atlas", choices=tuple(ATLASES), action="append")
    parser.add_argument("--preset", choices=("paper", "default"), action="append")
    parser.add_argument("--folds", type=int, help="folds of the validation; 3, for tcga 2")
    options = parser.parse_args()
    rows: list[list[Any]] = []
    costs: list[list[Any]] = []
    for atlas in options.atlas or ATLASES:
        folder = options.data / atlas
        if not folder.is_dir():
            raise SystemExit(f"{folder} is not here: nothing to run on")
        for preset in options.preset or ("paper", "default"):
            with tempfile.TemporaryDirectory(prefix="annotator-benchmark-") as scratch:
                folds = options.folds or ATLASES[atlas]
                found, steps = run_atlas(folder, preset, folds, Path(scratch))
            rows += found
            costs += [[atlas, preset, step.name, step.seconds, step.megabytes] for step in steps]
            print(tabulate(rows, HEADERS, tablefmt="github", floatfmt=".3f"), flush=True)
    print()
    print("Accuracy on the blanked samples, side by side")
    print(tabulate(side_by_side(rows), SIDE_BY_SIDE, tablefmt="github", floatfmt=".3f"))
    print()
    print(
        tabulate(
            costs,
            ("atlas", "preset", "step", "seconds", "peak MB of a process"),
            tablefmt="github",
            floatfmt=".0f",
        )
    )


if __name__ == "__main__":
    main()
