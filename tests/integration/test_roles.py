"""What each role may do, and that it may do nothing else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from annotator.errors import NeedsPersonError
from annotator.store.server.connection import Database
from annotator.store.server.schema import MIRROR, OPTIONAL_MIRROR, ROLES

DENIED = psycopg.errors.InsufficientPrivilege
# A view that cannot be written at all says so before rights are looked at.
REFUSED = (
    DENIED,
    psycopg.errors.WrongObjectType,
    psycopg.errors.ObjectNotInPrerequisiteState,
)
DECISIONS = [
    "select accept_suggestion(1)",
    "select reject_suggestion(1)",
    "select correct_suggestion(1, 'lung')",
    "select accept_dataset('D1', 'tissue')",
    "select undo_review(1)",
]
INTERNAL = [
    "select annotator.open_prediction(1)",
    "select * from annotator.decide(1, 'accepted', 'x', null)",
    "select annotator.shared_trigrams('a', 'b')",
    "select annotator.count_groups('{}', '{}')",
    "select annotator.recount_group('D1', 'tissue')",
    "select annotator.lock_group('D1', 'tissue')",
]
UPKEEP = [
    "select annotator.refresh_queue()",
    "select annotator.recheck_queue()",
    "select annotator.watch_mirror()",
]
STRUCTURE = [
    "create table annotator.mine (a int)",
    "create table atlas.mine (a int)",
    "create table public.mine (a int)",
    "create schema mine",
    "drop table annotator.prediction",
    "drop view annotator.suggestion",
    "alter table annotator.event disable trigger all",
    "alter role annotator_reader superuser",
    "create role mine",
    "set role annotator",
    "set session_replication_role = replica",
]
EVENTS = [
    "update annotator.event set kind = 'x'",
    "delete from annotator.event",
    "truncate annotator.event",
]


def not_refused(database: Database, role: str, statements: list[str]) -> list[str]:
    """Return the statements that a role is not denied."""
    wrong = []
    with database.connect(user=role) as conn:
        for statement in statements:
            try:
                conn.execute(statement)
            except DENIED:
                pass
            except psycopg.Error as error:
                wrong.append(f"{statement}: {error}")
            else:
                wrong.append(statement)
            conn.rollback()
    return wrong


def tables(connection: psycopg.Connection, schema: str) -> list[str]:
    rows = connection.execute(
        "select relname from pg_class c join pg_namespace n on n.oid = relnamespace"
        " where nspname = %s and relkind in ('r', 'v') order by 1",
        (schema,),
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("role", ROLES)
def test_nobody_writes_the_mirror_and_all_read_it(database, connection, role: str) -> None:
    assert set(tables(connection, "atlas")) == {*MIRROR, *OPTIONAL_MIRROR, "expression_long"}
    with database.connect(user=role, autocommit=True) as conn:
        for name in tables(connection, "atlas"):
            table = sql.Identifier("atlas", name)
            conn.execute(sql.SQL("select * from {}").format(table))
            for verb in ("insert into {} default values", "delete from {}", "truncate {}"):
                with pytest.raises(REFUSED):
                    conn.execute(sql.SQL(verb).format(table))
        conn.execute("select * from atlas.feature_expression('x')")
        with pytest.raises(DENIED):
            conn.execute("update atlas.sample set updated_at = now()")


@pytest.mark.parametrize("role", ["annotator_curator", "annotator_reader"])
def test_people_write_no_table_of_ours(database, connection, role: str) -> None:
    with database.connect(user=role, autocommit=True) as conn:
        for name in tables(connection, "annotator"):
            table = sql.Identifier("annotator", name)
            for verb in ("insert into {} default values", "delete from {}", "truncate {}"):
                with pytest.raises(REFUSED):
                    conn.execute(sql.SQL(verb).format(table))


@pytest.mark.parametrize("role", ["annotator_curator", "annotator_reader"])
def test_people_read_all_but_the_models(database, connection, reviewable, role: str) -> None:
    hidden = {"artefact", "made_object"}
    with database.connect(user=role, autocommit=True) as conn:
        for name in tables(connection, "annotator"):
            query = sql.SQL("select * from {}").format(sql.Identifier("annotator", name))
            if name in hidden:
                with pytest.raises(DENIED):
                    conn.execute(query)
            else:
                conn.execute(query)


def test_the_daemon_reads_everything(database, connection, reviewable) -> None:
    with database.connect(user="annotator_daemon") as conn:
        for schema in ("annotator", "atlas"):
            for name in tables(connection, schema):
                conn.execute(sql.SQL("select * from {}").format(sql.Identifier(schema, name)))


def test_the_daemon_may_not(database, reviewable) -> None:
    statements = [
        "update annotator.prediction set value = 'lung'",
        "update annotator.prediction set confidence = 1",
        "delete from annotator.prediction",
        "delete from annotator.release",
        "delete from annotator.training_run",
        "update annotator.artefact set content = ''",
        "update annotator.class_contribution set scores = '{}'",
        "update annotator.cohort set hash = ''",
        "update annotator.metric set value = 1",
        "update annotator.validation_prediction set value = truth",
        "update annotator.validation_curve set y = 1",
        "delete from annotator.label_suspicion",
        "update annotator.release_comparison set passed = true",
        "delete from annotator.release_comparison",
        "delete from annotator.quarantine",
        "insert into annotator.review (prediction_id, decision) values (1, 'rejected')",
        "update annotator.review set note = ''",
        "delete from annotator.review",
        "delete from annotator.undone_review",
        "delete from annotator.mirror_change",
        "update annotator.queue_group set worth = 1",
        "delete from annotator.queue_change",
        "update annotator.alembic_version set version_num = '0'",
        "insert into annotator.made_object (kind, name) values ('table', 'x')",
        *[*EVENTS, *DECISIONS, *INTERNAL, *STRUCTURE],
    ]
    assert not_refused(database, "annotator_daemon", statements) == []


def test_the_daemon_may(database, reviewable) -> None:
    with database.connect(user="annotator_daemon") as conn:
        for statement in [
            "update prediction set is_current = false, sample_updated_at = now()",
            "insert into event (kind) values ('tested')",
            "insert into annotation_run (worker, host) values ('w', 'h')",
            "insert into work (sample_id, dataset_id, field, release_id)"
            " select 's', 'd', 'tissue', release_id from release",
            "update work set leased_by = 'w', leased_until = now()",
            "delete from work",
            "insert into tick (job, due_at, worker) values ('retrain', now(), 'w')",
            "insert into heartbeat (worker, host, pid, version, state) values ('w','h',1,'1','up')",
            "insert into artefact select release_id, 'm', 'x/y', encode(sha256('a'), 'hex'), 1, 'a'"
            " from release",
            "delete from artefact",
            *UPKEEP,
        ]:
            conn.execute(statement)


MODELS = ["select content from annotator.artefact"]


def test_a_reader_may_not(database, reviewable) -> None:
    statements = [*DECISIONS, *INTERNAL, *UPKEEP, *STRUCTURE, *EVENTS, *MODELS]
    assert not_refused(database, "annotator_reader", statements) == []


def test_a_curator_may_not(database, reviewable) -> None:
    statements = [*INTERNAL, *UPKEEP, *STRUCTURE, *EVENTS, *MODELS]
    assert not_refused(database, "annotator_curator", statements) == []


def test_a_role_or_database_that_is_not_there_needs_a_person(database) -> None:
    with pytest.raises(NeedsPersonError, match="check role, password and database"):
        database.connect(user="annotator_nobody")
    elsewhere = Database(make_conninfo(database.conninfo, dbname="annotator_nowhere"))
    with pytest.raises(NeedsPersonError, match="check role, password and database"):
        elsewhere.connect()


def test_others_may_nothing(database, connection) -> None:
    connection.execute(
        "do $$ begin create role annotator_test_other login;"
        " exception when duplicate_object or unique_violation then null; end $$"
    )
    connection.commit()
    statements = [
        "select * from annotator.suggestion",
        "select * from atlas.sample",
        "select annotator.accept_suggestion(1)",
    ]
    assert not_refused(database, "annotator_test_other", statements) == []


def test_not_even_the_owner_changes_events(connection) -> None:
    connection.execute("insert into event (kind) values ('x')")
    connection.commit()
    for statement in EVENTS:
        with pytest.raises(DENIED, match="append-only"):
            connection.execute(statement)
        connection.rollback()


def test_a_trap_in_the_search_path_is_not_stepped_into(database, connection, reviewable) -> None:
    """Functions that run with the owner's rights see no object of the caller's."""
    with database.connect(user="annotator_curator") as conn:
        conn.execute("create temp table review (like annotator.review)")
        conn.execute("create temp table prediction (like annotator.prediction)")
        conn.execute("set local search_path = pg_temp, annotator")
        conn.execute("select annotator.accept_suggestion(%s)", (reviewable.ids["a"],))
        assert conn.execute("select count(*) from annotator.review").fetchone() == (1,)
