"""How the values in the mirror are understood, counted by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.imports import AS_GIVEN
from annotator.domain.values.reading import ValueUse, declared_words, value_use
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

    from annotator.domain.fields import FieldDefinition

# atlas.annotation instead of known_label, which leaves missing values out, and the attributes
# in which an import keeps values that it did not understand.
_COUNTED = """
select a.field::text, a.value::text, a.numeric_value::float8, count(*)
from atlas.annotation a
where a.field = any (%(names)s)
group by 1, 2, 3
union all
select named.field, s.attributes::jsonb ->> (named.field || %(as_given)s), null, count(*)
from atlas.sample s
cross join unnest(%(names)s::text[]) as named (field)
where s.attributes::jsonb ? (named.field || %(as_given)s)
group by 1, 2
"""


def read_value_use(
    conn: psycopg.Connection,
    fields: Mapping[str, FieldDefinition],
    names: Iterable[str] | None = None,
) -> tuple[ValueUse, ...]:
    """Count the values of fields that are used, and those that are not, in one query.

    Parameters
    ----------
    conn
        Connection of any role that may read the mirror.
    fields
        Definitions by name.
    names
        The fields to count; all by default.

    Returns
    -------
    tuple of ValueUse
        One per field, in the order of the definitions.
    """
    asked = [name for name in fields if names is None or name in set(names)]
    counted: dict[str, list[tuple[str | None, float | None, int]]] = {name: [] for name in asked}
    with conn.transaction():
        for name, *counts in conn.execute(_COUNTED, {"names": asked, "as_given": AS_GIVEN}):
            counted[name].append((counts[0], counts[1], counts[2]))
    return tuple(value_use(fields[name], counted[name]) for name in asked)


def declare_words(conn: psycopg.Connection, fields: Mapping[str, FieldDefinition]) -> None:
    """Store the words for a missing value that are values of a field; committed.

    A word such as "none" is a label of the fields whose vocabulary or synonyms contain it:
    ``annotator.known_label`` reads the stored words.
    Nothing is written if the words are the same as before.

    Parameters
    ----------
    conn
        Connection of a role that may write provenance.
    fields
        Definitions by name.
    """
    wanted = declared_words(fields)
    with committed(conn):
        rows = conn.execute("select field, word from annotator.declared_word").fetchall()
        known = {(field, word) for field, word in rows}
        for pair in sorted(known - wanted):
            conn.execute("delete from annotator.declared_word where field = %s and word = %s", pair)
        for pair in sorted(wanted - known):
            conn.execute(
                "insert into annotator.declared_word (field, word) values (%s, %s)"
                " on conflict do nothing",
                pair,
            )
