"""Measure how the time and memory of a retraining grow with the cohort.

Labelled cohorts of several sizes are drawn from the cellular microRNAome
(:mod:`benchmarks.speed.cohorts`), with as many datasets in proportion, and put into databases
of their own. In each, `annotator retrain --field tissue` learns cell groups with ten folds of
datasets, as a daemon would at night, but without the random cross-validation, which would be five
more fits for information only.

    python -m benchmarks.speed.retraining --data ../shared/data --samples 5000,20000,100000
    python -m benchmarks.speed.retraining --data ../shared/data --samples 5000 --workers 1,2,10

Memory is that of the command and its workers together, without and with PostgreSQL: the sum of
the proportional shares of all processes (PSS), every other second. Processor time counts the
command and its workers. "A core for each" estimates the seconds on a machine with as many cores
as processes: two seconds in which all cores of this one were busy count as the processor time of
the busiest process. With `--workers 10`, one per fold, it is the estimate for 16 cores. To check
it, run two workers under `taskset --cpu-list 0`, and compare the estimate with two cores. The
accuracy is that of the samples of held-out datasets; since a drawn dataset is a real one seen
again, it is far better than that of real new datasets, and only comparable between sizes. Linux
only: it reads /proc. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from tabulate import tabulate

from annotator.store.server.connection import Database
from annotator.store.server.embedded import running_server
from annotator.store.server.schema import migrate
from benchmarks.speed.annotation_speed import CELLS, RETRAINING, numbers
from benchmarks.speed.cohorts import Real, load, read_real
from tests.support.soak.watch import children_of, memory_of

GB = 1024**3
EVERY = 2.0
FULL = 0.9
"""Share of all processors' time in use from which on none counts as free."""

TICKS = os.sysconf("SC_CLK_TCK")
SEED = 20200330

ACCURACY = """
select m.value from annotator.metric m join annotator.training_run t using (run_id)
where m.scheme = 'one-dataset-out' and m.model_kind = 'combined' and m.name = %s
  and m.class = ''
order by t.run_id desc limit 1
"""
SIZES = """
select count(distinct sample_id), count(distinct dataset_id)
from atlas.sample join atlas.annotation using (sample_id)
"""


@dataclass(frozen=True)
class Measured:
    """One retraining: its size, wall and processor seconds, and memory in bytes."""

    samples: int
    datasets: int
    workers: int
    seconds: float
    of_processors: float
    with_cores: float
    memory: int
    with_server: int
    accuracy: float
    over_classes: float


class Watch(threading.Thread):
    """Follows a process with its descendants, and a server, until stopped.

    Attributes
    ----------
    command, together
        The largest memory of the process and its descendants, without and with the server.
    with_cores
        The seconds that all would have taken if each process had had a core.
    """

    def __init__(self, pid: int, server: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._server = pid, server
        self._ended = threading.Event()
        self.command = self.together = 0
        self.with_cores = 0.0

    def run(self) -> None:
        """Measure until stopped."""
        cores = len(os.sched_getaffinity(0))
        spent, since = self._processor_seconds(), time.perf_counter()
        while not self._ended.wait(EVERY):
            own, of_server = _shares(self._pid), _shares(self._server)
            self.command = max(self.command, own)
            self.together = max(self.together, own + of_server)
            before, began = spent, since
            spent, since = self._processor_seconds(), time.perf_counter()
            times = [spent[pid] - before.get(pid, 0.0) for pid in spent]
            is_full = sum(times) > FULL * cores * (since - began)
            self.with_cores += max(times) if is_full else since - began

    def _processor_seconds(self) -> dict[int, float]:
        return {
            pid: _processor_seconds(pid) for pid in (*_family(self._pid), *_family(self._server))
        }

    def stop(self) -> None:
        """Stop measuring."""
        self._ended.set()
        self.join()


def _family(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for one in found:
        found += children_of(one)
    return found


def _shares(pid: int) -> int:
    """Return the sum of the proportional shares of a process and all its descendants."""
    return sum(memory_of(one)["Pss"] for one in _family(pid))


def _processor_seconds(pid: int) -> float:
    """Return the processor time of a process so far; 0 if it has ended."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2]
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in after_name.split()[11:13]) / TICKS


def retrain(home: Path, conninfo: str, workers: int) -> Measured:
    """Retrain once with a number of workers, in a new process, and measure it."""
    kept = {name: value for name, value in os.environ.items() if "ANNOTATOR_" not in name}
    server = int((home / "cluster" / "postmaster.pid").read_text().split()[0])
    before = os.times()
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "annotator", "retrain", "--field", "tissue"],
            env=kept
            | {"ANNOTATOR_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])}
            | RETRAINING
            | {"ANNOTATOR_WORKERS": str(workers), "ANNOTATOR_CROSS_VALIDATION_FOLDS": "0"},
            cwd=home.parent,
            stdout=said,
            stderr=said,
        )
        watch = Watch(process.pid, server)
        watch.start()
        code = process.wait()
        seconds = time.perf_counter() - started
        watch.stop()
        said.seek(0)
        if code != 0:
            raise SystemExit(f"annotator retrain ended with {code}: {said.read()}")
        print(said.read(), flush=True)
    after = os.times()
    with psycopg.connect(conninfo) as connection:
        sizes = connection.execute(SIZES).fetchone()
        found = [connection.execute(ACCURACY, [name]).fetchone() for name in _METRICS]
    assert sizes is not None
    return Measured(
        *(int(number) for number in sizes),
        workers,
        seconds,
        after.children_user + after.children_system - before.children_user - before.children_system,
        watch.with_cores,
        watch.command,
        watch.together,
        *(float(row[0]) for row in found if row is not None),
    )


_METRICS = ("accuracy", "balanced_accuracy")


def measure(real: Real, folder: Path, samples: int, workers: list[int]) -> list[Measured]:
    """Draw a cohort, put it into a database of its own, and retrain once per number of workers."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        with running_server(home) as conninfo:
            migrate(Database(conninfo))
            with Database(conninfo).connect() as connection:
                load(connection, real, folder / "ontology.tsv", samples, SEED)
            found = []
            for each in workers:
                with psycopg.connect(conninfo) as connection:  # so that it is not skipped
                    connection.execute("truncate annotator.training_run cascade")
                found.append(retrain(home, conninfo, each))
                print(found[-1], flush=True)
            return found


def table(found: list[Measured]) -> str:
    """Return the measurements as a table, with the growth from one size to the next."""
    rows = []
    for place, one in enumerate(found):
        last = found[place - 1] if place else None
        growth = None
        if last is not None and last.samples < one.samples and last.workers == one.workers:
            growth = (one.of_processors / last.of_processors) / (one.samples / last.samples)
        rows.append(
            [
                *(one.samples, one.datasets, one.workers),
                *(one.seconds, one.of_processors, one.with_cores),
                *(one.memory / GB, one.with_server / GB, one.accuracy, one.over_classes, growth),
            ]
        )
    headers = (
        *("samples", "datasets", "workers"),
        *("seconds", "processor seconds", "a core for each, seconds", "memory, GB"),
        *("with PostgreSQL, GB", "accuracy", "over classes"),
        "processor seconds per sample, of the row above",
    )
    decimals = ("", "", "", ".0f", ".0f", ".0f", ".2f", ".2f", ".3f", ".3f", ".2f")
    return tabulate(rows, headers=headers, tablefmt="github", floatfmt=decimals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real atlases")
    parser.add_argument("--samples", type=numbers, default=[5000, 20_000, 100_000])
    parser.add_argument("--workers", type=numbers, default=[2], help="numbers of processes")
    options = parser.parse_args()
    cells = options.data.resolve() / CELLS
    real = read_real(cells)
    found = [
        one for samples in options.samples for one in measure(real, cells, samples, options.workers)
    ]
    print("\n" + table(found))


if __name__ == "__main__":
    main()
