"""Bookkeeping of the daemons: heartbeats, due times, events and the status."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.domain.fields import FIELDS
from annotator.domain.organisms import DEFAULT_ORGANISM, WithoutRelease
from annotator.store.answers.work import count_pending
from annotator.store.events import add_event
from annotator.store.mirror.organisms import samples_without_release
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import psycopg

# Heartbeats of daemons that crashed are deleted after this time.
FORGET_AFTER_DAYS = 7
# How far back the snapshot looks for failures.
FAILURE_DAYS = 7
ABANDONED_AFTER_SECONDS = 120


@dataclass(frozen=True, slots=True)
class FieldStatus:
    """The status of one field for one organism.

    Attributes
    ----------
    release_id, preset, promoted_at, accuracy
        The live release, ``None`` if there is none; accuracy is that of the
        combination on held-out datasets.
    last_run_status, last_run_reason, last_run_started_at
        The newest training run.
    waiting, leased
        Numbers of pending samples that no worker has claimed, whether queued yet or
        not, and of those that a worker has claimed.
    suggested, abstained
        Numbers of current suggestions and abstentions, including those that curators
        have decided on.
    quarantined
        Number of samples that cannot be used in their present state.
    refused_release_id
        The newest release, if the gate refused it and no release is live: there
        is no reliable model.
    answered, precision
        Share of samples that the live release answers on held-out datasets, and share of
        these answers that are right; ``None`` if not measured.
    organism
        The organism that the release is for. A field has one status per organism that it
        was ever trained for.
    """

    field: str
    release_id: int | None
    preset: str | None
    promoted_at: datetime | None
    accuracy: float | None
    last_run_status: str | None
    last_run_reason: str | None
    last_run_started_at: datetime | None
    waiting: int
    leased: int
    suggested: int
    abstained: int
    quarantined: int
    refused_release_id: int | None
    answered: float | None = None
    precision: float | None = None
    organism: str = DEFAULT_ORGANISM


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """A running daemon; ``silent_seconds`` is the age of its heartbeat by the database's clock."""

    worker: str
    host: str
    pid: int
    version: str
    state: str
    started_at: datetime
    silent_seconds: float


@dataclass(frozen=True, slots=True)
class AnnotationRunStatus:
    """One pass through the pending samples."""

    annotation_run_id: int
    worker: str
    started_at: datetime
    finished_at: datetime | None
    predicted: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event of the event log."""

    at: datetime
    kind: str
    subject: str | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """The status of the whole system at one moment.

    ``daemons`` are the running ones; ``failures`` are the newest of the last
    :data:`FAILURE_DAYS` days, newest first. ``without_release`` counts the samples that wait
    because their organism has no release.
    """

    samples: int
    datasets: int
    fields: tuple[FieldStatus, ...]
    daemons: tuple[DaemonStatus, ...]
    last_annotation_run: AnnotationRunStatus | None
    failures: tuple[EventRecord, ...]
    without_release: tuple[WithoutRelease, ...] = ()


# --- Heartbeats ------------------------------------------------------------------------


def beat(
    conn: psycopg.Connection, worker: str, host: str, pid: int, version: str, state: str
) -> None:
    """Record a heartbeat of a daemon with its state; committed."""
    with committed(conn):
        conn.execute(
            "insert into annotator.heartbeat (worker, host, pid, version, state, beat_at)"
            " values (%s, %s, %s, %s, %s, clock_timestamp())"
            " on conflict (worker) do update set host = excluded.host, pid = excluded.pid,"
            " version = excluded.version, state = excluded.state, beat_at = excluded.beat_at",
            (worker, host, pid, version, state),
        )
        conn.execute(
            "delete from annotator.heartbeat"
            " where worker <> %s and beat_at < clock_timestamp() - make_interval(days => %s)",
            (worker, FORGET_AFTER_DAYS),
        )


def forget(conn: psycopg.Connection, worker: str) -> None:
    """Delete the heartbeat of a daemon that stops regularly; committed."""
    with committed(conn):
        conn.execute("delete from annotator.heartbeat where worker = %s", (worker,))


# --- Due times -------------------------------------------------------------------------


def take_tick(conn: psycopg.Connection, job: str, due_at: datetime, worker: str) -> bool:
    """Take one due time of a job; committed.

    A due time is abandoned, and can be taken again, if it has no outcome and its daemon
    has had no heartbeat for :data:`ABANDONED_AFTER_SECONDS`. So can one that this daemon
    took that long ago and did not finish. A due time before one that was taken already is
    not made up for: it belongs to a schedule that was changed since, or a clock was set back.

    Returns
    -------
    bool
        True for exactly one of all callers.
    """
    with committed(conn):
        taken = conn.execute(
            "insert into annotator.tick (job, due_at, worker)"
            " select %(job)s, %(due)s, %(worker)s where not exists ("
            " select from annotator.tick t where t.job = %(job)s and t.due_at > %(due)s)"
            " on conflict (job, due_at) do update"
            " set worker = excluded.worker, taken_at = clock_timestamp()"
            " where tick.outcome is null"
            " and tick.taken_at < clock_timestamp() - make_interval(secs => %(patience)s)"
            " and (tick.worker = excluded.worker"
            " or not exists (select from annotator.heartbeat h where h.worker = tick.worker"
            " and h.beat_at > clock_timestamp() - make_interval(secs => %(patience)s)))",
            {"job": job, "due": due_at, "worker": worker, "patience": ABANDONED_AFTER_SECONDS},
        ).rowcount
    return taken == 1


def any_tick(conn: psycopg.Connection, job: str) -> bool:
    """Return whether any due time of a job was ever taken."""
    with conn.transaction():
        found = conn.execute("select 1 from annotator.tick where job = %s limit 1", (job,))
        return found.fetchone() is not None


def database_time(conn: psycopg.Connection) -> datetime:
    """Return the current time by the clock of the database, with its time zone."""
    with conn.transaction():
        row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def finish_tick(conn: psycopg.Connection, job: str, due_at: datetime, outcome: str) -> None:
    """Record the outcome of a due time; committed."""
    with committed(conn):
        conn.execute(
            "update annotator.tick set outcome = %s where job = %s and due_at = %s",
            (outcome, job, due_at),
        )


# --- Events and the state --------------------------------------------------------------


def record_event(
    conn: psycopg.Connection, kind: str, subject: str | None, detail: Mapping[str, Any]
) -> None:
    """Add an event to the event log; committed. Kind ``failure`` is shown in the status."""
    with committed(conn):
        add_event(conn, kind, subject, detail)


_FIELDS = Path(__file__).with_name("field_states.sql").read_bytes()

_DAEMONS = """
select worker, host, pid, version, state, started_at,
    greatest(0, extract(epoch from clock_timestamp() - beat_at))::double precision
from annotator.heartbeat
where beat_at > clock_timestamp() - make_interval(secs => %s)
order by started_at, worker
"""

_LAST_ANNOTATION_RUN = """
select annotation_run_id, worker, started_at, finished_at, predicted, quarantined
from annotator.annotation_run
order by annotation_run_id desc
limit 1
"""

_FAILURES = """
select at, kind, subject, detail
from annotator.event
where kind = 'failure' and at > clock_timestamp() - make_interval(days => %s)
order by event_id desc
limit 5
"""


def living_daemons(conn: psycopg.Connection, alive_seconds: float) -> tuple[DaemonStatus, ...]:
    """Return the daemons whose heartbeat is at most so old, by the database's clock."""
    rows = conn.execute(_DAEMONS, (float(alive_seconds),)).fetchall()
    return tuple(DaemonStatus(*row) for row in rows)


def _field_status(conn: psycopg.Connection, row: Sequence[Any]) -> FieldStatus:
    """Add the number of waiting samples to a row of the statement."""
    field, release_id, leased = row[0], row[1], row[8]
    # Only a pass fills the queue, but samples are pending before it.
    pending = 0 if release_id is None else count_pending(conn, field, release_id)
    values = [*row[:8], max(0, pending - leased), *row[8:]]
    return FieldStatus(*values)


def snapshot(
    conn: psycopg.Connection,
    alive_seconds: float = 30.0,
    fields: Iterable[str] = FIELDS,
    default_organism: str = DEFAULT_ORGANISM,
) -> StatusSnapshot:
    """Read the status of the whole system in a few statements.

    Parameters
    ----------
    conn
        Connection.
    alive_seconds
        Maximum age of the heartbeat of a running daemon, in seconds by the database's clock.
    fields
        Names of the fields.
    default_organism
        The organism of a field that was never trained.

    Returns
    -------
    StatusSnapshot
    """
    with conn.transaction():
        totals = conn.execute(
            "select (select count(*) from atlas.sample), (select count(*) from atlas.dataset)"
        ).fetchone()
        assert totals is not None
        names = {"fields": list(fields), "organism": default_organism}
        rows = conn.execute(_FIELDS, names).fetchall()
        daemons = living_daemons(conn, alive_seconds)
        run = conn.execute(_LAST_ANNOTATION_RUN).fetchone()
        failures = conn.execute(_FAILURES, (FAILURE_DAYS,)).fetchall()
        found = tuple(_field_status(conn, row) for row in rows)
        without_release = samples_without_release(conn)
    return StatusSnapshot(
        samples=totals[0],
        datasets=totals[1],
        fields=found,
        daemons=daemons,
        last_annotation_run=None if run is None else AnnotationRunStatus(*run),
        failures=tuple(EventRecord(*row) for row in failures),
        without_release=without_release,
    )
