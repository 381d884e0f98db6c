"""Running one SQL statement with a curator's rights, for people without ``psql``."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from annotator.errors import InputError, NeedsPersonError
from annotator.store.server.connection import (
    CONFLICTS,
    READ_ONLY,
    hindered,
    lost,
    unavailable,
)
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.store.server.connection import Database

CURATOR = "annotator_curator"
READER = "annotator_reader"
_SEARCH_PATH = "set search_path = annotator, atlas"  # as the documents ask for in psql
_COPY = re.compile(
    r"(\s|--[^\n]*(\n|$))*copy\b.*\b(to\s+stdout|from\s+stdin)\b", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The result of a statement.

    Attributes
    ----------
    columns
        Names of the columns; empty for a statement that returns no rows.
    rows
        One tuple per row, values as Python objects (arrays as lists).
    status
        PostgreSQL's command tag, such as ``SELECT 3``.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    status: str


def run_query(database: Database, query: str) -> QueryResult:
    """Run one statement as ``annotator_curator`` and commit it.

    The role can read the mirror and the provenance, and can write only through the
    review functions. On a server that is not embedded a statement can go back to the
    rights of the login role, so the login of an owner is refused.

    Parameters
    ----------
    database
        The database.
    query
        One SQL statement; PostgreSQL refuses several before any of them runs.

    Returns
    -------
    QueryResult

    Raises
    ------
    InputError
        The statement is empty, wrong or forbidden; nothing was changed.
    SchemaError
        The database does not have the schema that this version needs.
    NeedsPersonError
        The login role is a member of neither the curators nor the readers, or owns
        schema ``annotator`` or ``atlas``.
    ReadOnlyError
        The statement makes changes, and the database accepts none.
    DatabaseUnavailableError
        The connection was lost.
    """
    if "\0" in query:  # libpq would silently end the statement there
        raise InputError("the SQL statement contains a NUL character")
    if _COPY.match(query):  # its rows are sent by another protocol
        raise InputError("COPY is for psql; here select the rows, with --format csv for a file")
    with _curator(database) as connection, _one_line_errors():
        # Preparing it uses the extended protocol, which accepts only one statement.
        cursor = connection.execute(query.encode(), prepare=True)
        if cursor.statusmessage is None:
            raise InputError("the SQL statement is empty")
        columns = tuple(column.name for column in cursor.description or ())
        rows = cursor.fetchall() if cursor.description is not None else []
        status = cursor.statusmessage
        cursor.close()
        connection.commit()
    return QueryResult(columns, rows, status)


@contextmanager
def _curator(database: Database) -> Iterator[psycopg.Connection]:
    with database.connect(application_name="annotator sql") as connection:
        check_schema(connection)
        if not database.embedded:
            connection.execute(sql.SQL("set role {}").format(sql.Identifier(_role(connection))))
            connection.execute(_SEARCH_PATH)
            connection.commit()
            yield connection
            return
    # Here the boundary is real: the curator logs in, so no other role can be resumed.
    with database.connect(user=CURATOR, application_name="annotator sql") as connection:
        connection.execute(_SEARCH_PATH)
        connection.commit()
        yield connection


def _role(connection: psycopg.Connection) -> str:
    """Choose the stronger of the two roles that the login role may assume."""
    login = connection.info.user
    owned = connection.execute(
        "select nspname from pg_namespace where nspname in ('annotator', 'atlas')"
        " and pg_has_role(session_user, nspowner, 'member') order by nspname"
    ).fetchone()
    if owned is not None:
        raise NeedsPersonError(
            f"role {login!r} has the rights of the owner of schema {owned[0]}, which the statement"
            f" could use: log in as a curator, such as create role … login in role {CURATOR};"
        )
    # Before PostgreSQL 16 every member of a role may assume it.
    right = "set" if connection.info.server_version >= 160000 else "member"
    for role in (CURATOR, READER):
        query = "select pg_has_role(session_user, %s, %s)"
        row = connection.execute(query, (role, right)).fetchone()
        if row is not None and row[0]:
            return role
    raise NeedsPersonError(
        f"role {login!r} is neither a curator nor a reader: ask an administrator to run"
        f" grant {CURATOR} to {login}; (or {READER})"
    )


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        if lost(error):
            raise unavailable(error) from error
        if error.sqlstate in (*CONFLICTS, READ_ONLY):
            raise hindered(error) or error from error
        diagnosis = error.diag
        parts = [diagnosis.message_primary or str(error)]
        parts += [text for text in (diagnosis.message_detail, diagnosis.message_hint) if text]
        raise InputError(" ".join("; ".join(parts).split())) from error
