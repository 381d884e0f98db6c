"""Deleting the predictions of releases that were superseded long ago.

The database itself keeps predictions that are current or that a curator ever decided on
(``annotator.delete_history``), and adds an event for every part that it deletes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from annotator.store.server.schema import hold_schema
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    import psycopg

PREDICTIONS_AT_A_TIME = 2000
"""Predictions per transaction: about half a second, with all contributions."""

# As for the files of releases (annotator.store.releases.artefacts): newest first, and releases
# that have none are not counted.
_SUPERSEDED = """
select r.release_id
from annotator.release r
where r.field = %s and r.organism = %s and r.status in ('retired', 'rejected')
  and exists (select from annotator.prediction p where p.release_id = r.release_id)
order by r.release_id desc
offset %s
"""
_DELETE = "select last, predictions, contributions from annotator.delete_history(%s, %s, %s)"


class DeletedHistory(NamedTuple):
    """The number of deleted predictions, and of contributions to them, and their releases."""

    predictions: int = 0
    contributions: int = 0
    releases: tuple[int, ...] = ()


def delete_history(
    conn: psycopg.Connection, field: str, organism: str, keep: int
) -> DeletedHistory:
    """Delete predictions of superseded releases that nobody decided on; committed in parts.

    Parameters
    ----------
    conn
        Connection.
    field, organism
        The releases are those of a field for an organism.
    keep
        Number of superseded releases, the newest, whose predictions are kept.

    Returns
    -------
    DeletedHistory

    Raises
    ------
    SchemaError
        The database was migrated in the meantime. The parts that were committed stay deleted.
    """
    with committed(conn):
        found = conn.execute(_SUPERSEDED, (field, organism, keep)).fetchall()
    predictions = contributions = 0
    releases = []
    for (release_id,) in found:
        before = predictions
        after: int | None = 0
        while after is not None:
            with committed(conn):
                hold_schema(conn)
                row = conn.execute(_DELETE, (release_id, after, PREDICTIONS_AT_A_TIME)).fetchone()
            assert row is not None
            after = row[0]
            predictions += row[1] or 0
            contributions += row[2] or 0
        if predictions > before:
            releases.append(release_id)
    return DeletedHistory(predictions, contributions, tuple(releases))
