"""What the event log says the files of a release are.

Rows of ``annotator.artefact`` can be deleted and written anew by whoever has the
daemon's rights, digests and all. The event log is append-only for everybody, so
the digests that it holds are those of the files that were validated.
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
"""Kind of the event that names the files of a release when it is made."""


def write_down_files(
    conn: psycopg.Connection, release_id: int, field: str, artefacts: Sequence[Artefact]
) -> None:
    """Add the digests of a new release's files to the event log, within the transaction."""
    digests = {
        artefact.name: hashlib.sha256(artefact.content).hexdigest() for artefact in artefacts
    }
    add_event(conn, CANDIDATE, field, {"release_id": release_id, "artefacts": digests})


def check_written_down(
    conn: psycopg.Connection, release_id: int, digests: Mapping[str, str]
) -> None:
    """Make sure that files are those that the event log names.

    Parameters
    ----------
    conn
        Connection.
    release_id
        The release that they were found under.
    digests
        Name of each file to its SHA-256, in hexadecimal digits.

    Raises
    ------
    ArtefactError
        They are other files. Releases made before the log named files pass.
    """
    with conn.transaction():
        # The first word counts: a line that is added later changes nothing.
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
            f"release {release_id}: artefact {odd[0]} is not what was validated: the event log"
            " names another SHA-256; restore it or retrain"
        )
