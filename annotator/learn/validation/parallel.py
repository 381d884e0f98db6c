"""Running folds in parallel on any joblib backend, with the same results."""

from __future__ import annotations

import signal
import warnings
from contextlib import closing
from dataclasses import dataclass
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
    through memory-mapped files. An exception, including Ctrl-C, ends the workers.

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
        options = {"initializer": _ignore_interrupts, "inner_max_num_threads": parallel.threads}
    try:
        with joblib.parallel_config(backend=parallel.backend, n_jobs=workers, **options):
            return joblib.Parallel(return_as="generator_unordered", batch_size=1)
    except (ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SettingsError(
            f"parallel_backend: {parallel.backend!r} cannot be used: {reason}"
        ) from error


def _ignore_interrupts() -> None:
    """Ignore Ctrl-C, which the parent handles, so that workers print no tracebacks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
