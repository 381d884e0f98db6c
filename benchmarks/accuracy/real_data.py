"""Compare the paper's preset with ours on real atlases, with whole datasets held out.

    python -m benchmarks.accuracy.real_data --data ../shared/data
    python -m benchmarks.accuracy.real_data --only cellular-group,tcga-sex --presets default
    python -m benchmarks.accuracy.real_data --document

Each atlas is imported once into a separate embedded database, and each task is evaluated
as by ``annotator evaluate --scheme one-dataset-out --folds 10``, with the same folds for
both presets. Every run adds its results to ``real_data.json`` in the results folder, so
that the benchmark can be run in parts. Held-out predictions are kept there, too, because
differences and their intervals need both presets' predictions for the same samples.
``--retrain`` also times ``annotator retrain`` from start to end. ``--document`` runs
nothing and fills the tables of docs/measurements/accuracy.md from the JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.domain.fields import FieldDefinition, declared_fields
from annotator.learn.release.versions import library_versions
from benchmarks.accuracy.bootstrap import LEVEL, REPLICATES
from benchmarks.accuracy.report import (
    OURS,
    PAPER,
    as_text,
    cost_table,
    every_metric,
    fill_document,
    plot,
    selective_table,
    side_by_side,
)
from benchmarks.accuracy.runs import (
    BASELINE,
    SEED,
    Run,
    answers_of,
    as_run,
    differences,
    load_run,
    metric_estimates,
    save_run,
    selective_estimates,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
PRESETS = (PAPER, OURS)


@dataclass(frozen=True)
class Task:
    """One field of one atlas, with its differences from the built-in field.

    Attributes
    ----------
    title
        Title in tables.
    atlas
        Folder of the atlas's files.
    field
        Name of the field.
    changes
        Attributes of its definition that differ from the built-in one, as plain data.
    """

    title: str
    atlas: str
    field: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def fields(self) -> dict[str, FieldDefinition]:
        """Return all fields, with the changes to this one."""
        return declared_fields({self.field: dict(self.changes)})

    def variable(self) -> str:
        """Return the changes as TOML for the variable ANNOTATOR_FIELDS."""
        return "\n".join(
            f"{self.field}.{name} = {json.dumps(value)}" for name, value in self.changes.items()
        )


CELLS, TUMOURS = "cellular_micrornaome", "tcga"
TASKS = {
    "cellular-tissue": Task("cell types", CELLS, "tissue", {"level": "term"}),
    "cellular-group": Task("cell types, groups", CELLS, "tissue", {"level": "group"}),
    "tcga-tissue": Task("TCGA, tissue", TUMOURS, "tissue"),
    "tcga-sex": Task("TCGA, sex", TUMOURS, "sex"),
    # The limits are those of the paper's Table 3.
    "tcga-age-2": Task("TCGA, age in 2", TUMOURS, "age", {"limits": [0.0, 65.0, 110.0]}),
    "tcga-age-3": Task("TCGA, age in 3", TUMOURS, "age", {"limits": [0.0, 45.0, 70.0, 110.0]}),
    "tcga-age-4": Task(
        "TCGA, age in 4", TUMOURS, "age", {"limits": [0.0, 30.0, 60.0, 80.0, 110.0]}
    ),
}


def evaluate_one(
    key: str, preset: str, home: Path, folds: int, workers: int, seed: int, target: Path
) -> None:
    """Evaluate one task with one preset and store the result; runs in a separate process."""
    from annotator.jobs.retrain.evaluate import evaluate
    from annotator.learn.labels.classes import lineages_of
    from annotator.learn.labels.ontology import ontology_or_built_in
    from annotator.logs import progress
    from annotator.settings import Settings
    from annotator.store.mirror.terms import read_terms
    from annotator.store.server.connection import open_database

    task = TASKS[key]
    settings = Settings(
        home=home,
        preset=preset,
        fields=task.fields(),
        folds=folds,
        workers=workers,
        seed=seed,
    )
    with open_database(settings) as database, progress(f"{key}, {preset}", "folds") as shown:
        validation = evaluate(database, settings, task.field, "one-dataset-out", progress=shown)
        with database.connect() as connection:
            index = read_terms(connection)
        ontology = ontology_or_built_in(index.class_parents(), index.class_names())
    answers = None
    if validation.selective is not None:
        classes, general = validation.predictions.classes, validation.label_set.too_general
        lineages = lineages_of(classes, ontology, settings.fields[task.field], general)
        answers = answers_of(
            validation.predictions, validation.parts, lineages, validation.selective
        )
    save_run(target, as_run(validation, answers))


def task_results(key: str, runs: Mapping[str, Run], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of one task in the JSON.

    Parameters
    ----------
    key
        A key of :data:`TASKS`.
    runs
        Preset to its run, if its predictions are available.
    known
        The entry so far: the costs, and metrics of runs that are not available.
    """
    task = TASKS[key]
    presets = dict(known.get("presets", {}))
    baselines = known.get("baselines", {})
    for preset, run in runs.items():
        figures = metric_estimates(run.held_out)
        baselines = {
            model.removeprefix(BASELINE): found
            for model, found in figures.items()
            if model.startswith(BASELINE)
        }
        presets[preset] = {
            "held_out": run.description,
            "samples": len(run.held_out.truth),
            "figures": {m: f for m, f in figures.items() if not m.startswith(BASELINE)},
            "selective": selective_estimates(run),
            "cost": presets.get(preset, {}).get("cost", {}),
            "commit": presets.get(preset, {}).get("commit"),
        }
    newest = runs.get(OURS) or next(iter(runs.values()))
    return {
        "title": task.title,
        "atlas": task.atlas,
        "field": task.field,
        "settings": {"fields": {task.field: dict(task.changes)}} if task.changes else {},
        "samples": len(newest.held_out.truth),
        "datasets": len(set(newest.held_out.dataset_ids)),
        "classes": list(newest.held_out.classes),
        "presets": {name: presets[name] for name in PRESETS if name in presets},
        "baselines": baselines,
        "differences": differences(runs),
    }


def commit() -> str | None:
    """Return the current commit, with a ``+`` if files differ from it."""
    try:
        lines = [
            subprocess.run(
                ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout.strip()
            for arguments in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain"])
        ]
    except (OSError, subprocess.CalledProcessError):
        return None
    return lines[0] + ("+" if lines[1] else "")


class Results:
    """The results folder: a JSON file, a plot, and the predictions they are made from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.json_file = folder / "real_data.json"
        self.content: dict[str, Any] = {"tasks": {}}
        if self.json_file.is_file():
            self.content = json.loads(self.json_file.read_text(encoding="utf-8"))

    def predictions(self, key: str, preset: str) -> Path:
        """Return the file with the predictions of a run."""
        return self.folder / "predictions" / f"{key}.{preset}.npz"

    def holds(self, key: str, preset: str) -> bool:
        """Return whether a run exists, with its predictions."""
        presets = self.content["tasks"].get(key, {}).get("presets", {})
        return preset in presets and self.predictions(key, preset).is_file()

    def update(self, key: str, preset: str, cost: Mapping[str, float]) -> None:
        """Add a run whose predictions were stored, and write everything."""
        known = self.content["tasks"].get(key, {})
        entry = known.setdefault("presets", {}).setdefault(preset, {})
        entry["cost"], entry["commit"] = dict(cost), commit()
        runs = {
            name: load_run(self.predictions(key, name))
            for name in PRESETS
            if self.predictions(key, name).is_file()
        }
        tasks = self.content["tasks"] | {key: task_results(key, runs, known)}
        self.content = {
            "made_with": {
                "versions": library_versions(),
                "machine": platform.machine(),
                "system": platform.system(),
                "cores": os.cpu_count(),
                "commit": commit(),
            },
            "bootstrap": {"replicates": REPLICATES, "level": LEVEL, "seed": SEED, "by": "dataset"},
            "tasks": {name: tasks[name] for name in TASKS if name in tasks},
        }
        unfinished = self.json_file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(self.json_file)
        plot(self.content, self.folder / "real_data.svg")


def evaluate_apart(
    key: str, preset: str, home: Path, target: Path, *, folds: int, workers: int, seed: int = SEED
) -> tuple[float, float]:
    """Run :func:`evaluate_one` in a separate process; return its seconds and megabytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    arguments = ["-m", __spec__.name, "--evaluate", key, preset, str(home), str(target), str(seed)]
    arguments += ["--folds", str(folds), "--workers", str(workers)]
    return timed(arguments, clean_environment())


def timed(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a program; return its seconds and the megabytes of its largest process."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments], env=dict(environment))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def import_atlas(folder: Path, home: Path) -> None:
    """Load an atlas's files into a new embedded database."""
    environment = clean_environment() | {"ANNOTATOR_HOME": str(home)}
    ontology = folder / "ontology.tsv"
    files = [str(folder / "counts.tsv.gz"), str(folder / "samples.tsv")]
    files += ["--ontology", str(ontology)] if ontology.is_file() else []
    for arguments in (["migrate"], ["import", *files]):
        timed(["-m", "annotator", *arguments], environment)


def clean_environment() -> dict[str, str]:
    """Return the environment without the user's settings."""
    return {key: value for key, value in os.environ.items() if not key.startswith("ANNOTATOR_")}


def time_retraining(
    task: Task, preset: str, home: Path, folds: int, workers: int
) -> dict[str, float]:
    """Time ``annotator retrain``: validation, fit on everything, gate and storage."""
    settings = {"ANNOTATOR_FIELDS": task.variable(), "ANNOTATOR_WORKERS": str(workers)}
    arguments = ["-m", "annotator", "retrain", "--field", task.field]
    arguments += ["--preset", preset, "--folds", str(folds)]
    seconds, megabytes = timed(
        arguments, clean_environment() | {"ANNOTATOR_HOME": str(home)} | settings
    )
    return {"retrain_seconds": seconds, "retrain_megabytes": megabytes}


def run_all(options: argparse.Namespace, results: Results) -> None:
    """Run the requested tasks, atlas by atlas, and add each run when it ends."""
    wanted = [
        (key, preset)
        for key in options.only
        for preset in options.presets
        if not (options.missing and results.holds(key, preset))
    ]
    for atlas in dict.fromkeys(TASKS[key].atlas for key, _ in wanted):
        with tempfile.TemporaryDirectory(prefix="annotator-benchmark-") as scratch:
            home = Path(scratch) / "home"
            import_atlas(options.data / atlas, home)
            for key, preset in wanted:
                if TASKS[key].atlas != atlas:
                    continue
                seconds, megabytes = evaluate_apart(
                    key,
                    preset,
                    home,
                    results.predictions(key, preset),
                    folds=options.folds,
                    workers=options.workers,
                )
                cost = {"seconds": seconds, "megabytes": megabytes}
                results.update(key, preset, cost)
                if options.retrain:
                    cost |= time_retraining(
                        TASKS[key], preset, home, options.folds, options.workers
                    )
                    results.update(key, preset, cost)
                print(f"{key}, {preset}: {seconds:.0f} s", flush=True)


def chosen(known: Sequence[str], text: str) -> list[str]:
    """Read names separated by commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or set(names) - set(known):
        raise argparse.ArgumentTypeError(f"{text!r} is not among {', '.join(known)}")
    return [name for name in known if name in names]


def main() -> None:
    """Run the benchmark, or fill the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--only", type=lambda text: chosen(list(TASKS), text), default=list(TASKS))
    parser.add_argument("--presets", type=lambda text: chosen(PRESETS, text), default=list(PRESETS))
    parser.add_argument("--missing", action="store_true", help="only runs that do not exist yet")
    parser.add_argument("--retrain", action="store_true", help="also time `annotator retrain`")
    parser.add_argument("--folds", type=int, default=10, help="0: each dataset by itself")
    parser.add_argument("--workers", type=int, default=0, help="0: one per core")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument(
        "--document", action="store_true", help="fill docs/measurements/accuracy.md from the JSON"
    )
    parser.add_argument("--evaluate", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.evaluate:
        key, preset, home, target, seed = options.evaluate
        evaluate_one(
            key, preset, Path(home), options.folds, options.workers, int(seed), Path(target)
        )
        return
    results = Results(options.out)
    if options.document:
        write_document(results, ROOT / "docs" / "measurements" / "accuracy.md")
        return
    for key in options.only:
        if not (options.data / TASKS[key].atlas).is_dir():
            raise SystemExit(f"{options.data / TASKS[key].atlas} is not here: nothing to run on")
    run_all(options, results)
    for table in (every_metric, side_by_side, selective_table, cost_table):
        print(as_text(table(results.content)), end="\n\n")


def write_document(results: Results, path: Path) -> None:
    """Fill the tables of a document from the JSON."""
    if not results.content["tasks"]:
        raise SystemExit(f"{results.json_file} is not here: run the benchmark first")
    try:
        text = fill_document(path.read_text(encoding="utf-8"), results.content)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
