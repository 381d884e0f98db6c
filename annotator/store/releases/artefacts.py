"""Digests of the files of a release in the event log.

Anybody with the daemon's rights can delete rows of ``annotator.artefact`` and write
others, together with their digests. The event log is append-only for everybody, so
its digests are those of the files that were validated.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from annotator.errors import ArtefactError
from annotator.store.events import add_event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from annotator.domain.releases import Artefact

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
