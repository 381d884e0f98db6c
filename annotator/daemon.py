"""The daemon, which only schedules jobs.

The scheduler's job store is in memory and its jobs are declared here. The database
(`annotator.tick`) decides which due times are open and which daemon takes them, so
that any number of daemons can run side by side. Retraining runs in a separate
process, so that its memory is freed and a shutdown need not wait for it.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
from apscheduler.events import EVENT_JOB_MAX_INSTANCES
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.interval import IntervalTrigger

from annotator import __version__
from annotator.domain.schedule import Schedule, parse_schedule
from annotator.errors import AnnotatorError, ReadOnlyError, RetryableError, SettingsError
from annotator.gpu import usable_device
from annotator.jobs.annotate.annotate import BatchDone, annotate
from annotator.jobs.annotate.freed_memory import keep_freed_memory
from annotator.jobs.annotate.worker import worker_name
from annotator.jobs.watch.status import NEEDS_A_PERSON, STUCK
from annotator.stopping import StopRequests, end_later
from annotator.store.server.connection import Database, check_writable, translating
from annotator.store.server.schema import check_schema
from annotator.store.watch import daemons as service

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from apscheduler.events import JobSubmissionEvent

    from annotator.jobs.watch.prometheus import Metrics
    from annotator.settings import Settings

logger = logging.getLogger(__name__)

RETRAIN = "retrain"
CATCH_UP = "catch up"
HEARTBEAT = "heartbeat"
SHUTDOWN_GRACE_SECONDS = 20
STOP_SECONDS = 100  # less than service managers are told to wait
RETRY_SECONDS = 2


def retrain_schedule(cron: str) -> Schedule:
    """Return the schedule of retraining.

    Raises
    ------
    SettingsError
        ``cron`` is not a line of crontab(5).
    """
    try:
        return parse_schedule(cron)
    except ValueError as error:
        raise SettingsError(f"retrain_cron: {cron!r} is not accepted: {error}") from error


class _WhenDue(BaseTrigger):  # type: ignore[misc]
    """The scheduler's view of a schedule."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return the next time; earlier ones that were missed are looked up in the database."""
        return self.schedule.following(now if previous is None else max(previous, now))


class Daemon:
    """One daemon process.

    Parameters
    ----------
    database, settings
        The database to work on, and settings such as the intervals of jobs.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database, self.settings = database, settings
        self.worker = worker_name()
        self.schedule = retrain_schedule(settings.retrain_cron)
        self.stopping = threading.Event()
        self._stop_requests = StopRequests()
        self.doing = "idle"
        self.troubles: dict[str, str] = {}
        self._recorded: dict[str, str] = {}
        # A server process that is stopped must not stop the heartbeats, which report that.
        self._beats = replace(database, statement_timeout=max(10, settings.heartbeat_seconds))
        self._progress_at: dict[str, float] = {}  # of jobs that have begun or failed
        self._stuck: set[str] = set()
        self._hindered: dict[str, str] = {}
        retraining = settings.retrain_hours * 3600
        self._patience = {RETRAIN: retraining, CATCH_UP: retraining}
        self._lease = max(settings.lease_seconds, settings.lock_timeout)
        self._models: object | None = None
        self._metrics: Metrics | None = None
        self._one_retraining = threading.Lock()
        self._heartbeat_is_late = False
        self._notes: tuple[str, ...] = ()
        self._scheduler: BackgroundScheduler | None = None

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then finish the current batch and return.

        After a second signal, or :data:`STOP_SECONDS`, the process ends at once.

        Raises
        ------
        NeedsPersonError
            The database is not at the schema that this version needs or accepts no changes,
            or metrics cannot be served on the configured address.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        keep_freed_memory()
        self._wait_for_database()
        if self.stopping.is_set():
            logger.info("stopped before the database was available")
            return
        self._serve_metrics()
        scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler = scheduler
        now = datetime.now(UTC)
        scheduler.add_job(
            self._guarded("poll", self.poll),
            "interval",
            seconds=self.settings.poll_seconds,
            next_run_time=now,
            id="poll",
        )
        scheduler.add_job(
            self._guarded(HEARTBEAT, self.beat),
            "interval",
            seconds=self.settings.heartbeat_seconds,
            next_run_time=now,
            id=HEARTBEAT,
        )
        # Also every ten minutes, so that a retraining that a crashed daemon left is taken over.
        retrain = OrTrigger([_WhenDue(self.schedule), IntervalTrigger(minutes=10, timezone=UTC)])
        scheduler.add_job(self._guarded(RETRAIN, self.retrain_when_due), retrain, id=RETRAIN)
        scheduler.add_job(self._guarded(CATCH_UP, self.catch_up), id=CATCH_UP)
        scheduler.add_listener(self._still_running, EVENT_JOB_MAX_INSTANCES)
        scheduler.start()
        logger.info("the daemon is running", extra={"worker": self.worker, "version": __version__})
        self.stopping.wait()
        logger.info("stopping after the current batch")
        end = end_later(signal.SIGTERM, STOP_SECONDS)
        scheduler.shutdown(wait=True)
        if self._metrics is not None:
            self._metrics.stop()
        self._remove_heartbeat()
        end.cancel()
        logger.info("stopped")

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._stop_requests.note(number)
        # In a thread: the signal may have interrupted this very event's wait, whose lock a
        # handler would then wait for without end.
        threading.Thread(target=self.stopping.set, daemon=True).start()

    def _guarded(self, name: str, job: Callable[[], None]) -> Callable[[], None]:
        """Wrap a job so that errors are logged and the next run tries again."""

        def run() -> None:
            self._progress_at.setdefault(name, time.monotonic())
            try:
                with translating():
                    job()
                self.troubles.pop(name, None)
                self._recorded.pop(name, None)
            except (RetryableError, ReadOnlyError) as error:  # a replica may be promoted
                self.troubles[name] = "waiting for the database"
                logger.warning("%s; trying again", error)
                self._hindered[name] = f": {error}"
                if name == HEARTBEAT:  # the database does not answer: no job is to blame
                    self._progress_at.update(dict.fromkeys(self._progress_at, time.monotonic()))
                self._poll_soon()
                if name != CATCH_UP:  # the next retraining does what that would have done
                    return
            except AnnotatorError as error:
                self.troubles[name] = NEEDS_A_PERSON
                logger.error("%s", error)
            except Exception as error:  # other jobs continue; `annotator status` shows the state
                self.troubles[name] = NEEDS_A_PERSON
                logger.exception("job %r failed", name)
                self._record_failure(name, _in_short(error))
            self._progressed(name)
            self._progress_at.pop(name, None)

        return run

    def _record_failure(self, name: str, reason: str) -> None:
        """Add the failure of a job to the event log, unless it is the same as before."""
        if self._recorded.get(name) == reason:
            return
        try:
            with translating(), self._beats.connect(autocommit=True) as connection:
                service.record_event(connection, "failure", f"job {name}", {"reason": reason})
            self._recorded[name] = reason
        except (AnnotatorError, psycopg.Error) as error:
            logger.warning("the failure is not in the event log: %s", error)

    def _still_running(self, event: JobSubmissionEvent) -> None:
        """Report once that a heartbeat is due again before the last one is written.

        Other jobs may take longer than their interval: they log their own work, and anything
        that has become due in the meantime is done at the next run.
        """
        if event.job_id == HEARTBEAT and not self._heartbeat_is_late:
            self._heartbeat_is_late = True
            logger.warning(
                "the heartbeat is late: the database has not answered for %g seconds",
                self.settings.heartbeat_seconds,
            )

    def _poll_soon(self) -> None:
        """Poll again soon, so that work resumes quickly once the database is back."""
        if self._scheduler is not None and not self.stopping.is_set():
            wait = timedelta(seconds=min(RETRY_SECONDS, self.settings.poll_seconds))
            self._scheduler.modify_job("poll", next_run_time=datetime.now(UTC) + wait)

    def _progressed(self, name: str) -> None:
        """Note that a job goes on."""
        self._progress_at[name] = time.monotonic()
        self._stuck.discard(name)
        self._hindered.pop(name, None)

    def _find_stuck(self) -> None:
        """Report jobs that have made no progress for longer than a lease."""
        now = time.monotonic()
        for name, at in self._progress_at.copy().items():
            patience = self._patience.get(name, self._lease)
            if now - at > patience and name not in self._stuck:
                self._stuck.add(name)
                hindrance = self._hindered.get(name, "")
                reason = f"no progress for more than {patience} seconds{hindrance}"
                logger.error("job %r is stuck: %s", name, reason)
                self._record_failure(name, reason)

    def _state(self) -> str:
        """Return the state for the heartbeat: trouble takes precedence over work."""
        troubles = set(self.troubles.values())
        if self._stuck and NEEDS_A_PERSON not in troubles:
            return STUCK
        return min(troubles, default=self.doing)  # "needs a person" is before "waiting"

    def _wait_for_database(self) -> None:
        while not self.stopping.is_set():
            try:
                with translating(), self.database.connect() as connection:
                    check_schema(connection)
                    check_writable(connection)
                return
            except RetryableError as error:
                logger.warning("%s; trying again", error)
                self.stopping.wait(min(5, self.settings.poll_seconds))

    def _serve_metrics(self) -> None:
        if self.settings.metrics_port == 0:
            return
        from annotator.jobs.watch.prometheus import Metrics

        self._metrics = Metrics(self.database, self.settings)
        self._metrics.start()

    def _batch_done(self, batch: BatchDone) -> None:
        self._progressed("poll")
        seconds = round(batch.seconds, 3)
        logger.info(
            "wrote a batch",
            extra={
                "predicted": batch.predicted,
                "quarantined": batch.quarantined,
                "seconds": seconds,
            },
        )
        if self._metrics is not None:
            self._metrics.batch_done(batch.field, batch.seconds)

    def poll(self) -> None:
        """Annotate all pending samples."""
        from annotator.jobs.annotate.live_models import LiveModels

        if self._models is None:
            self._models = LiveModels(usable_device(self.settings.device))
        assert isinstance(self._models, LiveModels)
        self.doing = "annotating"
        summary = annotate(
            self.database,
            self.settings,
            worker=self.worker,
            models=self._models,
            stop=self.stopping.is_set,
            batch_done=self._batch_done,
        )
        self.doing = "idle"
        if summary.notes != self._notes:
            for note in summary.notes:
                logger.warning("%s", note)
            self._notes = summary.notes
        for field in sorted({*summary.predicted, *summary.quarantined}):
            logger.info(
                "annotated",
                extra={
                    "field": field,
                    "predicted": summary.predicted.get(field, 0),
                    "quarantined": summary.quarantined.get(field, 0),
                },
            )

    def beat(self) -> None:
        """Write a heartbeat."""
        self._find_stuck()
        with self._beats.connect(autocommit=True) as connection:
            service.beat(
                connection,
                self.worker,
                socket.gethostname(),
                os.getpid(),
                __version__,
                self._state(),
            )
        self._heartbeat_is_late = False

    def catch_up(self) -> None:
        """Retrain once if the last due time passed while no daemon was running."""
        with self.database.connect(autocommit=True) as connection:
            if not service.any_tick(connection, RETRAIN):
                # First start: due times in the past are not made up for.
                due = self.schedule.last(service.database_time(connection))
                if service.take_tick(connection, RETRAIN, due, self.worker):
                    service.finish_tick(connection, RETRAIN, due, "before the first start")
                return
        self.retrain_when_due()

    def retrain_when_due(self) -> None:
        """Retrain if the last due time is not taken yet; only one daemon can take it."""
        if not self._one_retraining.acquire(blocking=False):
            return
        try:
            with self.database.connect(autocommit=True) as connection:
                due = self.schedule.last(service.database_time(connection))
                if not service.take_tick(connection, RETRAIN, due, self.worker):
                    return
            code = self._retrain(due)
            # Without an outcome, this daemon or another takes the due time again.
            if code != RetryableError.exit_code and not (self.stopping.is_set() and code != 0):
                with self.database.connect(autocommit=True) as connection:
                    service.finish_tick(connection, RETRAIN, due, f"exit code {code}")
        finally:
            self._one_retraining.release()

    def _retrain(self, due: datetime) -> int:
        """Run a retraining until it ends or the daemon has to stop; return its exit code."""
        logger.info("retraining", extra={"due": due.isoformat()})
        process = subprocess.Popen(
            # -P: not a package of this name in the working folder
            [sys.executable, "-P", "-m", "annotator", "retrain"],
            stdout=subprocess.DEVNULL,
        )
        while True:
            try:
                code = process.wait(1)
                break
            except subprocess.TimeoutExpired:
                if self.stopping.is_set():
                    code = _end(process)
                    break
        as_asked = code == 0 or self.stopping.is_set()
        level = logging.INFO if as_asked else logging.ERROR
        logger.log(level, "retraining ended", extra={"due": due.isoformat(), "exit_code": code})
        return code

    def _remove_heartbeat(self) -> None:
        try:
            with translating(), self.database.connect(autocommit=True) as connection:
                service.forget(connection, self.worker)
        except (RetryableError, ReadOnlyError) as error:
            logger.warning("%s; the heartbeat expires by itself", error)


def _in_short(error: Exception) -> str:
    """Return an error on one line, without the rows that PostgreSQL adds as details."""
    message = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return f"{type(error).__name__}: {' '.join((message or str(error)).split())}"[:500]


def _end(process: subprocess.Popen[bytes]) -> int:
    """Terminate a retraining, which records that; kill it if it does not end in time."""
    process.terminate()
    try:
        return process.wait(SHUTDOWN_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def run_daemon(database: Database, settings: Settings) -> None:
    """Run a daemon until it is told to stop.

    Raises
    ------
    NeedsPersonError, SettingsError
        The daemon cannot start.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS has a limit below the one it states
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Daemon(database, settings).run()
