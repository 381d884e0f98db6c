"""A server that cannot write, has no connection left or waits too long: nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from annotator.errors import DatabaseUnavailableError
from annotator.store.server.embedded import running_server
from tests.support import ROOT
from tests.support.faults import limits as fault_limits
from tests.support.faults.atlas import own_database


def test_the_live_release_outlives_every_limit_and_work_resumes(tmp_path):
    with own_database(tmp_path) as (database, settings):  # others use the server of the run
        outcomes = fault_limits.run_limits(database, settings, times=1, disks=False)
    assert len({outcome.fault for outcome in outcomes}) == 5
    assert [outcome for outcome in outcomes if outcome.withstood != outcome.tried] == []


def test_a_server_without_a_connection_left_is_not_called_dead(tmp_path):
    with (
        own_database(tmp_path) as (database, settings),
        fault_limits.no_connection_left(database),
        pytest.raises(DatabaseUnavailableError, match="no connection left"),
        running_server(settings.home_folder()),
    ):
        pass


def test_a_daemon_that_finds_its_data_directory_read_only_says_so_and_ends(tmp_path):
    with own_database(tmp_path) as (_, settings):
        home = settings.home_folder()
    run = [sys.executable, "-m", "annotator"]
    given = {
        "cwd": ROOT,
        "env": os.environ | {"ANNOTATOR_HOME": str(home), "ANNOTATOR_DATABASE_URL": ""},
        "capture_output": True,
        "text": True,
        "timeout": 120,
    }
    with fault_limits.read_only_files(home, ours_only=False):
        ended = subprocess.run([*run, "serve"], **given)
    assert ended.returncode == 3, ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert str(home) in ended.stderr
    assert "cannot open its files" in ended.stderr
    assert not (home / "cluster" / "postmaster.pid").exists()
    assert subprocess.run([*run, "status"], **given).returncode == 0
