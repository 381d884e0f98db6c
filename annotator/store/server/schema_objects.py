"""Views and functions of schema ``annotator``: one file each, with the current definition.

``views/NAME.sql`` and ``functions/NAME.sql`` use ``create or replace``, and all of them are run
after every upgrade. So a view or function is changed in one place, and objects of others that
depend on it are kept. PostgreSQL does not remove a column or change its type this way: then a
revision drops the view first, which fails and names the objects of others that depend on it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from psycopg import sql

from annotator.domain.values.missing import IGNORED, PLAIN_MISSING_WORDS

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

_NAMED = re.compile(r"\bannotator\.(\w+)")

# Texts in braces are replaced by lists of the program, so that each list exists once.
_FILLED_IN = {
    "{missing_words}": ", ".join(sql.quote(word) for word in sorted(PLAIN_MISSING_WORDS)),
    "{ignored_characters}": sql.quote(f"[{re.escape(IGNORED)}]+"),
}

# Functions that triggers, generated columns or indexes call are dropped by a revision, with
# their tables.
_DROPPABLE = """
select p.oid::regprocedure::text
from pg_proc p
where p.pronamespace = 'annotator'::regnamespace and p.proname = %s
  and not exists (
      select from pg_depend d
      where d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid
        and (
            d.classid in ('pg_trigger'::regclass, 'pg_attrdef'::regclass)
            or d.classid = 'pg_class'::regclass
                and exists (select from pg_index i where i.indexrelid = d.objid)
        )
  )
"""


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """A view or function.

    Attributes
    ----------
    kind
        ``view`` or ``function``.
    name
        Name without its schema, unique among views and functions.
    definition
        SQL statements that create or replace it, and its comments.
    """

    kind: str
    name: str
    definition: str


def read_objects(folder: Path) -> tuple[SchemaObject, ...]:
    """Read all definitions and put each after the objects that its text names.

    Parameters
    ----------
    folder
        The folder ``schema`` of the migrations.

    Raises
    ------
    graphlib.CycleError
        Objects refer to one another in a circle.
    """
    found = {
        path.stem: SchemaObject(kind, path.stem, _filled_in(path.read_text(encoding="utf-8")))
        for kind in ("function", "view")
        for path in sorted((folder / f"{kind}s").glob("*.sql"))
    }
    graph = {
        name: sorted((found.keys() & _NAMED.findall(each.definition)) - {name})
        for name, each in found.items()
    }
    return tuple(found[name] for name in TopologicalSorter(graph).static_order())


def _filled_in(definition: str) -> str:
    for mark, text in _FILLED_IN.items():
        definition = definition.replace(mark, text)
    return definition


def create_objects(connection: psycopg.Connection, folder: Path) -> None:
    """Create every view and function, or replace it by its current definition.

    Parameters
    ----------
    connection
        Connection of the owner, within the transaction of the upgrade.
    folder
        The folder ``schema`` of the migrations.
    """
    for each in read_objects(folder):
        connection.execute(each.definition.encode())
    comment = sql.SQL("comment on schema annotator is {}").format(_description(folder))
    connection.execute(comment)


def are_current(connection: psycopg.Connection, folder: Path) -> bool:
    """Return whether the views, functions and rights were created by this version.

    The revision does not show it, because they change without one.
    """
    row = connection.execute(
        "select obj_description(to_regnamespace('annotator'), 'pg_namespace')"
    ).fetchone()
    return row is not None and row[0] == _description(folder)


def _description(folder: Path) -> str:
    texts = [each.definition for each in read_objects(folder)]
    texts.append((folder / "grants.sql").read_text(encoding="utf-8"))
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return f"Annotations and their provenance. Views, functions and rights: {digest[:16]}"


def drop_objects(connection: psycopg.Connection, folder: Path) -> None:
    """Drop the views and functions, except functions that tables call.

    Parameters
    ----------
    connection
        Connection of the owner, within the transaction of a downgrade.
    folder
        The folder ``schema`` of the migrations.

    Raises
    ------
    psycopg.errors.DependentObjectsStillExist
        Other objects depend on them.
    """
    for each in reversed(read_objects(folder)):
        if each.kind == "view":
            name = sql.Identifier("annotator", each.name)
            connection.execute(sql.SQL("drop view if exists {}").format(name))
            continue
        for (signature,) in connection.execute(_DROPPABLE, (each.name,)).fetchall():
            connection.execute(f"drop function {signature}".encode())
