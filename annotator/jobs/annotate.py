"""Annotate everything pending: claim, predict, explain, write, batch by batch."""

from __future__ import annotations

import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.errors import LeaseLostError
from annotator.logs import silent
from annotator.store.predictions import finish_annotation_run, start_annotation_run, write_batch
from annotator.store.registry import LiveRelease, live_releases
from annotator.store.schema import check_schema
from annotator.store.work import (
    claim,
    pending_counts,
    quarantine_repeat_offenders,
    queue_pending,
    release_claims,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psycopg

    from annotator.domain import ClaimedSample
    from annotator.jobs.live_models import LiveModels
    from annotator.settings import Settings
    from annotator.store.connection import Database

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnnotateSummary:
    """What one pass did, by field."""

    releases: int
    predicted: Mapping[str, int]
    quarantined: Mapping[str, int]


def annotate(
    database: Database,
    settings: Settings,
    *,
    worker: str,
    models: LiveModels | None = None,
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = silent,
) -> AnnotateSummary:
    """Annotate every pending sample of every field that has a live release.

    Each batch is written in one transaction together with the end of its
    lease: killed at any point, a pass leaves nothing half-written, and the
    next one finishes the rest.

    Parameters
    ----------
    database, settings
        Where, and how large the batches are.
    worker
        Unique name of this worker; leases carry it.
    models
        Models loaded by an earlier pass, to be used again.
    stop
        Asked between batches; true ends the pass early.
    progress
        Told how many samples are done and how many were waiting.

    Raises
    ------
    ArtefactError
        A live release is damaged; nothing is written for its field.
    DatabaseUnavailableError
        The connection was lost. Claims run out by themselves.
    """
    with database.connect() as connection:
        check_schema(connection)
        releases = live_releases(connection)
        for release in releases:
            quarantine_repeat_offenders(connection, release.field)
            queue_pending(connection, release.field, release.release_id)
        counts = pending_counts(connection)
        waiting = {release.field: counts.get(release.field, (0, 0))[0] for release in releases}
        if not any(waiting.values()):
            return AnnotateSummary(len(releases), {}, {})

        # TensorFlow and the models are wanted only from here on.
        from annotator.jobs.live_models import LiveModels

        models = LiveModels() if models is None else models
        models.keep_only(releases)
        annotation_run = start_annotation_run(connection, worker, socket.gethostname())
        predicted: dict[str, int] = {}
        quarantined: dict[str, int] = {}
        done, total = 0, sum(waiting.values())
        try:
            for release in releases:
                while not stop():
                    claimed = claim(
                        connection,
                        worker,
                        release.field,
                        release.release_id,
                        settings.batch_size,
                        settings.lease_seconds,
                    )
                    if not claimed:
                        break
                    good, bad = _annotate_batch(
                        connection, settings, models, release, claimed, worker, annotation_run
                    )
                    predicted[release.field] = predicted.get(release.field, 0) + good
                    quarantined[release.field] = quarantined.get(release.field, 0) + bad
                    done += good + bad
                    progress(done, max(total, done))
        finally:
            if not connection.broken:
                connection.rollback()
                release_claims(connection, worker)
                finish_annotation_run(connection, annotation_run)
    return AnnotateSummary(len(releases), predicted, quarantined)


def _annotate_batch(
    connection: psycopg.Connection,
    settings: Settings,
    models: LiveModels,
    release: LiveRelease,
    claimed: Sequence[ClaimedSample],
    worker: str,
    annotation_run: int,
) -> tuple[int, int]:
    """Predict and write one batch; return how many were predicted and quarantined."""
    from annotator.jobs.predict import predict_samples
    from annotator.store.expression import read_profiles

    live = models.load(connection, release)
    read = read_profiles(connection, [sample.sample_id for sample in claimed])
    connection.commit()  # no transaction stays open while models compute
    predictions, quarantined = predict_samples(live, claimed, read, settings)
    try:
        write_batch(
            connection, worker, release.release_id, annotation_run, predictions, quarantined
        )
    except LeaseLostError as error:
        logger.warning("a batch was given up: %s", error, extra={"release": release.release_id})
        return 0, 0
    logger.debug(
        "wrote a batch",
        extra={
            "field": release.field,
            "release": release.release_id,
            "annotation_run": annotation_run,
            "predicted": len(predictions),
            "quarantined": len(quarantined),
        },
    )
    return len(predictions), len(quarantined)
