"""What the daemon logs while its jobs take longer than their interval."""

from __future__ import annotations

import json
import signal
import threading
import time
from dataclasses import replace

import pytest

from annotator.daemon import Daemon
from annotator.errors import NeedsPersonError
from annotator.logs import configure_logging
from tests.support.strange_text import HOSTILE, is_seen


@pytest.fixture
def as_before():
    """Give back the handlers of signals that are replaced."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("slow", ["poll", "beat"])
def test_only_a_late_heartbeat_is_worth_a_warning(database, settings, as_before, capsys, slow):
    configure_logging("json")
    daemon = Daemon(database, replace(settings, poll_seconds=1, heartbeat_seconds=1))
    for job in ("poll", "beat"):
        setattr(daemon, job, lambda: None)
    begun = threading.Event()

    def take_long():
        begun.set()
        time.sleep(3.5)  # three more ticks

    setattr(daemon, slow, take_long)
    threading.Timer(4.2, daemon.stopping.set).start()
    daemon.run()
    assert begun.is_set()
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [entry["message"] for entry in entries if entry["level"] != "info"] == (
        ["the heartbeat is late: the database has not answered for 1 seconds"]
        if slow == "beat"
        else []
    )
    assert entries[-1]["message"] == "stopped"


@pytest.mark.parametrize("error", [NeedsPersonError, ValueError])
def test_a_sample_id_cannot_add_a_line_to_the_log(database, settings, as_before, capsys, error):
    def fail():
        raise error(f"sample {HOSTILE}\n2026-01-02T03:04:05Z INFO all is well")

    configure_logging("text")
    Daemon(database, settings)._guarded("poll", fail)()
    lines = capsys.readouterr().err.split("\n")
    assert "INFO all is well" in "".join(lines)
    assert all(map(is_seen, lines))
    # The lines of a traceback are indented.
    records = [line for line in lines if line and not line.startswith("    ")]
    assert len(records) == 1
