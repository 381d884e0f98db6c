"""Metrics for Prometheus, over HTTP.

Metrics about work are read from the database, so every daemon reports the same
values. Only the duration of batches and the memory, processor time and open
files of the process are those of the daemon that is scraped.
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
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from annotator import __version__
from annotator.domain.organisms import organism_named
from annotator.errors import AnnotatorError, DatabaseUnavailableError, NeedsPersonError
from annotator.jobs.watch.metrics_server import MetricsServer
from annotator.jobs.watch.status import MISSED_BEATS
from annotator.store.server.connection import translating
from annotator.store.server.schema import check_schema
from annotator.store.watch.monitoring import FieldGauges, Gauges, read_gauges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from annotator.settings import Settings
    from annotator.store.server.connection import Database

logger = logging.getLogger(__name__)

KEEP_SECONDS = 5.0
"""Minimum time for which metrics are served before the database is read again."""

READING_SHARE = 0.05
"""Maximum share of time spent reading metrics: if reading takes 1 s, they are kept for 20 s."""

KEEP_AT_MOST_SECONDS = 300.0
"""Maximum age of metrics, however long reading them takes."""

STATEMENT_SECONDS = 20
"""Timeout of each statement of a scrape."""

BATCH_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A metric that every field and organism has: its name, help text and value."""

    name: str
    meaning: str
    value: Callable[[FieldGauges], float | None]


_OF_FIELDS = (
    _Gauge("annotator_pending_samples", "Samples that wait for a prediction.", lambda f: f.pending),
    _Gauge(
        "annotator_oldest_pending_seconds",
        "How long the oldest pending sample has waited; 0 if no sample is pending.",
        lambda f: f.oldest_pending_seconds or 0,
    ),
    _Gauge("annotator_annotated_samples", "Samples with a suggestion.", lambda f: f.annotated),
    _Gauge("annotator_abstained_samples", "Samples with an abstention.", lambda f: f.abstained),
    _Gauge(
        "annotator_quarantined_samples",
        "Samples that cannot be used.",
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
        "Share of the judged suggestions that are right.",
        lambda f: f.accuracy_in_use,
    ),
    _Gauge(
        "annotator_retrained_age_seconds",
        "Time since the last retraining that did not fail.",
        lambda f: f.retrained_seconds_ago,
    ),
    _Gauge(
        "annotator_recent_predictions",
        "Predictions for samples that arrived or changed lately, on which drift is measured.",
        lambda f: f.recent,
    ),
    _Gauge(
        "annotator_novelty_drift",
        "How much more novel recent samples are than held-out ones were, 0 to 1.",
        lambda f: f.novelty_drift,
    ),
    _Gauge(
        "annotator_label_drift",
        "Distance between the class shares of recent predictions and of the cohort, 0 to 1.",
        lambda f: f.label_drift,
    ),
)


def families(metrics: Gauges | None, up: bool = True, age_seconds: float = 0.0) -> Iterator[Metric]:
    """Yield the metrics in the form of the Prometheus client.

    Parameters
    ----------
    metrics
        The metrics of the database; ``None`` if they could not be read.
    up
        Whether the database responded at all.
    age_seconds
        How long ago they were read.
    """
    answers = GaugeMetricFamily("annotator_database_up", "Whether the database responds.")
    answers.add_metric([], 1 if up else 0)
    yield answers
    build = GaugeMetricFamily("annotator_build", "The running version.", labels=["version"])
    build.add_metric([__version__], 1)
    yield build
    fields = () if metrics is None else metrics.fields
    for gauge in _OF_FIELDS:
        family = GaugeMetricFamily(gauge.name, gauge.meaning, labels=["field", "organism"])
        for one in fields:
            value = gauge.value(one)
            if value is not None:
                family.add_metric([one.field, one.organism], value)
        yield family
    waiting = GaugeMetricFamily(
        "annotator_samples_without_release",
        "Samples that wait because their organism has no release.",
        labels=["field", "organism"],
    )
    for each in () if metrics is None else metrics.without_release:
        waiting.add_metric([each.field, each.organism], each.samples)
    yield waiting
    retrainings = CounterMetricFamily(
        "annotator_retrainings", "Retrainings by outcome.", labels=["field", "organism", "outcome"]
    )
    for one in fields:
        for outcome, count in one.retrainings.items():
            retrainings.add_metric([one.field, one.organism, outcome], count)
    yield retrainings
    age = GaugeMetricFamily(
        "annotator_metrics_age_seconds", "How long ago these metrics were read from the database."
    )
    daemons = GaugeMetricFamily("annotator_daemons", "Running daemons by state.", labels=["state"])
    failures = GaugeMetricFamily(
        "annotator_recent_failures", "Failures in the event log in the last 24 hours."
    )
    if metrics is not None:
        age.add_metric([], age_seconds)
        for state, count in metrics.daemons.items():
            daemons.add_metric([state], count)
        failures.add_metric([], metrics.recent_failures)
    yield daemons
    yield failures
    yield age


class GaugesCollector(Collector):
    """Reads the metrics on each scrape, at a bounded cost to the database.

    The values are kept for :data:`KEEP_SECONDS`, or longer if reading them again would
    take more than :data:`READING_SHARE` of the time.

    Parameters
    ----------
    database, settings
        The database to read metrics from, and settings such as the fields.
    clock
        Monotonic clock, in seconds.
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
        self._figures: Gauges | None = None
        self._up = False

    def describe(self) -> Iterable[Metric]:
        """Return the metrics of :meth:`collect` without values, without reading the database."""
        return families(None, up=False)

    def collect(self) -> Iterable[Metric]:
        """Return every metric of the database, or only that it does not respond."""
        with self._lock:  # simultaneous scrapes share one reading
            started = self._clock()
            if self._keep_until is None or started >= self._keep_until:
                self._figures, self._up = self._read()
                self._read_at = self._clock()
                # An unreachable database has no cost to limit.
                took = self._read_at - started if self._up else 0.0
                keep = min(max(KEEP_SECONDS, took / READING_SHARE), KEEP_AT_MOST_SECONDS)
                self._keep_until = self._read_at + keep
            age = self._clock() - self._read_at
            return list(families(self._figures, self._up, age))

    def _read(self) -> tuple[Gauges | None, bool]:
        """Return the metrics, and whether the database responded, even if with an error."""
        import psycopg

        try:
            with translating(), self._database.connect() as connection:
                check_schema(connection)
                metrics = read_gauges(
                    connection,
                    fields=self._settings.fields,
                    drift_days=self._settings.drift_days,
                    alive_seconds=MISSED_BEATS * self._settings.heartbeat_seconds,
                    default_organism=organism_named(self._settings.default_organism),
                )
            return metrics, True
        except (AnnotatorError, psycopg.Error) as error:
            logger.warning("metrics for Prometheus cannot be read: %s", error)
            return None, not isinstance(error, DatabaseUnavailableError)


class Metrics:
    """The metrics of one daemon, served while it runs.

    Parameters
    ----------
    database, settings
        The database to read metrics from; ``metrics_host`` and ``metrics_port``.
    """

    def __init__(self, database: Database, settings: Settings) -> None:
        self._settings = settings
        self._server: MetricsServer | None = None
        self._thread: threading.Thread | None = None
        self.registry = CollectorRegistry()
        self.registry.register(GaugesCollector(database, settings))
        self._batch_seconds = Histogram(
            "annotator_batch_seconds",
            "Time from claiming a batch to committing it, in this daemon.",
            ["field"],
            buckets=BATCH_BUCKETS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def batch_done(self, field: str, seconds: float) -> None:
        """Record a written batch."""
        self._batch_seconds.labels(field).observe(seconds)

    def start(self) -> None:
        """Serve from a thread of its own.

        Raises
        ------
        NeedsPersonError
            The address cannot be used.
        """
        host, port = self._settings.metrics_host, self._settings.metrics_port
        try:
            self._server = MetricsServer(host, port, self.registry)
        except OSError as error:
            raise NeedsPersonError(
                f"metrics cannot be served on {host}, port {port}: {error.strerror or error};"
                " change metrics_host or metrics_port, or set metrics_port to 0"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        logger.info("metrics are served", extra={"host": host, "port": port})

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
