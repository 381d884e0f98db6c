"""Running folds in parallel on any joblib backend, with the same results."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from annotator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Data = TypeVar("Data")
Result = TypeVar("Result")

SEQUENTIAL, LOKY = "sequential", "loky"
UNUSABLE = {
    "threading": "training a network sets the random state of the whole process",
    "multiprocessing": "TensorFlow does not survive a fork",
}

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made in it is private
SHARED_BYTES = 2 * 10**9
"""Free bytes below which shared arrays are files in the temporary folder, as with joblib."""

FOLDER_PREFIX = "annotator-arrays-"


@dataclass(frozen=True, slots=True)
class Parallelism:
    """The backend, workers and threads that folds run on.

    Attributes
    ----------
    backend
        A joblib backend: ``loky`` for processes of this machine, ``dask`` or
        ``ray`` for a cluster, ``sequential`` for this process.
    workers
        Number of folds that run at the same time; 0 for one per core. With 1, folds run
        in this process.
    threads
        Threads of one fit. This is independent of ``workers``, because the last bits
        of a result may depend on it and results must not depend on where they were
        computed. In this process (``workers=1``) TensorFlow keeps the number of
        threads that it first ran with.
    """

    backend: str = LOKY
    workers: int = 1
    threads: int = 1


IN_THIS_PROCESS = Parallelism()


def run_all(
    work: Callable[[Data, int], Result],
    data: Data,
    numbers: Sequence[int],
    parallel: Parallelism,
    progress: Callable[[int, int], None],
) -> list[Result]:
    """Call ``work(data, number)`` for every number.

    Arrays of more than a megabyte within ``data`` are shared with the workers
    through memory-mapped files. An exception, including Ctrl-C, ends the workers, and
    they also end if this process is killed. Files that are left because all processes
    were killed at once are removed by the next call on the machine.

    Parameters
    ----------
    work
        A function at module level, so that it can be sent to workers.
    data
        The data for all calls.
    numbers
        The numbers, with one call for each.
    parallel
        Backend and number of workers.
    progress
        Called after each call with the number of finished calls and of all calls.

    Returns
    -------
    list
        The results in the order in which they arrived.

    Raises
    ------
    SettingsError
        The backend is unknown or not usable here.
    """
    import joblib

    if parallel.backend in UNUSABLE:
        raise SettingsError(
            f"parallel_backend: {parallel.backend!r} cannot be used:"
            f" {UNUSABLE[parallel.backend]}; use 'loky', 'dask' or 'sequential'"
        )
    found: list[Result] = []
    progress(0, len(numbers))
    workers = min(parallel.workers or joblib.cpu_count(), len(numbers))
    if workers <= 1 or parallel.backend == SEQUENTIAL:
        for number in numbers:
            found.append(work(data, number))
            progress(len(found), len(numbers))
        return found
    calls = (joblib.delayed(work)(data, number) for number in numbers)
    with warnings.catch_warnings():
        # loky replaces workers whose memory grows a lot, as with TensorFlow, and warns about it.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        with closing(_runner(parallel, workers)(calls)) as results:
            for result in results:
                found.append(result)
                progress(len(found), len(numbers))
    return found


def _runner(parallel: Parallelism, workers: int) -> Any:
    """Return a joblib.Parallel on the backend."""
    import joblib

    options: dict[str, Any] = {}
    if parallel.backend == LOKY:
        options = {
            "initializer": _begin_worker,
            "initargs": (os.getpid(),),
            "inner_max_num_threads": parallel.threads,
            "temp_folder": _array_folder(),
        }
    try:
        with joblib.parallel_config(backend=parallel.backend, n_jobs=workers, **options):
            return joblib.Parallel(return_as="generator_unordered", batch_size=1)
    except (ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"parallel_backend: {parallel.backend!r} cannot be used: {reason}"
        ) from error


def _begin_worker(parent: int) -> None:
    """Ignore Ctrl-C, which the parent handles, so that workers print no tracebacks; follow it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, which may have been killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@cache  # joblib's workers keep the folder that they were started with
def _array_folder() -> str:
    """Make a folder for the arrays of workers, and remove those of killed processes.

    Each is locked by its process. The kernel releases the lock, however that process ends.
    """
    chosen = os.environ.get("JOBLIB_TEMP_FOLDER")
    root = Path(chosen or tempfile.gettempdir())
    for left in (*SHARED_MEMORY.glob(f"{FOLDER_PREFIX}*"), *root.glob(f"{FOLDER_PREFIX}*")):
        if (handle := _locked(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)
    usable = not chosen and os.access(SHARED_MEMORY, os.W_OK)
    if usable and shutil.disk_usage(SHARED_MEMORY).free > SHARED_BYTES:
        root = SHARED_MEMORY
    made = Path(tempfile.mkdtemp(dir=root))
    _locked(made)  # before it has a name by which others find it
    folder = made.rename(made.with_name(FOLDER_PREFIX + made.name))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)


def _locked(folder: Path) -> int | None:
    """Lock a folder of this account until the returned handle is closed; None if it is in use."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        with suppress(OSError):
            if os.fstat(handle).st_uid == os.geteuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
        os.close(handle)
    return None
