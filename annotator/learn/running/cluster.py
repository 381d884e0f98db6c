"""Running calls on the workers of a Dask cluster.

The calls are handed out one by one: each worker has at most one, which is bound to it. Thus
a call that a worker refuses or does not survive can be told from the others, workers of another
version are left out, and those that join later get work at once. Dask moves the data,
notices workers that are gone, and does not decide who does what.

The data of a run go directly to a worker and from there to the others, the results come
directly from the workers; the scheduler sees neither. Profiles are not sent at all
(:mod:`annotator.learn.running.cluster_worker`).
"""

from __future__ import annotations

import logging
import queue
import time
import uuid
import warnings
from collections import Counter, deque
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from annotator.domain.wording import counted, some
from annotator.errors import NeedsPersonError, RetryableError, SettingsError
from annotator.learn.running import cluster_worker
from annotator.learn.running.cluster_worker import (
    WorkerRefusedError,
    expected_versions,
    packed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from distributed import Client, Future

    from annotator.errors import AnnotatorError
    from annotator.learn.running.cluster_worker import Outcome, ProfileSource

    Data = TypeVar("Data")
    Result = TypeVar("Result")

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10
LOOK_SECONDS = 1.0
"""Seconds after which the list of workers is read again."""

PATIENCE_SECONDS = 60.0
"""Seconds after which a run without any usable worker fails."""

RESULT_SECONDS = 120
"""Seconds in which a result has to arrive."""

MOST_LOSSES = 4
"""Number of workers that may be lost with one call; and how often all workers with the data."""

# A worker that cannot load the function of a task ends itself, so a task names ours in an
# expression, which a worker without this package, or of any version, takes for a task that fails.
_RUN_TASK = (
    f"__import__('importlib').import_module({cluster_worker.__name__!r})"
    f".{cluster_worker.run_task.__name__}(call, number, versions)"
)

_noted: set[tuple[str, str]] = set()
"""Workers and the reasons for which they were refused, which are logged once per process."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Dask cluster.

    Attributes
    ----------
    scheduler
        Its address, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.
    ca_file, certificate, key
        PEM files for TLS; all or none.
    source
        The way in which workers read profiles; without it, profiles are sent.
    """

    scheduler: str
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    source: ProfileSource | None = None

    def check(self) -> None:
        """Raise an error for a person if this installation cannot use the cluster.

        Raises
        ------
        SettingsError
            The package for it is not installed, or address and files do not fit.
        """
        if find_spec("distributed") is None:
            raise SettingsError(
                "parallel_backend: 'dask' needs the package distributed: pip install"
                " 'srna-annotator[dask]'"
            )
        files = {
            "dask_ca_file": self.ca_file,
            "dask_certificate": self.certificate,
            "dask_key": self.key,
        }
        given = [path for path in files.values() if path is not None]
        encrypted = self.scheduler.startswith("tls://")
        if len(given) != (len(files) if encrypted else 0):
            raise SettingsError(
                f"dask_scheduler: {self.scheduler} does not fit {', '.join(files)}: give all three"
                " and an address of tls://, or none of them and one of tcp://"
            )
        for name, path in files.items():
            if path is not None:
                try:
                    path.open("rb").close()
                except OSError as error:
                    raise SettingsError(f"{name}: {path} cannot be read: {error}") from error


def run_on_cluster(
    work: Callable[[Data, int], Result],
    data: Data,
    numbers: Sequence[int],
    cluster: Cluster,
    progress: Callable[[int, int], None],
) -> list[Result]:
    """Call ``work(data, number)`` for every number, on the workers of a cluster.

    An exception, including Ctrl-C, takes back all calls that no worker has begun; what a
    worker has begun it finishes, and nobody gets the result.

    Parameters
    ----------
    work, data, numbers, progress
        As for :func:`annotator.learn.running.parallel.run_all`.
    cluster
        The cluster.

    Raises
    ------
    SettingsError
        This installation cannot use the cluster, or the workers are not set up for it.
    RetryableError
        The scheduler cannot be reached or was lost, or there is no worker for a minute.
    NeedsPersonError
        A call did not survive on any worker.
    """
    cluster.check()
    call = packed(work, data, cluster.source)
    progress(0, len(numbers))
    with _connected(cluster) as client:
        run = _Run(client, cluster, call, work.__name__)
        found: list[Result] = []
        for result in run.results(numbers):
            found.append(result)
            progress(len(found), len(numbers))
        return found


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Client]:
    """Connect to the scheduler; at the end, what is still to be done there is taken back."""
    from distributed import Client, Security
    from distributed.versions import VersionMismatchWarning

    for name in ("distributed", "distributed.client"):
        # Whatever it has to report is an error here.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    security = None
    if cluster.ca_file is not None:
        security = Security(
            tls_ca_file=str(cluster.ca_file),
            tls_client_cert=str(cluster.certificate),
            tls_client_key=str(cluster.key),
            require_encryption=True,
        )
    try:
        with warnings.catch_warnings():
            # The versions that matter are compared for each worker.
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client = Client(
                cluster.scheduler,
                security=security,
                timeout=CONNECT_SECONDS,
                set_as_default=False,
                direct_to_workers=True,
                name="annotator",
            )
    except (OSError, ImportError) as error:
        raise RetryableError(
            f"the Dask scheduler {cluster.scheduler} cannot be reached: {_on_one_line(error)}"
        ) from error
    try:
        yield client
    finally:
        with suppress(OSError):  # the scheduler may be gone
            client.close(timeout=CONNECT_SECONDS)


class _Run:
    """The calls of one run, and the workers that they are given to."""

    def __init__(self, client: Client, cluster: Cluster, call: bytes, name: str) -> None:
        self._client, self._cluster, self._name = client, cluster, name
        self._call, self._versions = call, expected_versions()
        self._data: Future[bytes] | None = None
        self._waiting: deque[int] = deque()
        self._at_work: dict[Future[Outcome], tuple[int, str]] = {}
        self._done: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()
        self._usable: list[str] = []
        self._refused: dict[str, str] = {}
        self._losses: Counter[int] = Counter()
        self._data_losses = 0
        self._looked_at = self._usable_at = time.monotonic()

    def results(self, numbers: Sequence[int]) -> Iterator[Any]:
        """Yield the results in the order in which they arrive."""
        self._waiting.extend(numbers)
        self._look()
        while self._waiting or self._at_work:
            self._hand_out()
            try:
                future = self._done.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                future = None
            if future in self._at_work:
                yield from self._received(future)
            if time.monotonic() - self._looked_at >= LOOK_SECONDS:
                self._look()

    def _hand_out(self) -> None:
        """Give each usable worker that has nothing to do a call."""
        busy = {address for _, address in self._at_work.values()}
        for address in self._usable:
            if not self._waiting:
                return
            if address in busy or address in self._refused:
                continue
            if self._data is None and not self._send_data():
                return
            number = self._waiting.popleft()
            future = self._client.submit(
                eval,
                _RUN_TASK,
                {"call": self._data, "number": number, "versions": self._versions},
                key=f"{self._name}-{uuid.uuid4().hex}",
                workers=[address],
                pure=False,
            )
            self._at_work[future] = number, address
            future.add_done_callback(self._done.put)

    def _send_data(self) -> bool:
        """Send the data to one of the workers; return whether that was possible."""
        targets = [address for address in self._usable if address not in self._refused]
        try:
            self._data = self._client.scatter(
                self._call, workers=targets, direct=True, hash=False, timeout=CONNECT_SECONDS
            )
        except OSError as error:
            self._data_lost(error)
            return False
        return True

    def _data_lost(self, error: OSError | None = None) -> None:
        self._data = None
        self._data_losses += 1
        if self._data_losses > MOST_LOSSES:
            reason = "they end" if error is None else _on_one_line(error)
            raise RetryableError(f"workers of the Dask cluster cannot be sent any data: {reason}")

    def _received(self, future: Future[Outcome]) -> Iterator[Any]:
        """Yield the result of a call that has come to an end, or see that it is done again."""
        number, address = self._at_work[future]
        if future.status not in ("finished", "error"):
            self._check_connection()
            self._look()  # if the worker is gone, the call is given to another
            if self._at_work.pop(future, None) is not None:
                self._waiting.appendleft(number)
            if self._data is not None and self._data.status != "finished":
                self._data_lost()
            return
        if future.status == "error":
            # Our own code raises nothing: the worker was lost, or does not have it.
            self._not_computed(future, number, address)
            return
        try:
            outcome = future.result(timeout=RESULT_SECONDS)
        except (OSError, CancelledError):
            self._check_connection()
            self._lost(future)
            return
        del self._at_work[future]
        if isinstance(outcome.error, WorkerRefusedError):
            self._refuse(address, str(outcome.error))
            self._waiting.appendleft(number)
        elif outcome.error is not None:
            raise outcome.error
        else:
            yield outcome.result

    def _not_computed(self, future: Future[Outcome], number: int, address: str) -> None:
        from distributed import KilledWorker

        error = future.exception()
        del self._at_work[future]
        self._waiting.appendleft(number)
        if isinstance(error, KilledWorker):  # Dask has tried again itself
            raise self._fatal(number, error.allowed_failures + 1)
        self._refuse(address, f"it does not have this version: {_on_one_line(error)}")

    def _refuse(self, address: str, reason: str) -> None:
        self._refused[address] = reason
        if (address, reason) not in _noted:
            _noted.add((address, reason))
            logger.warning("worker %s of the Dask cluster gets no work: %s", address, reason)

    def _look(self) -> None:
        """Read the list of workers, and take back the calls of those that are gone."""
        self._check_connection()
        if (scheduler := self._client.scheduler) is None:
            raise self._disconnected()
        try:
            # Not scheduler_info: the client itself replaces that, without workers, at any time.
            workers = self._client.nthreads(callback_timeout=RESULT_SECONDS)
            running = self._client.sync(scheduler.ncores_running, callback_timeout=RESULT_SECONDS)
            self._usable = list(running)
        except OSError as error:
            raise self._disconnected() from error
        self._looked_at = time.monotonic()
        for future, (_, address) in list(self._at_work.items()):
            if address not in workers:
                self._lost(future)
        self._refused = {
            address: reason for address, reason in self._refused.items() if address in workers
        }
        if self._at_work or any(address not in self._refused for address in self._usable):
            self._usable_at = self._looked_at
        elif self._looked_at - self._usable_at >= PATIENCE_SECONDS:
            raise self._nobody(len(workers))

    def _lost(self, future: Future[Outcome]) -> None:
        """Take back a call whose worker is gone, unless too many went with it."""
        number, address = self._at_work.pop(future)
        future.cancel()
        self._losses[number] += 1
        if self._losses[number] >= MOST_LOSSES:
            raise self._fatal(number, self._losses[number])
        logger.warning("worker %s of the Dask cluster was lost; its work is done again", address)
        self._waiting.appendleft(number)

    def _check_connection(self) -> None:
        if self._client.status != "running":
            raise self._disconnected()

    def _disconnected(self) -> RetryableError:
        return RetryableError(
            f"the connection to the Dask scheduler {self._cluster.scheduler} was lost"
        )

    def _fatal(self, number: int, workers: int) -> NeedsPersonError:
        return NeedsPersonError(
            f"{counted(workers, 'worker')} of the Dask cluster ended during the same task"
            f" ({self._name} {number}), probably for lack of memory: see their logs, and give them"
            " more"
        )

    def _nobody(self, workers: int) -> AnnotatorError:
        if self._refused:
            reasons = [f"{address}: {reason}" for address, reason in self._refused.items()]
            return SettingsError(
                f"no worker of the Dask cluster can be used: {some(reasons, most=3, joint='; ')}"
            )
        for number, losses in self._losses.most_common(1):
            if losses > 1:
                return self._fatal(number, losses)
        state = "no workers" if not workers else "no worker that is ready"
        return RetryableError(
            f"the Dask cluster {self._cluster.scheduler} has had {state} for"
            f" {PATIENCE_SECONDS:.0f} seconds"
        )


def _on_one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split()) or type(error).__name__
