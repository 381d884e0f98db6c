"""Make databases of earlier versions, with rows in every table, and read all their content.

The rows of a revision are in ``earlier_rows/REVISION.sql``: those that it added to the
migrated rows of the revision before it.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.domain.fields import FIELDS
from annotator.store.mirror.label_values import declare_words
from annotator.store.server import binaries, schema
from annotator.store.server.schema import REQUIRED_REVISION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.store.server.connection import Database

ROWS = Path(__file__).parent / "earlier_rows"
EARLIER = tuple(f"{number:04}" for number in range(1, int(REQUIRED_REVISION)))
_numbers = count(1)

Rows = dict[str, list[dict[str, Any]]]


@contextmanager
def another(database: Database, template: Database | None = None) -> Iterator[Database]:
    """Make a new database on the same server, empty or a copy of one without connections."""
    name = f"migrated_{os.getpid()}_{next(_numbers)}"
    of = "template0" if template is None else str(conninfo_to_dict(template.conninfo)["dbname"])
    with database.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(of)
            )
        )
    try:
        yield replace(database, conninfo=make_conninfo(database.conninfo, dbname=name))
    finally:
        with database.connect(autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            )


def bring_to(database: Database, revision: str) -> None:
    """Make a database as the version of a revision leaves it, after use since the first one."""
    for step in EARLIER[: EARLIER.index(revision) + 1]:
        with schema._only_one(database) as transaction:
            schema._run_alembic(transaction, "upgrade", step)
            if step != EARLIER[0]:  # since then, views and functions are not part of revisions
                schema._complete(schema._driver(transaction), embedded=database.embedded)
        if step != EARLIER[0]:
            with database.connect() as connection:
                declare_words(connection, FIELDS)  # as `annotator migrate` does
        with database.connect(autocommit=True) as connection:
            connection.execute((ROWS / f"{step}.sql").read_bytes())
    with database.connect(autocommit=True) as connection:
        # As in any database in use; otherwise plans, and the order of new ids, change midway.
        connection.execute("vacuum analyze")
    empty = [name for name, found in rows(database).items() if not found]
    if empty:
        raise AssertionError(f"no rows at revision {revision} in {', '.join(empty)}")


def dump(database: Database, *, rights: bool, data: bool = True) -> list[str]:
    """Return the whole content of a database, schema and rows, as comparable text."""
    command = [
        binaries.folder() / "pg_dump",
        "--no-owner",
        *(() if rights else ("--no-privileges",)),
        *(() if data else ("--schema-only",)),
        database.conninfo,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = (line.rstrip(",") for line in text.splitlines())  # a column may now be the last one
    return sorted(line for line in lines if line and not line.startswith(("--", "\\")))


def rows(database: Database) -> Rows:
    """Return every row of every table of both schemas, and of a view that was a table."""
    with database.connect() as connection:
        names = connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname in ('annotator', 'atlas') and tablename <> 'alembic_version'"
            " union all select format('%I.%I', schemaname, viewname) from pg_views"
            " where schemaname = 'annotator' and viewname = 'contribution'"
        ).fetchall()
        return {
            name: [
                row[0]
                for row in connection.execute(
                    f"select to_jsonb(t) from {name} t order by to_jsonb(t)::text"
                )
            ]
            for (name,) in names
        }


def lost_rows(before: Rows, after: Rows) -> list[str]:
    """Return the tables in which a row is missing or its former columns changed."""
    lost = []
    for name, found in before.items():
        columns = sorted(set().union(*found)) if found else []
        there = [_texts(row, columns) for row in after.get(name, [])]
        for row in found:
            wanted = _texts(row, columns)
            if wanted not in there:
                lost.append(name)
                break
            there.remove(wanted)
    return lost


def _texts(row: dict[str, Any], columns: list[str]) -> tuple[str, ...]:
    return tuple(repr(row.get(column, "no such column")) for column in columns)
