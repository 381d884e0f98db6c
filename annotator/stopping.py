"""End a process that was asked to stop but cannot, because something does not answer."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

logger = logging.getLogger(__name__)

ONE_REQUEST_SECONDS = 3.0
"""Signals within this time are one request: a service manager sends one to every process of a
service, and a daemon another to its retraining."""


class Cancellable(Protocol):
    """A connection to a database."""

    def cancel_safe(self, *, timeout: float = ...) -> None:
        """Cancel the running statement."""


_connections: WeakSet[Cancellable] = WeakSet()


def cancel_at_end(connection: Cancellable) -> None:
    """Cancel the statement of a connection if the process has to be ended."""
    _connections.add(connection)


class StopRequests:
    """The signals that ask this process to stop, the second of which ends it at once."""

    def __init__(self) -> None:
        self._first: float | None = None

    def note(self, number: int) -> None:
        """Note a signal. What is not committed is lost if it ends the process.

        Parameters
        ----------
        number
            The signal; the exit code is 128 + this number.
        """
        now = time.monotonic()
        if self._first is None:
            self._first = now
        elif now - self._first > ONE_REQUEST_SECONDS:
            _end(number)


def end_later(number: int, seconds: float) -> threading.Timer:
    """End the process after a grace period as a second signal would, unless that is cancelled."""
    timer = threading.Timer(seconds, _end, (number,))
    timer.daemon = True
    timer.start()
    return timer


def _end(number: int) -> None:
    logger.error("ended before everything was finished: something does not answer")
    # A cancelled statement wakes the main thread, which may reach its own end first.
    atexit.register(os._exit, 128 + number)
    with suppress(Exception):
        for connection in tuple(_connections):
            with suppress(Exception):
                connection.cancel_safe(timeout=1)
    os._exit(128 + number)
