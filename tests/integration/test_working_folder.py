"""Modules that others put into the working folder are not run."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.atlas import load_atlas
from tests.support.faults.processes import SETTINGS, url_of, wait_for
from tests.support.store import execute, rows

PROGRAM = Path(sys.executable).parent / "annotator"
PLANTED = ("annotator", "joblib", "multiprocessing", "numpy", "click")


@pytest.fixture
def hostile(tmp_path):
    """A working folder with modules that leave a trace when they are imported."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in PLANTED:
        package = folder / name
        package.mkdir()
        trace = f"open({str(tmp_path / 'trace')!r}, 'a').write({name!r})\n"
        for file in ("__init__.py", "__main__.py"):
            (package / file).write_text(trace)
    return folder


@contextmanager
def started(*command, database, hostile, **settings):
    """Start a command in the hostile folder, with its settings and log."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environment |= {
        **SETTINGS,
        "PYTHONPATH": str(ROOT),
        "ANNOTATOR_DATABASE_URL": url_of(database),
        "ANNOTATOR_HOME": str(hostile.parent / "home"),
        **settings,
    }
    log = hostile.parent / "log"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [str(part) for part in command],
            cwd=hostile,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process, log
        finally:
            process.terminate()


def traces(hostile):
    trace = hostile.parent / "trace"
    return trace.read_text() if trace.exists() else ""


def test_workers_of_a_retraining_import_none(database, hostile):
    load_atlas(database)
    command = (PROGRAM, "retrain", "--field", "sex")
    with started(*command, database=database, hostile=hostile, ANNOTATOR_WORKERS="2") as (
        process,
        log,
    ):
        assert process.wait(280) == 0, log.read_text()
    assert traces(hostile) == ""


def test_the_retraining_of_a_daemon_is_ours(database, hostile):
    load_atlas(database)
    execute(
        database,  # a due time that nobody took: the daemon begins with a retraining
        "insert into annotator.tick (job, due_at, worker, outcome)"
        " values ('retrain', now() - interval '5 days', 'w', 'done')",
    )
    daily = {"ANNOTATOR_RETRAIN_CRON": "0 2 * * *"}
    with started(PROGRAM, "serve", database=database, hostile=hostile, **daily):
        run = "select run_id from annotator.training_run"
        wait_for(lambda: rows(database, run) or None, 120, "a training run")
    assert traces(hostile) == ""


def test_python_m_imports_no_other_module(database, hostile):
    (hostile / "annotator").rename(hostile / "elsewhere")
    command = (sys.executable, "-m", "annotator", "status")
    with started(*command, database=database, hostile=hostile) as (process, log):
        assert process.wait(120) == 0, log.read_text()
    assert traces(hostile) == ""
