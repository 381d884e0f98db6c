"""Measure a daemon under load for an hour and test whether anything grows.

The daemon is a process of the command with an embedded PostgreSQL. Every few seconds
samples are added to the mirror, changed, broken, labelled and deleted; curators decide;
the daemon retrains every other minute; its metrics and its status are read. Models are
small.

    python -m benchmarks.soak.daemon --minutes 60 --write docs/measurements/reliability.md \\
        --plot docs/measurements/soak.svg
    python -m benchmarks.soak.daemon --from soak.jsonl --plot soak.png

--record keeps the measurements, from which --from makes the table and plot again. The
exit code is 1 if something grew or was not done. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.faults.reliability import table, written
from benchmarks.soak.plot import draw
from tests.support.faults.atlas import Outcome, own_database
from tests.support.soak.judge import Metric, judge, outcome_of
from tests.support.soak.load import Pace, Soaked, soak

MEMORY = "Memory of the daemon, MB"
SERVER = "Memory of PostgreSQL, MB"
PROCESS = "The daemon's handles, threads and temporary files"
SESSIONS = "Connections, and the processes that serve them"
PASSING = "Tables whose rows come and go, MB"
DEAD = "Dead rows in tables whose rows come and go"
ROWS = "Bytes for each row that is kept, with indexes"
SHARE = "Dead rows among the kept ones, %"
FILES = "Reports and PostgreSQL's catalogues, MB"
LOG = "Log of transactions, MB"
GROWS = "Rows that are kept for good, thousands (not judged)"
SECONDS = "Seconds for an answer (not judged)"
METRICS = (
    Metric("memory of the daemon", "MB", "daemon_mb", 0.05, 0, MEMORY),
    Metric("PostgreSQL, private memory", "MB", "server_private_mb", 0.1, 4, SERVER, resting=True),
    Metric("PostgreSQL, shared memory", "MB", "server_shared_mb", 0, 0, SERVER, ceiling=150),
    Metric("the daemon's open file handles", "", "daemon_handles", 0, 0.9, PROCESS),
    Metric("the daemon's threads", "", "daemon_threads", 0, 0.9, PROCESS),
    Metric("temporary files", "", "temporary_files", 0, 0.9, PROCESS, resting=True),
    Metric("connections at once", "", "connections", 0, 0, SESSIONS, ceiling=10),
    # One per connection, including those of the experiment, and the server's own nine.
    Metric("server processes", "", "server_processes", 0, 0.9, SESSIONS, resting=True),
    Metric("transactions left open", "", "forgotten_transactions", 0, 0.9, SESSIONS),
    Metric("tables whose rows come and go, all", "MB", "passing_mb", 0.1, 0, PASSING),
    Metric("stored models among them", "MB", "models_mb", 0.1, 0, PASSING),
    Metric("dead rows in these tables", "", "passing_dead", 0.2, 0, DEAD, resting=True),
    Metric("size of a kept row", "bytes", "kept_row_bytes", 0.05, 0, ROWS),
    Metric("dead rows among kept ones", "%", "kept_dead_percent", 0, 2, SHARE),
    Metric("reports on disk", "MB", "reports_mb", 0.1, 0, FILES),
    Metric("PostgreSQL, catalogues", "MB", "catalogue_mb", 0.05, 0, FILES),
    Metric("PostgreSQL, log of transactions", "MB", "wal_mb", 0, 0, LOG, ceiling=2048),
    Metric("kept rows", "thousand", "kept_thousands", 0, 0, GROWS, judged=False),
    Metric("a scrape", "s", "scrape_seconds", 0, 0, SECONDS, judged=False),
    Metric("the review queue", "s", "queue_seconds", 0, 0, SECONDS, judged=False),
)


def series(measurements: list[dict[str, float]]) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Return the values over time per key; NaN where a value was not measured."""
    keys = sorted({key for one in measurements for key in one})
    nan = float("nan")
    found = {key: np.array([one.get(key, nan) for one in measurements]) for key in keys}
    found["models_mb"] = found["annotator.artefact/bytes"] / 1024**2
    found["kept_thousands"] = found["kept_rows"] / 1000
    return found


def flatness(measurements: list[dict[str, float]]) -> list[Outcome]:
    """Judge every metric, and the size of rows in tables that keep them."""
    values = series(measurements)
    outcomes = [
        outcome_of(metric, values["seconds"], values[metric.key])
        for metric in METRICS
        if metric.judged
    ]
    return outcomes + [
        _kept(values, name) for name in ("prediction", "class_contribution", "event")
    ]


def _kept(values: dict[str, Any], name: str) -> Outcome:
    """Judge the bytes per row of a table that grows on purpose."""
    rows, size = (values[f"annotator.{name}/{what}"] for what in ("rows", "bytes"))
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(rows > 0, size / rows, np.nan)
    judged = judge(values["seconds"], each, 0.05, 0)
    remark = (
        f"{np.nanmax(rows):,.0f} rows, {judged.middle:,.0f} bytes each, {judged.growth:+.2g}"
        f" ({judged.allowed:.2g} allowed)"
    )
    withstood = judged.measurements if judged.flat else 0
    return Outcome(f"rows of {name}", max(1, judged.measurements), withstood, remark)


def plot(path: Path, measurements: list[dict[str, float]]) -> None:
    """Plot every metric."""
    values = series(measurements)
    panels: dict[str, list[Metric]] = {}
    for metric in METRICS:
        if metric.panel:
            panels.setdefault(metric.panel, []).append(metric)
    draw(path, values["seconds"], values, panels)


def main() -> int:
    """Run the measurement or read an earlier one, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--from", type=Path, dest="source", help="measurements of an earlier run")
    parser.add_argument("--record", type=Path, help="keep the measurements in this file")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    if arguments.source is not None:
        soaked = read(arguments.source)
    else:
        with (
            tempfile.TemporaryDirectory(prefix="reliability-") as folder,
            own_database(Path(folder)) as (database, settings),
        ):
            soaked = soak(database, settings, Pace(arguments.minutes), arguments.record)
        if arguments.record is not None:
            with arguments.record.open("a", encoding="utf-8") as file:
                outcomes = [[o.fault, o.tried, o.withstood, o.remark] for o in soaked.outcomes]
                file.write(json.dumps({"outcomes": outcomes}) + "\n")
    outcomes = [*flatness(soaked.measurements), *soaked.outcomes]
    content = table(outcomes)
    print(content)
    if arguments.plot is not None:
        plot(arguments.plot, soaked.measurements)
    if arguments.write is not None:
        text = arguments.write.read_text(encoding="utf-8")
        arguments.write.write_text(written(text, "soak", f"\n{content}\n"), encoding="utf-8")
    return int(any(outcome.withstood != outcome.tried for outcome in outcomes))


def read(path: Path) -> Soaked:
    """Read the measurements that --record kept."""
    soaked = Soaked()
    for line in path.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if "outcomes" in one:
            soaked.outcomes = [Outcome(*values) for values in one["outcomes"]]
        else:
            soaked.measurements.append(one)
    return soaked


if __name__ == "__main__":
    sys.exit(main())
