"""Connections to the database, embedded or not.

Every connection of the project is opened here, so that all have the same session settings
whatever the defaults of the role or database are, and raise errors that a person can read.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
from psycopg import conninfo as libpq

from annotator.errors import (
    AnnotatorError,
    DatabaseUnavailableError,
    NeedsPersonError,
    ReadOnlyError,
    RetryableError,
    SettingsError,
)
from annotator.stopping import cancel_at_end
from annotator.store.server.pooler import check_pool
from annotator.store.server.watched import WatchedConnection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from annotator.settings import Settings

MINIMUM_POSTGRESQL = 15
TESTED_POSTGRESQL = 18
"""The newest major version that the tests run on."""
# Defaults of a role or database could change results, or how psycopg reads them. Our statements
# name their schemas: objects that others create elsewhere must not be taken for those meant.
# default_transaction_read_only stays as it is: an administrator means it.
_SESSION = {
    "TimeZone": "UTC",
    "search_path": "pg_catalog",
    "default_transaction_isolation": "read committed",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
}
# Only if the server process is the one that the client logged in to; a pool is checked first.
# The search path is still that of the role here.
_SET_UP = """
select pg_catalog.count(pg_catalog.set_config(name, value, false)), pg_catalog.pg_backend_pid()
from rows from (
    pg_catalog.unnest(%(names)s::text[]), pg_catalog.unnest(%(values)s::text[])
) as given (name, value)
where %(backend)s::int is null or pg_catalog.pg_backend_pid() operator(pg_catalog.=) %(backend)s
"""
_checked_pools: set[tuple[str, str | None]] = set()
_DEFAULTS = {"connect_timeout": "10", "keepalives_idle": "60", "tcp_user_timeout": "60000"}
_URL_VARIABLE = "ANNOTATOR_DATABASE_URL"
# SQLSTATEs of a server that shuts down; class 08 is "connection exception".
_GOODBYES = ("57P01", "57P02", "57P03", "57P05")
# A session that was idle in a transaction, or in one transaction, for too long is ended, too.
_TIMED_OUT = ("25P03", "25P04")
# Serialization failure, deadlock, lock timeout: the transaction would succeed if repeated.
CONFLICTS = ("40001", "40P01", "55P03")
READ_ONLY = "25006"
# A replica's words for a statement that kept it from replaying what the primary did.
_IN_REPLICATION = re.compile("conflict with recovery")
# PgBouncer's words for startup parameters that it does not pass on.
_UNSUPPORTED = re.compile(r"unsupported startup parameter(?: in options)?: *(\S*)")
# Retrying does not help with these. Classes 28 and 3D are "invalid authorization"
# and "invalid catalog name"; libpq seldom passes on the SQLSTATE of a login.
_REFUSAL_CLASSES = ("28", "3D")
_REFUSALS = re.compile(
    r'authentication failed|role ".*" does not exist|database ".*" does not exist'
    r'|role ".*" is not permitted to log in|permission denied for database'
    r"|no password supplied|no pg_hba\.conf entry"
)
# libpq's words for options of the connection string that it cannot use.
_INVALID = re.compile(r"invalid \w+ (value|number)|definition of service")
# Only ENOSPC has an SQLSTATE of its own. A file without write permission is "insufficient
# privilege", like a table; a file of the maximum size of the system is "internal error".
_DISK_STATES = ("53100", "58030")
_NO_FILE = re.compile(r"could not (open|extend|write|create|access|fsync|flush|truncate)\b.*\"")


@dataclass(frozen=True, slots=True)
class Database:
    """The address of the database.

    Attributes
    ----------
    conninfo
        libpq connection string; may contain a password, so it is never shown.
    embedded
        Whether this project started the server itself and is its superuser.
    statement_timeout
        Seconds after which the server ends a statement; 0 for never.
    lock_timeout
        Seconds after which a statement stops waiting for the lock of another session; 0 for never.
    """

    conninfo: str = field(repr=False)
    embedded: bool = False
    statement_timeout: int = 0
    lock_timeout: int = 60

    def connect(
        self,
        *,
        autocommit: bool = False,
        user: str | None = None,
        application_name: str | None = None,
    ) -> psycopg.Connection:
        """Open a connection.

        Parameters
        ----------
        autocommit
            Whether every statement is its own transaction.
        user
            Log in as this role instead of the one in ``conninfo``.
        application_name
            Shown in ``pg_stat_activity``; ``annotator`` by default.

        Returns
        -------
        psycopg.Connection
            In UTC and UTF-8, with isolation level read committed; a ``with`` block closes it
            at its end.

        Raises
        ------
        DatabaseUnavailableError
            The server cannot be reached, or does not accept connections yet.
        NeedsPersonError
            The server refuses the login (role, password or database is wrong), is too old, or
            is behind a connection pool in transaction mode.
        SettingsError
            An option in ``conninfo`` has a value that libpq does not accept.
        """
        connection = self._open(user, application_name)
        try:
            _check_version(connection)
            backend = self._set_up(connection, user)
            connection.autocommit = autocommit
            connection.watch(
                backend,
                lambda: self.connect(autocommit=True, user=user),
                self.lock_timeout,
                self.statement_timeout,
            )
            cancel_at_end(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, psycopg.OperationalError):
                raise hindered(error) or unavailable(error) from error
            raise
        return connection

    def _open(self, user: str | None, application_name: str | None) -> WatchedConnection:
        """Log in; the connection has autocommit and the session settings of the server."""
        given = libpq.conninfo_to_dict(self.conninfo)
        options = {key: value for key, value in _DEFAULTS.items() if key not in given}
        options["application_name"] = application_name or "annotator"
        options["client_encoding"] = "utf8"
        if user is not None:
            options["user"] = user
        try:
            return WatchedConnection.connect(self.conninfo, autocommit=True, **options)  # type: ignore[arg-type]
        except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
            text = _readable(error, given)
            unsupported = _UNSUPPORTED.search(text)
            if unsupported is not None:
                raise NeedsPersonError(
                    f"the connection pool refuses the startup parameter {unsupported[1]}: remove it"
                    f" from {_URL_VARIABLE} (and PGOPTIONS), or connect to PostgreSQL directly"
                ) from None
            if _refused(error):
                raise NeedsPersonError(
                    f"the database refuses the login: {text}; check role, password and database"
                    f" in {_URL_VARIABLE}"
                ) from None
            if isinstance(error, psycopg.ProgrammingError) or _INVALID.search(text):
                raise SettingsError(f"{_URL_VARIABLE}: {text}; correct or remove it") from None
            raise DatabaseUnavailableError(f"the database cannot be reached: {text}") from None

    def _set_up(self, connection: psycopg.Connection, user: str | None) -> int:
        """Set the session up, and return the id of its server process.

        If a pool is in front of the server, its mode is checked before.
        """
        settings = _SESSION | {
            "statement_timeout": f"{self.statement_timeout}s",
            "lock_timeout": f"{self.lock_timeout}s",
        }
        pool = (self.conninfo, user)  # the mode of a pool may depend on the role
        names = {
            "names": list(settings),
            "values": list(settings.values()),
            "backend": None if pool in _checked_pools else connection.info.backend_pid,
        }
        row = connection.execute(_SET_UP, names).fetchone()
        assert row is not None
        if row[0] == 0:
            check_pool(connection, lambda: self._open(user, "annotator"))
            _checked_pools.add(pool)  # once per process: each check takes a connection
            row = connection.execute(_SET_UP, names | {"backend": None}).fetchone()
            assert row is not None
        return int(row[1])


def _check_version(connection: psycopg.Connection) -> None:
    version = connection.info.server_version // 10000
    if version < MINIMUM_POSTGRESQL:
        raise NeedsPersonError(
            f"the server is PostgreSQL {version}; {MINIMUM_POSTGRESQL} or newer is needed: update"
            f" it, or give another server in {_URL_VARIABLE}"
        )


def _refused(error: psycopg.Error) -> bool:
    """Return whether a server refused the connection permanently."""
    if error.sqlstate is not None:
        return error.sqlstate.startswith(_REFUSAL_CLASSES)
    return _REFUSALS.search(str(error)) is not None


def _readable(error: psycopg.Error, given: dict[str, str | int | None]) -> str:
    """Return libpq's message on one line, without the password."""
    text = " ".join(str(error).split())
    password = str(given.get("password") or "")
    return text.replace(password, "***") if password else text


def database_from_url(url: str, **timeouts: int) -> Database:
    """Make a :class:`Database` from a URL.

    Parameters
    ----------
    url
        ``postgresql://…``, ``postgres://…``, ``postgresql+psycopg://…`` or a
        libpq string of ``key=value`` pairs.
    **timeouts
        ``statement_timeout`` and ``lock_timeout`` in seconds; 0 for never.

    Raises
    ------
    SettingsError
        It is not a PostgreSQL URL. The message does not repeat the URL, because it
        could reveal a part of its password.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme in ("postgresql+psycopg", "postgres"):
        url = f"postgresql://{rest}"
    try:
        given = libpq.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        given = {}
    if not given or not _plausible(given):
        raise SettingsError(
            f"{_URL_VARIABLE}: not a PostgreSQL URL (postgresql://user:password@host:5432/name);"
            " special characters in a password must be percent-encoded"
        )
    return Database(url, embedded=False, **timeouts)


def _plausible(given: Mapping[str, object]) -> bool:
    """Return whether no part of an unencoded password ended up in another part of the URL."""
    ports = str(given.get("port", "")).split(",")
    names = (str(given.get(key, "")) for key in ("host", "dbname"))
    return all(port == "" or port.isdigit() for port in ports) and "@" not in "".join(names)


@contextmanager
def open_database(settings: Settings, *, demo: bool = False) -> Iterator[Database]:
    """Yield the database of the settings, and keep an embedded server running meanwhile.

    Parameters
    ----------
    settings
        The settings of the installation.
    demo
        Whether a new embedded database is marked as a demo.

    Raises
    ------
    SettingsError
        The URL is malformed.
    InputError, NeedsPersonError, DatabaseUnavailableError
        The embedded server cannot be started; see
        :func:`annotator.store.server.embedded.running_server`.
    """
    timeouts = {
        "statement_timeout": settings.statement_timeout,
        "lock_timeout": settings.lock_timeout,
    }
    if settings.database_url is not None:
        yield database_from_url(settings.database_url, **timeouts)
        return
    from annotator.store.server.embedded import running_server

    with running_server(settings.home_folder(), demo=demo) as conninfo:
        yield Database(conninfo, embedded=True, **timeouts)


def lost(error: BaseException) -> bool:
    """Return whether an error means that the connection was lost.

    Parameters
    ----------
    error
        Any exception; the result can be true only for those of psycopg.
    """
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state in _TIMED_OUT:
        return True
    if not isinstance(error, psycopg.OperationalError):
        return False
    return state is None or state.startswith("08") or state in _GOODBYES


def unavailable(error: psycopg.Error) -> DatabaseUnavailableError:
    """Make the error for a connection that was lost during work."""
    text = " ".join(str(error).split())
    if "query_wait_timeout" in text:  # PgBouncer
        text += "; all server connections of the connection pool are in use: raise its pool size"
    return DatabaseUnavailableError(f"the connection to the database was lost: {text}")


def hindered(error: psycopg.Error) -> AnnotatorError | None:
    """Make an error that explains why the server cannot work, if the cause is known.

    Parameters
    ----------
    error
        Any error. Files that the server may not write to look like missing rights of a role.
    """
    message = " ".join((error.diag.message_primary or str(error)).split())
    in_the_way = "".join(f": {note}" for note in getattr(error, "__notes__", ()))
    state = error.sqlstate
    if state in _DISK_STATES or _NO_FILE.search(message):
        return NeedsPersonError(
            f"the database server cannot write: {message}; check the free space and the permissions"
            " of its disk. Nothing was half-written, and live releases stay live"
        )
    if state == "57014":
        return RetryableError(
            f"a statement was cancelled: {message}; raise ANNOTATOR_STATEMENT_TIMEOUT if that"
            f" happens again, or check in pg_stat_activity what it waits for{in_the_way}"
        )
    if state == READ_ONLY:
        return ReadOnlyError(
            f"the database accepts no changes: {message}; if it is a replica, run this on the"
            " primary, else reset default_transaction_read_only of the role or database"
        )
    if state in CONFLICTS and _IN_REPLICATION.search(message):
        return RetryableError(
            f"the replica has to replay a change of the primary: {message}; try again, and raise"
            " max_standby_streaming_delay of the replica if that happens again"
        )
    if state in CONFLICTS:
        return RetryableError(
            f"another transaction was in the way: {message}; nothing was changed, try"
            f" again{in_the_way}"
        )
    return None


def check_writable(connection: psycopg.Connection) -> None:
    """Check that the database accepts changes, before work that would be in vain otherwise.

    Raises
    ------
    ReadOnlyError
        It is a replica, or transactions are read-only by default.
    """
    row = connection.execute(
        "select pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"
    ).fetchone()
    assert row is not None
    if row[0]:
        raise ReadOnlyError("the database is a read-only replica: run this on the primary")
    if row[1]:
        raise ReadOnlyError(
            "the database accepts no changes: default_transaction_read_only is set for the role or"
            " database; reset it"
        )


@contextmanager
def translating() -> Iterator[None]:
    """Translate errors of the server within the block into errors for a person.

    Raises
    ------
    DatabaseUnavailableError
        The connection was lost; changes that were not committed are lost.
    RetryableError
        A statement took too long, or another transaction was in the way.
    ReadOnlyError
        The database accepts no changes.
    NeedsPersonError
        The role lacks a right, or the server's disk is full or cannot be written to.
    """
    try:
        yield
    except psycopg.Error as error:
        if lost(error):
            raise unavailable(error) from error
        trouble = hindered(error)
        if trouble is not None:
            raise trouble from error
        if not isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise
        message = error.diag.message_primary or str(error)
        raise NeedsPersonError(
            f"the database role lacks a right: {message}; connect as the role that"
            " 'annotator migrate' granted it to, or ask the database administrator"
        ) from error
