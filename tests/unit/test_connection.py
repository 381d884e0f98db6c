from __future__ import annotations

import psycopg
import pytest

from annotator.errors import (
    DatabaseUnavailableError,
    NeedsPersonError,
    RetryableError,
    SettingsError,
)
from annotator.store.server.connection import Database, database_from_url, lost, translating


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@db:5432/atlas",
        "postgres://me:secret@db:5432/atlas",
        "postgresql+psycopg://me:secret@db:5432/atlas",
        "host=db port=5432 dbname=atlas user=me password=secret",
    ],
)
def test_the_usual_ways_to_write_it(url: str) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(database_from_url(url).conninfo)
    assert (parts["host"], parts["dbname"], parts["user"]) == ("db", "atlas", "me")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:secret@db/atlas",
        "postgresql://me:sec/ret@db/atlas",
        "postgresql://me:sec@ret@db/atlas",
        "postgresql://me:secret%zz@db/atlas",
        "sec ret",
        "",
    ],
)
def test_a_malformed_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError, match="ANNOTATOR_DATABASE_URL") as caught:
        database_from_url(url)
    assert "sec" not in str(caught.value)


def test_a_server_that_is_not_there() -> None:
    database = database_from_url("postgresql://me:secret@127.0.0.1:1/atlas")
    with pytest.raises(DatabaseUnavailableError) as caught:
        database.connect()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.InvalidPassword("no"),
        psycopg.errors.InvalidCatalogName("no"),
        *map(
            psycopg.OperationalError,
            [
                'FATAL:  password authentication failed for user "me", not "secret"',
                'connection to server at "db", port 5432 failed: FATAL:  role "me" does not exist',
                'FATAL:  database "atlas" does not exist',
                "fe_sendauth: no password supplied",
                'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "me", database "atlas"',
            ],
        ),
    ],
)
def test_a_login_that_is_refused_needs_a_person(
    error: psycopg.OperationalError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    with pytest.raises(NeedsPersonError, match="ANNOTATOR_DATABASE_URL") as caught:
        database_from_url("postgresql://me:secret@db/atlas").connect()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("FATAL:  the database system is starting up"),
        psycopg.OperationalError("FATAL:  sorry, too many clients already"),
        psycopg.errors.CannotConnectNow("the database system is starting up"),
    ],
)
def test_a_server_that_does_not_serve_yet_is_tried_again(
    error: psycopg.OperationalError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    with pytest.raises(DatabaseUnavailableError):
        database_from_url("postgresql://me:secret@db/atlas").connect()


def test_a_database_does_not_show_its_password() -> None:
    assert "secret" not in repr(Database("postgresql://me:secret@db/atlas"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.ConnectionFailure(), True),
        (psycopg.errors.IdleInTransactionSessionTimeout(), True),
        (psycopg.errors.DeadlockDetected(), False),
        (psycopg.errors.QueryCanceled(), False),
        (psycopg.errors.UniqueViolation(), False),
        (ValueError(), False),
    ],
)
def test_what_counts_as_lost(error: Exception, expected: bool) -> None:
    assert lost(error) is expected


def test_translating() -> None:
    with pytest.raises(DatabaseUnavailableError), translating():
        raise psycopg.errors.AdminShutdown("bye\nbye")
    with pytest.raises(psycopg.errors.UniqueViolation), translating():
        raise psycopg.errors.UniqueViolation
    with pytest.raises(NeedsPersonError), translating():
        raise psycopg.errors.InsufficientPrivilege("permission denied for table x")


@pytest.mark.parametrize(
    "error",
    [
        psycopg.errors.SerializationFailure,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.LockNotAvailable,
    ],
)
def test_a_conflict_with_another_transaction_is_tried_again(error: type[psycopg.Error]) -> None:
    with pytest.raises(RetryableError, match="try again"), translating():
        raise error


@pytest.mark.parametrize(
    "message",
    [
        "FATAL:  unsupported startup parameter: options",
        "FATAL:  unsupported startup parameter in options: geqo",
    ],
)
def test_a_startup_parameter_that_a_pool_refuses(
    message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError(message)

    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
    with pytest.raises(NeedsPersonError, match=r"startup parameter (options|geqo): remove"):
        database_from_url("postgresql://me:secret@db/atlas").connect()
