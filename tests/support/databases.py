"""Databases on the server of the test run."""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.store.server.connection import Database
from annotator.store.server.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATED = "annotator_template"
"""Name of a database at the current schema, which accepts no connections."""
EMPTY = "template0"
_numbers = count(1)


def on(server: str, database: str) -> str:
    """Return the connection string of another database of the server."""
    return make_conninfo(server, dbname=database)


def name_of(database: Database) -> str:
    """Return the name of a database on its server."""
    return str(conninfo_to_dict(database.conninfo)["dbname"])


@contextmanager
def new_database(server: str, template: str = MIGRATED) -> Iterator[Database]:
    """Clone a database that nobody is connected to; drop the clone after the block.

    Parameters
    ----------
    server
        Connection string of the superuser.
    template
        Name of the database to clone.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"test_{worker}_{next(_numbers)}"
    identifier = sql.Identifier(name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(identifier, sql.Identifier(template))
        )
    try:
        yield Database(on(server, name), embedded=True)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(identifier))


def make_migrated(server: str) -> None:
    """Make :data:`MIGRATED` unless another worker has made it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(1)")
        query = "select datallowconn from pg_database where datname = %s"
        found = connection.execute(query, (MIGRATED,)).fetchone()
        if found is not None and not found[0]:
            return
        connection.execute(f"drop database if exists {MIGRATED}")
        connection.execute(f"create database {MIGRATED}")
        migrate(Database(on(server, MIGRATED), embedded=True))
        connection.execute(f"alter database {MIGRATED} allow_connections false")
