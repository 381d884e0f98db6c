"""Connections to the metrics port: few, and none for long."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from contextlib import ExitStack, suppress

import pytest
from prometheus_client import CollectorRegistry, Gauge

from annotator.jobs.watch import metrics_server
from annotator.jobs.watch.metrics_server import MetricsServer


@pytest.fixture
def port():
    """The port of a server with one metric."""
    registry = CollectorRegistry()
    Gauge("answer", "The metric.", registry=registry).set(42)
    with MetricsServer("127.0.0.1", 0, registry) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answered:
        return "answer 42" in answered.read().decode()


def connected(port):
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def is_closed(connection):
    with suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


def test_a_silent_connection_is_closed(port, monkeypatch):
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.1)
    with connected(port) as silent:
        assert is_closed(silent)


def test_a_connection_that_sends_a_byte_now_and_then_is_closed(port, monkeypatch):
    monkeypatch.setattr(metrics_server, "CONNECTION_SECONDS", 1)
    with connected(port) as slow:
        slow.settimeout(0.1)
        deadline = time.monotonic() + 60
        with suppress(ConnectionError):
            while time.monotonic() < deadline:
                slow.sendall(b"G")
                with suppress(TimeoutError):
                    assert slow.recv(1) == b""
                    break
        assert time.monotonic() < deadline


@pytest.fixture
def crowded(port, monkeypatch):
    """All connections that may be open, which nobody closes."""
    monkeypatch.setattr(metrics_server._Handler, "timeout", None)
    with ExitStack() as opened:
        for _ in range(metrics_server.MOST_CONNECTIONS):
            opened.enter_context(connected(port))
        yield opened


def test_connections_above_the_limit_are_closed(port, crowded):
    with connected(port) as one_more:
        assert is_closed(one_more)


def test_a_scrape_is_answered_once_others_have_gone(port, crowded):
    with pytest.raises(OSError):
        scraped(port)
    crowded.close()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError):
            assert scraped(port)
            return
        time.sleep(0.1)
    pytest.fail("no scrape was answered")
