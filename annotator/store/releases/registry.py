"""Releases: how a candidate is stored, and which releases are or were live.

Every function is a transaction of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.errors import NeedsPersonError
from annotator.store.events import add_event
from annotator.store.plain_json import dumps
from annotator.store.releases.artefacts import digest
from annotator.store.releases.explanations import copy_explanations
from annotator.store.releases.held_out import copy_held_out, copy_suspicions, insert_curves
from annotator.store.releases.runs import insert_metrics, require_running
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import psycopg

    from annotator.domain.releases import CandidateRelease

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

    @property
    def undeclared(self) -> str:
        """A sentence for releases whose field the settings do not declare."""
        return (
            f"release {self.release_id} is live, but its field {self.field} is not declared in"
            " these settings (annotator.toml, ANNOTATOR_CONFIG)"
        )


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
    digests = {artefact.name: digest(artefact.content) for artefact in candidate.artefacts}
    with committed(conn):
        require_running(conn, run_id)
        row = conn.execute(
            "insert into annotator.release"
            " (field, run_id, classes, features, weights, organism, digests)"
            " values (%s, %s, %s, %s, %s, %s, %s) returning release_id",
            (
                *(field, run_id, list(classes), candidate.features),
                None if weights is None else Jsonb(dict(weights), dumps=dumps),
                *(candidate.organism, Jsonb(digests)),
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
                    digests[artefact.name],
                    len(artefact.content),
                    artefact.content,
                ),
            )
        add_event(conn, "candidate", field, {"release_id": release_id})
        copy_held_out(conn, run_id, held_out)
        for scheme, metrics in candidate.metrics.items():
            insert_metrics(conn, run_id, scheme, metrics)
        insert_curves(conn, run_id, next(iter(candidate.metrics), "held-out"), candidate.curves)
        copy_suspicions(conn, run_id, held_out, candidate.suspicions)
        if candidate.explanations is not None:
            copy_explanations(conn, release_id, candidate.explanations)
    return release_id


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
