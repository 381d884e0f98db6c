"""Measure how much metrics depend on which datasets are held out together.

The samples and models are those of ``real_data.py``, with the datasets dealt into folds in
other ways and with each dataset held out by itself.

    python -m benchmarks.accuracy.partitions --data ../shared/data
    python -m benchmarks.accuracy.partitions --seeds 1,2 --presets default
    python -m benchmarks.accuracy.partitions --show

Existing runs are not repeated, so that the benchmark can be run in parts: remove
``predictions/partitions`` from the results folder to start again, for example after a change
of the program. ``--show`` only prints existing results. The first seed is that of
``real_data.py``, on whose folds settings were compared; the models use the same seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.accuracy.bootstrap import LEVEL, REPLICATES
from benchmarks.accuracy.real_data import PRESETS, ROOT, TASKS, chosen, evaluate_apart, import_atlas
from benchmarks.accuracy.report import COMBINED, OURS, PAPER, PAPERS_MODELS, TITLES, as_text, shown
from benchmarks.accuracy.runs import SEED, differences, load_run, metric_estimates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.accuracy.report import Json, Table
    from benchmarks.accuracy.runs import Run

METRICS = ("accuracy", "mean_over_classes", "expected_calibration_error")
SEEDS = (SEED, 1, 2)


@dataclass(frozen=True)
class Partition:
    """One way to hold datasets out: ``folds`` of them, 0 for each dataset by itself."""

    title: str
    folds: int
    seed: int = SEED

    @property
    def file_name(self) -> str:
        """Return the file name of its runs."""
        return f"folds-{self.folds}.seed-{self.seed}" if self.folds else "each-by-itself"


def partitions(seeds: Sequence[int], folds: int) -> list[Partition]:
    """Return one partition into folds per seed, and the one with each dataset by itself."""
    dealt = [Partition(f"{folds} folds, seed {seed}", folds, seed) for seed in seeds]
    return [*dealt, Partition("each dataset by itself", 0)]


def target(folder: Path, task: str, partition: Partition, preset: str) -> Path:
    """Return the file of a run."""
    return folder / f"{task}.{partition.file_name}.{preset}.npz"


def result_of(partition: Partition, runs: dict[str, Run]) -> Json:
    """Return the results for a partition: metrics of each preset, and the gain of ours."""
    return {
        "title": partition.title,
        "held_out": next(iter(runs.values())).description,
        "figures": {
            preset: {
                model: {name: found[name] for name in METRICS}
                for model, found in metric_estimates(run.held_out).items()
                if model in (*PAPERS_MODELS, COMBINED)
            }
            for preset, run in runs.items()
        },
        "gain": differences(runs).get(PAPER, {}),
    }


def table(results: Sequence[Json]) -> Table:
    """Return one row per partition and metric."""

    def of(result: Json, preset: str, model: str, name: str) -> str:
        return shown(result["figures"].get(preset, {}).get(model, {}).get(name))

    rows = [
        [
            result["title"],
            TITLES[name],
            *(of(result, PAPER, model, name) for model in PAPERS_MODELS),
            of(result, OURS, COMBINED, name),
            shown(result["gain"].get(name), signed=True),
        ]
        for name in METRICS
        for result in results
    ]
    heads = ["held out", "metric", "paper's network", "paper's forest", "`default`"]
    return [*heads, "gain over the better of the paper's"], rows


def run_missing(options: argparse.Namespace, wanted: Sequence[Partition], folder: Path) -> None:
    """Run the missing evaluations."""
    missing = [
        (partition, preset)
        for partition in wanted
        for preset in options.presets
        if not target(folder, options.task, partition, preset).is_file()
    ]
    if not missing:
        return
    data = options.data / TASKS[options.task].atlas
    if not data.is_dir():
        raise SystemExit(f"{data} is not here: nothing to run on")
    with tempfile.TemporaryDirectory(prefix="annotator-benchmark-") as scratch:
        home = Path(scratch) / "home"
        import_atlas(data, home)
        for partition, preset in missing:
            seconds, _ = evaluate_apart(
                options.task,
                preset,
                home,
                target(folder, options.task, partition, preset),
                folds=partition.folds,
                workers=options.workers,
                seed=partition.seed,
            )
            print(f"{partition.title}, {preset}: {seconds:.0f} s", flush=True)


def main() -> None:
    """Run the missing evaluations and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data")
    parser.add_argument("--task", choices=tuple(TASKS), default="cellular-group")
    parser.add_argument(
        "--seeds", type=lambda text: [int(each) for each in text.split(",")], default=list(SEEDS)
    )
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--presets", type=lambda text: chosen(PRESETS, text), default=list(PRESETS))
    parser.add_argument("--workers", type=int, default=0, help="0: one per core")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--show", action="store_true", help="run nothing")
    options = parser.parse_args()
    folder = options.out / "predictions" / "partitions"
    wanted = partitions(options.seeds, options.folds)
    if not options.show:
        run_missing(options, wanted, folder)
    results: list[dict[str, Any]] = []
    for partition in wanted:
        files = {
            preset: target(folder, options.task, partition, preset) for preset in options.presets
        }
        runs = {preset: load_run(file) for preset, file in files.items() if file.is_file()}
        if runs:
            results.append(result_of(partition, runs))
    if not results:
        raise SystemExit(f"no run is in {folder}: leave out --show")
    if not options.show:
        content = {
            "task": options.task,
            "bootstrap": {"replicates": REPLICATES, "level": LEVEL, "by": "dataset"},
            "partitions": results,
        }
        (options.out / f"partitions.{options.task}.json").write_text(
            json.dumps(content, indent=1) + "\n", encoding="utf-8"
        )
    print(as_text(table(results)))


if __name__ == "__main__":
    main()
