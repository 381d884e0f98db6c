from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory

from annotator.errors import NeedsPersonError, SchemaError
from annotator.store.server import schema
from annotator.store.server.connection import Database
from annotator.store.server.schema import (
    REQUIRED_REVISION,
    ROLES,
    check_schema,
    current_revision,
    downgrade,
    migrate,
)
from tests.support.catalogue import catalogue


def test_the_required_revision_is_the_newest() -> None:
    script = ScriptDirectory.from_config(schema._configuration())
    assert script.get_heads() == [REQUIRED_REVISION]


def test_up_down_up_is_the_same_as_up(empty_database) -> None:
    assert migrate(empty_database)[:2] == (None, REQUIRED_REVISION)
    first = catalogue(empty_database)
    assert any("annotator.prediction" in line for line in first)

    downgrade(empty_database)
    assert catalogue(empty_database) == []

    assert migrate(empty_database)[:2] == (None, REQUIRED_REVISION)
    assert catalogue(empty_database) == first


def test_migrating_again_changes_nothing(database) -> None:
    before = catalogue(database)
    assert migrate(database)[:2] == (REQUIRED_REVISION, REQUIRED_REVISION)
    assert catalogue(database) == before


def test_downgrading_an_empty_database_does_nothing(empty_database) -> None:
    downgrade(empty_database)
    assert catalogue(empty_database) == []


# -- from a released schema, and back ---------------------------------------------------

_TAKE_RIGHTS = """
revoke all on all tables in schema annotator
    from public, annotator_daemon, annotator_curator, annotator_reader;
revoke all on all functions in schema annotator
    from public, annotator_daemon, annotator_curator, annotator_reader;
revoke all on schema annotator from annotator_daemon, annotator_curator, annotator_reader;
revoke all on all tables in schema atlas
    from annotator_daemon, annotator_curator, annotator_reader;
revoke all on function atlas.feature_expression(text)
    from public, annotator_daemon, annotator_curator, annotator_reader;
revoke all on schema atlas from annotator_daemon, annotator_curator, annotator_reader;
"""

_ROWS = """
insert into atlas.dataset (dataset_id) values ('D1'), (repeat('older than the limit', 100));
insert into atlas.sample (sample_id, dataset_id) values ('a', 'D1'), ('b', 'D1'), ('c', 'D1');
insert into atlas.annotation (sample_id, field, value)
values ('b', 'tissue', 'blood'), ('c', 'tissue', 'lung');
insert into annotator.cohort (field, hash, samples, datasets)
values ('tissue', repeat('0', 64), 2, 1);
insert into annotator.cohort_sample
select cohort_id, sample_id, 'D1', value, value from annotator.cohort, atlas.annotation;
insert into annotator.training_run (field, preset, seed, host, status, finished_at, cohort_id)
select 'tissue', 'default', 1, 'here', 'succeeded', now(), cohort_id from annotator.cohort;
insert into annotator.release (field, run_id, status, classes, features, promoted_at)
select 'tissue', run_id, 'live', '{blood,lung}', 10, now() from annotator.training_run;
insert into annotator.validation_prediction
    (run_id, sample_id, dataset_id, model_kind, fold, truth, value, probability, probabilities)
select run_id, sample_id, 'D1', 'combined', 0, value, 'lung', 0.75, '{0.25,0.75}'
from annotator.training_run, atlas.annotation;
insert into annotator.prediction (
    sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, lineage,
    confidence, status, models
)
select 'a', 'D1', 'tissue', release_id, repeat('0', 64), updated_at, 'lung', '{lung,organ}', 0.9,
    'suggested', '{"network": {"value": "lung", "probability": 0.9}}'
from annotator.release, atlas.sample where sample_id = 'a';
"""

_VIEWS = ("suggestion", "review_queue", "suspect_annotation", "model_card")


def at_revision(database: Database, revision: str) -> None:
    with schema._only_one(database) as transaction:
        schema._run_alembic(transaction, "upgrade", revision)


def shown(database: Database, columns: dict[str, list[str]], user: str | None = None):
    """Return the contents of these columns of the views."""
    with database.connect(user=user) as conn:
        return {
            view: conn.execute(f"select {', '.join(names)} from annotator.{view}").fetchall()
            for view, names in columns.items()
        }


def columns_of(database: Database) -> dict[str, list[str]]:
    with database.connect() as conn:
        return {
            view: [
                c.name for c in conn.execute(f"select * from annotator.{view}").description or ()
            ]
            for view in _VIEWS
        }


def test_a_released_schema_is_brought_up_with_its_rows_and_what_hangs_on_it(
    empty_database,
) -> None:
    at_revision(empty_database, "0001")
    with empty_database.connect() as conn:
        conn.execute(_ROWS)
        conn.execute("create view public.mine as select * from annotator.review_queue")
    columns = columns_of(empty_database)
    before = shown(empty_database, columns)
    assert [len(before[view]) for view in _VIEWS] == [1, 1, 1, 1]
    assert before["suspect_annotation"][0][:2] == ("b", "D1")

    assert migrate(empty_database)[:2] == ("0001", REQUIRED_REVISION)

    assert shown(empty_database, columns, "annotator_reader") == before
    for view, names in columns_of(empty_database).items():
        assert names[: len(columns[view])] == columns[view]  # added at the end only
    with empty_database.connect() as conn:
        assert conn.execute("select count(*) from public.mine").fetchone() == (1,)
        added = (
            "select prediction_set, set_coverage, known_features, number from annotator.suggestion"
        )
        assert conn.execute(added).fetchall() == [([], None, None, None)]
        added = "select suspicion, rank, evidence from annotator.suspect_annotation"
        assert conn.execute(added).fetchall() == [(0.75, 1, {})]


def test_a_run_that_was_interrupted_is_so_by_its_status(empty_database) -> None:
    at_revision(empty_database, "0001")
    with empty_database.connect() as conn:
        conn.execute(
            "insert into annotator.training_run"
            " (field, preset, seed, host, status, reason, finished_at) values"
            " ('age', 'default', 1, 'here', 'failed', 'interrupted', now()),"
            " ('age', 'default', 2, 'here', 'failed', 'no room on the disk', now())"
        )
    query = "select status::text, reason from annotator.training_run order by run_id"
    failed = ("failed", "no room on the disk")

    migrate(empty_database)
    with empty_database.connect() as conn:
        assert conn.execute(query).fetchall() == [("interrupted", None), failed]

    downgrade(empty_database, "0001")
    with empty_database.connect() as conn:
        assert conn.execute(query).fetchall() == [("failed", "interrupted"), failed]


def test_digests_of_a_released_schema_become_those_of_its_releases(empty_database) -> None:
    """Those of the first event; for a release without one, those of its files."""
    at_revision(empty_database, "0001")
    with empty_database.connect() as conn:
        conn.execute(_ROWS)
        conn.execute(
            "insert into annotator.training_run (field, preset, seed, host)"
            " select 'sex', 'default', 1, 'here' from generate_series(1, 2);"
            " insert into annotator.release (field, run_id, classes, features)"
            " select 'sex', run_id, '{female,male}', 1 from annotator.training_run"
            " where field = 'sex' order by run_id;"
            " insert into annotator.artefact (release_id, name, media_type, sha256, size, content)"
            " select release_id, 'm', 'x/y', encode(sha256('now'), 'hex'), 3, 'now'"
            " from annotator.release where release_id < 3;"
            " insert into annotator.event (kind, detail) values"
            ' (\'candidate\', \'{"release_id": 2, "artefacts": {"m": "first"}}\'),'
            ' (\'candidate\', \'{"release_id": 2, "artefacts": {"m": "second"}}\')'
        )
    migrate(empty_database)
    with empty_database.connect() as conn:
        found = conn.execute("select release_id, digests from annotator.release order by 1")
        assert found.fetchall() == [
            (1, {"m": hashlib.sha256(b"now").hexdigest()}),
            (2, {"m": "first"}),
            (3, {}),
        ]


@pytest.mark.parametrize("revision", ["0002", "0003", "0005"])
def test_a_schema_that_was_never_published_is_refused(empty_database, revision) -> None:
    at_revision(empty_database, "0001")
    with empty_database.connect() as conn:
        conn.execute("update annotator.alembic_version set version_num = %s", (revision,))
    before = catalogue(empty_database)
    for refused in (migrate, downgrade):
        with pytest.raises(SchemaError, match=f"revision {revision}.*never published"):
            refused(empty_database)
    with (
        empty_database.connect() as conn,
        pytest.raises(SchemaError, match=r"restore a backup.*or make a new database"),
    ):
        check_schema(conn)
    assert catalogue(empty_database) == before


def test_going_back_to_a_released_schema_leaves_its_rows_and_nothing_else(empty_database) -> None:
    at_revision(empty_database, "0001")
    with empty_database.connect() as conn:
        conn.execute(_ROWS)
        conn.execute(_TAKE_RIGHTS)
    before, columns = catalogue(empty_database), columns_of(empty_database)
    rows = shown(empty_database, columns)
    migrate(empty_database)

    downgrade(empty_database, "0001")

    assert shown(empty_database, columns, "annotator_curator") == rows
    with empty_database.connect(user="annotator_curator") as conn:
        accepted = conn.execute("select decision from annotator.accept_dataset('D1', 'tissue')")
        assert accepted.fetchall() == [("accepted",)]
    with empty_database.connect() as conn:
        conn.execute(_TAKE_RIGHTS)
    assert catalogue(empty_database) == before
    assert migrate(empty_database)[:2] == ("0001", REQUIRED_REVISION)


def test_five_at_once_all_succeed(empty_database) -> None:
    script = (
        "import sys; from annotator.store.server.connection import Database;"
        "from annotator.store.server.schema import migrate;"
        "print(migrate(Database(sys.argv[1])).before)"
    )
    command = [sys.executable, "-W", "error", "-c", script, empty_database.conninfo]
    root = Path(schema.__file__).parents[2]
    with ThreadPoolExecutor(5) as pool:
        runs = list(
            pool.map(
                lambda _: subprocess.run(command, cwd=root, capture_output=True, text=True),
                range(5),
            )
        )
    assert [run.returncode for run in runs] == [0] * 5, [run.stderr for run in runs]
    assert sorted(run.stdout.strip() for run in runs) == [REQUIRED_REVISION] * 4 + ["None"]


@pytest.mark.parametrize("file", ["sql/0001_reviews.sql", "schema/views/review_queue.sql"])
def test_a_migration_that_fails_leaves_nothing(empty_database, monkeypatch, tmp_path, file) -> None:
    import shutil

    broken = tmp_path / "migrations"
    shutil.copytree(schema.migrations_folder(), broken)
    with (broken / file).open("a") as end:
        end.write("select 1 / 0;")
    monkeypatch.setattr(schema, "migrations_folder", lambda: broken)
    with pytest.raises(Exception, match="division by zero"):
        migrate(empty_database)
    assert catalogue(empty_database) == []


def test_checking_says_what_to_do(empty_database) -> None:
    with empty_database.connect() as conn:
        assert current_revision(conn) is None
        with pytest.raises(SchemaError, match="annotator migrate"):
            check_schema(conn)
    migrate(empty_database)
    with empty_database.connect() as conn:
        check_schema(conn)
        conn.execute("update annotator.alembic_version set version_num = '0000'")
        with pytest.raises(SchemaError, match=r"0000.*annotator migrate"):
            check_schema(conn)
        conn.execute("update annotator.alembic_version set version_num = '9999'")
        with pytest.raises(SchemaError, match=r"9999.*update annotator"):
            check_schema(conn)
        conn.commit()
    with pytest.raises(SchemaError, match=r"9999.*update annotator"):
        migrate(empty_database)


def test_a_role_that_may_not_look_is_told(database, connection) -> None:
    connection.execute(
        "do $$ begin create role annotator_test_other login;"
        " exception when duplicate_object or unique_violation then null; end $$"
    )
    connection.commit()
    with (
        database.connect(user="annotator_test_other") as conn,
        pytest.raises(NeedsPersonError, match=r"annotator_test_other.*grant"),
    ):
        check_schema(conn)


def test_checking_imports_neither_alembic_nor_sqlalchemy(database) -> None:
    script = (
        "import sys; from annotator.store.server.connection import Database;"
        "from annotator.store.server.schema import check_schema;"
        "import annotator.store.server.query;"
        "connection = Database(sys.argv[1]).connect(); check_schema(connection);"
        "heavy = {'alembic', 'sqlalchemy', 'numpy', 'pandas'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    root = Path(schema.__file__).parents[2]
    command = [sys.executable, "-c", script, database.conninfo]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_objects_that_hang_on_the_schema_are_named(database, connection) -> None:
    connection.execute("create view public.mine as select * from annotator.suggestion")
    connection.commit()
    with pytest.raises(NeedsPersonError, match="mine"):
        downgrade(database)
    with database.connect() as conn:
        check_schema(conn)


# -- owners without every right ----------------------------------------------------------


def _as_owner(database: Database, name: str, rights: str) -> Database:
    with database.connect(autocommit=True) as conn:
        conn.execute(f"drop role if exists {name}")
        conn.execute(f"create role {name} login {rights}")
        conn.execute(f"grant create on database {conn.info.dbname} to {name}")
    return Database(f"{database.conninfo} user={name}")


def test_an_owner_without_createrole_works_where_the_roles_exist(empty_database, server) -> None:
    owner = _as_owner(empty_database, "annotator_test_owner", "nocreaterole")
    migrate(owner)
    downgrade(owner)
    assert catalogue(empty_database) == []


def test_an_owner_without_createrole_is_told_what_to_run(empty_database, monkeypatch) -> None:
    owner = _as_owner(empty_database, "annotator_test_owner2", "nocreaterole")

    def refuse(connection: psycopg.Connection, name: str) -> None:
        connection.execute("create role annotator_test_never")

    monkeypatch.setattr(schema, "_run_file", refuse)
    with pytest.raises(NeedsPersonError, match="create role annotator_daemon nologin"):
        migrate(owner)
    assert catalogue(empty_database) == []


def test_a_login_that_may_not_create_schemas_is_told(database, server, empty_database) -> None:
    reader = Database(f"{empty_database.conninfo} user={ROLES[2]}")
    with pytest.raises(NeedsPersonError, match="permission denied"):
        migrate(reader)
    assert catalogue(empty_database) == []
