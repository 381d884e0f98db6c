"""A daemon whose metrics port is held by idle connections works on."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, contextmanager, suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from annotator.jobs.retrain.retrain import retrain
from tests.support import ROOT
from tests.support.atlas import load_atlas
from tests.support.faults.processes import SETTINGS, url_of, wait_for
from tests.support.store import execute, rows

IDLE = 1100
LIMIT = 'ulimit -n 200 && ulimit -S -n 100 && exec "$@"'


@contextmanager
def serving(database, folder):
    """Run a daemon that may open 100 files, and at most 200; yield the port of its metrics."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = {
        **SETTINGS,
        "PYTHONPATH": str(ROOT),
        "ANNOTATOR_DATABASE_URL": url_of(database),
        "ANNOTATOR_HOME": str(folder / "home"),
        "ANNOTATOR_METRICS_PORT": str(port),
    }
    command = ["sh", "-c", LIMIT, "sh", sys.executable, "-m", "annotator", "serve"]
    with subprocess.Popen(command, env=os.environ | given, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: scraped(port) or None, 120, "the daemon")
            yield port
        finally:
            process.terminate()


def scraped(port):
    """Return the metrics without labels by name, nothing if the scrape is not answered."""
    with suppress(OSError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answered:
            text = answered.read().decode()
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.labels
        }
    return {}


@pytest.fixture
def many_files():
    """Let this process open the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < IDLE + 200:
        pytest.skip(f"no more than {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 200), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_daemon_may_open_as_many_files_as_the_system_allows(database, tmp_path):
    with serving(database, tmp_path) as port:
        assert scraped(port)["process_max_fds"] == 200


def test_idle_connections_stop_neither_annotation_nor_scrapes(
    database, job_settings, tmp_path, many_files
):
    load_atlas(database)
    assert retrain(database, job_settings, "tissue").status == "promoted"
    with serving(database, tmp_path) as port, ExitStack() as idle:
        for _ in range(IDLE):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        execute(database, "update atlas.sample set updated_at = clock_timestamp()")

        def annotated():
            (count,) = rows(
                database,
                "select count(*) from annotator.prediction join atlas.sample using (sample_id)"
                " where sample_updated_at = updated_at",
            )[0]
            return count or None

        wait_for(annotated, 120, "predictions")
        wait_for(lambda: scraped(port).get("annotator_database_up") or None, 60, "a scrape")
