"""Training runs with their cohorts, outcomes and metrics.

Every function is a transaction of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.types.json import Jsonb

from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.domain.statuses import ReleaseStatus, RunStatus
from annotator.errors import LeaseLostError
from annotator.store.events import add_event
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

    from annotator.domain.held_out import Metric


class LastAttempt(NamedTuple):
    """The inputs and the outcome of the last successful run of a field and organism."""

    cohort_hash: str | None
    configuration_hash: str | None
    status: RunStatus
    release_status: ReleaseStatus | None


@dataclass(frozen=True, slots=True)
class RunStart:
    """The data that are known when a training run starts.

    Attributes
    ----------
    field, preset, seed
        The field, and how it is trained.
    configuration, configuration_hash
        The plan; the hash is ``None`` if there is no plan.
    versions, host
        The versions of libraries, and the host of the run.
    organism
        The organism whose samples are learned from.
    """

    field: str
    preset: str
    seed: int
    configuration: Mapping[str, Any]
    configuration_hash: str | None
    versions: Mapping[str, str]
    host: str
    organism: str = DEFAULT_ORGANISM


def start_run(conn: psycopg.Connection, run: RunStart) -> int:
    """Record the start of a training run; committed, so that others see it.

    Returns
    -------
    int
        ``run_id``.
    """
    with committed(conn):
        row = conn.execute(
            "insert into annotator.training_run"
            " (field, preset, seed, configuration, configuration_hash, versions, host, organism)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s) returning run_id",
            (
                run.field,
                run.preset,
                run.seed,
                Jsonb(dict(run.configuration)),
                run.configuration_hash,
                Jsonb(dict(run.versions)),
                run.host,
                run.organism,
            ),
        ).fetchone()
    assert row is not None
    return int(row[0])


def finish_run(
    conn: psycopg.Connection,
    run_id: int,
    status: RunStatus,
    reason: str | None,
    folds: str | None = None,
) -> None:
    """Record the end of a training run; committed. A failure is added to the event log, too.

    Parameters
    ----------
    conn
        Connection.
    run_id
        A run that is still running.
    status
        How it ended; not ``running``.
    reason
        The reason, for people; ``None`` if the status is enough.
    folds
        Description of how datasets were held out.

    Raises
    ------
    LeaseLostError
        Another process has closed the run already.
    """
    with committed(conn):
        row = conn.execute(
            "update annotator.training_run set status = %s, reason = %s,"
            " folds = coalesce(%s, folds), finished_at = clock_timestamp()"
            " where run_id = %s and status = 'running' returning field",
            (status, reason, folds, run_id),
        ).fetchone()
        if row is None:
            raise LeaseLostError(f"training run {run_id} is no longer running")
        if status == RunStatus.FAILED:
            add_event(conn, "failure", row[0], {"run_id": run_id, "reason": reason})


def fail_orphaned_runs(
    conn: psycopg.Connection, field: str, organism: str = DEFAULT_ORGANISM
) -> int:
    """Close the runs of a field and organism whose process crashed; committed.

    Only the holder of the lock on retraining them may call this: other runs
    that are still marked as running then cannot be running.

    Returns
    -------
    int
        Number of runs that were closed as failed.
    """
    reason = "the process ended before the run did"
    with committed(conn):
        rows = conn.execute(
            "update annotator.training_run set status = 'failed', reason = %s,"
            " finished_at = clock_timestamp()"
            " where field = %s and organism = %s and status = 'running' returning run_id",
            (reason, field, organism),
        ).fetchall()
        for (run_id,) in rows:
            add_event(conn, "failure", field, {"run_id": run_id, "reason": reason})
    return len(rows)


def last_attempt(
    conn: psycopg.Connection, field: str, organism: str = DEFAULT_ORGANISM
) -> LastAttempt | None:
    """Return the inputs and the outcome of the last successful run of a field and organism.

    Returns
    -------
    LastAttempt or None
        Hashes of the cohort and configuration, and the statuses of the run and of its
        release; ``None`` if no run has succeeded yet.
    """
    with conn.transaction():
        row = conn.execute(
            "select c.hash, t.configuration_hash, t.status::text, r.status::text"
            " from annotator.training_run t"
            " left join annotator.cohort c using (cohort_id)"
            " left join annotator.release r using (run_id)"
            " where t.field = %s and t.organism = %s and t.status = 'succeeded'"
            " order by t.run_id desc limit 1",
            (field, organism),
        ).fetchone()
    if row is None:
        return None
    cohort_hash, configuration_hash, status, release = row
    release_status = None if release is None else ReleaseStatus(release)
    return LastAttempt(cohort_hash, configuration_hash, RunStatus(status), release_status)


def require_running(conn: psycopg.Connection, run_id: int) -> None:
    """Keep a run open until the transaction ends; raise LeaseLostError if it is closed."""
    row = conn.execute(
        "select from annotator.training_run where run_id = %s and status = 'running'"
        " for no key update",
        (run_id,),
    ).fetchone()
    if row is None:
        raise LeaseLostError(f"training run {run_id} is no longer running; nothing was written")


def save_cohort(
    conn: psycopg.Connection,
    run_id: int,
    field: str,
    hash: str,  # noqa: A002 named like the column
    rows: Iterable[tuple[str, str, str, str | None]],
) -> int:
    """Store the cohort of a run; equal cohorts are stored once.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    run_id
        A run that is still running; it is set to refer to the cohort.
    field
        Name of the field.
    hash
        SHA-256 of the cohort, 64 hexadecimal digits.
    rows
        Sample, dataset, value as curated, and class (``None`` if the value
        was left out).

    Returns
    -------
    int
        ``cohort_id``.

    Raises
    ------
    LeaseLostError
        The run is no longer running.
    """
    members = list(rows)
    with committed(conn):
        require_running(conn, run_id)
        created = conn.execute(
            "insert into annotator.cohort (field, hash, samples, datasets) values (%s, %s, %s, %s)"
            " on conflict (field, hash) do nothing returning cohort_id",
            (field, hash, len(members), len({member[1] for member in members})),
        ).fetchone()
        found = (
            created
            or conn.execute(
                "select cohort_id from annotator.cohort where field = %s and hash = %s",
                (field, hash),
            ).fetchone()
        )
        assert found is not None
        if created is not None:
            _copy_cohort(conn, created[0], members)
        conn.execute(
            "update annotator.training_run set cohort_id = %s where run_id = %s",
            (found[0], run_id),
        )
    return int(found[0])


def _copy_cohort(
    conn: psycopg.Connection, cohort_id: int, members: Sequence[tuple[str, str, str, str | None]]
) -> None:
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy annotator.cohort_sample (cohort_id, sample_id, dataset_id, value, class)"
            " from stdin"
        ) as copy,
    ):
        for member in members:
            copy.write_row((cohort_id, *member))


def insert_metrics(
    conn: psycopg.Connection, run_id: int, scheme: str, metrics: Sequence[Metric]
) -> None:
    """Store metrics, in the current transaction."""
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into annotator.metric"
            " (run_id, scheme, model_kind, name, class, value, samples, datasets)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    run_id,
                    scheme,
                    metric.model_kind,
                    metric.name,
                    metric.class_name or "",
                    metric.value,
                    metric.samples,
                    metric.datasets,
                )
                for metric in metrics
            ],
        )
