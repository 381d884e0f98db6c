"""Defaults of roles and databases that must not change what the program does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from annotator.errors import NeedsPersonError, ReadOnlyError
from annotator.store.answers import work
from annotator.store.server import connection as connections
from annotator.store.server.connection import Database, translating
from annotator.store.server.query import run_query
from annotator.store.server.schema import migrate
from annotator.store.watch import daemons as service
from tests.support.databases import EMPTY, name_of, new_database, on
from tests.support.store import add_release, add_samples

DEFAULTS = {
    "client_encoding": "latin1",
    "default_transaction_isolation": "serializable",
    "timezone": "America/New_York",
    "datestyle": "German",
    "intervalstyle": "iso_8601",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "search_path": "public, pg_catalog",
    "statement_timeout": "5000",
    "lock_timeout": "5000",
    "bytea_output": "escape",
}


def set_default(database: Database, **defaults: str) -> None:
    """Set defaults of a database, as its administrator does."""
    with psycopg.connect(database.conninfo, autocommit=True) as owner:
        for name, value in defaults.items():
            owner.execute(
                sql.SQL("alter database {} set {} = {}").format(
                    sql.Identifier(name_of(database)), sql.Identifier(name), sql.Literal(value)
                )
            )


@pytest.fixture
def peculiar(database: Database) -> Database:
    """A database whose defaults are unlike those of any other."""
    set_default(database, **DEFAULTS)
    return database


@pytest.fixture
def peculiar_role(database: Database) -> Iterator[Database]:
    """A login role with the same defaults."""
    role = sql.Identifier(f"peculiar_{name_of(database)}")
    with psycopg.connect(database.conninfo, autocommit=True) as owner:
        owner.execute(sql.SQL("create role {} login superuser").format(role))
        for name, value in DEFAULTS.items():
            owner.execute(
                sql.SQL("alter role {} set {} = {}").format(
                    role, sql.Identifier(name), sql.Literal(value)
                )
            )
        given = psycopg.conninfo.make_conninfo(
            database.conninfo, user=f"peculiar_{name_of(database)}"
        )
        yield replace(database, conninfo=given)
        owner.execute(sql.SQL("drop role {}").format(role))


@pytest.fixture(params=["database", "role"])
def connected(request) -> Iterator[psycopg.Connection]:
    """A connection with such defaults."""
    found: Database = request.getfixturevalue(
        "peculiar" if request.param == "database" else "peculiar_role"
    )
    with found.connect() as opened:
        yield opened


def test_a_session_has_our_settings(connected):
    names = [name for name in DEFAULTS if name != "bytea_output"]
    found = {name: connected.execute(f"show {name}").fetchone()[0] for name in names}
    assert found == {
        "client_encoding": "UTF8",
        "default_transaction_isolation": "read committed",
        "timezone": "UTC",
        "datestyle": "ISO, MDY",
        "intervalstyle": "postgres",
        "extra_float_digits": "1",
        "standard_conforming_strings": "on",
        "search_path": "pg_catalog",
        "statement_timeout": "0",
        "lock_timeout": "1min",
    }
    assert connected.execute("show transaction_isolation").fetchone() == ("read committed",)


def test_text_and_numbers_come_back_as_they_were(connected):
    given = ("naïve 肝 🧬", 0.1 + 0.2, b"\x00\\x\xff")
    assert connected.execute("select %s, %s, %s", given).fetchone() == given


def test_the_url_cannot_ask_for_another_encoding(database):
    given = psycopg.conninfo.make_conninfo(database.conninfo, client_encoding="latin1")
    with Database(given).connect() as opened:
        assert opened.info.encoding == "utf-8"


def test_work_is_claimed_and_reviewed_whatever_the_defaults(peculiar, connection, reviewable):
    with peculiar.connect() as opened:
        add_samples(opened, "肝1", "肝2", dataset="肝")
        release = add_release(opened)
        assert work.queue_pending(opened, "tissue", release) > 0
        claimed = work.claim(opened, "w", "tissue", release, 10, 60)
    assert "肝1" in {sample.sample_id for sample in claimed}
    run_query(peculiar, f"select * from accept_suggestion({reviewable.ids['a']}, '肝')")
    assert run_query(peculiar, "select note from review").rows == [("肝",)]


def test_an_empty_database_with_such_defaults_is_migrated(empty_database):
    set_default(empty_database, **DEFAULTS)
    assert migrate(empty_database)[0] is None
    # Backslashes in the schema's strings would be lost without standard_conforming_strings.
    query = "select annotator.in_interval('(45;70]', 70), annotator.in_interval('x', 1)"
    with empty_database.connect() as opened:
        assert opened.execute(query).fetchone() == (True, None)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_refused(server, encoding):
    with new_database(server, EMPTY) as near:
        name = f"{name_of(near)}_{encoding.lower()}"
        with psycopg.connect(server, autocommit=True) as owner:
            owner.execute(
                f"create database {name} template template0 encoding '{encoding}'"
                " locale_provider libc locale 'C'"
            )
            try:
                with pytest.raises(NeedsPersonError, match=f"encoding {encoding}; create"):
                    migrate(Database(on(server, name)))
            finally:
                owner.execute(f"drop database {name} with (force)")


def write(database: Database) -> None:
    with database.connect() as opened:
        service.beat(opened, "w", "h", 1, "0", "idle")


@pytest.mark.parametrize("change", [write, migrate])
def test_a_database_that_is_read_only_by_default_is_refused_in_one_line(
    database, change: Callable[[Database], object]
):
    set_default(database, default_transaction_read_only="on")
    with (
        pytest.raises(ReadOnlyError, match="default_transaction_read_only") as caught,
        translating(),
    ):
        change(database)
    assert "\n" not in str(caught.value)


def test_reading_works_on_a_database_that_is_read_only_by_default(database):
    set_default(database, default_transaction_read_only="on")
    with database.connect() as opened:
        assert service.snapshot(opened).samples == 0


def test_a_server_that_is_too_old_is_refused(database, monkeypatch):
    monkeypatch.setattr(connections, "MINIMUM_POSTGRESQL", 99)
    with pytest.raises(NeedsPersonError, match="99 or newer"):
        database.connect()
