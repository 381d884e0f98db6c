"""The installed command, run as people and service managers run it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annotator.atlas.simulate import SimulationOptions, simulate_atlas, write_atlas
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

    def end(self, *arguments: str, **more: str) -> Ended:
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=280)
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
def trained_home(tmp_path_factory, atlas_files):
    """The home of an imported atlas with a live release of each field, made once a run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "trained"
    with (shared / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "home").is_dir():
            unfinished = shared / f"training-{os.getpid()}"
            unfinished.mkdir()
            train(Program(unfinished / "home", LENIENT), atlas_files[0])
            unfinished.rename(folder)
    return folder / "home"


def train(program: Program, folder: Path) -> None:
    program.run("migrate")
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


@pytest.fixture(scope="module")
def trained(tmp_path_factory, trained_home):
    """The command on a copy of that home: what a module's tests do to it stays there."""
    home = tmp_path_factory.mktemp("t") / "home"
    subprocess.run(["cp", "-a", str(trained_home), str(home)], check=True)
    return Program(home, LENIENT)
