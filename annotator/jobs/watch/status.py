"""What is live, pending, failing and scheduled."""

from __future__ import annotations

import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from annotator.store.server.schema import check_schema
from annotator.store.watch.daemons import StatusSnapshot, snapshot
from annotator.store.watch.monitoring import Figures, read_figures

if TYPE_CHECKING:
    from datetime import datetime

    from annotator.settings import Settings
    from annotator.store.server.connection import Database

MISSED_BEATS = 3
NEEDS_A_PERSON = "needs a person"  # state of a daemon that cannot help itself
INTERRUPTED = "interrupted"  # of a retraining: it was told to stop, nothing is wrong


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The state of the whole, and what is wrong with it.

    Attributes
    ----------
    snapshot
        What the database says.
    problems
        One sentence each; empty where all is well.
    daemon_here
        Whether a daemon of this host is alive and not in need of a person.
    retrain_cron
        When daemons with these settings retrain.
    figures
        What Prometheus is shown, where it was asked for.
    """

    snapshot: StatusSnapshot
    problems: tuple[str, ...]
    daemon_here: bool
    retrain_cron: str
    figures: Figures | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self.snapshot) | {
            "problems": list(self.problems),
            "daemon_here": self.daemon_here,
            "retrain_cron": self.retrain_cron,
            "figures": None if self.figures is None else asdict(self.figures),
        }


def read_status(
    database: Database, settings: Settings, *, with_figures: bool = False
) -> StatusReport:
    """Read the state.

    Parameters
    ----------
    database, settings
        Where, and how often daemons there beat.
    with_figures
        Whether to read what Prometheus is shown, too.

    Raises
    ------
    SchemaError
        The database is not at the schema that this version needs.
    DatabaseUnavailableError
        It cannot be reached.
    """
    with database.connect() as connection:
        check_schema(connection)
        alive_seconds = MISSED_BEATS * settings.heartbeat_seconds
        found = snapshot(connection, alive_seconds, settings.fields)
        figures = (
            read_figures(
                connection,
                fields=settings.fields,
                drift_days=settings.drift_days,
                alive_seconds=alive_seconds,
            )
            if with_figures
            else None
        )
    problems = [
        f"the last retraining of {field.field} failed: {field.last_run_reason}"
        for field in found.fields
        if field.last_run_status == "failed" and field.last_run_reason != INTERRUPTED
    ]
    problems += [
        f"daemon {daemon.worker} needs a person; see its log"
        for daemon in found.daemons
        if daemon.state == NEEDS_A_PERSON
    ]
    here = any(
        daemon.host == socket.gethostname() and daemon.state != NEEDS_A_PERSON
        for daemon in found.daemons
    )
    return StatusReport(found, tuple(problems), here, settings.retrain_cron, figures)


def _when(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%Y-%m-%d %H:%M")


def status_lines(report: StatusReport) -> str:
    """Return the state as text for a person."""
    found = report.snapshot
    width = max([8, *(len(field.field) + 1 for field in found.fields)])
    lines = [
        f"atlas: {found.samples} samples in {found.datasets} datasets",
        "",
        f"{'field':<{width}}{'live':>6}  {'preset':<9}{'since':<18}{'accuracy':>8}"
        f"{'waiting':>9}{'leased':>8}{'suggested':>11}{'abstained':>11}{'quarantined':>13}",
    ]
    for field in found.fields:
        release = "-" if field.release_id is None else str(field.release_id)
        accuracy = "-" if field.accuracy is None else f"{field.accuracy:.3f}"
        lines.append(
            f"{field.field:<{width}}{release:>6}  {field.preset or '-':<9}"
            f"{_when(field.promoted_at):<18}"
            f"{accuracy:>8}{field.waiting:>9}{field.leased:>8}{field.suggested:>11}"
            f"{field.abstained:>11}{field.quarantined:>13}"
        )
    lines.append("")
    lines += [
        f"{field.field}: {field.answered:.1%} of the samples of held-out datasets are answered,"
        f" {field.precision:.1%} of the answers are right"
        for field in found.fields
        if field.answered is not None and field.precision is not None
    ]
    lines += [
        f"{field.field}: no sample of the held-out datasets reached the target precision"
        for field in found.fields
        if field.answered is not None and field.precision is None
    ]
    lines += [
        f"no reliable model of {field.field}: release {field.refused_release_id} was refused;"
        " model_card has the reasons"
        for field in found.fields
        if field.refused_release_id is not None
    ]
    lines += [
        f"last retraining of {field.field}: {field.last_run_status}"
        f" ({_when(field.last_run_started_at)})"
        + (f": {field.last_run_reason}" if field.last_run_reason else "")
        for field in found.fields
        if field.last_run_status is not None
    ]
    lines += [
        f"daemon {daemon.worker} {daemon.version}: {daemon.state},"
        f" heard of {daemon.silent_seconds:.0f} s ago"
        for daemon in found.daemons
    ] or ["no daemon is running; start one with `annotator serve`"]
    if found.last_annotation_run is not None:
        run = found.last_annotation_run
        lines.append(
            f"last annotation pass ({_when(run.started_at)}): {run.predicted} annotated,"
            f" {run.quarantined} quarantined"
        )
    lines += [
        f"failure of {_when(event.at)}, {event.subject}: {event.detail.get('reason', '')}"
        for event in found.failures
    ]
    lines.append(f"daemons retrain at cron {report.retrain_cron!r} (UTC)")
    lines += [f"problem: {problem}" for problem in report.problems]
    return "\n".join(lines)
