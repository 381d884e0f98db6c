"""What becomes of a release after it is stored, in one place and under one lock.

A release goes candidate -> live -> retired, or candidate -> rejected. A damaged live
release is rejected, and its fallback release goes from retired to live. At most one
release per field and organism is live; a unique index enforces that, too.

Every function is a transaction of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.statuses import ReleaseStatus
from annotator.errors import NeedsPersonError
from annotator.store.events import add_event
from annotator.store.releases.comparisons import insert_comparisons
from annotator.store.server.locks import wait_for_lock
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from annotator.domain.releases import Comparison
    from annotator.store.releases.registry import LiveRelease

_CLOSE_RUN = """
update annotator.training_run set status = 'failed', reason = %s
where run_id = %s and status = 'succeeded'
"""


def _lock_transitions(conn: psycopg.Connection, field: str) -> None:
    """Keep others from changing the status of a field's releases until the transaction ends.

    The lock is on the field and not on rows: a promotion that waited for rows
    would not see a release that went live in the meantime.
    """
    wait_for_lock(conn, f"promote {field}")


def _require_candidate(conn: psycopg.Connection, release_id: int) -> tuple[str, str]:
    """Lock the field of a candidate against other transitions; return it and the organism."""
    row = conn.execute(
        "select field, organism from annotator.release where release_id = %s", (release_id,)
    ).fetchone()
    if row is None:
        raise NeedsPersonError(f"there is no release {release_id}")
    field, organism = str(row[0]), str(row[1])
    _lock_transitions(conn, field)
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
        for (field,) in conn.execute(
            "select distinct field from annotator.release where status = 'candidate' order by field"
        ).fetchall():
            _lock_transitions(conn, field)
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


def record_damage(conn: psycopg.Connection, release: LiveRelease, reason: str) -> bool:
    """Record that a live release is damaged and there is no fallback release; committed.

    Its training run counts as failed from then on: this is shown in the status, and the
    next retraining is not skipped because nothing is new.

    Returns
    -------
    bool
        True if this had not been recorded before.
    """
    with committed(conn):
        closed = conn.execute(_CLOSE_RUN, (_of_release(release, reason), release.run_id)).rowcount
        if closed:
            detail = {"release_id": release.release_id, "reason": reason}
            add_event(conn, "failure", release.field, detail)
    return bool(closed)


def reinstate(conn: psycopg.Connection, damaged: LiveRelease, earlier_id: int, reason: str) -> bool:
    """Replace a damaged release by its fallback release, in one transaction.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    damaged
        The live release. It is rejected permanently, ``retired_at`` is set to the present
        time, and its training run counts as failed.
    earlier_id
        The fallback release: a retired release of the same field and organism whose files
        passed their checks.
    reason
        Description of the damage.

    Returns
    -------
    bool
        False if the damaged release is no longer live, or the earlier one not retired:
        another process was faster, and nothing was changed.
    """
    field = damaged.field
    with committed(conn):
        _lock_transitions(conn, field)
        fit = conn.execute(
            "select from annotator.release d join annotator.release e"
            " on e.field = d.field and e.organism = d.organism"
            " where d.release_id = %s and d.status = 'live'"
            " and e.release_id = %s and e.status = 'retired'",
            (damaged.release_id, earlier_id),
        ).fetchone()
        if fit is None:
            return False
        conn.execute(
            "update annotator.release set status = 'rejected', retired_at = clock_timestamp(),"
            " reasons = reasons || %s::text where release_id = %s",
            (f"damaged while live: {reason}", damaged.release_id),
        )
        conn.execute(
            "update annotator.release set status = 'live', promoted_at = clock_timestamp(),"
            " retired_at = null, reasons = reasons || %s::text where release_id = %s",
            (f"live again: release {damaged.release_id} was damaged", earlier_id),
        )
        conn.execute(_CLOSE_RUN, (_of_release(damaged, reason), damaged.run_id))
        detail = {
            "release_id": damaged.release_id,
            "reinstated": earlier_id,
            "reason": f"{reason}; release {earlier_id} is live again",
        }
        add_event(conn, "failure", field, detail)
    return True


def _of_release(release: LiveRelease, reason: str) -> str:
    return f"its release {release.release_id} was damaged: {reason}"
