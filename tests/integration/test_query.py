from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg import sql

from annotator.errors import InputError, NeedsPersonError, SchemaError
from annotator.store.server.connection import Database
from annotator.store.server.query import run_query


@pytest.fixture(params=["embedded", "by URL"])
def either(request, database: Database) -> Database:
    """The curator logs in, or the login takes on the curator's role."""
    if request.param == "embedded":
        return database
    return Database(f"{database.conninfo} user=annotator_curator")


def test_rows_come_with_their_columns(either, reviewable) -> None:
    result = run_query(either, "select sample_id, lineage from suggestion order by 1 limit 1")
    assert result.columns == ("sample_id", "lineage")
    assert result.rows == [("a", ["liver", "organ"])]
    assert result.status == "SELECT 1"


def test_a_review_is_committed(either, reviewable) -> None:
    run_query(either, f"select * from accept_suggestion({reviewable.ids['a']}, '100 % sure')")
    result = run_query(either, "select note from review")
    assert result.rows == [("100 % sure",)]


def test_a_percent_sign_is_only_a_percent_sign(either) -> None:
    assert run_query(either, "select '100 %s' like '100 %' as a").rows == [(True,)]


def test_a_statement_without_rows(either) -> None:
    result = run_query(either, "set work_mem = '8MB'")
    assert (result.columns, result.rows, result.status) == ((), [], "SET")


BAD_STATEMENTS = [
    ("", "empty"),
    (" ; -- nothing", "empty"),
    ("select 1; select 2", "multiple commands"),
    ("select accept_dataset('D1', 'tissue'); rollback", "multiple commands"),
    ("selec 1", "syntax error"),
    ("select * from suggestions", "does not exist"),
    ("select sampleid from suggestion", "does not exist.*sample_id"),
    ("delete from annotator.review", "permission denied"),
    ("insert into atlas.dataset values ('x')", "permission denied"),
    ("create table annotator.mine ()", "permission denied"),
    ("copy annotator.event to stdout", "COPY.*--format csv"),
    ("-- all\ncopy (select 1) to stdout with (header)", "COPY.*--format csv"),
    ("copy annotator.event to program 'cat'", "permission denied|must be superuser"),
    ("select accept_suggestion(987654)", "no prediction 987654"),
    ("select 'a\x00b'", "NUL"),
]


def test_a_bad_statement_is_one_line(either, reviewable) -> None:
    for query, message in BAD_STATEMENTS:
        with pytest.raises(InputError, match=message) as caught:
            run_query(either, query)
        assert "\n" not in str(caught.value)
    assert run_query(either, "select count(*) from review").rows == [(0,)]


def test_the_embedded_curator_has_no_role_to_go_back_to(database, reviewable) -> None:
    escape = "do $$ begin reset role; delete from annotator.prediction; end $$"
    with pytest.raises(InputError, match="permission denied"):
        run_query(database, escape)


@pytest.mark.parametrize("schema", ["annotator", "atlas"])
def test_a_login_that_owns_a_schema_is_refused(database, connection, schema) -> None:
    """A statement could go back to its rights."""
    name = f"annotator_test_owner_of_{schema}"
    connection.execute(f"drop role if exists {name}")
    connection.execute(f"create role {name} login in role annotator_curator")
    login = Database(f"{database.conninfo} user={name}")
    connection.commit()
    assert run_query(login, "select 1").rows == [(1,)]
    connection.execute(f"alter schema {schema} owner to {name}")
    connection.commit()
    with pytest.raises(NeedsPersonError, match="log in as a curator"):
        run_query(login, "do $$ begin reset role; delete from annotator.prediction; end $$")


def test_a_superuser_is_refused(database) -> None:
    with pytest.raises(NeedsPersonError, match="log in as a curator"):
        run_query(replace(database, embedded=False), "select 1")


def test_a_statement_ends_at_its_timeout(database) -> None:
    with pytest.raises(InputError, match="statement timeout"):
        run_query(replace(database, statement_timeout=1), "select pg_sleep(30)")


def test_a_database_without_schema_says_to_migrate(empty_database) -> None:
    with pytest.raises(SchemaError, match="annotator migrate"):
        run_query(empty_database, "select 1")


@pytest.mark.parametrize("granted", [None, "annotator_reader", "annotator_curator"])
def test_a_login_role_by_membership(database, connection, reviewable, granted) -> None:
    name = f"annotator_test_login_{granted or 'none'}"
    connection.execute(f"drop role if exists {name}")
    connection.execute(f"create role {name} login")
    connection.execute(f"grant usage on schema annotator to {name}")
    connection.execute(f"grant select on annotator.alembic_version to {name}")
    if granted:
        connection.execute(sql.SQL("grant {} to {}").format(*map(sql.Identifier, (granted, name))))
    connection.commit()
    login = Database(f"{database.conninfo} user={name}")
    accept = f"select accept_suggestion({reviewable.ids['a']})"
    if granted is None:
        with pytest.raises(NeedsPersonError, match="grant annotator_curator"):
            run_query(login, "select 1")
    elif granted == "annotator_reader":
        with pytest.raises(InputError, match="permission denied"):
            run_query(login, accept)
    else:
        run_query(login, accept)
        # The person who decided is named, not the role.
        assert run_query(login, "select reviewer from review").rows == [(name,)]
