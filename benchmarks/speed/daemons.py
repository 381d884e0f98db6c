"""Annotate the same samples with one daemon and with several at once.

    python -m benchmarks.speed.daemons
    python -m benchmarks.speed.daemons --daemons 1,2 --samples 3000 --labelled 120 --features 200

A simulated atlas with a release per field and `--samples` samples without a label is made as by
`benchmarks.speed.annotation_speed`; `--home` keeps it for the next time. For each number in
`--daemons` all of them become pending, and so many `annotator serve` are started at once. Each
has one BLAS and one OpenMP thread.

The measurement begins when every daemon has written its first batch, and with it loaded its
models, and ends when no sample is left to be claimed. In this window 20 times per second

* the CPU time of the daemons, and that of all server processes, is read from /proc: on a machine
  with fewer cores than daemons, CPU time per sample shows what several daemons cost each other,
* `pg_stat_activity` shows what the sessions of the daemons wait for. Time of waiting is given as
  a share of the daemons' time: 50 % is half of the window for each of them. `Lock` is a row or
  table that another transaction holds, `LWLock` a short lock within the server, `IO` its disk.

A batch takes the seconds from its claim to its commit, in which the next one is predicted; those
of a daemon's first batch are left out. After each run every sample has to have exactly one current
prediction per field or be quarantined, none may have been predicted twice, and none may be left.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from tabulate import tabulate

from annotator.store.server.embedded import running_server
from benchmarks.document import fill_document
from benchmarks.speed.annotation_speed import (
    COPY,
    FORGET,
    HERE,
    ROOT,
    Version,
    add_atlas_options,
    numbers,
    prepare,
    set_samples,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

INTERVAL = 0.05
LEAST_SECONDS = 5.0  # of a window, in which every daemon writes several batches
PATIENCE = 3600.0
SETTINGS = {
    "ANNOTATOR_LOG_FORMAT": "json",
    "ANNOTATOR_RETRAIN_CRON": "0 0 1 1 *",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
TICKS = os.sysconf("SC_CLK_TCK")

LAST_RUN = "select coalesce(max(annotation_run_id), 0) from annotator.annotation_run"
# The queue is full once some daemon has begun a pass.
STATE = """
select
    (select coalesce(sum(predicted + quarantined), 0) from annotator.annotation_run
     where annotation_run_id > %(last)s),
    (select count(distinct worker) from annotator.annotation_run
     where annotation_run_id > %(last)s and predicted + quarantined > 0),
    exists (select from annotator.work where leased_by is null),
    exists (select from annotator.work)
"""
WAITS = """
select wait_event_type || ': ' || wait_event
from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
    and starts_with(application_name, 'annotator')
    and state = 'active' and wait_event_type in ('Lock', 'LWLock', 'IO')
"""
# Copies of failed libraries are quarantined, and have no prediction.
CHECK = f"""
select
    count(*) filter (where predictions = 1 and not is_quarantined),
    count(*) filter (where predictions = 0 and is_quarantined),
    count(*)
from (
    select
        (select count(*) from annotator.prediction p
         where p.sample_id = s.sample_id and p.field = f.field and p.is_current) as predictions,
        exists (select from annotator.quarantine q
         where q.sample_id = s.sample_id and q.field = f.field) as is_quarantined
    from atlas.sample s
    cross join unnest(%(fields)s::text[]) as f (field)
    where s.sample_id like '{COPY}%%'
) found
"""
STORED = """
select
    (select count(*) from annotator.prediction),
    (select sum(predicted) from annotator.annotation_run where annotation_run_id > %s),
    (select count(*) from annotator.work)
"""


@dataclass(frozen=True)
class Moment:
    """The state of a run at one moment; CPU times in seconds."""

    at: float
    done: int
    writing: int
    is_any_unclaimed: bool
    is_any_left: bool
    of_daemons: float
    of_server: float
    waits: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """One number of daemons; shares of the daemons' time per event waited for."""

    daemons: int
    seconds: float
    samples: int
    of_batch: float
    of_daemons: float
    of_server: float
    waits: dict[str, float]

    @property
    def rate(self) -> float:
        return self.samples / self.seconds

    def waiting(self, kind: str) -> float:
        """Return the share of the daemons' time that is spent waiting for events of a type."""
        return sum(share for event, share in self.waits.items() if event.startswith(f"{kind}: "))


def cpu_seconds(pid: int, *, with_ended_children: bool = False) -> float:
    """Return the CPU time of a process; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11 : 15 if with_ended_children else 13])) / TICKS


def server_seconds(postmaster: int, but: int) -> float:
    """Return the CPU time of a server and its processes, also ended ones, but for one."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    others = [int(child) for child in children if int(child) != but]
    return cpu_seconds(postmaster, with_ended_children=True) + sum(map(cpu_seconds, others))


def watch(
    connection: psycopg.Connection, home: Path, daemons: Sequence[subprocess.Popen[bytes]]
) -> list[Moment]:
    """Watch daemons until nothing is pending."""
    postmaster = int((home / "cluster" / "postmaster.pid").read_text().split("\n")[0])
    (last,) = connection.execute(LAST_RUN).fetchone() or (0,)
    moments: list[Moment] = []
    started = time.monotonic()
    while not moments or moments[-1].writing == 0 or moments[-1].is_any_left:
        time.sleep(INTERVAL)
        if any(daemon.poll() is not None for daemon in daemons):
            raise SystemExit("a daemon has ended")
        if time.monotonic() - started > PATIENCE:
            raise SystemExit(f"samples are still pending after {PATIENCE:.0f} seconds")
        state = connection.execute(STATE, {"last": last}).fetchone() or ()
        done, writing, is_any_unclaimed, is_any_left = state
        moments.append(
            Moment(
                time.monotonic(),
                done,
                writing,
                is_any_unclaimed,
                is_any_left,
                sum(cpu_seconds(daemon.pid) for daemon in daemons),
                server_seconds(postmaster, connection.info.backend_pid),
                tuple(row[0] for row in connection.execute(WAITS)),
            )
        )
    return moments


def batch_seconds(logs: Iterable[Path]) -> list[float]:
    """Return the seconds of the batches that daemons have logged, but for the first of each."""
    found = []
    for log in logs:
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        if failed := [line for line in lines if line["level"] not in ("info", "warning")]:
            raise SystemExit(f"a daemon failed: {failed[0]}")
        found += [line["seconds"] for line in lines if line["message"] == "wrote a batch"][1:]
    return found


def measured(moments: Sequence[Moment], daemons: int, batches: Sequence[float]) -> Measured | None:
    """Return what happened while all daemons were at work, if that was long enough."""
    begins = next(place for place, each in enumerate(moments) if each.writing == daemons)
    window = [each for each in moments[begins:] if each.is_any_unclaimed]
    samples = window[-1].done - window[0].done if window else 0
    if not samples or not batches or window[-1].at - window[0].at < LEAST_SECONDS:
        return None
    first, last = window[0], window[-1]
    events = Counter(event for each in window for event in each.waits)
    return Measured(
        daemons,
        last.at - first.at,
        samples,
        statistics.mean(batches),
        (last.of_daemons - first.of_daemons) / samples,
        (last.of_server - first.of_server) / samples,
        {event: times / len(window) / daemons for event, times in events.most_common()},
    )


def check(connection: psycopg.Connection, fields: Sequence[str], last_run: int) -> None:
    """End the program unless every sample was predicted once, and none is left."""
    one, quarantined, every = connection.execute(CHECK, {"fields": list(fields)}).fetchone() or ()
    stored, predicted, left = connection.execute(STORED, (last_run,)).fetchone() or ()
    if one + quarantined != every or stored != predicted or left:
        raise SystemExit(
            f"lost or doubled work: of {every} samples, {one} have one prediction and {quarantined}"
            f" are quarantined; {stored} predictions, {predicted} counted; {left} are left"
        )
    print(f"{every} samples: {one} with one prediction, {quarantined} quarantined, none left")


def run(version: Version, daemons: int, fields: Sequence[str]) -> Measured | None:
    """Annotate all samples with so many daemons."""
    logs = [version.home.parent / f"daemon-{number}.log" for number in range(daemons)]
    processes: list[subprocess.Popen[bytes]] = []
    with psycopg.connect(
        version.conninfo, autocommit=True, application_name="benchmark"
    ) as connection:
        connection.execute(FORGET)
        (last_run,) = connection.execute(LAST_RUN).fetchone() or (0,)
        try:
            for log in logs:
                with log.open("wb") as output:
                    processes.append(
                        subprocess.Popen(
                            [sys.executable, "-m", "annotator", "serve"],
                            env=version.environment(**SETTINGS),
                            cwd=version.home.parent,
                            stderr=output,
                        )
                    )
            moments = watch(connection, version.home, processes)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait()
        check(connection, fields, last_run)
    return measured(moments, daemons, batch_seconds(logs))


def table(found: Sequence[Measured]) -> str:
    """Return one row per number of daemons."""
    rows = [
        [
            each.daemons,
            f"{each.rate:.0f}",
            f"{each.rate / found[0].rate:.2f}",
            f"{each.of_batch:.2f}",
            f"{1000 * each.of_daemons:.2f}",
            f"{1000 * each.of_server:.2f}",
            f"{each.rate * (each.of_daemons + each.of_server):.2f}",
            *(f"{each.waiting(kind):.1%}" for kind in ("Lock", "LWLock", "IO")),
        ]
        for each in found
    ]
    headers = (
        *("daemons", "samples per second", "times the first", "seconds per batch"),
        *("CPU per sample, daemons, ms", "CPU per sample, PostgreSQL, ms", "cores in use"),
        *("waiting for Lock", "for LWLock", "for IO"),
    )
    made: str = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=20_000, help="samples to annotate")
    add_atlas_options(parser)
    parser.add_argument("--daemons", type=numbers, default=[1, 2, 4, 8], help="their numbers")
    parser.add_argument("--home", type=Path, help="folder of the database, used again if it exists")
    parser.add_argument("--document", action="store_true", help="fill docs/measurements/speed.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = (options.home or Path(folder) / "home").resolve()
        is_kept = home.exists()
        with running_server(home) as conninfo:
            version = Version(HERE, ROOT, home, conninfo)
            if not is_kept:
                prepare(version, options)
            set_samples(version, options.samples)
            found = []
            for daemons in options.daemons:
                one = run(version, daemons, options.fields)
                if one is None:  # the others are not lost for that
                    print(f"too few samples for {daemons} daemons: raise --samples", flush=True)
                    continue
                found.append(one)
                events = ", ".join(f"{event} {share:.1%}" for event, share in one.waits.items())
                print(
                    f"{daemons} daemons: {one.samples} samples in {one.seconds:.1f} s;"
                    f" waiting for {events or 'nothing'}; load {os.getloadavg()[0]:.1f}\n"
                    + table(found),
                    flush=True,
                )
    if options.document:
        fill_document(ROOT / "docs" / "measurements" / "speed.md", "daemons", table(found))


if __name__ == "__main__":
    main()
