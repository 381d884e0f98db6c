"""Figures for Prometheus, over HTTP.

What a scrape shows of the work comes from the database, so any daemon answers
alike; only the time that batches take and the process's own memory, processor
time and files are those of the daemon that is asked.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from annotator import __version__
from annotator.errors import AnnotatorError, DatabaseUnavailableError, NeedsPersonError
from annotator.jobs.watch.status import MISSED_BEATS
from annotator.store.server.connection import translating
from annotator.store.server.schema import check_schema
from annotator.store.watch.monitoring import FieldFigures, Figures, read_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.simple_server import WSGIServer

    from annotator.settings import Settings
    from annotator.store.server.connection import Database

logger = logging.getLogger(__name__)

KEEP_SECONDS = 5.0
"""How long figures are shown again at least before the database is asked anew."""

READING_SHARE = 0.05
"""The share of the time that reading figures may take: what takes a second is kept for 20."""

KEEP_AT_MOST_SECONDS = 300.0
"""How old figures may get, however long reading them takes."""

STATEMENT_SECONDS = 20
"""After which a scrape gives up on a statement."""

BATCH_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A figure of each field: its metric, and where to find it."""

    name: str
    meaning: str
    value: Callable[[FieldFigures], float | None]


_OF_FIELDS = (
    _Gauge("annotator_pending_samples", "Samples that wait for an answer.", lambda f: f.pending),
    _Gauge(
        "annotator_oldest_pending_seconds",
        "How long the first of the waiting samples has waited; 0 where none waits.",
        lambda f: f.oldest_pending_seconds or 0,
    ),
    _Gauge("annotator_annotated_samples", "Samples with a suggestion.", lambda f: f.annotated),
    _Gauge("annotator_abstained_samples", "Samples that were left open.", lambda f: f.abstained),
    _Gauge(
        "annotator_quarantined_samples",
        "Samples that cannot be used as they are.",
        lambda f: f.quarantined,
    ),
    _Gauge("annotator_live_release", "Number of the live release.", lambda f: f.release_id),
    _Gauge(
        "annotator_live_release_age_seconds",
        "How long the live release has been live.",
        lambda f: f.release_age_seconds,
    ),
    _Gauge(
        "annotator_live_release_accuracy",
        "Accuracy of the live release on held-out datasets.",
        lambda f: f.release_accuracy,
    ),
    _Gauge(
        "annotator_judged_suggestions",
        "Suggestions of the live release whose sample got a label later.",
        lambda f: f.judged,
    ),
    _Gauge(
        "annotator_accuracy_in_use",
        "Share of the judged suggestions that were right.",
        lambda f: f.accuracy_in_use,
    ),
    _Gauge(
        "annotator_retrained_age_seconds",
        "Since the last retraining that did not fail.",
        lambda f: f.retrained_seconds_ago,
    ),
    _Gauge(
        "annotator_recent_predictions",
        "Predictions for samples that came or changed lately; drift is measured on them.",
        lambda f: f.recent,
    ),
    _Gauge(
        "annotator_novelty_drift",
        "How much less like training recent samples are than held-out ones were, 0 to 1.",
        lambda f: f.novelty_drift,
    ),
    _Gauge(
        "annotator_label_drift",
        "How far the predicted shares of classes are from those in training, 0 to 1.",
        lambda f: f.label_drift,
    ),
)


def families(
    figures: Figures | None, up: bool = True, age_seconds: float = 0.0
) -> Iterator[Metric]:
    """Turn figures into what Prometheus reads.

    Parameters
    ----------
    figures
        ``None`` where they could not be read.
    up
        Whether the database answered at all.
    age_seconds
        How long ago they were read.
    """
    answers = GaugeMetricFamily("annotator_database_up", "Whether the database answers.")
    answers.add_metric([], 1 if up else 0)
    yield answers
    build = GaugeMetricFamily("annotator_build", "The version that runs.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build
    fields = () if figures is None else figures.fields
    for gauge in _OF_FIELDS:
        family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=["field"])
        for one in fields:
            value = gauge.value(one)
            if value is not None:
                family.add_metric([one.field], value)
        yield family
    retrainings = CounterMetricFamily(
        "annotator_retrainings", "Retrainings by how they ended.", labels=["field", "outcome"]
    )
    for one in fields:
        for outcome, count in one.retrainings.items():
            retrainings.add_metric([one.field, outcome], count)
    yield retrainings
    age = GaugeMetricFamily(
        "annotator_figures_age_seconds", "How long ago the figures of the database were read."
    )
    daemons = GaugeMetricFamily(
        "annotator_daemons", "Living daemons by what they do.", labels=["state"]
    )
    failures = GaugeMetricFamily(
        "annotator_recent_failures", "Failures in the event log of the last 24 hours."
    )
    if figures is not None:
        age.add_metric([], age_seconds)
        for state, count in figures.daemons.items():
            daemons.add_metric([state], count)
        failures.add_metric([], figures.recent_failures)
    yield daemons
    yield failures
    yield age


class FiguresCollector(Collector):
    """Reads the figures when asked, however often that is at a bounded cost to the database.

    What was read is shown again for :data:`KEEP_SECONDS`, or longer where reading took so
    long that more than :data:`READING_SHARE` of the time would go into it.

    Parameters
    ----------
    database, settings
        Where the figures are read.
    clock
        Seconds that only go up.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = replace(database, statement_timeout=STATEMENT_SECONDS)
        self._settings, self._clock = settings, clock
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._keep_until: float | None = None
        self._figures: Figures | None = None
        self._up = False

    def describe(self) -> Iterable[Metric]:
        """Name what :meth:`collect` gives, without asking the database."""
        return families(None, up=False)

    def collect(self) -> Iterable[Metric]:
        """Return every figure of the database, or that it does not answer."""
        with self._lock:  # scrapes at once share one answer
            started = self._clock()
            if self._keep_until is None or started >= self._keep_until:
                self._figures, self._up = self._read()
                self._read_at = self._clock()
                # Asking a database that is away costs it nothing.
                took = self._read_at - started if self._up else 0.0
                keep = min(max(KEEP_SECONDS, took / READING_SHARE), KEEP_AT_MOST_SECONDS)
                self._keep_until = self._read_at + keep
            age = self._clock() - self._read_at
            return list(families(self._figures, self._up, age))

    def _read(self) -> tuple[Figures | None, bool]:
        """Return the figures and whether the database answered, if only with an error."""
        import psycopg

        try:
            with translating(), self._database.connect() as connection:
                check_schema(connection)
                figures = read_figures(
                    connection,
                    fields=self._settings.fields,
                    drift_days=self._settings.drift_days,
                    alive_seconds=MISSED_BEATS * self._settings.heartbeat_seconds,
                )
            return figures, True
        except (AnnotatorError, psycopg.Error) as error:
            logger.warning("no figures for Prometheus: %s", error)
            return None, not isinstance(error, DatabaseUnavailableError)


class Metrics:
    """The figures of one daemon, served while it runs.

    Parameters
    ----------
    database, settings
        Where figures are read; ``metrics_host`` and ``metrics_port``.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._settings = settings
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None
        self.registry = CollectorRegistry()
        self.registry.register(FiguresCollector(database, settings))
        self._batch_seconds = Histogram(
            "annotator_batch_seconds",
            "Time from a batch's claim to its commit, in this daemon.",
            ["field"],
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def batch_done(self, field: str, seconds: float) -> None:
        """Count a batch that was written."""
        self._batch_seconds.labels(field).observe(seconds)

    def start(self) -> None:
        """Serve from a thread of its own.

        Raises
        ------
        NeedsPersonError
            The address cannot be had.
        """
        host, port = self._settings.metrics_host, self._settings.metrics_port
        try:
            self._server, self._thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise NeedsPersonError(
                f"figures cannot be served on {host}, port {port}: {error.strerror or error};"
                " change metrics_host or metrics_port, or set metrics_port to 0"
            ) from error
        logger.info("figures are served", extra={"host": host, "port": port})

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
