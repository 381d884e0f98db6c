"""Migrations from every earlier revision, back, at once, interrupted, and beside processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from annotator.daemon import Daemon
from annotator.domain.answers import QuarantinedSample
from annotator.errors import SchemaError
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.retrain.retrain import retrain
from annotator.jobs.watch.status import NEEDS_A_PERSON
from annotator.store.answers import predictions, work
from annotator.store.server import schema
from annotator.store.server.connection import Database
from annotator.store.server.schema import check_schema, downgrade, hold_schema
from tests.support.faults import migrations as fault_migrations
from tests.support.faults.earlier_schemas import EARLIER, ROWS, rows
from tests.support.faults.processes import launcher, wait_for


@pytest.fixture(scope="module")
def start(server, tmp_path_factory):
    """Starts processes that migrate; each is told which database."""
    folder = tmp_path_factory.mktemp("processes")
    with launcher(folder, Database(server, embedded=True), models=False) as one:
        yield one


@pytest.fixture
def elsewhere(server):
    """Where databases of a test's own are made and dropped from."""
    return Database(server, embedded=True)


def failed(outcomes):
    assert outcomes
    return [outcome for outcome in outcomes if outcome.withstood != outcome.tried]


def test_every_earlier_revision_has_rows_to_be_tried_with():
    assert tuple(sorted(path.stem for path in ROWS.glob("*.sql"))) == EARLIER


@pytest.mark.parametrize("revision", EARLIER)
def test_rows_of_every_earlier_revision_go_up_and_back(start, elsewhere, revision):
    assert failed(fault_migrations.up_and_down(start, elsewhere, revision)) == []


@pytest.mark.parametrize("revision", [None, *EARLIER])
def test_five_at_once_from_any_revision_all_succeed(start, elsewhere, revision):
    assert failed([fault_migrations.all_at_once(start, elsewhere, revision)]) == []


def test_an_interrupted_migration_leaves_the_old_schema_or_the_whole_new_one(start, elsewhere):
    assert failed(fault_migrations.interrupted(start, elsewhere, EARLIER[-1], times=4)) == []


@pytest.mark.parametrize("request_to_stop", [SystemExit(143), KeyboardInterrupt()])
def test_a_request_to_stop_in_the_middle_of_a_statement_is_no_lost_connection(
    database, monkeypatch, request_to_stop
):
    def stopped(connection, folder):
        connection.pgconn.send_query(b"select pg_sleep(0.2)")  # whose answer nobody awaits
        raise request_to_stop

    monkeypatch.setattr(schema, "create_objects", stopped)
    with pytest.raises(type(request_to_stop)) as ended:
        schema.migrate(database)
    assert ended.value is request_to_stop


def at_revision(database, revision):
    with database.connect(autocommit=True) as connection:
        connection.execute("update annotator.alembic_version set version_num = %s", (revision,))


def test_a_daemon_that_was_overtaken_by_a_migration_writes_nothing(database, settings, caplog):
    daemon = Daemon(database, settings)
    at_revision(database, "9999")
    before = rows(database)
    daemon._guarded("poll", daemon.poll)()
    assert "update annotator" in caplog.text
    assert "Traceback" not in caplog.text
    assert daemon._state() == NEEDS_A_PERSON
    assert rows(database) == before


@pytest.mark.parametrize(
    ("revision", "advice"), [("9999", "update annotator"), ("0001", "run 'annotator migrate'")]
)
def test_no_job_begins_on_another_schema(database, settings, revision, advice):
    at_revision(database, revision)
    before = rows(database)
    for field in ("tissue", "sex", "age"):
        with pytest.raises(SchemaError, match=advice):
            retrain(database, settings, field)
    with pytest.raises(SchemaError, match=advice):
        annotate(database, settings, worker="w")
    assert rows(database) == before


def test_nothing_is_claimed_or_written_on_another_schema(database, reviewable):
    with database.connect() as connection:
        connection.execute(
            "insert into annotator.work (sample_id, dataset_id, field, release_id)"
            " values ('a', 'D1', 'tissue', %s)",
            (reviewable.release_id,),
        )
        (claimed,) = work.claim(connection, "w", "tissue", reviewable.release_id, 5, 60)
        run = predictions.start_annotation_run(connection, "w", "here")
    at_revision(database, "9999")
    before = rows(database)
    result = QuarantinedSample("a", "tissue", claimed.sample_updated_at, "no_counts", "it has none")
    with database.connect() as connection:
        with pytest.raises(SchemaError, match="update annotator"):
            work.claim(connection, "v", "tissue", reviewable.release_id, 5, 60)
        with pytest.raises(SchemaError, match="update annotator"):
            predictions.write_batch(connection, "w", reviewable.release_id, run, [], [result])
    assert rows(database) == before


# -- who holds the schema ------------------------------------------------------------------

_WAITING = (
    "select count(*) from pg_locks where relation = 'annotator.lock'::regclass and not granted"
    " and database = (select oid from pg_database where datname = current_database())"
)


def wait_for_a_waiter(connection):
    def somebody():
        return connection.execute(_WAITING).fetchone() == (1,) or None

    wait_for(somebody, 60, "somebody who waits for the schema")


def test_a_migration_waits_for_who_holds_the_schema(database):
    with database.connect(autocommit=True) as watch, ThreadPoolExecutor(1) as pool:
        with database.connect() as writer:
            hold_schema(writer)
            going = pool.submit(downgrade, database, EARLIER[-1])
            wait_for_a_waiter(watch)
            check_schema(watch)  # still there
            writer.execute("insert into annotator.event (kind) values ('held')")
        going.result(60)
        with pytest.raises(SchemaError, match="annotator migrate"):
            check_schema(watch)


def test_who_comes_during_a_migration_waits_and_is_refused(database):
    def write():
        with database.connect() as writer:
            hold_schema(writer)

    with database.connect(autocommit=True) as watch, ThreadPoolExecutor(1) as pool:
        with schema._only_one(database) as transaction:
            going = pool.submit(write)
            wait_for_a_waiter(watch)
            transaction.exec_driver_sql("update annotator.alembic_version set version_num = '9999'")
        with pytest.raises(SchemaError, match="update annotator"):
            going.result(60)
