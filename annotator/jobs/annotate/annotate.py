"""Annotate every pending sample: claim, predict, explain and write, batch by batch."""

from __future__ import annotations

import gc
import itertools
import logging
import socket
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from annotator.errors import AnnotatorError, LeaseLostError, RetryableError, SchemaError
from annotator.gpu import usable_device
from annotator.jobs.annotate.batch_writer import BatchWriter
from annotator.jobs.annotate.fallback import fallback_release
from annotator.jobs.annotate.freed_memory import keep_freed_memory
from annotator.jobs.annotate.plan import AnnotatePlan, annotate_plan
from annotator.logs import log_context, silent
from annotator.store.answers.bad_rows import note_rows_without_id, quarantine_bad_samples
from annotator.store.answers.predictions import (
    finish_annotation_run,
    start_annotation_run,
    write_batch,
)
from annotator.store.answers.review_queue import look_after_queue, refresh_queue
from annotator.store.answers.work import (
    claim,
    pending_counts,
    quarantine_repeat_offenders,
    queue_pending,
    release_claims,
    release_claims_of_the_gone,
    stay_alive,
)
from annotator.store.mirror.label_values import declare_words
from annotator.store.mirror.organisms import note_organisms, samples_without_release
from annotator.store.releases.registry import LiveRelease, live_releases
from annotator.store.server.connection import check_writable, hindered, lost
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from annotator.domain.answers import ClaimedSample, QuarantinedSample, SamplePrediction
    from annotator.domain.organisms import WithoutRelease
    from annotator.jobs.annotate.dataset_context import Remembered
    from annotator.jobs.annotate.live_models import LiveModels
    from annotator.settings import Settings
    from annotator.store.server.connection import Database

    Found = tuple[list[SamplePrediction], list[QuarantinedSample]]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnnotateSummary:
    """The number of releases, and of predicted and quarantined samples per field, in one pass.

    ``without_release`` counts the samples that wait because their organism has no release, and
    ``undeclared`` has a sentence per live release whose field is not declared.
    """

    releases: int
    predicted: Mapping[str, int]
    quarantined: Mapping[str, int]
    without_release: tuple[WithoutRelease, ...] = ()
    undeclared: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the samples that are not annotated."""
        return (*(waiting.sentence for waiting in self.without_release), *self.undeclared)


@dataclass(frozen=True, slots=True)
class BatchDone:
    """A written batch, with the seconds from its claim to its commit."""

    field: str
    predicted: int
    quarantined: int
    seconds: float


def _ignore(batch: BatchDone) -> None:
    """Do nothing."""


def annotate(
    database: Database,
    settings: Settings,
    *,
    worker: str,
    models: LiveModels | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = silent,
    batch_done: Callable[[BatchDone], None] = _ignore,
) -> AnnotateSummary:
    """Annotate every pending sample whose declared field has a live release for its organism.

    Each batch is written, and its lease ended, in one transaction while the
    next batch is predicted. A pass that is killed at any point leaves nothing
    half-written, and the next pass finishes the rest.

    Parameters
    ----------
    database, settings
        The database, and settings such as the batch size.
    worker
        Unique name of this worker, stored with its leases. A worker makes one pass at a time.
    models
        Models that an earlier pass loaded, for reuse.
    stop
        Called between batches; the pass ends early if it returns true.
    progress
        Called with the number of samples done and the number that were waiting.
    batch_done
        Called for every written batch, within the log context of the batch.

    Raises
    ------
    ArtefactError
        A live release is damaged and there is no fallback release; nothing is written
        for its field. This and any other error of one field is raised after the other
        fields are done.
    SchemaError
        The database is not at the schema that this version works with, or was migrated
        during the pass; claims are released.
    ReadOnlyError
        The database accepts no changes.
    DatabaseUnavailableError
        The connection was lost. Claims expire by themselves.
    """
    with ExitStack() as stack:
        connection = stack.enter_context(database.connect())
        check_schema(connection)
        check_writable(connection)
        declare_words(connection, settings.fields)
        note_organisms(connection, settings.default_organism)
        live = live_releases(connection)
        releases = [each for each in live if each.field in settings.fields]
        undeclared = tuple(each.undeclared for each in live if each not in releases)
        without_release = samples_without_release(connection)
        look_after_queue(connection)
        stay_alive(connection, worker)
        # Claims from before this worker lost its connection, and those of crashed workers.
        # A sample that crashed a worker, or the server, is tried again first, before it is
        # used to predict other samples in its dataset.
        release_claims(connection, worker, may_be_at_fault=True)
        release_claims_of_the_gone(connection)
        refused = _quarantine(connection, releases)
        waiting = _queue(connection, releases)
        if not any(waiting.values()):
            return AnnotateSummary(len(live), {}, refused, without_release, undeclared)

        # The models take seconds to import and are not needed earlier.
        from annotator.jobs.annotate.live_models import LiveModels

        keep_freed_memory()
        models = LiveModels(usable_device(settings.device)) if models is None else models
        models.keep_only(releases)
        writer = stack.enter_context(BatchWriter(stack.enter_context(database.connect())))
        annotation_run = start_annotation_run(connection, worker, socket.gethostname())
        work = _Pass(
            connection, writer, annotate_plan(settings), models, worker, annotation_run, batch_done
        )
        count = _Count(sum(waiting.values()), progress)
        failed: list[Exception] = []
        try:
            for release in releases:
                if not waiting[release.release_id]:
                    continue
                try:
                    with log_context(field=release.field, annotation_run=annotation_run):
                        _annotate_field(work, release, stop, count)
                except Exception as error:
                    if lost(error) or isinstance(error, RetryableError | SchemaError):
                        raise
                    failed.append(error)  # the other fields go on
                    connection.rollback()
                    release_claims(connection, worker, may_be_at_fault=_is_unexpected(error))
        finally:
            if not connection.broken:
                connection.rollback()
                release_claims(connection, worker)
                finish_annotation_run(connection, annotation_run)
    if failed:
        raise failed[0]
    quarantined = Counter(count.quarantined) + Counter(refused)
    return AnnotateSummary(len(live), count.predicted, quarantined, without_release, undeclared)


def _is_unexpected(error: Exception) -> bool:
    """Return whether an error may be due to a sample, such as one that needs too much memory."""
    if isinstance(error, psycopg.Error):
        return hindered(error) is None
    return not isinstance(error, AnnotatorError)


@dataclass(frozen=True, slots=True)
class _Pass:
    """Shared state of the batches of one pass."""

    connection: psycopg.Connection
    writer: BatchWriter
    plan: AnnotatePlan
    models: LiveModels
    worker: str
    annotation_run: int
    batch_done: Callable[[BatchDone], None]


class _Count:
    """Counts the samples that are done, per field."""

    def __init__(self, total: int, progress: Callable[[int, int], None]) -> None:
        self.total, self.progress = total, progress
        self.predicted: dict[str, int] = {}
        self.quarantined: dict[str, int] = {}

    def add(self, field: str, predicted: int, quarantined: int) -> None:
        self.predicted[field] = self.predicted.get(field, 0) + predicted
        self.quarantined[field] = self.quarantined.get(field, 0) + quarantined
        done = sum(self.predicted.values()) + sum(self.quarantined.values())
        self.progress(done, max(self.total, done))


def _quarantine(connection: psycopg.Connection, releases: Sequence[LiveRelease]) -> dict[str, int]:
    """Quarantine samples that cannot be queued; return how many are new, per field."""
    fields = sorted({release.field for release in releases})
    if fields:
        note_rows_without_id(connection)
    for field in fields:
        quarantine_repeat_offenders(connection, field)
    found = {field: quarantine_bad_samples(connection, field) for field in fields}
    return {field: samples for field, samples in found.items() if samples}


def _queue(connection: psycopg.Connection, releases: Sequence[LiveRelease]) -> dict[int, int]:
    """Queue pending samples; return how many samples wait per release."""
    for release in releases:
        queue_pending(connection, release.field, release.release_id)
    counts = pending_counts(connection)
    return {each.release_id: counts.get(each.release_id, (0, 0))[0] for each in releases}


def _annotate_field(
    work: _Pass, release: LiveRelease, stop: Callable[[], bool], count: _Count
) -> None:
    # Checked before the first claim: nothing is claimed for a damaged release.
    usable = fallback_release(work.connection, work.models, release)
    if usable != release:
        queue_pending(work.connection, usable.field, usable.release_id)
        release = usable
    from annotator.jobs.annotate.dataset_context import Remembered

    remembered = Remembered()
    try:
        for number in itertools.count(1):
            if stop():
                return
            started = time.perf_counter()
            claimed = claim(
                work.connection,
                work.worker,
                release.field,
                release.release_id,
                work.plan.batch_size,
                work.plan.lease_seconds,
            )
            if not claimed:
                return
            if any(sample.attempts > 1 for sample in claimed):
                # These samples may crash the worker: finish writing the previous batch first.
                work.writer.finish()
            batch = f"{work.annotation_run}-{release.field}-{release.release_id}-{number}"
            with log_context(release=release.release_id, batch=batch), _quietly():
                found = _predict_batch(work, release, claimed, remembered)
                work.writer.write(
                    partial(_write_batch, work, release, found, batch, started, count)
                )
    finally:
        work.writer.finish()


@contextmanager
def _quietly() -> Iterator[None]:
    """Switch off the cyclic garbage collector and BLAS threads.

    A batch creates many objects but no reference cycles, and the collector would repeatedly
    traverse the models. BLAS threads spin while they wait, on the core that writes.
    """
    from threadpoolctl import threadpool_limits

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        if was_enabled:
            gc.enable()


def _predict_batch(
    work: _Pass, release: LiveRelease, claimed: Sequence[ClaimedSample], remembered: Remembered
) -> Found:
    """Read and predict one batch."""
    from annotator.jobs.annotate.dataset_context import read_dataset_samples, stands_alone
    from annotator.jobs.annotate.predict import predict_samples
    from annotator.store.mirror.expression import read_profiles

    connection = work.connection
    live = work.models.load(connection, release)
    read = read_profiles(connection, [sample.sample_id for sample in claimed])
    connection.commit()  # no transaction stays open while models compute
    dataset_samples = None
    if not stands_alone(claimed):
        names = [(sample.sample_id, sample.dataset_id) for sample in claimed]
        dataset_samples = read_dataset_samples(connection, live, names, work.plan, remembered)
    return predict_samples(live, claimed, read, work.plan, dataset_samples, remembered)


def _write_batch(
    work: _Pass,
    release: LiveRelease,
    found: Found,
    batch: str,
    started: float,
    count: _Count,
    connection: psycopg.Connection,
) -> None:
    """Write and report one batch, unless its lease was lost."""
    predictions, quarantined = found
    try:
        write_batch(
            connection,
            work.worker,
            release.release_id,
            work.annotation_run,
            predictions,
            quarantined,
            batch=batch,
        )
    except LeaseLostError as error:
        logger.warning("a batch was given up: %s", error)
        return
    refresh_queue(connection)
    count.add(release.field, len(predictions), len(quarantined))
    if predictions or quarantined:
        seconds = time.perf_counter() - started
        work.batch_done(BatchDone(release.field, len(predictions), len(quarantined), seconds))
