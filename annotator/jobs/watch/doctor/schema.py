"""Check that the schema is the one that this version works with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import NeedsPersonError, SchemaError
from annotator.jobs.watch.doctor.findings import Finding, good, wrong
from annotator.store.server.schema import (
    REQUIRED_REVISION,
    check_schema,
    current_revision,
    migrations_folder,
)
from annotator.store.server.schema_objects import are_current

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SUBJECT = "schema"


def check_revision(connection: psycopg.Connection) -> Iterator[Finding]:
    """Compare the revision of the database with that of this version."""
    try:
        check_schema(connection)
    except SchemaError as error:
        yield wrong(SUBJECT, str(error), _remedy(connection))
    except NeedsPersonError as error:
        yield wrong(SUBJECT, str(error), "log in as a role that has one of the group roles")
    else:
        if are_current(connection, migrations_folder() / "schema"):
            yield good(SUBJECT, f"revision {REQUIRED_REVISION}, as this version needs")
        else:
            found = f"revision {REQUIRED_REVISION}, but with views or functions of another version"
            yield wrong(SUBJECT, found, _remedy(connection))


def _remedy(connection: psycopg.Connection) -> str:
    try:
        found = current_revision(connection)
    except SchemaError:
        return (
            "restore a backup, or create a new database, run `annotator migrate` and import again"
        )
    if found is not None and found > REQUIRED_REVISION:
        return "install the version of annotator that migrated it"
    return "run `annotator migrate` as the owner of the database"
