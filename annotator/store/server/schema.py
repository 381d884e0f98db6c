"""Migrating the schema of the database, and checking its revision.

Checking needs neither Alembic nor SQLAlchemy: both are imported only to migrate.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg import sql

from annotator.errors import NeedsPersonError, SchemaError
from annotator.store.server.connection import Database, hindered, lost, unavailable
from annotator.store.server.locks import lock_schema
from annotator.store.server.mirror_columns import MIRROR, OPTIONAL_MIRROR, check_mirror
from annotator.store.server.schema_objects import are_current, create_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config
    from sqlalchemy import Connection

REQUIRED_REVISION = "0003"
ROLES = ("annotator_daemon", "annotator_curator", "annotator_reader")

# Before 0002 was published, its number and later ones were used for other schemas. None of
# these had this table; every published one since 0002 has it.
_REVISION = """
select version_num,
    version_num < '0002' or to_regclass('annotator.release_comparison') is not null
from annotator.alembic_version
"""


def migrations_folder() -> Path:
    """Find the folder of migrations: inside an installed package, or beside it in a checkout.

    Raises
    ------
    NeedsPersonError
        It is in neither place.
    """
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise NeedsPersonError(
        f"{package}: the migrations are missing from this installation; install it again"
    )


def current_revision(connection: psycopg.Connection) -> str | None:
    """Read the revision of the database, ``None`` for an empty database.

    Parameters
    ----------
    connection
        Connection of any role.

    Raises
    ------
    SchemaError
        The database was made by a version that was never published.
    NeedsPersonError
        The role may not read the revision.
    """
    exists = connection.execute(
        "select from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = 'annotator' and c.relname = 'alembic_version'"
    ).fetchone()
    if exists is None:
        return None
    try:
        row = connection.execute(_REVISION).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        trouble = hindered(error)
        if trouble is not None:
            raise trouble from error
        raise NeedsPersonError(
            f"role {connection.info.user!r} may not read schema annotator; grant it one of"
            f" {', '.join(ROLES)}"
        ) from error
    if row is None:
        return None
    found, is_published = row
    if not is_published:
        raise SchemaError(
            f"the database is at revision {found} of a version of annotator that was never"
            " published, and cannot be brought up to date: restore a backup from before that"
            " version, or make a new database and import again"
        )
    return str(found)


def check_schema(connection: psycopg.Connection) -> None:
    """Check that the database is at the revision that this version needs.

    Raises
    ------
    SchemaError
        It is at another revision; the message explains what to do.
    NeedsPersonError
        The role may not read the revision.
    """
    _check_revision(current_revision(connection))


def hold_schema(connection: psycopg.Connection) -> None:
    """Block migrations until the transaction ends, and check the revision of the schema.

    This is for work that writes long after its first check. It waits for a running migration,
    so that no version writes into the schema of the next.

    Parameters
    ----------
    connection
        Connection in a transaction that has not done anything yet: if it held a lock that
        the migration needs, one of them would fail.

    Raises
    ------
    SchemaError
        The database is at another revision.
    NeedsPersonError
        The role may not read the revision.
    """
    try:
        connection.execute("lock table annotator.lock in row exclusive mode")
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise SchemaError(
            f"the database is not at schema revision {REQUIRED_REVISION}, which this version of"
            " annotator needs: run 'annotator migrate'"
        ) from error
    check_schema(connection)


def _check_revision(found: str | None) -> None:
    if found == REQUIRED_REVISION:
        return
    if found is None:
        raise SchemaError("the database has no annotator schema yet: run 'annotator migrate'")
    if found > REQUIRED_REVISION:
        raise SchemaError(
            f"the database is at schema revision {found}, which is newer than that of this version"
            f" of annotator ({REQUIRED_REVISION}): update annotator"
        )
    raise SchemaError(
        f"the database is at schema revision {found}, but this version of annotator needs"
        f" {REQUIRED_REVISION}: run 'annotator migrate'"
    )


class Migration(NamedTuple):
    """The revisions before, if any, and after, and whether views, functions or rights changed."""

    before: str | None
    after: str
    replaced: bool


def migrate(database: Database) -> Migration:
    """Migrate the database to the current schema; safe if several processes do so at once.

    Parameters
    ----------
    database
        The database. Its role must own it, or have the right to create schemas in it.

    Returns
    -------
    Migration

    Raises
    ------
    SchemaError
        Schema ``atlas`` lacks relations or columns, or the database was migrated by a
        newer version.
    NeedsPersonError
        The role lacks rights, or the encoding of the database is not UTF-8.
    DatabaseUnavailableError
        The connection was lost.
    """
    with _only_one(database) as transaction:
        connection = _driver(transaction)
        before = current_revision(connection)
        if before is not None and before > REQUIRED_REVISION:
            _check_revision(before)
        replaced = not are_current(connection, migrations_folder() / "schema")
        _check_encoding(connection)
        check_mirror(connection, complete=before is not None)
        _ensure_roles(connection)
        _run_alembic(transaction, "upgrade", "head")
        _complete(connection, embedded=database.embedded)
    return Migration(before, REQUIRED_REVISION, replaced)


def downgrade(database: Database, revision: str = "base") -> None:
    """Downgrade the schema; at ``base`` only the roles of this project are left.

    Parameters
    ----------
    database
        As for :func:`migrate`.
    revision
        Alembic revision to downgrade to.

    Raises
    ------
    SchemaError
        The database was made by a version that was never published.
    NeedsPersonError
        The role lacks rights, or other objects depend on objects to be dropped.
    DatabaseUnavailableError
        The connection was lost.
    """
    with _only_one(database) as transaction:
        connection = _driver(transaction)
        if current_revision(connection) is None:
            connection.rollback()  # an empty database stays without a schema
        else:
            _run_alembic(transaction, "downgrade", revision)


@contextmanager
def _only_one(database: Database) -> Iterator[Connection]:
    """Yield a transaction that no other migration, and nobody who holds the schema, is beside."""
    from sqlalchemy import create_engine, exc
    from sqlalchemy.pool import NullPool

    patient = replace(database, statement_timeout=0)  # a migration may take long
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: patient.connect(application_name="annotator migrate"),
        poolclass=NullPool,
        use_native_hstore=False,
    )
    try:
        with engine.begin() as transaction:
            lock_schema(_driver(transaction))
            yield transaction
    except (exc.DBAPIError, psycopg.Error) as error:
        cause = getattr(error, "orig", error)
        if (request := _stop_request(cause)) is not None:
            raise request from None
        _explain(cause)
        raise


def _stop_request(error: BaseException | None) -> BaseException | None:
    """Return the request to stop during which an error arose, if any.

    A request in the middle of a statement leaves a connection that cannot be rolled back.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
        error = error.__context__
    return error


def _driver(transaction: Connection) -> psycopg.Connection:
    connection = transaction.connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    return connection


def _check_encoding(connection: psycopg.Connection) -> None:
    row = connection.execute("show server_encoding").fetchone()
    if row is not None and row[0] != "UTF8":
        raise NeedsPersonError(
            f"the database has the encoding {row[0]}; create one with encoding UTF8"
        )


def _ensure_roles(connection: psycopg.Connection) -> None:
    try:
        _run_file(connection, "sql/0001_roles.sql")
    except psycopg.errors.InsufficientPrivilege as error:
        statements = " ".join(f"create role {role} nologin;" for role in ROLES)
        raise NeedsPersonError(
            f"role {connection.info.user!r} may not create roles; ask an administrator to run:"
            f" {statements}"
        ) from error


def _complete(connection: psycopg.Connection, *, embedded: bool) -> None:
    """Create views and functions, and grant the roles their rights, within the upgrade."""
    check_mirror(connection)
    create_objects(connection, migrations_folder() / "schema")
    _run_file(connection, "schema/grants.sql")
    _grant_mirror(connection)
    if embedded:
        _let_log_in(connection)


def _grant_mirror(connection: psycopg.Connection) -> None:
    """Grant our roles the right to read the mirror, unless its owner has done so already."""
    try:
        with connection.transaction():
            _run_file(connection, "schema/grants_mirror.sql")
    except psycopg.errors.InsufficientPrivilege as error:
        relations = [f"atlas.{name}" for name in (*MIRROR, *OPTIONAL_MIRROR, "expression_long")]
        unreadable = connection.execute(
            "select 1 from unnest(%s::text[]) as role cross join unnest(%s::text[]) as relation"
            " where not has_schema_privilege(role, 'atlas', 'usage')"
            " or not has_table_privilege(role, relation, 'select')",
            (list(ROLES), relations),
        ).fetchone()
        if unreadable is not None:
            raise NeedsPersonError(
                "the owner of schema atlas must let the daemon, curators and readers read it:"
                f" grant usage on schema atlas to {', '.join(ROLES)};"
                f" grant select on {', '.join(relations)} to {', '.join(ROLES)};"
            ) from error


def _let_log_in(connection: psycopg.Connection) -> None:
    """Turn the group roles into login roles, on a server that only its user can reach."""
    rows = connection.execute(
        "select rolname from pg_roles where rolname = any (%s) and not rolcanlogin", (list(ROLES),)
    ).fetchall()
    for (role,) in rows:
        connection.execute(sql.SQL("alter role {} login").format(sql.Identifier(role)))


def _run_file(connection: psycopg.Connection, name: str) -> None:
    statements = (migrations_folder() / name).read_text(encoding="utf-8")
    connection.execute(statements.encode())


def _configuration() -> Config:
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    return configuration


def _run_alembic(transaction: Connection, direction: str, revision: str) -> None:
    from alembic import command
    from alembic.util import CommandError

    configuration = _configuration()
    configuration.attributes["connection"] = transaction
    try:
        getattr(command, direction)(configuration, revision)
    except CommandError as error:
        raise SchemaError(f"the schema cannot be migrated to {revision!r}: {error}") from error


def _explain(error: BaseException | None) -> None:
    """Raise an error that a person can act on, if there is a suitable one."""
    if not isinstance(error, psycopg.Error):
        return
    if lost(error):
        raise unavailable(error) from error
    trouble = hindered(error)
    if trouble is not None:
        raise trouble from error
    message = error.diag.message_primary or str(error)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        raise NeedsPersonError(
            f"the role may not change the schema: {message}; connect as the owner of the database"
        ) from error
    if isinstance(error, psycopg.errors.DependentObjectsStillExist):
        detail = " ".join((error.diag.message_detail or "").split())
        problem = f"other objects depend on the schema: {message}; {detail}"
        raise NeedsPersonError(problem) from error
