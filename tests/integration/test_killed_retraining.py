"""A retraining that is killed leaves neither processes nor shared memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.atlas import load_atlas
from tests.support.faults.processes import SETTINGS, url_of, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


def running(session: int) -> list[str]:
    """Return the command lines of all processes of a session, whoever their parent is now."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append((folder / "cmdline").read_text())
    return found


def test_workers_and_what_they_share_go_with_a_killed_retraining(database, tmp_path):
    load_atlas(database)
    given = {
        **SETTINGS,
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(tmp_path),
        "ANNOTATOR_DATABASE_URL": url_of(database),
        "ANNOTATOR_HOME": str(tmp_path / "home"),
        "ANNOTATOR_WORKERS": "2",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "annotator", "retrain"],
        env=os.environ | given,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:

        def works() -> bool | None:
            assert process.poll() is None
            return sum("popen_loky" in line for line in running(process.pid)) == 2 or None

        try:
            wait_for(works, 120, "workers")
            process.kill()
            wait_for(lambda: not running(process.pid) or None, 60, "the end of all processes")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    left = [*Path("/dev/shm").rglob(f"*[-_]{process.pid}[-_]*"), *tmp_path.rglob("*joblib*")]
    assert left == []
