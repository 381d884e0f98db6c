"""Run a daemon under load: its process, the changes around it, and the checks at the end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS
from annotator.store.answers.work import count_pending
from annotator.store.releases.registry import live_releases
from tests.support import ROOT
from tests.support.atlas import load_atlas
from tests.support.faults.atlas import Outcome
from tests.support.faults.processes import wait_for
from tests.support.faults.rows import one_number
from tests.support.presets import LIGHT, LIGHT_WITHOUT_NETWORK
from tests.support.soak.watch import Watch, children_of
from tests.support.soak.world import Curators, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from annotator.settings import Settings
    from annotator.store.server.connection import Database

COMMAND = (sys.executable, "-m", "annotator")
SETTINGS = {
    "ANNOTATOR_WORKERS": "1",
    "ANNOTATOR_FOLDS": "2",
    "ANNOTATOR_CROSS_VALIDATION_FOLDS": "0",
    "ANNOTATOR_BASELINE_MARGIN": "-1",
    "ANNOTATOR_GATE_MARGIN": "1",
    "ANNOTATOR_TARGET_PRECISION": "0.5",
    "ANNOTATOR_TOP_CONTRIBUTIONS": "5",
    "ANNOTATOR_KEEP_RELEASES": "2",
    "ANNOTATOR_KEEP_REPORTS": "2",
    "ANNOTATOR_POLL_SECONDS": "2",
    "ANNOTATOR_HEARTBEAT_SECONDS": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
PATIENCE = 300.0
GLANCE_SECONDS = 0.5
EVERYTHING = (
    *("arrived", "changed", "broken", "labelled", "gone"),
    *("accepted", "rejected", "corrected", "undone"),
)


@dataclass(frozen=True)
class Pace:
    """The pace of a soak test.

    Attributes
    ----------
    minutes
        How long samples arrive.
    turn, scrape, status
        Seconds between turns of the world and measurements, between scrapes, and between
        calls of ``status``.
    lifetime
        Seconds after which a sample that arrived is deleted.
    retrain_cron
        Schedule of retraining.
    fields
        Fields that get labels and releases.
    network
        Whether networks are trained, too.
    """

    minutes: float
    turn: float = 5
    scrape: float = 15
    status: float = 120
    lifetime: float = 300
    retrain_cron: str = "*/2 * * * *"
    fields: tuple[str, ...] = tuple(FIELDS)
    network: bool = True


@dataclass
class Soaked:
    """The results of a soak test: measurements, counts of actions, and checks at the end."""

    measurements: list[dict[str, float]] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    outcomes: list[Outcome] = field(default_factory=list)


class Clock:
    """A timer for a repeated action."""

    def __init__(self, every: float) -> None:
        self._every, self._next = every, time.monotonic()

    def due(self) -> bool:
        """Return whether the action is due; if so, set the timer for the next time."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = max(self._next + self._every, now)
        return True


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """The daemon and other commands, on the embedded server of a home."""

    def __init__(self, folder: Path, home: Path, pace: Pace) -> None:
        self.temporary, self.log = folder / "temporary", folder / "daemon.log"
        self.temporary.mkdir()
        self.port = free_port()
        kept = {name: value for name, value in os.environ.items() if "ANNOTATOR_" not in name}
        self._environment = (
            kept
            | SETTINGS
            | {
                "ANNOTATOR_HOME": str(home),
                "ANNOTATOR_RETRAIN_CRON": pace.retrain_cron,
                "PYTHONPATH": str(ROOT),
            }
        )
        preset = LIGHT if pace.network else LIGHT_WITHOUT_NETWORK
        self._environment["ANNOTATOR_PRESET"] = str(preset)
        with self.log.open("w") as log:
            self.daemon = subprocess.Popen(
                [*COMMAND, "serve"],
                stdout=log,
                stderr=log,
                env=self._environment
                | {"TMPDIR": str(self.temporary), "ANNOTATOR_METRICS_PORT": str(self.port)},
            )
        self._status: subprocess.Popen[bytes] | None = None

    def scrape(self) -> bool:
        """Read the metrics as Prometheus does; return whether they were available."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/metrics", timeout=30
            ) as answered:
                return b"annotator_database_up 1.0" in answered.read()
        except OSError:
            return False

    def ask_status(self) -> None:
        """Start `status --json`, if the last one has ended."""
        if self._status is None or self._status.poll() is not None:
            self._status = subprocess.Popen(
                [*COMMAND, "status", "--json"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
            )

    def status_ended(self) -> int | None:
        """Return the exit code of the status once, if it has ended."""
        if self._status is None or self._status.poll() is None:
            return None
        code, self._status = self._status.returncode, None
        return code

    def end(self) -> int:
        """Stop the daemon as a service manager does; return its exit code."""
        self.daemon.send_signal(signal.SIGTERM)
        if self._status is not None:
            self._status.wait(PATIENCE)
        return self.daemon.wait(PATIENCE)

    def complaints(self) -> list[str]:
        """Return what the daemon and its retrainings logged as errors."""
        marks = (" ERROR ", " CRITICAL ", "Traceback", "ResourceWarning")
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if any(mark in line for mark in marks)]


@contextmanager
def running(folder: Path, home: Path, pace: Pace) -> Iterator[Program]:
    """Run the daemon, and kill it if the block fails."""
    program = Program(folder, home, pace)
    try:
        yield program
    finally:
        if program.daemon.poll() is None:
            program.daemon.kill()
            program.daemon.wait()


# The last due time that was met is long ago: the daemon has missed later ones and catches up.
_MISSED = """
insert into annotator.tick (job, due_at, worker, outcome)
values ('retrain', now() - interval '5 days', 'earlier', 'exit code 0')
"""
_ANSWERS = "select count(*) from annotator.prediction"
_RUNS = """
select count(*) filter (where status = 'succeeded'), count(*) filter (where status = 'failed'),
    count(*) filter (where status <> 'running')
from annotator.training_run
"""
_QUARANTINED = """
select count(distinct s.sample_id) from atlas.sample s
join annotator.quarantine q on q.sample_id = s.sample_id and q.sample_updated_at = s.updated_at
where s.sample_id = any (%s)
"""


def soak(database: Database, settings: Settings, pace: Pace, record: Path | None = None) -> Soaked:
    """Run the daemon under load, and measure it.

    Parameters
    ----------
    database, settings
        A migrated embedded database that nothing else uses.
    pace
        Duration and pace.
    record
        A file to which each measurement is written at once, as a line of JSON.
    """
    load_atlas(database)
    home = settings.home_folder()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        database.connect(autocommit=True, application_name="experiment") as connection,
        database.connect(
            autocommit=True, application_name="curators", user="annotator_curator"
        ) as curator,
    ):
        left_out = [name for name in FIELDS if name not in pace.fields]
        connection.execute("delete from atlas.annotation where field = any (%s)", (left_out,))
        connection.execute(_MISSED)
        world, curators = World(connection, pace.lifetime, pace.fields), Curators(curator)
        with running(Path(folder), home, pace) as program:
            soaked = Soaked()
            watch = Watch(connection, program.daemon.pid, home, program.temporary)
            wait_for(
                lambda: one_number(connection, _ANSWERS) or None, PATIENCE, "the first answers"
            )
            _work(pace, program, world, curators, watch, soaked, record)
            soaked.done += world.done + curators.done
            _finish(connection, program, world, curators, soaked)
    return soaked


def _work(
    pace: Pace,
    program: Program,
    world: World,
    curators: Curators,
    watch: Watch,
    soaked: Soaked,
    record: Path | None,
) -> None:
    """Repeat all actions, each at least once."""
    done, ends = soaked.done, time.monotonic() + 60 * pace.minutes
    turn, scrape, status = Clock(pace.turn), Clock(pace.scrape), Clock(pace.status)
    while (now := time.monotonic()) < ends or (
        now < ends + PATIENCE and not all((world.done + curators.done)[what] for what in EVERYTHING)
    ):
        while not turn.due():
            watch.glance()
            time.sleep(GLANCE_SECONDS)
        world.turn(time.monotonic())
        curators.turn()
        measured = watch.measure() | {"queue_seconds": curators.waited}
        if scrape.due():
            began = time.monotonic()
            done["scrapes"] += 1
            done["scrapes answered"] += program.scrape()
            measured["scrape_seconds"] = time.monotonic() - began
        soaked.measurements.append(measured)
        if record is not None:
            with record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(measured) + "\n")
        code = program.status_ended()
        if code is not None:
            done["statuses"] += 1
            done["statuses answered"] += code == 0
        if status.due():
            program.ask_status()


def _finish(
    connection: psycopg.Connection,
    program: Program,
    world: World,
    curators: Curators,
    soaked: Soaked,
) -> None:
    """Check that all requested work was done, and stop the daemon between retrainings."""

    def waiting() -> int:
        releases = live_releases(connection)
        return sum(count_pending(connection, one.field, one.release_id) for one in releases)

    def idle() -> bool | None:
        return (not children_of(program.daemon.pid) and waiting() == 0) or None

    wait_for(idle, PATIENCE, "every sample to be answered, and no retraining")
    done, broken = soaked.done, world.broken()
    quarantined = one_number(connection, _QUARANTINED, broken)
    samples = one_number(connection, "select count(*) from atlas.sample")
    left, same = waiting(), program.daemon.poll() is None
    code, complaints = program.end(), [*program.complaints(), *curators.errors]
    succeeded, failed, ended = connection.execute(_RUNS).fetchone() or (0, 0, 0)
    done["retrainings"] = succeeded
    done["predictions"] = one_number(connection, _ANSWERS)
    done["releases"] = one_number(
        connection, "select count(*) from annotator.release where promoted_at is not null"
    )
    decided = sum(done[name] for name in ("accepted", "rejected", "corrected"))
    soaked.outcomes = [
        Outcome(
            "retrainings",
            ended,
            ended - failed,
            f"{succeeded} releases made, {done['releases']} of them went live",
        ),
        Outcome(
            "samples in the end",
            samples,
            samples - left,
            f"nothing waits; {done['arrived']} arrived, {done['changed']} changed,"
            f" {done['labelled']} labels came, {done['gone']} went;"
            f" {done['predictions']} predictions",
        ),
        Outcome("broken samples in the end", len(broken), quarantined, "quarantined"),
        Outcome(
            "reviews",
            decided + len(curators.errors),
            decided,
            f"{done['accepted']} accepted, {done['rejected']} rejected,"
            f" {done['corrected']} corrected, {done['datasets accepted']} datasets;"
            f" {done['undone']} undone, {done['refused as stale']} refused as stale",
        ),
        Outcome("scrapes", done["scrapes"], done["scrapes answered"], "answered"),
        Outcome("status --json", done["statuses"], done["statuses answered"], "exit code 0"),
        Outcome(
            "the daemon",
            1,
            int(same and code == 0 and not complaints),
            complaints[0][:80] if complaints else "one process to the end, no error in its log",
        ),
    ]
