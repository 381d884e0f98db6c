"""Locks that only our roles can take, and what becomes of those who wait for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from annotator.errors import RetryableError
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.retrain.retrain import retrain
from annotator.store.answers import work
from annotator.store.mirror.importing import wait_for_imports
from annotator.store.server.connection import Database, translating
from annotator.store.server.locks import session_lock, wait_for_lock
from annotator.store.server.schema import migrate
from tests.support.store import add_release, add_samples, as_daemon, run


def test_a_lock_is_held_by_one_until_its_block_ends(
    database: Any, connection: psycopg.Connection
) -> None:
    with as_daemon(database) as one, as_daemon(database) as two:
        with session_lock(one, "retrain tissue") as ours:
            assert ours is None
            with session_lock(two, "retrain tissue") as theirs:
                assert theirs is not None
            with session_lock(two, "retrain sex") as theirs:
                assert theirs is None
            with session_lock(two, "retrain tissue") as theirs:
                assert theirs is not None
        with session_lock(two, "retrain tissue") as theirs:
            assert theirs is None


def test_a_lock_is_given_back_when_its_block_fails(
    database: Any, connection: psycopg.Connection
) -> None:
    with as_daemon(database) as one, as_daemon(database) as two:
        with (
            pytest.raises(psycopg.errors.DivisionByZero),
            session_lock(one, "retrain tissue"),
        ):
            one.execute("select 1 / 0")
        with session_lock(two, "retrain tissue") as theirs:
            assert theirs is None


def test_a_lock_goes_with_its_connection(database: Any, connection: psycopg.Connection) -> None:
    one = as_daemon(database)
    with session_lock(one, "retrain tissue") as ours:
        assert ours is None
        pid = one.info.backend_pid
        run(connection, "select pg_terminate_backend(%s, 10000)", pid)
        with (
            as_daemon(database) as two,
            session_lock(two, "retrain tissue") as theirs,
        ):
            assert theirs is None
        with pytest.raises(psycopg.OperationalError):
            one.execute("select 1")
    one.close()


def test_a_lock_that_was_lost_does_not_fail_what_was_done_under_it(
    database: Any, connection: psycopg.Connection
) -> None:
    with as_daemon(database) as one:
        with session_lock(one, "retrain tissue") as ours:
            assert ours is None
            pid = one.info.backend_pid
            run(connection, "select pg_terminate_backend(%s, 10000)", pid)
        with (
            as_daemon(database) as two,
            session_lock(two, "retrain tissue") as theirs,
        ):
            assert theirs is None
        assert one.closed


def test_a_lock_names_its_holder(database: Any, connection: psycopg.Connection) -> None:
    with (
        as_daemon(database) as one,
        session_lock(connection, "retrain tissue"),
        session_lock(one, "retrain tissue") as holder,
    ):
        assert holder is not None
        assert (holder.pid, holder.role) == (connection.info.backend_pid, connection.info.user)


def test_a_session_that_takes_the_place_of_the_holder_does_not_hold_its_lock(
    database: Any, connection: psycopg.Connection
) -> None:
    """As behind a connection pool, which keeps the server process of a client that is gone."""
    with (
        as_daemon(database) as one,
        as_daemon(database) as two,
        session_lock(one, "retrain tissue"),
    ):
        one.execute("reset application_name")
        with session_lock(two, "retrain tissue") as theirs:
            assert theirs is None


# Keys of advisory locks that earlier versions took; any role may take these.
_ADVISORY_KEYS = [
    "annotator schema",
    "annotator import",
    "annotator.watch_mirror",
    *(f"annotator.queue.{field}" for field in ("tissue", "sex", "age")),
    *(f"annotator.promote.{field}" for field in ("tissue", "sex", "age")),
    *(f"annotator.lock.retrain {field} of Homo sapiens" for field in ("tissue", "sex", "age")),
    "annotator worker w",
]


@pytest.fixture
def impatient(database: Database) -> Database:
    """The database, with a short lock timeout."""
    return replace(database, lock_timeout=2)


def test_nothing_waits_for_advisory_locks_of_a_reader(impatient, connection, settings) -> None:
    add_samples(connection, "a")
    with impatient.connect(user="annotator_reader") as reader:
        for key in _ADVISORY_KEYS:
            reader.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (key,))
        migrate(impatient)
        annotate(impatient, settings, worker="w")
        assert retrain(impatient, settings, "sex").status == "unlabelled"
        release = add_release(connection)
        with as_daemon(impatient) as daemon:
            assert work.queue_pending(daemon, "tissue", release) == 1
            assert len(work.claim(daemon, "w", "tissue", release, 1, 60)) == 1
        with impatient.connect() as owner:
            wait_for_imports(owner)


@pytest.mark.parametrize("role", ["annotator_curator", "annotator_reader"])
@pytest.mark.parametrize(
    "statement",
    [
        "lock table annotator.lock in access share mode",
        "select from annotator.lock for key share",
        "update annotator.lock set pid = pg_backend_pid()",
        "insert into annotator.lock (name) values ('import')",
    ],
)
def test_people_cannot_take_our_locks(database, role: str, statement: str) -> None:
    with (
        database.connect(user=role) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute(statement)


def in_the_way(conn: psycopg.Connection) -> str:
    """What an error has to tell about a session."""
    return rf"process {conn.info.backend_pid} of role {conn.info.user} .*since 20\d\d-"


def test_a_daemon_names_the_curator_it_waits_for(impatient, reviewable) -> None:
    with impatient.connect(user="annotator_curator") as curator, as_daemon(impatient) as daemon:
        curator.execute("select annotator.accept_suggestion(%s)", (reviewable.ids["a"],))
        with pytest.raises(RetryableError, match=in_the_way(curator)), translating():
            daemon.execute("update annotator.prediction set is_current = false")


def test_a_migration_names_the_reader_it_waits_for(impatient, connection) -> None:
    with impatient.connect(user="annotator_reader") as reader:
        reader.execute("select from annotator.review_queue")
        with pytest.raises(RetryableError, match=in_the_way(reader)):
            migrate(impatient)
    migrate(impatient)


_TRAP = """
create function public.format(text, integer, name, text, timestamptz, integer) returns text
language sql as $$ select 'a trap' $$
"""


def test_who_is_in_the_way_is_found_without_functions_of_others(impatient, connection) -> None:
    run(connection, _TRAP)
    wait_for_lock(connection, "import")
    with (
        impatient.connect() as other,
        pytest.raises(RetryableError, match=in_the_way(connection)),
        translating(),
    ):
        wait_for_imports(other)


def test_an_import_names_the_one_it_waits_for(impatient, connection) -> None:
    wait_for_lock(connection, "import")
    with (
        impatient.connect() as other,
        pytest.raises(RetryableError, match=in_the_way(connection)),
        translating(),
    ):
        wait_for_imports(other)


def test_a_retraining_is_busy_only_for_as_long_as_one_takes(database, connection, settings) -> None:
    with session_lock(connection, "retrain sex of Homo sapiens"):
        assert retrain(database, settings, "sex").status == "busy"
        run(connection, "update annotator.lock set taken_at = taken_at - interval '25 hours'")
        outcome = retrain(database, settings, "sex")
    assert outcome.failed
    assert f"process {connection.info.backend_pid} " in outcome.reasons[0]
