"""Running folds and fits in parallel, here or on a cluster, with the same results."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from annotator.errors import SettingsError
from annotator.learn.running.array_folders import array_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from annotator.gpu import Device
    from annotator.learn.running.cluster import Cluster

Data = TypeVar("Data")
Result = TypeVar("Result")

SEQUENTIAL, LOKY, DASK = "sequential", "loky", "dask"


@dataclass(frozen=True, slots=True)
class Parallelism:
    """The backend, workers and threads that folds and fits run on.

    Attributes
    ----------
    backend
        ``loky`` for processes of this machine, ``sequential`` for this process, ``dask`` for a
        cluster.
    workers
        Number of calls that run at the same time with ``loky``; 0 for one per core. With 1,
        they run in this process.
    threads
        Threads of one fit. This is independent of ``workers``, because the last bits
        of a result may depend on it and results must not depend on where they were
        computed. In this process (``workers=1``) TensorFlow keeps the number of
        threads that it first ran with.
    cluster
        The cluster of ``dask``.
    device
        The device that networks are trained and explained on, in every process.
    """

    backend: str = LOKY
    workers: int = 1
    threads: int = 1
    cluster: Cluster | None = None
    device: Device = "cpu"


IN_THIS_PROCESS = Parallelism()


def run_all(
    work: Callable[[Data, int], Result],
    data: Data,
    numbers: Sequence[int],
    parallel: Parallelism,
    progress: Callable[[int, int], None],
) -> list[Result]:
    """Call ``work(data, number)`` for every number.

    With ``loky``, arrays of more than a megabyte within ``data`` are shared with the workers
    through memory-mapped files. An exception, including Ctrl-C, ends the workers, and
    they also end if this process is killed. Files that are left because all processes
    were killed at once are removed by the next call on the machine. With ``dask``, see
    :mod:`annotator.learn.running.cluster`.

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
    RetryableError
        The cluster cannot be reached, or was lost.
    """
    if parallel.backend == DASK and parallel.cluster is not None:
        from annotator.learn.running.cluster import run_on_cluster

        return run_on_cluster(work, data, numbers, parallel.cluster, progress)
    if parallel.backend not in (LOKY, SEQUENTIAL):
        raise SettingsError(
            f"parallel_backend: {parallel.backend!r} cannot be used: there are 'loky', 'sequential'"
            " and, with a cluster, 'dask'"
        )
    import joblib

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
    """Return a joblib.Parallel on processes of this machine."""
    import joblib

    with joblib.parallel_config(
        backend=LOKY,
        n_jobs=workers,
        initializer=_begin_worker,
        initargs=(os.getpid(),),
        inner_max_num_threads=parallel.threads,
        temp_folder=array_folder(),
    ):
        return joblib.Parallel(return_as="generator_unordered", batch_size=1)


def _begin_worker(parent: int) -> None:
    """Ignore Ctrl-C, which the parent handles, so that workers print no tracebacks; follow it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has ended, which may have been killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
