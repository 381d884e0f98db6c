"""What an operator sees of a daemon: figures over HTTP, log lines, the doctor."""

from __future__ import annotations

import json
import signal
import socket
import time
import urllib.error
import urllib.request

import pytest

TISSUE = '{field="tissue",organism="Homo sapiens"}'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def scraped(port):
    """Figures of the daemon by name and labels; None while it does not serve yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answered:
            lines = answered.read().decode().splitlines()
    except (urllib.error.URLError, ConnectionError):
        return None
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_figures_and_log_lines_of_a_daemon(trained):
    port = free_port()
    daemon = trained.start(
        "serve",
        ANNOTATOR_METRICS_PORT=str(port),
        ANNOTATOR_LOG_FORMAT="json",
        ANNOTATOR_BATCH_SIZE="16",
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = scraped(port)
            if found and found[f"annotator_pending_samples{TISSUE}"] == 0:
                break
            time.sleep(0.5)
        else:
            pytest.fail("the daemon did not annotate")
        metrics = json.loads(trained.run("status", "--json").out)["metrics"]
    finally:
        daemon.send_signal(signal.SIGTERM)
        _, log = daemon.communicate(timeout=60)
    assert daemon.returncode == 0, log
    (tissue,) = [field for field in metrics["fields"] if field["field"] == "tissue"]
    for name in ("annotated", "abstained", "quarantined"):
        assert found[f"annotator_{name}_samples{TISSUE}"] == tissue[name]
    assert found['annotator_batch_seconds_count{field="tissue"}'] > 1

    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    batches = [line for line in lines if line["message"] == "wrote a batch"]
    logged = {
        (line["batch"], line["field"], line["release"], line["annotation_run"], line["predicted"])
        for line in batches
    }
    stored = {
        tuple(row.values())
        for row in trained.rows(
            "select detail ->> 'batch' as batch, subject, (detail ->> 'release_id')::int as r,"
            " (detail ->> 'annotation_run_id')::int as a,"
            " (detail ->> 'suggested')::int + (detail ->> 'abstained')::int as n"
            " from event where kind = 'annotated'"
        )
    }
    assert logged == stored
    assert len(batches) == len(logged)


def test_the_doctor_finds_a_trained_home_well(trained):
    ended = trained.run("doctor")
    assert "the models load" in ended.out
    assert "\nwrong" not in "\n" + ended.out
    told = json.loads(trained.run("doctor", "--json", "--quick").out)
    assert {finding["level"] for finding in told["findings"]} <= {"ok", "warning"}


def test_the_doctor_sends_nobody_into_an_empty_home(program):
    ended = program.run("doctor", code=1)
    assert "annotator migrate" in ended.out
    assert not program.home.exists()


def test_a_port_that_is_taken_ends_the_daemon(trained):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = trained.run("serve", code=3, ANNOTATOR_METRICS_PORT=port)
    assert "metrics_port" in ended.err
    assert "Traceback" not in ended.err
