"""The relations and columns that schema ``atlas`` must have, as tables or as views."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

# The category of PostgreSQL types that each column must have: S text, N number, A array,
# B boolean, D time, U jsonb and other user-defined types.
MIRROR: Mapping[str, Mapping[str, str]] = {
    "dataset": {"dataset_id": "S", "title": "S", "platform": "S", "attributes": "U"},
    "sample": {
        "sample_id": "S",
        "dataset_id": "S",
        "organism": "S",
        "is_cell_line": "B",
        "attributes": "U",
        "updated_at": "D",
    },
    "feature": {"feature_id": "N", "name": "S", "kind": "S", "biotype": "S"},
    "expression": {"sample_id": "S", "nnz": "N", "feature_ids": "A", "counts": "A"},
    "annotation": {
        "sample_id": "S",
        "field": "S",
        "value": "S",
        "numeric_value": "N",
        "term_id": "S",
        "source": "S",
    },
    "term": {"term_id": "S", "name": "S"},
    "term_parent": {"term_id": "S", "parent_id": "S"},
}
OPTIONAL_MIRROR: Mapping[str, Mapping[str, str]] = {
    "term_synonym": {"term_id": "S", "synonym": "S", "scope": "S"},
}
"""Relations that migrating creates, empty, if the atlas does not have them."""
_KINDS = {
    "S": "text",
    "N": "a number",
    "A": "an array",
    "B": "boolean",
    "D": "a time",
    "U": "jsonb",
}


def check_mirror(connection: psycopg.Connection, *, complete: bool = True) -> None:
    """Check that all relations and columns of schema ``atlas`` exist and have the right types.

    Parameters
    ----------
    connection
        Connection of any role.
    complete
        Whether an atlas with none of the relations is refused, too.

    Raises
    ------
    SchemaError
        Some are missing or of another type; the message names them.
    """
    rows = connection.execute(
        "select c.relname, a.attname, t.typcategory"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
        " join pg_type t on t.oid = a.atttypid"
        " where n.nspname = 'atlas' and c.relkind in ('r', 'p', 'v', 'm', 'f')"
        " and c.relname = any (%s)",
        ([*MIRROR, *OPTIONAL_MIRROR],),
    ).fetchall()
    found: dict[str, dict[str, str]] = {}
    for relation, column, category in rows:
        found.setdefault(relation, {})[column] = category
    if not found.keys() & MIRROR.keys() and not complete:
        return
    missing = [f"atlas.{name}" for name in MIRROR if name not in found]
    if missing:
        raise SchemaError(
            f"schema atlas is incomplete: {', '.join(missing)} missing; define them as views over"
            " the atlas's own tables, or remove the others to have all of them created"
        )
    problems = [
        f"atlas.{relation}.{column} must be {_KINDS[category]}"
        for relation, columns in {**MIRROR, **OPTIONAL_MIRROR}.items()
        for column, category in columns.items()
        if relation in found and found[relation].get(column) != category
    ]
    if problems:
        raise SchemaError(
            f"schema atlas does not fit: {'; '.join(problems)}; change these views (add the column"
            " or a cast)"
        )
