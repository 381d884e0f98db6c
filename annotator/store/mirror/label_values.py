"""How the values in the mirror are understood, counted by value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.fields import spelling_key
from annotator.domain.imports import AS_GIVEN
from annotator.domain.values.reading import ValueUse, declared_words, value_use
from annotator.domain.wording import counted
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

    from annotator.domain.fields import FieldDefinition

# atlas.annotation instead of known_label, which leaves missing values out, and the attributes
# in which an import keeps values that it did not understand.
_COUNTED = """
select a.field::text, a.value::text, a.numeric_value::float8, count(*), false
from atlas.annotation a
where a.field = any (%(names)s)
group by 1, 2, 3
union all
select named.field, s.attributes::jsonb ->> (named.field || %(as_given)s), null, count(*), true
from atlas.sample s
cross join unnest(%(names)s::text[]) as named (field)
where s.attributes::jsonb ? (named.field || %(as_given)s)
group by 1, 2
"""

_ATTRIBUTES = """
select named.key, count(*)
from atlas.sample s
cross join jsonb_object_keys(
    case jsonb_typeof(s.attributes::jsonb) when 'object' then s.attributes::jsonb else '{}' end
) as named (key)
group by 1 order by 2 desc, 1
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
    kept: dict[str, list[tuple[str | None, int]]] = {name: [] for name in asked}
    with conn.transaction():
        rows = conn.execute(_COUNTED, {"names": asked, "as_given": AS_GIVEN})
        for name, value, number, count, is_kept in rows:
            if is_kept:
                kept[name].append((value, count))
            else:
                counted[name].append((value, number, count))
    return tuple(value_use(fields[name], counted[name], kept[name]) for name in asked)


def samples_with_attribute(
    conn: psycopg.Connection, fields: Iterable[FieldDefinition]
) -> dict[str, str]:
    """Find attributes that are named after fields, in any letter case and with any separators.

    Returns
    -------
    dict
        Field to the number of samples with such an attribute, in words.
    """
    with conn.transaction():
        rows = conn.execute(_ATTRIBUTES).fetchall()
    found = {}
    for each in fields:
        names = {spelling_key(name) for name in (each.name, *each.columns)}
        for name, count in rows:
            if spelling_key(name) in names:
                samples = counted(count, "sample has", "samples have")
                found[each.name] = f"{samples} an attribute {name!r}"
                break
    return found


def declare_words(conn: psycopg.Connection, fields: Mapping[str, FieldDefinition]) -> None:
    """Store the values and synonyms that the fields are declared with; committed.

    SQL reads them: a word such as "none" is a label of the fields that are declared with it
    (``annotator.known_label``), and a curator may correct a suggestion to a declared value
    or synonym (``annotator.vocabulary``, ``annotator.correct_suggestion``).
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
        rows = conn.execute("select field, word, value from annotator.declared_word").fetchall()
        known = {(field, word, value) for field, word, value in rows}
        for field, word, _ in sorted(known - wanted):
            conn.execute(
                "delete from annotator.declared_word where field = %s and word = %s", (field, word)
            )
        for each in sorted(wanted - known):
            conn.execute(
                "insert into annotator.declared_word (field, word, value) values (%s, %s, %s)"
                " on conflict do nothing",
                each,
            )
