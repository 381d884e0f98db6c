"""The files of releases: how they are read and checked, and when they are deleted.

Anybody with the daemon's rights can delete rows of ``annotator.artefact`` and write
others, together with their digests. The event log is append-only for everybody, so
its digests are those of the files that were validated.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from annotator.domain.releases import Artefact
from annotator.errors import ArtefactError
from annotator.store.events import add_event
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

CANDIDATE = "candidate"
"""Kind of the event that lists the files of a release when it is made."""


def record_digests(
    conn: psycopg.Connection, release_id: int, field: str, artefacts: Sequence[Artefact]
) -> None:
    """Add the digests of a new release's files to the event log, in the current transaction."""
    digests = {
        artefact.name: hashlib.sha256(artefact.content).hexdigest() for artefact in artefacts
    }
    add_event(conn, CANDIDATE, field, {"release_id": release_id, "artefacts": digests})


def check_digests(conn: psycopg.Connection, release_id: int, digests: Mapping[str, str]) -> None:
    """Check that the files of a release are those in the event log.

    Parameters
    ----------
    conn
        Connection.
    release_id
        The release.
    digests
        SHA-256 of each file by name, in hexadecimal digits.

    Raises
    ------
    ArtefactError
        A file differs. Releases from before files were logged pass.
    """
    with conn.transaction():
        # The first event counts: events that are added later change nothing.
        row = conn.execute(
            "select detail -> 'artefacts' from annotator.event"
            " where kind = %s and detail ->> 'release_id' = %s order by event_id limit 1",
            (CANDIDATE, str(release_id)),
        ).fetchone()
    if row is None:
        return
    written: Mapping[str, str] = row[0]
    if written != digests:
        odd = sorted(
            name for name in {*written, *digests} if written.get(name) != digests.get(name)
        )
        raise ArtefactError(
            f"release {release_id}: artefact {odd[0]} differs from the one that was validated: the"
            " event log has another SHA-256; restore it or retrain"
        )


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
