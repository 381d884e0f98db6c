"""Test the program with broken samples, tampered models, wrong clocks and killed processes.

Every experiment has its own embedded database in a temporary folder, with a small
simulated atlas and real releases.

    python -m benchmarks.faults.reliability
    python -m benchmarks.faults.reliability --only poison,tampering --scale 0.1
    python -m benchmarks.faults.reliability --write docs/measurements/reliability.md

--scale makes the counts smaller, for a quick look. --write puts the tables between the
marks in a document. The exit code is 1 if any fault was not withstood.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tabulate import tabulate

from tests.support.faults.atlas import Outcome, own_database
from tests.support.faults.clocks import run_clocks
from tests.support.faults.crowd import run_crowd
from tests.support.faults.kills import run_kills
from tests.support.faults.limits import run_limits
from tests.support.faults.migrations import run_migrations
from tests.support.faults.poison import run_poison
from tests.support.faults.retraining import run_retraining
from tests.support.faults.server import run_server
from tests.support.faults.tampering import run_tampering

if TYPE_CHECKING:
    from collections.abc import Callable

    from annotator.settings import Settings
    from annotator.store.server.connection import Database


@dataclass(frozen=True)
class Experiment:
    """An experiment with one kind of fault.

    Attributes
    ----------
    title
        Title of its table.
    run
        Function of a database, settings and a count.
    count
        Count at full scale.
    least
        Minimum count at any scale.
    """

    title: str
    run: Callable[[Database, Settings, int], list[Outcome]]
    count: int
    least: int


EXPERIMENTS = {
    "poison": Experiment("Broken samples among 2,000", run_poison, 2000, 400),
    "tampering": Experiment("Tampered releases", run_tampering, 1000, 10),
    "clocks": Experiment("Clocks and outages", run_clocks, 200, 4),
    "kills": Experiment("Killed while annotating", run_kills, 200, 10),
    "server": Experiment("Servers that go away", run_server, 20, 2),
    "crowd": Experiment("Daemons side by side", run_crowd, 20, 1),
    "retraining": Experiment("Killed while retraining", run_retraining, 50, 4),
    "limits": Experiment("Full disks and other limits", run_limits, 20, 1),
    "migrations": Experiment("Migrations", run_migrations, 120, 12),
}


def table(outcomes: list[Outcome]) -> str:
    """Return outcomes as a table, for people and documents."""
    rows = [
        (outcome.fault, outcome.tried, outcome.withstood, outcome.remark) for outcome in outcomes
    ]
    return tabulate(rows, headers=("fault", "tried", "withstood", "how"), tablefmt="github")


def written(text: str, name: str, content: str) -> str:
    """Return a document with the part between the marks of an experiment replaced."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    pattern = re.compile(f"{begin}\n.*?{end}", re.S)
    if pattern.search(text) is None:
        raise SystemExit(f"the document has no part {begin} … {end}")
    return pattern.sub(lambda _found: f"{begin}\n{content}\n{end}", text)


def experiment(name: str, scale: float) -> list[Outcome]:
    """Run one experiment in a separate folder."""
    chosen = EXPERIMENTS[name]
    count = max(chosen.least, round(scale * chosen.count))
    with (
        tempfile.TemporaryDirectory(prefix="reliability-") as folder,
        own_database(Path(folder)) as (database, settings),
    ):
        return chosen.run(database, settings, count)


def main() -> int:
    """Run the requested experiments and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(EXPERIMENTS), help="names, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(EXPERIMENTS)}")
    logging.getLogger("annotator").setLevel(logging.CRITICAL)  # failures are expected here
    failed = False
    for name in names:
        started = time.perf_counter()
        outcomes = experiment(name, arguments.scale)
        content = table(outcomes)
        print(f"\n{EXPERIMENTS[name].title} ({time.perf_counter() - started:.0f} s)\n\n{content}")
        if arguments.write:
            text = arguments.write.read_text(encoding="utf-8")
            arguments.write.write_text(written(text, name, f"\n{content}\n"), encoding="utf-8")
        failed |= any(outcome.withstood != outcome.tried for outcome in outcomes)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
