"""Calls for the workers of a cluster, at module level so that they can be sent."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from annotator.errors import CohortError


def column_sum(data: Any, number: int) -> tuple[int, float, int]:
    """Return the number, the sum of a column and the process."""
    return number, float(data[:, number].sum()), os.getpid()


def fail(data: Any, number: int) -> int:
    """Raise an error for a person."""
    raise CohortError(f"number {number} cannot be done")


def bug(data: Any, number: int) -> int:
    """Raise an error that nobody expects."""
    return int(data["no such key"])


def end_first_worker(folder: str, number: int) -> int:
    """End the worker that is the first to get number 1."""
    if number == 1:
        try:
            (Path(folder) / "ended").mkdir()
        except FileExistsError:
            return number
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def end_every_worker(folder: str, number: int) -> int:
    """End every worker that gets number 1."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def one_at_a_time(folder: str, number: int) -> int:
    """Raise an error if another call runs in this process at the same time."""
    mine = Path(folder) / str(os.getpid())
    mine.mkdir()
    time.sleep(0.1)
    mine.rmdir()
    return number


def wait_for_file(folder: str, number: int) -> int:
    """Note that the call has begun, and wait for a file."""
    (Path(folder) / f"begun-{number}").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return number


def total(data: Any, number: int) -> tuple[float, int]:
    """Return the sum of all counts, and the process."""
    time.sleep(0.2)  # so that no worker does everything
    return float(np.asarray(data.counts.data, np.float64).sum()), os.getpid()


def slow(data: Any, number: int) -> int:
    """Return the process after a while."""
    time.sleep(0.5)
    return os.getpid()
