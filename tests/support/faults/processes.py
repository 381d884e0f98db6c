"""Start real processes of the command quickly, and kill them at any time.

Importing the libraries takes longer than most experiments. Therefore one process imports
them, and each requested process is forked from it, with its own id and connections, and
runs the command from its first line.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from psycopg.conninfo import conninfo_to_dict

from tests.support import ROOT
from tests.support.presets import LIGHT_WITHOUT_NETWORK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from annotator.store.server.connection import Database

Found = TypeVar("Found")
PATIENCE = 300.0
MIGRATING = (
    *("annotator.cli.commands", "annotator.jobs.watch.status", "annotator.store.server.schema"),
    *("alembic.command", "sqlalchemy.dialects.postgresql.psycopg"),
)
LIBRARIES = (
    *(
        "annotator.cli.commands",
        "annotator.daemon",
        "annotator.jobs.annotate.predict",
        "annotator.jobs.report",
    ),
    *(
        "annotator.jobs.retrain.retrain",
        "annotator.jobs.annotate.live_models",
        "annotator.cli.tables",
    ),
    *("safetensors.numpy", "sklearn.ensemble", "sklearn.linear_model", "xgboost"),
)
SETTINGS = {
    "ANNOTATOR_PRESET": str(LIGHT_WITHOUT_NETWORK),
    "ANNOTATOR_WORKERS": "1",
    "ANNOTATOR_FOLDS": "2",
    "ANNOTATOR_CROSS_VALIDATION_FOLDS": "0",
    "ANNOTATOR_BASELINE_MARGIN": "-1",
    "ANNOTATOR_GATE_MARGIN": "1",
    "ANNOTATOR_TARGET_PRECISION": "0.5",
    "ANNOTATOR_POLL_SECONDS": "1",
    "ANNOTATOR_HEARTBEAT_SECONDS": "1",
    "ANNOTATOR_RETRAIN_CRON": "0 0 29 2 *",  # no daemon retrains by itself
}


@dataclass(frozen=True)
class Process:
    """A process that runs the command."""

    pid: int
    log: Path
    _end: Path

    def kill(self) -> None:
        """Kill the process with SIGKILL, and wait for its end."""
        self.send(signal.SIGKILL)
        self.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal unless the process has ended, which is recorded shortly afterwards."""
        if self.code() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def code(self) -> int | None:
        """Return the exit code, as in a shell, or ``None`` while the process is running."""
        try:
            return int(self._end.read_text())
        except (FileNotFoundError, ValueError):
            return None

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for the end of the process; return its exit code."""
        return wait_for(self.code, seconds, f"the end of process {self.pid}")

    def output(self) -> str:
        """Return the standard output and error of the process so far."""
        with suppress(FileNotFoundError):  # it has only just started
            return self.log.read_text(encoding="utf-8", errors="replace")
        return ""


class Launcher:
    """Starts processes of the command against a database.

    Without models, only the libraries that migrations need are imported beforehand.
    """

    def __init__(
        self, folder: Path, database: Database, *, models: bool = True, **settings: str
    ) -> None:
        self._folder, self._number = folder, 0
        kept = {name: value for name, value in os.environ.items() if "ANNOTATOR_" not in name}
        self._environment = (
            kept
            | SETTINGS
            | {
                "ANNOTATOR_DATABASE_URL": url_of(database),
                "ANNOTATOR_HOME": str(folder / "unused"),
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "OPENBLAS_NUM_THREADS": "1",
            }
            | settings
        )
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__, *(() if models else ("migrating",))],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started: list[Process] = []

    def start(self, *arguments: str, **settings: str) -> Process:
        """Start the command with arguments and settings; return at once."""
        self._number += 1
        log = self._folder / f"process-{self._number}.log"
        end = self._folder / f"process-{self._number}.end"
        request = {
            "arguments": arguments,
            "settings": settings,
            "log": str(log),
            "end": str(end),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        process = Process(int(self._server.stdout.readline()), log, end)
        self._started.append(process)
        return process

    def run(self, *arguments: str, **settings: str) -> Process:
        """Start the command and wait for its end."""
        process = self.start(*arguments, **settings)
        process.wait()
        return process

    def close(self) -> None:
        """End every process that was started."""
        for process in self._started:
            if process.code() is None:
                process.kill()
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(PATIENCE)
        self._server.stdout.close()


@contextmanager
def launcher(
    folder: Path, database: Database, *, models: bool = True, **settings: str
) -> Iterator[Launcher]:
    """Open a launcher whose processes end with the block."""
    folder.mkdir(exist_ok=True)
    one = Launcher(folder, database, models=models, **settings)
    try:
        yield one
    finally:
        one.close()


def url_of(database: Database) -> str:
    """Return a URL for a database over its socket."""
    parts = conninfo_to_dict(database.conninfo)
    return f"postgresql://{parts['user']}@:{parts['port']}/{parts['dbname']}?host={parts['host']}"


def wait_for(condition: Callable[[], Found | None], seconds: float, what: str) -> Found:
    """Wait until a condition returns a value; raise TimeoutError if it does not in time."""
    deadline = time.monotonic() + seconds
    while (found := condition()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.005)
    return found


# --- The process that others are forked from ----------------------------------------------------


def _become(request: dict[str, object]) -> None:
    """Run the command in this process, and end the process."""
    from annotator.cli.commands import main

    code = 1
    try:
        os.environ.update(request["settings"])  # type: ignore[call-overload]
        log = os.open(str(request["log"]), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sys.argv = ["annotator", *request["arguments"]]  # type: ignore[misc]
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 the log has the traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_of(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return str(code if code >= 0 else 128 - code)


def _serve(*, models: bool) -> None:
    """Fork a process per line of standard input, and record the exit code of each."""
    for name in LIBRARIES if models else MIGRATING:
        importlib.import_module(name)
    ends: dict[int, str] = {}
    waiting = b""
    while True:
        if select.select([0], [], [], 0.02)[0]:
            received = os.read(0, 65536)
            if not received:
                break
            *lines, waiting = (waiting + received).split(b"\n")
            for line in lines:
                request = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    _become(request)
                ends[pid] = request["end"]
                os.write(1, b"%d\n" % pid)
        _reap(ends, os.WNOHANG)
    for pid in list(ends):
        os.kill(pid, signal.SIGKILL)
    _reap(ends, 0)


def _reap(ends: dict[int, str], options: int) -> None:
    while ends:
        pid, status = os.waitpid(-1, options)
        if pid == 0:
            return
        path = Path(ends.pop(pid))
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(_end_of(status), encoding="utf-8")
        unfinished.rename(path)


if __name__ == "__main__":
    _serve(models=sys.argv[1:] != ["migrating"])
