"""Data for the report of a release, and the paths of written reports.

Reading returns plain rows; the store does not depend on how they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from annotator.domain.held_out import CROSS_VALIDATION, Curve, CurvePoint, Metric
from annotator.domain.reports import CohortPart, ReleaseSummary, Suspect
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    import psycopg

    from annotator.domain.answers import LiveAccuracy


class ReportRow(NamedTuple):
    """A release and its written report; ``path`` and ``host`` are ``None`` if it has none."""

    release_id: int
    field: str
    path: str | None
    host: str | None


def read_release(conn: psycopg.Connection, release_id: int) -> tuple[int, ReleaseSummary] | None:
    """Read a release of any status and its ``run_id``, ``None`` if it does not exist."""
    with conn.transaction():
        row = conn.execute(
            "select r.run_id, r.release_id, r.field, r.status::text, t.preset, r.classes,"
            " r.features, r.reasons, r.created_at, r.promoted_at, r.retired_at, t.seed, t.folds,"
            " t.host, t.versions, t.configuration, t.configuration_hash, c.hash,"
            " extract(epoch from t.finished_at - t.started_at)::float8, r.weights, r.organism"
            " from annotator.release r"
            " join annotator.training_run t using (run_id)"
            " left join annotator.cohort c using (cohort_id)"
            " where r.release_id = %s",
            (release_id,),
        ).fetchone()
    if row is None:
        return None
    run_id, *facts = row
    found = ReleaseSummary(*facts)
    return int(run_id), replace(found, classes=tuple(found.classes), reasons=tuple(found.reasons))


def read_cohort_rows(conn: psycopg.Connection, run_id: int) -> tuple[CohortPart, ...]:
    """Read the number of samples per dataset and class, ordered by dataset and class."""
    with conn.transaction():
        rows = conn.execute(
            "select s.dataset_id, coalesce(max(d.title::text), ''), coalesce(s.class, ''),"
            " count(*)::integer"
            " from annotator.training_run t"
            " join annotator.cohort_sample s using (cohort_id)"
            " left join atlas.dataset d on d.dataset_id::text = s.dataset_id"
            " where t.run_id = %s"
            " group by s.dataset_id, s.class order by s.dataset_id, s.class",
            (run_id,),
        ).fetchall()
    return tuple(CohortPart(*row) for row in rows)


def read_gauges(conn: psycopg.Connection, run_id: int) -> dict[str, tuple[Metric, ...]]:
    """Read the metrics of a run by validation scheme, random cross-validation last."""
    with conn.transaction():
        rows = conn.execute(
            "select scheme, model_kind, name, nullif(class, ''), value, samples, datasets"
            " from annotator.metric where run_id = %s"
            " order by scheme = %s, scheme, model_kind, name, class",
            (run_id, CROSS_VALIDATION),
        ).fetchall()
    found: dict[str, list[Metric]] = {}
    for scheme, *values in rows:
        found.setdefault(scheme, []).append(Metric(*values))
    return {scheme: tuple(metrics) for scheme, metrics in found.items()}


def read_curves(conn: psycopg.Connection, run_id: int) -> tuple[Curve, ...]:
    """Read the curves of a run, points in ascending x."""
    with conn.transaction():
        rows = conn.execute(
            "select curve, model_kind, x, y, samples from annotator.validation_curve"
            " where run_id = %s order by curve, model_kind, scheme = %s, scheme, position",
            (run_id, CROSS_VALIDATION),
        ).fetchall()
    found: dict[tuple[str, str], list[CurvePoint]] = {}
    for curve, kind, *point in rows:
        found.setdefault((curve, kind), []).append(CurvePoint(*point))
    return tuple(Curve(*name, tuple(points)) for name, points in found.items())


def read_suspects(conn: psycopg.Connection, run_id: int) -> tuple[Suspect, ...]:
    """Read the labels that the models of a run contradict, most suspicious first."""
    with conn.transaction():
        rows = conn.execute(
            "select rank, sample_id, dataset_id, label, predicted, suspicion, evidence"
            " from annotator.label_suspicion where run_id = %s order by rank, sample_id",
            (run_id,),
        ).fetchall()
    return tuple(Suspect(*row) for row in rows)


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A report that was written.

    Attributes
    ----------
    path
        Absolute path on the host.
    sha256, size
        SHA-256 (hexadecimal) and size (in bytes) of the HTML file.
    host
        The host that wrote it.
    """

    path: str
    sha256: str
    size: int
    host: str


def record_report(
    conn: psycopg.Connection,
    release_id: int,
    status: str,
    became: LiveAccuracy | None,
    written: WrittenFile,
) -> None:
    """Record the path of the report of a release; committed.

    Parameters
    ----------
    conn
        Connection.
    release_id
        The release; an earlier record is replaced.
    status
        Status of the release in the report.
    became
        Live accuracy of its suggestions in the report.
    written
        The file.
    """
    with committed(conn):
        conn.execute(
            "insert into annotator.release_report"
            " (release_id, status, judged, confirmed, path, sha256, size, host)"
            " values (%s, %s, %s, %s, %s, %s, %s, %s)"
            " on conflict (release_id) do update set status = excluded.status,"
            " judged = excluded.judged, confirmed = excluded.confirmed, path = excluded.path,"
            " sha256 = excluded.sha256, size = excluded.size, host = excluded.host,"
            " written_at = clock_timestamp()",
            (
                release_id,
                status,
                became.judged if became else 0,
                became.confirmed if became else 0,
                written.path,
                written.sha256,
                written.size,
                written.host,
            ),
        )


# The newest releases of each field and organism that were decided on, and the live one however old.
_KEPT = """
with decided as (
    select release_id, field, status,
        row_number() over (partition by field, organism order by release_id desc) as place
    from annotator.release
    where status <> 'candidate'
)
select d.release_id, d.field, p.path, p.host,
    p.release_id is null or p.status <> d.status or d.status = 'live' and exists (
        select from annotator.live_accuracy became
        where became.release_id = d.release_id and became.field = d.field
          and (became.judged, became.confirmed) is distinct from (p.judged, p.confirmed)
    ) as is_due
from decided d
left join annotator.release_report p using (release_id)
where (d.place <= %(keep)s or d.status = 'live') = %(kept)s
order by d.release_id
"""


def kept_reports(
    conn: psycopg.Connection, keep: int
) -> tuple[tuple[ReportRow, ...], tuple[ReportRow, ...]]:
    """Return the releases that should have a report.

    Parameters
    ----------
    conn
        Connection.
    keep
        Number of releases per field and organism, newest first; the live one always is among them.

    Returns
    -------
    tuple
        Releases whose report is missing or outdated (it has another status or, for a live
        release, another live accuracy), and releases whose report is up to date.
    """
    with conn.transaction():
        rows = conn.execute(_KEPT, {"keep": keep, "kept": True}).fetchall()
    due = tuple(ReportRow(*row[:4]) for row in rows if row[4])
    return due, tuple(ReportRow(*row[:4]) for row in rows if not row[4])


def outdated_reports(conn: psycopg.Connection, keep: int, host: str) -> tuple[ReportRow, ...]:
    """Return the reports on a host that should no longer be kept."""
    with conn.transaction():
        rows = conn.execute(_KEPT, {"keep": keep, "kept": False}).fetchall()
    return tuple(ReportRow(*row[:4]) for row in rows if row[3] == host)


def forget_report(conn: psycopg.Connection, release_id: int) -> None:
    """Delete the record of a report that no longer exists; committed."""
    with committed(conn):
        conn.execute("delete from annotator.release_report where release_id = %s", (release_id,))
