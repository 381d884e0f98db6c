"""Releases: candidates, promotions and rejections with their reasons, and stored models.

A release goes candidate -> live -> retired, or candidate -> rejected. At most one
release per field and organism is live; a unique index enforces that, too.

Every function is a transaction of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.domain.releases import Artefact, CandidateRelease
from annotator.domain.statuses import ReleaseStatus
from annotator.errors import ArtefactError, NeedsPersonError
from annotator.store.events import add_event
from annotator.store.plain_json import dumps
from annotator.store.releases.artefacts import check_digests, record_digests
from annotator.store.releases.comparisons import insert_comparisons
from annotator.store.releases.explanations import copy_explanations
from annotator.store.releases.held_out import copy_held_out, copy_suspicions, insert_curves
from annotator.store.releases.runs import insert_metrics, require_running
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

    from annotator.domain.releases import Comparison

# PostgreSQL limits a value and its message to 1 GiB; the rest of the row needs room.
MAXIMUM_ARTEFACT_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class LiveRelease:
    """A release that is or was live."""

    release_id: int
    field: str
    run_id: int
    preset: str
    classes: tuple[str, ...]
    features: int
    cohort_hash: str | None
    configuration_hash: str | None
    promoted_at: datetime
    organism: str = DEFAULT_ORGANISM


_RELEASE = """
select r.release_id, r.field, r.run_id, t.preset, r.classes, r.features,
       c.hash, t.configuration_hash, r.promoted_at, r.organism
from annotator.release r
join annotator.training_run t using (run_id)
left join annotator.cohort c using (cohort_id)
"""
_LIVE = f"{_RELEASE} where r.status = 'live'"


def save_candidate(conn: psycopg.Connection, run_id: int, candidate: CandidateRelease) -> int:
    """Store a candidate with its models, held-out predictions and metrics, all or nothing.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    run_id
        A run that is still running.
    candidate
        The candidate.

    Returns
    -------
    int
        ``release_id``.

    Raises
    ------
    LeaseLostError
        The run is no longer running.
    NeedsPersonError
        An artefact is too large for one value in PostgreSQL, or the
        held-out predictions or explanations have other classes.
    """
    field, classes, held_out = candidate.field, candidate.classes, candidate.held_out
    weights = candidate.weights
    for artefact in candidate.artefacts:
        if len(artefact.content) > MAXIMUM_ARTEFACT_BYTES:
            raise NeedsPersonError(
                f"{field}: artefact {artefact.name} has {len(artefact.content):,} bytes, but the"
                f" database can store {MAXIMUM_ARTEFACT_BYTES:,}; choose smaller models"
            )
    if tuple(held_out.classes) != tuple(classes):
        raise NeedsPersonError(
            f"{field}: the held-out predictions have the classes {', '.join(held_out.classes)},"
            f" but the release has {', '.join(classes)}; retrain"
        )
    with committed(conn):
        require_running(conn, run_id)
        row = conn.execute(
            "insert into annotator.release (field, run_id, classes, features, weights, organism)"
            " values (%s, %s, %s, %s, %s, %s) returning release_id",
            (
                *(field, run_id, list(classes), candidate.features),
                None if weights is None else Jsonb(dict(weights), dumps=dumps),
                candidate.organism,
            ),
        ).fetchone()
        assert row is not None
        release_id = int(row[0])
        for artefact in candidate.artefacts:
            conn.execute(
                "insert into annotator.artefact"
                " (release_id, name, media_type, sha256, size, content)"
                " values (%s, %s, %s, %s, %s, %b)",
                (
                    release_id,
                    artefact.name,
                    artefact.media_type,
                    hashlib.sha256(artefact.content).hexdigest(),
                    len(artefact.content),
                    artefact.content,
                ),
            )
        record_digests(conn, release_id, field, candidate.artefacts)
        copy_held_out(conn, run_id, held_out)
        for scheme, metrics in candidate.metrics.items():
            insert_metrics(conn, run_id, scheme, metrics)
        insert_curves(conn, run_id, next(iter(candidate.metrics), "held-out"), candidate.curves)
        copy_suspicions(conn, run_id, held_out, candidate.suspicions)
        if candidate.explanations is not None:
            copy_explanations(conn, release_id, candidate.explanations)
    return release_id


def _require_candidate(conn: psycopg.Connection, release_id: int) -> tuple[str, str]:
    """Lock the field of a candidate against other promotions; return it and the organism.

    The lock is on the field and not on rows: a promotion that waited for rows
    would not see a release that went live in the meantime.
    """
    row = conn.execute(
        "select field, organism from annotator.release where release_id = %s", (release_id,)
    ).fetchone()
    if row is None:
        raise NeedsPersonError(f"there is no release {release_id}")
    field, organism = str(row[0]), str(row[1])
    conn.execute(
        "select pg_advisory_xact_lock(hashtextextended('annotator.promote.' || %s, 0))", (field,)
    )
    row = conn.execute(
        "select status::text from annotator.release where release_id = %s for no key update",
        (release_id,),
    ).fetchone()
    if row is None or row[0] != ReleaseStatus.CANDIDATE:
        standing = "deleted" if row is None else row[0]
        raise NeedsPersonError(
            f"release {release_id} of {field} is {standing}: only a candidate can be"
            " promoted or rejected"
        )
    return field, organism


def promote(
    conn: psycopg.Connection,
    release_id: int,
    reasons: Sequence[str],
    comparisons: Sequence[Comparison] = (),
) -> None:
    """Make a candidate the live release of its field and organism, in one transaction.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    release_id
        A candidate.
    reasons
        Reasons why it may go live; stored with the release.
    comparisons
        The metrics behind them; one row each of ``annotator.release_comparison``.

    Raises
    ------
    NeedsPersonError
        There is no such release, or it is not a candidate.
    """
    with committed(conn):
        field, organism = _require_candidate(conn, release_id)
        before = conn.execute(
            "update annotator.release set status = 'retired', retired_at = clock_timestamp()"
            " where field = %s and organism = %s and status = 'live' returning release_id",
            (field, organism),
        ).fetchone()
        conn.execute(
            "update annotator.release set status = 'live', promoted_at = clock_timestamp(),"
            " reasons = %s where release_id = %s",
            (list(reasons), release_id),
        )
        insert_comparisons(conn, release_id, comparisons)
        detail = {
            "release_id": release_id,
            "organism": organism,
            "retired": None if before is None else before[0],
            "reasons": list(reasons),
        }
        add_event(conn, "promoted", field, detail)


def reject(
    conn: psycopg.Connection,
    release_id: int,
    reasons: Sequence[str],
    comparisons: Sequence[Comparison] = (),
) -> None:
    """Reject a candidate permanently; the live release stays live. Committed.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    release_id
        A candidate.
    reasons
        Reasons why it may not go live; stored with the release.
    comparisons
        The metrics behind them; one row each of ``annotator.release_comparison``.

    Raises
    ------
    NeedsPersonError
        There is no such release, or it is not a candidate.
    """
    with committed(conn):
        field, organism = _require_candidate(conn, release_id)
        conn.execute(
            "update annotator.release set status = 'rejected', reasons = %s where release_id = %s",
            (list(reasons), release_id),
        )
        insert_comparisons(conn, release_id, comparisons)
        detail = {"release_id": release_id, "organism": organism, "reasons": list(reasons)}
        add_event(conn, "rejected", field, detail)


def sweep_orphans(conn: psycopg.Connection) -> int:
    """Reject candidates that will never be decided on, and delete their files; committed.

    Those are candidates whose run has ended: a decision must be made before the
    run is finished.

    Returns
    -------
    int
        Number of candidates that were rejected.
    """
    reason = "its training run ended before it was decided on"
    with committed(conn):
        rows = conn.execute(
            "update annotator.release r set status = 'rejected', reasons = r.reasons || %s::text"
            " from annotator.training_run t"
            " where t.run_id = r.run_id and t.status <> 'running' and r.status = 'candidate'"
            " returning r.release_id, r.field",
            (reason,),
        ).fetchall()
        for release_id, field in rows:
            add_event(conn, "rejected", field, {"release_id": release_id, "reasons": [reason]})
        conn.execute(
            "delete from annotator.artefact where release_id = any (%s)",
            ([row[0] for row in rows],),
        )
    return len(rows)


def _live(row: Sequence[Any]) -> LiveRelease:
    release_id, field, run_id, preset, classes, *rest = row
    return LiveRelease(release_id, field, run_id, preset, tuple(classes), *rest)


def live_release(
    conn: psycopg.Connection, field: str, organism: str = DEFAULT_ORGANISM
) -> LiveRelease | None:
    """Return the live release of a field for an organism, if any."""
    with conn.transaction():
        row = conn.execute(
            _LIVE + " and r.field = %s and r.organism = %s", (field, organism)
        ).fetchone()
    return None if row is None else _live(row)


def live_releases(conn: psycopg.Connection) -> tuple[LiveRelease, ...]:
    """Return every live release, ordered by field and organism."""
    with conn.transaction():
        rows = conn.execute(_LIVE + " order by r.field, r.organism").fetchall()
    return tuple(_live(row) for row in rows)


def earlier_releases(
    conn: psycopg.Connection, field: str, organism: str = DEFAULT_ORGANISM
) -> tuple[LiveRelease, ...]:
    """Return the retired releases that still have their files, newest first."""
    with conn.transaction():
        rows = conn.execute(
            f"{_RELEASE} where r.field = %s and r.organism = %s and r.status = 'retired'"
            " and exists (select from annotator.artefact a where a.release_id = r.release_id)"
            " order by r.retired_at desc, r.release_id desc",
            (field, organism),
        ).fetchall()
    return tuple(_live(row) for row in rows)


def load_artefacts(conn: psycopg.Connection, release_id: int) -> tuple[Artefact, ...]:
    """Read the files of a release after checking that all are as they were when stored.

    The digest of a file reveals damage; the event log, which nobody can change, reveals
    files that were replaced together with their digests.

    Parameters
    ----------
    conn
        Connection.
    release_id
        Any release that still has its files.

    Returns
    -------
    tuple of Artefact
        Ordered by name.

    Raises
    ------
    ArtefactError
        The release has no files, the size or SHA-256 of one differs from the stored one,
        or the files are not those in the event log. Nothing was parsed.
    """
    with conn.transaction(), conn.cursor(binary=True) as cursor:
        rows = cursor.execute(
            "select name, media_type, sha256, size, content from annotator.artefact"
            " where release_id = %s order by name",
            (release_id,),
        ).fetchall()
    if not rows:
        raise ArtefactError(f"release {release_id} has no stored models; retrain its field")
    found = []
    for name, media_type, digest, size, content in rows:
        if len(content) != size or hashlib.sha256(content).hexdigest() != digest:
            raise ArtefactError(
                f"release {release_id}: artefact {name} differs from the one that was stored"
                f" ({len(content)} of {size} bytes, SHA-256 checked); restore it or retrain"
            )
        found.append(Artefact(name, media_type, bytes(content)))
    check_digests(conn, release_id, {row[0]: row[2] for row in rows})
    return tuple(found)


def retire_artefacts(conn: psycopg.Connection, keep: int) -> int:
    """Delete the files of old retired and rejected releases; their records are kept.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    keep
        Number of retired or rejected releases per field and organism that keep their
        files, newest first; those without files are not counted. Live releases
        and candidates always keep theirs.

    Returns
    -------
    int
        Number of files that were deleted.
    """
    with committed(conn):
        return conn.execute(
            "delete from annotator.artefact a using ("
            "    select release_id,"
            "        row_number() over ("
            "            partition by field, organism order by release_id desc) as place"
            "    from annotator.release r where status in ('retired', 'rejected') and exists ("
            "        select from annotator.artefact f where f.release_id = r.release_id)"
            ") old where a.release_id = old.release_id and old.place > %s",
            (keep,),
        ).rowcount
