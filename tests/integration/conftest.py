"""One real PostgreSQL for the whole run, and a clean migrated database for each test.

All workers of a parallel run share the server: it lives under the run's common
temporary folder, and the embedded server serves any number of users at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.settings import Settings
from annotator.store.connection import Database
from annotator.store.embedded import running_server
from annotator.store.schema import migrate

TEMPLATE = "annotator_template"
_numbers = count(1)


def _run_folder(factory: pytest.TempPathFactory) -> Path:
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def on(server: str, database: str) -> str:
    """Return the connection string of another database of the server."""
    return make_conninfo(server, dbname=database)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of the superuser, to database ``annotator``."""
    with running_server(_run_folder(tmp_path_factory) / "server") as conninfo:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            # A test database need not survive a power failure.
            connection.execute("alter system set fsync = off")
            connection.execute("alter system set full_page_writes = off")
            connection.execute("select pg_reload_conf()")
            connection.execute("select pg_advisory_lock(1)")  # one worker makes the template
            _make_template(connection, conninfo)
        yield conninfo


def _make_template(connection: psycopg.Connection, conninfo: str) -> None:
    query = "select datallowconn from pg_database where datname = %s"
    found = connection.execute(query, (TEMPLATE,)).fetchone()
    if found is not None and not found[0]:
        return
    connection.execute(f"drop database if exists {TEMPLATE}")
    connection.execute(f"create database {TEMPLATE}")
    migrate(Database(on(conninfo, TEMPLATE), embedded=True))
    connection.execute(f"alter database {TEMPLATE} allow_connections false")


def _create(server: str, template: str) -> Iterator[str]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"test_{worker}_{next(_numbers)}"
    identifier = sql.Identifier(name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(identifier, sql.Identifier(template))
        )
    yield on(server, name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(identifier))


@pytest.fixture
def database(server: str) -> Iterator[Database]:
    """A clean database at the current schema."""
    for conninfo in _create(server, TEMPLATE):
        yield Database(conninfo, embedded=True)


@pytest.fixture
def empty_database(server: str) -> Iterator[Database]:
    """A database without any schema of ours."""
    for conninfo in _create(server, "template0"):
        yield Database(conninfo, embedded=True)


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """The superuser's connection to it; autocommit off."""
    with database.connect() as opened:
        yield opened


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """Settings whose URL leads to it."""
    parts = conninfo_to_dict(database.conninfo)
    url = f"postgresql://{parts['user']}@:{parts['port']}/{parts['dbname']}?host={parts['host']}"
    return Settings(home=tmp_path / "home", database_url=url)
