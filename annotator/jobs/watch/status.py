"""Read what is live, pending, failing and scheduled."""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from annotator.domain.organisms import of_organism, organism_named
from annotator.domain.schedule import parse_schedule
from annotator.domain.statuses import RunStatus
from annotator.store.mirror.label_values import read_value_use
from annotator.store.releases.registry import live_releases
from annotator.store.server.schema import check_schema
from annotator.store.watch.daemons import StatusSnapshot, database_time, snapshot
from annotator.store.watch.monitoring import Gauges, read_gauges

if TYPE_CHECKING:
    from datetime import datetime

    from annotator.domain.values.reading import ValueUse
    from annotator.settings import Settings
    from annotator.store.server.connection import Database

MISSED_BEATS = 3
UPCOMING = 3  # number of retrainings that are shown
NEEDS_A_PERSON = "needs a person"  # state of a daemon that cannot recover by itself
STUCK = "stuck"  # state of a daemon with a job that makes no progress
UNHEALTHY = {
    NEEDS_A_PERSON: "needs a person; see its log",
    STUCK: "is stuck: a job makes no progress; its log has the job and what is in its way",
}


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The state of the installation, and its problems.

    Attributes
    ----------
    snapshot
        The state recorded in the database.
    problems
        One sentence per problem; empty if there is none.
    daemon_here
        Whether a daemon on this host is running, is not stuck and does not need a person.
    retrain_cron
        When daemons with these settings retrain.
    next_retrainings
        The next times of ``retrain_cron`` by the database's clock, in UTC.
    metrics
        The metrics for Prometheus, if they were requested.
    values
        Per field, how many values of the mirror are used and why the others are not,
        if they were requested.
    """

    snapshot: StatusSnapshot
    problems: tuple[str, ...]
    daemon_here: bool
    retrain_cron: str
    next_retrainings: tuple[datetime, ...]
    metrics: Gauges | None = None
    values: tuple[ValueUse, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return asdict(self.snapshot) | {
            "problems": list(self.problems),
            "daemon_here": self.daemon_here,
            "retrain_cron": self.retrain_cron,
            "next_retrainings": [due.isoformat() for due in self.next_retrainings],
            "metrics": None if self.metrics is None else asdict(self.metrics),
            "values": [asdict(each) for each in self.values],
        }


def read_status(
    database: Database,
    settings: Settings,
    *,
    with_metrics: bool = False,
    with_values: bool = False,
) -> StatusReport:
    """Read the state of the installation.

    Parameters
    ----------
    database, settings
        The database, and settings such as the heartbeat interval of its daemons.
    with_metrics
        Whether to read the metrics for Prometheus, too.
    with_values
        Whether to count the values of the mirror, which reads every annotation once.

    Raises
    ------
    SchemaError
        The database is not at the schema that this version needs.
    DatabaseUnavailableError
        The database cannot be reached.
    """
    schedule = parse_schedule(settings.retrain_cron)
    default_organism = organism_named(settings.default_organism)
    with database.connect() as connection:
        check_schema(connection)
        now = database_time(connection)
        upcoming = schedule.upcoming(now, UPCOMING)
        alive_seconds = MISSED_BEATS * settings.heartbeat_seconds
        live = live_releases(connection)
        found = snapshot(connection, alive_seconds, settings.fields, default_organism)
        values = read_value_use(connection, settings.fields) if with_values else ()
        metrics = (
            read_gauges(
                connection,
                fields=settings.fields,
                drift_days=settings.drift_days,
                alive_seconds=alive_seconds,
                default_organism=default_organism,
            )
            if with_metrics
            else None
        )
    among = [field.organism for field in found.fields]
    problems = [
        f"the last retraining of {of_organism(field.field, field.organism, among)} failed:"
        f" {field.last_run_reason}"
        for field in found.fields
        if field.last_run_status == RunStatus.FAILED
    ]
    problems += [release.undeclared for release in live if release.field not in settings.fields]
    problems += [
        f"the retraining of {of_organism(field.field, field.organism, among)} has not ended for"
        f" more than {settings.retrain_hours} hours (retrain_hours): it is stuck or crashed"
        for field in found.fields
        if field.last_run_status == RunStatus.RUNNING
        and field.last_run_started_at is not None
        and now - field.last_run_started_at > timedelta(hours=settings.retrain_hours)
    ]
    problems += [
        f"daemon {daemon.worker} {UNHEALTHY[daemon.state]}"
        for daemon in found.daemons
        if daemon.state in UNHEALTHY
    ]
    here = any(
        daemon.host == socket.gethostname() and daemon.state not in UNHEALTHY
        for daemon in found.daemons
    )
    return StatusReport(
        found, tuple(problems), here, settings.retrain_cron, upcoming, metrics, values
    )
