"""Releases whose stored models were found to be damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.store.events import add_event
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    import psycopg

    from annotator.store.releases.registry import LiveRelease

_CLOSE_RUN = """
update annotator.training_run set status = 'failed', reason = %s
where run_id = %s and status = 'succeeded'
"""


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
        # The lock of promotions, see annotator.store.releases.registry.
        conn.execute(
            "select pg_advisory_xact_lock(hashtextextended('annotator.promote.' || %s, 0))",
            (field,),
        )
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
