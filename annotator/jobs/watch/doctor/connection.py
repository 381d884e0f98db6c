"""Check that the server can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.jobs.watch.doctor.findings import Finding, good, warning, wrong
from annotator.store.server.connection import TESTED_POSTGRESQL
from annotator.store.server.health import server_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SUBJECT = "connection"
MANY_CONNECTIONS = 0.8


def check_connection(connection: psycopg.Connection) -> Iterator[Finding]:
    """Check version and encoding, whether it is writable, and its number of connections."""
    facts = server_facts(connection)
    if facts.version // 10000 > TESTED_POSTGRESQL:
        yield warning(
            SUBJECT,
            f"the server is PostgreSQL {facts.version_text}, newer than any that this version of"
            f" annotator was tested on ({TESTED_POSTGRESQL})",
            "update annotator, or use a server of a tested version",
        )
    if facts.encoding != "UTF8":
        yield wrong(
            SUBJECT,
            f"database {facts.database} has the encoding {facts.encoding}",
            "create a database with encoding UTF8 and give it in ANNOTATOR_DATABASE_URL",
        )
    if facts.is_replica:
        yield warning(
            SUBJECT,
            f"database {facts.database} is a read-only replica: queries, status and reports work,"
            " and nothing can be changed",
            "set database_url to the primary for daemons, imports, retrainings and decisions",
        )
    elif facts.read_only:
        yield wrong(
            SUBJECT,
            f"database {facts.database} is read-only: its transactions are read-only by default",
            "reset default_transaction_read_only of the role or database",
        )
    if facts.connections >= MANY_CONNECTIONS * facts.maximum_connections:
        yield warning(
            SUBJECT,
            f"{facts.connections} of {facts.maximum_connections} connections are in use",
            "raise max_connections of the server, or make other programs use fewer connections",
        )
    yield good(
        SUBJECT,
        f"PostgreSQL {facts.version_text}, database {facts.database}, as {facts.user};"
        f" {facts.connections} of {facts.maximum_connections} connections in use",
    )
