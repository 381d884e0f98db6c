"""Releases whose stored models turned out to be damaged."""

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
    """Write down that a live release is damaged and nothing can stand in; committed.

    Its training run counts as failed from then on: the status says so, and the next
    retraining is not skipped for want of anything new.

    Returns
    -------
    bool
        True where nobody had said so before.
    """
    with committed(conn):
        said = conn.execute(_CLOSE_RUN, (_of_release(release, reason), release.run_id)).rowcount
        if said:
            detail = {"release_id": release.release_id, "reason": reason}
            add_event(conn, "failure", release.field, detail)
    return bool(said)


def reinstate(conn: psycopg.Connection, damaged: LiveRelease, earlier_id: int, reason: str) -> bool:
    """Put an earlier release in the place of a damaged one, in one transaction.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    damaged
        The live release; it is rejected for good, ``retired_at`` says since when, and its
        training run counts as failed.
    earlier_id
        A retired release of the same field whose files were found to be sound.
    reason
        What is wrong with the damaged one.

    Returns
    -------
    bool
        False where the damaged release is live no longer, or the earlier one not
        retired: somebody else was faster, and nothing was changed.
    """
    field = damaged.field
    with committed(conn):
        # The lock of promotions, see annotator.store.releases.registry.
        conn.execute(
            "select pg_advisory_xact_lock(hashtextextended('annotator.promote.' || %s, 0))",
            (field,),
        )
        fit = conn.execute(
            "select from annotator.release d join annotator.release e on e.field = d.field"
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
            "reason": f"{reason}; release {earlier_id} serves again",
        }
        add_event(conn, "failure", field, detail)
    return True


def _of_release(release: LiveRelease, reason: str) -> str:
    return f"its release {release.release_id} was damaged: {reason}"
