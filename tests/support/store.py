"""Run statements on a test's database, and add the rows that many tests start with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from annotator.domain.answers import SamplePrediction

if TYPE_CHECKING:
    import psycopg

    from annotator.domain.answers import ClaimedSample
    from annotator.store.server.connection import Database

Rows = list[tuple[Any, ...]]
SEARCH_PATH = "set search_path = annotator, atlas"
"""What people are told to run in ``psql``."""


def run(connection: psycopg.Connection, statement: str, *values: Any) -> Rows:
    """Run one statement and commit; return its rows, if it has any."""
    cursor = connection.execute(statement, values)
    rows = cursor.fetchall() if cursor.description else []
    connection.commit()
    return rows


def rows(database: Database, query: str, *values: Any) -> Rows:
    """Return the rows of a query, on a new connection."""
    with database.connect() as connection:
        return connection.execute(query, values).fetchall()


def execute(database: Database, statement: str, *values: Any) -> None:
    """Run one statement on a new connection, and commit."""
    with database.connect() as connection:
        connection.execute(statement, values)
        connection.commit()


def as_daemon(database: Database) -> psycopg.Connection:
    """Connect with the rights of the daemon."""
    return database.connect(user="annotator_daemon")


def as_curator(database: Database) -> psycopg.Connection:
    """Connect with a curator's rights, as in ``psql``: autocommit, and names without schemas."""
    connection = database.connect(user="annotator_curator", autocommit=True)
    connection.execute(SEARCH_PATH)
    return connection


def add_samples(connection: psycopg.Connection, *names: str, dataset: str = "D1") -> None:
    """Add samples without counts, and their dataset if it is missing; committed."""
    run(
        connection,
        "insert into atlas.dataset (dataset_id) values (%s) on conflict do nothing",
        dataset,
    )
    run(
        connection,
        "insert into atlas.sample (sample_id, dataset_id) select unnest(%s::text[]), %s",
        list(names),
        dataset,
    )


def add_release(
    connection: psycopg.Connection, field: str = "tissue", organism: str = "Homo sapiens"
) -> int:
    """Add a release without models and promote it in place of the live one; committed."""
    run(
        connection,
        "update annotator.release set status = 'retired', retired_at = now()"
        " where field = %s and organism = %s and status = 'live'",
        field,
        organism,
    )
    ((release_id,),) = run(
        connection,
        "with t as (insert into annotator.training_run"
        " (field, organism, preset, status, seed, host, finished_at)"
        " values (%s, %s, 'default', 'succeeded', 1, 'here', now())"
        " returning run_id, field, organism)"
        " insert into annotator.release"
        " (field, organism, run_id, status, classes, features, promoted_at)"
        " select field, organism, run_id, 'live', '{liver,brain}', 5, now() from t"
        " returning release_id",
        field,
        organism,
    )
    return int(release_id)


def suggestion(sample: ClaimedSample, value: str = "liver", **more: Any) -> SamplePrediction:
    """Return a suggested value for a claimed sample; ``more`` are further attributes."""
    given = {
        "input_hash": "1" * 64,
        "lineage": (value,),
        "confidence": 0.9,
        "status": "suggested",
        "reason": None,
        "novelty": 0.1,
        "models": {},
        "top_features": (),
    }
    return SamplePrediction(
        sample_id=sample.sample_id,
        dataset_id=sample.dataset_id,
        field=sample.field,
        sample_updated_at=sample.sample_updated_at,
        value=value,
        **(given | more),
    )
