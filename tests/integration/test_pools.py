"""A connection pool between the program and its database."""

from __future__ import annotations

import psycopg
import pytest
from click.testing import CliRunner

from annotator.cli.commands import command_line
from annotator.errors import DatabaseUnavailableError, NeedsPersonError
from annotator.store.server import connection as connections
from annotator.store.server.connection import Database, database_from_url
from annotator.store.server.locks import session_lock
from annotator.store.server.pooler import check_pool
from annotator.store.server.query import run_query
from tests.support.databases import name_of
from tests.support.pool import pool


def crowd(url: str, number: int) -> None:
    """Make the pool open server connections, which are free afterwards."""
    clients = [psycopg.connect(url) for _ in range(number)]
    for client in clients:
        client.execute("select 1")
    for client in clients:
        client.rollback()
        client.close()


@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("free", [0, 1, 2, 5])
def test_a_pool_in_transaction_mode_is_refused(server, database, in_turn, free):
    with pool(server, "transaction", in_turn=in_turn) as opened:
        url = opened.url(name_of(database))
        crowd(url, free)
        with pytest.raises(NeedsPersonError, match=r"transaction mode.*session"):
            database_from_url(url).connect()


def test_a_pool_that_is_refused_keeps_no_settings_of_ours(server, database):
    with pool(server, "transaction") as opened:
        url = opened.url(name_of(database))
        with pytest.raises(NeedsPersonError):
            database_from_url(url).connect()
        with psycopg.connect(url, autocommit=True) as other:
            mark = other.execute("select current_setting('annotator.session', true)").fetchone()
            found = other.execute("show search_path").fetchone()
    assert mark[0], "it is another server connection"
    assert found != ("pg_catalog",)


@pytest.mark.parametrize("command", [["status"], ["sql", "select 1"], ["annotate"], ["migrate"]])
def test_every_command_ends_with_exit_code_3(server, database, monkeypatch, command):
    with pool(server, "transaction") as opened:
        monkeypatch.setenv("ANNOTATOR_DATABASE_URL", opened.url(name_of(database)))
        result = CliRunner().invoke(command_line, command)
    assert isinstance(result.exception, NeedsPersonError)
    assert "\n" not in str(result.exception)


def test_the_doctor_names_the_pool(server, database, monkeypatch):
    with pool(server, "transaction") as opened:
        monkeypatch.setenv("ANNOTATOR_DATABASE_URL", opened.url(name_of(database)))
        result = CliRunner().invoke(command_line, ["doctor", "--quick"])
    assert result.exit_code == 1
    assert "transaction mode" in result.output


def test_a_pool_in_session_mode_works(server, database):
    with pool(server, "session") as opened:
        through = database_from_url(opened.url(name_of(database)))
        with through.connect(autocommit=True) as one, through.connect(autocommit=True) as two:
            assert one.execute("show search_path").fetchone() == ("pg_catalog",)
            with session_lock(one, "x") as first, session_lock(two, "x") as second:
                assert first is None
                assert second is not None
        curator = Database(f"{through.conninfo}?user=annotator_curator")
        assert run_query(curator, "select current_user").rows == [("annotator_curator",)]


def test_the_end_of_an_answer_may_come_late(server, database):
    with pool(server, "session", late=0.02) as opened:
        through = database_from_url(opened.url(name_of(database)))
        with through.connect(autocommit=True) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_a_pool_with_a_single_connection_is_refused_instead_of_waited_for(server, database):
    with pool(server, "session", most=1) as opened:
        url = opened.url(name_of(database))
        with (
            psycopg.connect(url, autocommit=True) as only,
            pytest.raises(DatabaseUnavailableError, match="pool size"),
        ):
            check_pool(only, lambda: psycopg.connect(url, autocommit=True), seconds=0.2)


def test_a_direct_connection_costs_one_statement(database, monkeypatch):
    monkeypatch.setattr(connections, "check_pool", None)
    with database.connect(autocommit=True) as connection:
        assert connection.execute("show timezone").fetchone() == ("UTC",)
