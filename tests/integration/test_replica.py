"""A streaming replica: reading works, and whatever would write is refused for one reason."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.errors import ReadOnlyError, RetryableError
from annotator.jobs.forget import forget, what_would_go
from annotator.jobs.watch.doctor.connection import check_connection
from annotator.store.answers import work
from annotator.store.answers.review_queue import look_after_queue
from annotator.store.server import binaries
from annotator.store.server.connection import Database, check_writable, translating
from annotator.store.server.locks import session_lock
from annotator.store.server.query import run_query
from annotator.store.server.schema import migrate
from annotator.store.watch import daemons as service
from tests.integration.conftest import Reviewable
from tests.support.replica import Replica, replica_of
from tests.support.servers import server_of
from tests.support.store import SEARCH_PATH

LOGINS = """
create role grace login in role annotator_curator;
create role rhoda login in role annotator_reader;
"""
VIEWS = ("review_queue", "suggestion", "model_card", "effective_annotation", "live_accuracy")


@dataclass(frozen=True)
class Replicated:
    """A replica of a server with predictions and one review."""

    replica: Replica
    reviewable: Reviewable

    def database(self, user: str = "annotator") -> Database:
        """The database on the replica, as somebody who logs in."""
        return Database(make_conninfo(self.replica.conninfo, user=user))


@pytest.fixture(scope="module")
def replicated(request, make_reviewable) -> Iterator[Replicated]:
    programs = request.config.getoption("--postgresql") or binaries.folder()
    with server_of(programs) as primary:
        database = Database(primary)
        migrate(database)
        with database.connect() as connection:
            made = make_reviewable(connection)
            connection.execute(LOGINS)
            connection.execute(SEARCH_PATH)
            connection.execute("select accept_suggestion(%s, 'right')", (made.ids["a"],))
            connection.commit()
        cluster = Path(str(conninfo_to_dict(primary)["host"])).parent / "cluster"
        with replica_of(primary, programs, cluster) as replica:
            replica.catch_up()
            yield Replicated(replica, made)


@pytest.mark.parametrize("user", ["grace", "rhoda"])
@pytest.mark.parametrize("view", VIEWS)
def test_curators_and_readers_read_the_same_as_on_the_primary(replicated, user, view):
    query = f"select * from {view} order by to_jsonb({view})::text"
    on_primary = Database(make_conninfo(replicated.replica.primary, user=user))
    found = run_query(replicated.database(user), query)
    assert found == run_query(on_primary, query)
    assert found.columns


def test_what_the_primary_writes_is_seen(replicated):
    prediction = replicated.reviewable.ids["b"]
    query = f"select status from suggestion where prediction_id = {prediction}"
    assert run_query(replicated.database("grace"), query).rows == [("suggested",)]
    primary = Database(make_conninfo(replicated.replica.primary, user="grace"))
    run_query(primary, f"select reject_suggestion({prediction})")
    replicated.replica.catch_up()
    assert run_query(replicated.database("grace"), query).rows == [("rejected",)]


@pytest.mark.parametrize(
    "call",
    [
        "accept_suggestion({c})",
        "reject_suggestion({c}, 'no')",
        "correct_suggestion({c}, 'liver')",
        "accept_suggestion({a})",  # decided already
        "accept_dataset('D2', 'tissue')",
        "accept_dataset('no such dataset', 'tissue')",
        "undo_review(1)",
    ],
)
def test_decisions_are_refused_and_sent_to_the_primary(replicated, call):
    statement = f"select * from {call.format(**replicated.reviewable.ids)}"
    with psycopg.connect(make_conninfo(replicated.replica.conninfo, user="grace")) as curator:
        curator.execute(SEARCH_PATH)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="on the primary"):
            curator.execute(statement)
    with pytest.raises(ReadOnlyError, match="replica"):
        run_query(replicated.database("grace"), statement)


def _lock(connection: psycopg.Connection) -> None:
    with session_lock(connection, "retrain"):
        pass


@pytest.mark.parametrize(
    "change",
    [
        lambda connection: service.beat(connection, "w", "h", 1, "0", "idle"),
        lambda connection: work.claim(connection, "w", "tissue", 1, 10, 60),
        lambda connection: service.record_event(connection, "failure", "x", {}),
        lambda connection: connection.execute("create temporary table x (y int)"),
        look_after_queue,
        _lock,
        check_writable,
    ],
)
def test_changes_are_refused_in_one_line(replicated, change):
    with (
        replicated.database().connect() as connection,
        pytest.raises(ReadOnlyError, match="replica") as caught,
        translating(),
    ):
        change(connection)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        migrate,
        lambda database: what_would_go(database, ["D1"]),
        lambda database: forget(database, ["D1"]),
    ],
)
def test_commands_are_refused_in_one_line(replicated, change):
    with pytest.raises(ReadOnlyError, match="replica") as caught, translating():
        change(replicated.database())
    assert "\n" not in str(caught.value)


def test_the_state_is_read(replicated):
    with replicated.database("rhoda").connect() as connection:
        found = service.snapshot(connection)
    assert [(field.field, field.release_id) for field in found.fields if field.release_id] == [
        ("tissue", replicated.reviewable.release_id)
    ]


def test_the_doctor_names_the_replica(replicated):
    with replicated.database().connect(autocommit=True) as connection:
        levels = [each.level for each in check_connection(connection) if "replica" in each.found]
    assert levels == ["warning"]


def _lock_predictions(replica: Replica) -> None:
    """Do on the primary what replicas can only replay once nobody reads the table."""
    with psycopg.connect(replica.primary) as primary:
        primary.execute("lock table annotator.prediction")


@pytest.fixture
def impatient(replicated: Replicated) -> Replicated:
    """A replica that does not wait long for readers."""
    with psycopg.connect(replicated.replica.conninfo, autocommit=True) as owner:
        owner.execute("alter system set max_standby_streaming_delay = '100ms'")
        owner.execute("select pg_reload_conf()")
    return replicated


def test_a_statement_in_the_way_of_replication_can_be_repeated(impatient):
    replica, query = impatient.replica, "select count(*), max(pg_sleep(60)::text) from suggestion"

    def lock_once_it_runs() -> None:
        seen = "select from pg_stat_activity where query = %s and state = 'active'"
        with psycopg.connect(replica.conninfo, autocommit=True) as watcher:
            while watcher.execute(seen, (query,)).fetchone() is None:
                time.sleep(0.05)
        _lock_predictions(replica)

    with ThreadPoolExecutor(1) as pool:
        locking = pool.submit(lock_once_it_runs)
        with pytest.raises(RetryableError, match="replay"):
            run_query(impatient.database("grace"), query)
        locking.result()
    assert run_query(impatient.database("grace"), "select count(*) from suggestion").rows


def test_a_transaction_in_the_way_of_replication_can_be_repeated(impatient):
    query = "select from annotator.prediction limit 1"
    with impatient.database().connect() as reader:
        reader.execute(query)
        _lock_predictions(impatient.replica)
        impatient.replica.catch_up()
        with pytest.raises(RetryableError), translating():
            reader.execute(query)
    with impatient.database().connect() as reader:
        reader.execute(query)
