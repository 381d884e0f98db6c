"""The installed command, run as people and service managers run it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from annotator.atlas.simulate import SimulationOptions, simulate_atlas, write_atlas
from annotator.store.server.embedded import running_server
from tests.support.presets import LIGHT

PROGRAM = Path(sys.executable).parent / "annotator"
SMALL = SimulationOptions(samples=130, datasets=16, srnas=220, contaminants=40, seed=7)
# Every candidate goes live: the atlas is too small to tell good from bad.
LENIENT = {"ANNOTATOR_BASELINE_MARGIN": "-1", "ANNOTATOR_GATE_MARGIN": "1"}
QUICK = {
    "ANNOTATOR_PRESET": str(LIGHT),
    "ANNOTATOR_FOLDS": "2",
    "ANNOTATOR_CROSS_VALIDATION_FOLDS": "2",
    "ANNOTATOR_WORKERS": "1",
    "ANNOTATOR_POLL_SECONDS": "1",
    "ANNOTATOR_HEARTBEAT_SECONDS": "1",
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Program:
    """The command with its own home and settings."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None

    def environment(self, **more: str) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("ANNOTATOR_")
        }
        return kept | {"ANNOTATOR_HOME": str(self.home)} | QUICK | dict(self.settings) | more

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(PROGRAM), *arguments],
            env=self.environment(**more),
            cwd=self.folder or self.home.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, *arguments: str, seconds: float = 280, **more: str) -> Ended:
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=seconds)
        return Ended(process.returncode, out, err)

    def run(self, *arguments: str, code: int = 0, **more: str) -> Ended:
        ended = self.end(*arguments, **more)
        assert ended.code == code, f"{arguments}: {ended}"
        return ended

    def rows(self, query: str) -> list[dict[str, Any]]:
        return json.loads(self.run("sql", query, "--format", "json").out)


@pytest.fixture(scope="session")
def atlas_files(tmp_path_factory):
    """A small simulated atlas as files, with its truth."""
    folder = tmp_path_factory.mktemp("atlas")
    atlas = simulate_atlas(SMALL)
    write_atlas(atlas, folder)
    return folder, atlas


@pytest.fixture
def program(tmp_path_factory):
    """The command with an empty home of its own; the path of sockets stays short."""
    return Program(tmp_path_factory.mktemp("a") / "home")


@pytest.fixture(scope="session")
def migrated_home(tmp_path_factory):
    """The home of an empty migrated database, made once a run."""
    with _made_once(tmp_path_factory, "migrated") as unfinished:
        if unfinished is not None:
            program = Program(unfinished / "home")
            program.run("migrate")
            with (
                running_server(program.home) as conninfo,
                psycopg.connect(conninfo, autocommit=True) as connection,
            ):
                # A test's database need not survive a power failure.
                connection.execute("alter system set fsync = off")
                connection.execute("alter system set full_page_writes = off")
    return _shared_folder(tmp_path_factory) / "migrated" / "home"


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory, migrated_home, atlas_files):
    """The home of an imported atlas with a live release of each field, made once a run."""
    with _made_once(tmp_path_factory, "trained") as unfinished:
        if unfinished is not None:
            program = Program(unfinished / "home", LENIENT)
            _copy(migrated_home, program.home)
            with running_server(program.home):
                train(program, atlas_files[0])
    return _shared_folder(tmp_path_factory) / "trained" / "home"


@pytest.fixture(scope="session")
def annotated_home(tmp_path_factory, trained_home):
    """The trained home after an annotation pass, made once a run."""
    with _made_once(tmp_path_factory, "annotated") as unfinished:
        if unfinished is not None:
            program = Program(unfinished / "home", LENIENT)
            _copy(trained_home, program.home)
            program.run("annotate")
    return _shared_folder(tmp_path_factory) / "annotated" / "home"


@contextmanager
def _made_once(factory: pytest.TempPathFactory, name: str) -> Iterator[Path | None]:
    """Give the first worker that asks a folder to fill, and the others nothing once it is full."""
    shared = _shared_folder(factory)
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (shared / name).is_dir():
            yield None
            return
        unfinished = shared / f"{name}-{os.getpid()}"
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(shared / name)


def _shared_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _copy(home: Path, target: Path) -> None:
    """Copy a home whose server is not running, with its owners."""
    subprocess.run(["cp", "-a", str(home), str(target)], check=True)


def train(program: Program, folder: Path) -> None:
    """Import the files of an atlas, and retrain every field."""
    for kind in ("srna", "contaminant"):
        program.run(
            "import",
            str(folder / f"counts_{kind}.tsv.gz"),
            str(folder / "samples.tsv"),
            "--ontology",
            str(folder / "ontology.tsv"),
            "--kind",
            kind,
        )
    program.run("retrain")


@pytest.fixture
def migrated(tmp_path_factory, migrated_home):
    """The command with an empty migrated database of its own, whose server runs."""
    home = tmp_path_factory.mktemp("m") / "home"
    _copy(migrated_home, home)
    with running_server(home):  # no command has to start and stop it
        yield Program(home)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, trained_home):
    """The command on a copy of that home: what a module's tests do to it stays there."""
    with copied_program(tmp_path_factory, trained_home) as program:
        yield program


@pytest.fixture(scope="module")
def annotated(tmp_path_factory, annotated_home):
    """The command on a copy of the home where nothing is pending."""
    with copied_program(tmp_path_factory, annotated_home) as program:
        yield program


@contextmanager
def copied_program(factory: pytest.TempPathFactory, original: Path) -> Iterator[Program]:
    home = factory.mktemp("t") / "home"
    _copy(original, home)
    with running_server(home):  # no command has to start and stop it
        yield Program(home, LENIENT)


def wait_until(condition, seconds=90):
    """Poll a condition: daemons say what they did in the database only."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.3)
    pytest.fail(f"did not happen within {seconds} s")


def forget_predictions(annotated):
    """Make every sample pending again by touching the mirror as its owner would."""
    with running_server(annotated.home) as conninfo, psycopg.connect(conninfo) as owner:
        owner.execute("update atlas.sample set updated_at = clock_timestamp()")


def unanswered(annotated):
    return annotated.rows(
        "select count(*) as n from atlas.sample s join prediction p using (sample_id)"
        " where p.is_current and p.sample_updated_at is distinct from s.updated_at"
    )[0]["n"]
