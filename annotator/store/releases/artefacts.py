"""The files of releases: how they are read and checked, and when they are deleted.

Anybody with the daemon's rights can delete rows of ``annotator.artefact`` and write
others, together with their digests. The digests in ``annotator.release`` are those of the
files that were validated: only whoever makes a release can set them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from annotator.domain.releases import Artefact
from annotator.errors import ArtefactError
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    import psycopg


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def load_artefacts(conn: psycopg.Connection, release_id: int) -> tuple[Artefact, ...]:
    """Read the files of a release after checking that all are as they were when stored.

    The digest of a file reveals damage; the digests of the release reveal files that were
    replaced together with theirs.

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
        or the files are not those that the release was made with. Nothing was parsed.
    """
    with conn.transaction(), conn.cursor(binary=True) as cursor:
        rows = cursor.execute(
            "select a.name, a.media_type, a.sha256, a.size, a.content, r.digests"
            " from annotator.artefact a join annotator.release r using (release_id)"
            " where release_id = %s order by a.name",
            (release_id,),
        ).fetchall()
    if not rows:
        raise ArtefactError(f"release {release_id} has no stored models; retrain its field")
    found = []
    for name, media_type, sha256, size, content, _ in rows:
        if len(content) != size or digest(content) != sha256:
            raise ArtefactError(
                f"release {release_id}: artefact {name} differs from the one that was stored"
                f" ({len(content)} of {size} bytes, SHA-256 checked); restore it or retrain"
            )
        found.append(Artefact(name, media_type, bytes(content)))
    odd = sorted({(row[0], row[2]) for row in rows} ^ set(rows[0][-1].items()))
    if odd:
        raise ArtefactError(
            f"release {release_id}: artefact {odd[0][0]} differs from the one that was validated:"
            " the release was made with another SHA-256; restore it or retrain"
        )
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
