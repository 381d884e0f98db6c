"""Signals that arrive at any moment."""

from __future__ import annotations

import signal

from annotator.daemon import Daemon
from annotator.settings import Settings
from annotator.store.server.connection import Database


def test_a_signal_during_a_wait_for_the_same_event_stops_the_daemon() -> None:
    daemon = Daemon(Database("dbname=unused"), Settings())
    with daemon.stopping._cond:  # as if the wait had just begun in this thread
        daemon._stop(signal.SIGTERM, None)
        assert not daemon.stopping.is_set()
    assert daemon.stopping.wait(10)
