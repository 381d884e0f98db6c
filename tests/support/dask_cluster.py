"""A Dask scheduler and workers as processes of their own, on the loopback interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import ROOT
from tests.support.faults.processes import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

DASK = str(Path(sys.executable).parent / "dask")
SECONDS = 60.0


@dataclass
class DaskCluster:
    """A running scheduler, and the workers that were started.

    Attributes
    ----------
    address
        The address of the scheduler.
    folder
        The folder of logs and files.
    scheduler
        Its process.
    workers
        The processes of the workers by name.
    """

    address: str
    folder: Path
    scheduler: subprocess.Popen[bytes]
    tls: tuple[str, ...] = ()
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a worker with further variables, and wait until it has connected."""
        local = self.folder / name
        command = [
            *(DASK, "worker", self.address, "--name", name, "--host", "127.0.0.1"),
            *("--no-nanny", "--no-dashboard", "--memory-limit", "0", "--nthreads", "1"),
            *("--local-directory", str(local), *self.tls, *options),
        ]
        self.workers[name] = process = _started(command, self.folder / f"{name}.log", variables)

        def connected() -> bool | None:
            assert process.poll() is None, self.log(name)
            return "Registered to" in self.log(name) or None

        wait_for(connected, SECONDS, f"worker {name}")
        return process

    def log(self, name: str) -> str:
        """Return the log of a process so far."""
        return (self.folder / f"{name}.log").read_text()

    def kill(self, name: str) -> None:
        """Kill a worker."""
        process = self.workers.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """End all processes, and wait for them."""
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
            process.wait()


@contextmanager
def dask_cluster(folder: Path, *tls: str) -> Iterator[DaskCluster]:
    """Start a scheduler, which ends with the block, as do its workers."""
    folder.mkdir(exist_ok=True)
    file = folder / "scheduler.json"
    command = [
        *(
            DASK,
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--dashboard-address",
            "127.0.0.1:0",
        ),
        *("--scheduler-file", str(file), *(("--protocol", "tls", *tls) if tls else ())),
    ]
    process = _started(command, folder / "scheduler.log", {})
    made = DaskCluster("", folder, process, tls)

    def address() -> str | None:
        assert process.poll() is None, made.log("scheduler")
        try:
            return str(json.loads(file.read_text())["address"])
        except (FileNotFoundError, ValueError):
            return None

    try:
        made.address = wait_for(address, SECONDS, "the scheduler")
        yield made
    finally:
        made.end()


def _started(command: list[str], log: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if "ANNOTATOR_" not in name},
        "PYTHONPATH": str(ROOT),
        "DASK_TEMPORARY_DIRECTORY": str(log.parent),
        **variables,
    }
    with log.open("wb") as written:
        return subprocess.Popen(command, env=environment, stdout=written, stderr=written)
