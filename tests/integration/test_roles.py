"""What each role may do, and that it may do nothing else."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from annotator.errors import NeedsPersonError
from annotator.store.server.connection import Database
from annotator.store.server.health import role_facts
from annotator.store.server.mirror_columns import MIRROR, OPTIONAL_MIRROR
from annotator.store.server.schema import ROLES, migrate

DENIED = psycopg.errors.InsufficientPrivilege
# A view that cannot be written at all says so before rights are looked at.
REFUSED = (
    DENIED,
    psycopg.errors.WrongObjectType,
    psycopg.errors.ObjectNotInPrerequisiteState,
)
DECISIONS = [
    "select annotator.accept_suggestion(1)",
    "select annotator.reject_suggestion(1)",
    "select annotator.correct_suggestion(1, 'lung')",
    "select annotator.accept_dataset('D1', 'tissue')",
    "select annotator.undo_review(1)",
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
    "select annotator.analyze_work()",
    "select annotator.delete_history(1)",
]
STRUCTURE = [
    "create table annotator.mine (a int)",
    "create table atlas.mine (a int)",
    "create table public.mine (a int)",
    "create function annotator.mine() returns int language sql return 1",
    "create function public.mine() returns int language sql return 1",
    "create schema mine",
    "create index on annotator.event (kind)",
    "create rule mine as on insert to annotator.event do instead nothing",
    "create or replace view annotator.suggestion as select 1",
    "drop table annotator.prediction",
    "drop view annotator.suggestion",
    "drop function annotator.decide(bigint, annotator.review_decision, text, text, float)",
    "drop trigger append_only on annotator.event",
    "drop trigger only_steps on annotator.release",
    "alter table annotator.event disable trigger all",
    "alter table annotator.release disable trigger all",
    "alter table annotator.artefact drop constraint content_is_what_it_was",
    "alter table annotator.event owner to current_user",
    "alter schema annotator rename to mine",
    "grant annotator_curator to annotator_reader",
    "alter role annotator_reader superuser",
    "alter role annotator set search_path = public",
    "create role mine",
    "set role annotator",
    "set session authorization annotator",
    "set session_replication_role = replica",
    "copy annotator.event to program 'cat'",
    "copy (select 1) to '/tmp/mine'",
    "select pg_read_file('PG_VERSION')",
    "select setval('annotator.event_event_id_seq', 1)",
]
EVENTS = [
    "update annotator.event set kind = 'x'",
    "delete from annotator.event",
    "truncate annotator.event",
    "insert into annotator.event (event_id, kind) overriding system value values (-1, 'candidate')",
    "insert into annotator.event (kind, at) values ('candidate', '2020-01-01')",
    "insert into annotator.event (kind, actor) values ('review', 'grace')",
]
MIRROR_ROWS = [
    "insert into atlas.annotation (sample_id, field, value) values ('a', 'tissue', 'lung')",
    "update atlas.sample set updated_at = now()",
    "delete from atlas.dataset",
]
RELEASES = [
    *(
        f"update annotator.release set status = 'retired', retired_at = now(), {change}"
        for change in (
            "field = 'sex'",
            "run_id = 2",
            "classes = '{lung,liver}'",
            "features = 1",
            "weights = '{}'",
            "organism = 'Mus musculus'",
            "digests = '{}'",
            "created_at = now()",
        )
    ),
    # Not without another status, and only one that may follow.
    "update annotator.release set reasons = '{}'",
    "update annotator.release set promoted_at = '2020-01-01'",
    "update annotator.release set status = 'candidate'",
    "do $$ begin update annotator.release set status = 'rejected', retired_at = now();"
    " update annotator.release set status = 'live', retired_at = null; end $$",
    "insert into annotator.release (release_id, field, run_id, classes, features)"
    " overriding system value values (99, 'tissue', 1, '{a,b}', 1)",
    "insert into annotator.release (field, run_id, status, classes, features, promoted_at)"
    " values ('tissue', 1, 'live', '{a,b}', 1, now())",
    "insert into annotator.release (field, run_id, classes, features, created_at)"
    " values ('tissue', 1, '{a,b}', 1, now())",
    "delete from annotator.release",
    "truncate annotator.release cascade",
    "update annotator.artefact set content = ''",
    "update annotator.artefact set release_id = 1",
    "truncate annotator.artefact",
    "update annotator.release_comparison set passed = true",
    "delete from annotator.release_comparison",
    "update annotator.class_marker set score = 1",
]
RUNS = [
    *(
        f"update annotator.training_run set status = 'failed', {change}"
        for change in (
            "field = 'sex'",
            "organism = 'Mus musculus'",
            "preset = 'x'",
            "seed = 2",
            "configuration = '{}'",
            "configuration_hash = 'x'",
            "versions = '{}'",
            "host = 'x'",
            "started_at = now()",
            # Not after its end.
            "cohort_id = 1",
            "finished_at = '2020-01-01'",
            "folds = 'x'",
        )
    ),
    "update annotator.training_run set reason = 'x'",
    "update annotator.training_run set status = 'running', finished_at = null",
    "insert into annotator.training_run (field, preset, seed, host, status, finished_at)"
    " values ('tissue', 'default', 1, 'x', 'succeeded', now())",
    "insert into annotator.training_run (field, preset, seed, host, started_at)"
    " values ('tissue', 'default', 1, 'x', now())",
    "delete from annotator.training_run",
    "update annotator.cohort set hash = ''",
    "insert into annotator.cohort (field, hash, samples, datasets, created_at)"
    " values ('tissue', repeat('0', 64), 1, 1, now())",
    "update annotator.cohort_sample set class = 'lung'",
    "update annotator.metric set value = 1",
    "update annotator.validation_prediction set value = truth",
    "update annotator.validation_curve set y = 1",
    "delete from annotator.label_suspicion",
]
ANSWERS = [
    "update annotator.prediction set value = 'lung'",
    "update annotator.prediction set confidence = 1",
    "delete from annotator.prediction",
    "delete from annotator.class_contribution",
    "insert into annotator.prediction (sample_id, created_at) values ('a', now())",
    "update annotator.class_contribution set scores = '{}'",
    "update annotator.annotation_run set worker = 'x'",
    "delete from annotator.quarantine",
    "insert into annotator.quarantine (sample_id, field, code, reason, created_at)"
    " values ('a', 'tissue', 'x', 'x', now())",
    "insert into annotator.review (prediction_id, decision) values (1, 'rejected')",
    "update annotator.review set note = ''",
    "delete from annotator.review",
    "delete from annotator.undone_review",
    "delete from annotator.mirror_change",
    "update annotator.queue_group set worth = 1",
    "delete from annotator.queue_change",
    "update annotator.alembic_version set version_num = '0'",
    "insert into annotator.made_object (kind, name) values ('table', 'x')",
]
FORBIDDEN = [*(INTERNAL + STRUCTURE + EVENTS + MIRROR_ROWS + RELEASES + RUNS + ANSWERS)]
"""Forbidden to everybody."""
PROVENANCE = [
    "update annotator.prediction set is_current = false, sample_updated_at = now()",
    "insert into annotator.event (kind, subject, detail) values ('tested', 'x', '{}')",
    "insert into annotator.annotation_run (worker, host) values ('w', 'h')",
    "insert into annotator.work (sample_id, dataset_id, field, release_id)"
    " select 's', 'd', 'tissue', release_id from annotator.release",
    "update annotator.work set leased_by = 'w', leased_until = now()",
    "delete from annotator.work",
    "insert into annotator.tick (job, due_at, worker) values ('retrain', now(), 'w')",
    "insert into annotator.heartbeat (worker, host, pid, version, state)"
    " values ('w', 'h', 1, '1', 'up')",
    "insert into annotator.artefact"
    " select release_id, 'm', 'x/y', encode(sha256('a'), 'hex'), 1, 'a' from annotator.release",
    "delete from annotator.artefact",
    "update annotator.training_run set status = 'failed', reason = 'its release was damaged'",
    "update annotator.release set status = 'retired', retired_at = now()",
    "update annotator.release set status = 'live', retired_at = null",
    "update annotator.release set status = 'rejected', retired_at = now(), reasons = '{damaged}'",
]
MODELS = ["select content from annotator.artefact", "copy annotator.artefact to stdout"]
REFUSED_TO = {
    "annotator_daemon": FORBIDDEN + DECISIONS,
    "annotator_curator": FORBIDDEN + UPKEEP + PROVENANCE + MODELS,
    "annotator_reader": FORBIDDEN + UPKEEP + PROVENANCE + MODELS + DECISIONS,
}


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
    hidden = {"artefact", "made_object", "lock"}
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


@pytest.mark.parametrize("role", ROLES)
def test_what_is_forbidden_is_refused(database, reviewable, role: str) -> None:
    assert not_refused(database, role, REFUSED_TO[role]) == []


def test_the_daemon_may(database, reviewable) -> None:
    with database.connect(user="annotator_daemon") as conn:
        for statement in PROVENANCE + UPKEEP:
            conn.execute(statement)


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
    for statement in EVENTS[:3]:
        with pytest.raises(DENIED, match="append-only"):
            connection.execute(statement)
        connection.rollback()


def test_a_migration_resets_the_settings_of_our_roles(database, connection) -> None:
    connection.execute(
        "do $$ begin execute format('alter role annotator_reader in database %I set search_path ="
        " public', current_database()); end $$"
    )
    connection.commit()
    migrate(database)
    assert role_facts(connection).role_settings == ()


def test_a_trap_in_the_search_path_is_not_stepped_into(database, connection, reviewable) -> None:
    """Functions that run with the owner's rights see no object of the caller's."""
    with database.connect(user="annotator_curator") as conn:
        conn.execute("create temp table review (like annotator.review)")
        conn.execute("create temp table prediction (like annotator.prediction)")
        conn.execute("set local search_path = pg_temp, annotator")
        conn.execute("select annotator.accept_suggestion(%s)", (reviewable.ids["a"],))
        assert conn.execute("select count(*) from annotator.review").fetchone() == (1,)
