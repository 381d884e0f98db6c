"""The ontology of the mirror: its terms, and the labels that mean them."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from annotator.domain.fields import LabelScheme
from annotator.domain.terms import LabelMatches, Match, Scope, Synonym, Term, TermIndex
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    import psycopg

    from annotator.domain.fields import FieldDefinition

NEAREST = 20
"""Number of unknown labels, those of most samples first, that the nearest terms are found for."""


def apply_terms(conn: psycopg.Connection, terms: Sequence[Term]) -> int:
    """Add or update terms: each gets exactly the given name, parents and synonyms.

    Parents that are not among the terms and not in the mirror become terms without parents.

    Returns
    -------
    int
        Number of terms that were added.

    Raises
    ------
    InputError
        A term is its own parent.
    """
    for term in terms:
        if term.term_id in term.parents:
            raise InputError(f"the term {term.term_id!r} is its own parent")
    before: dict[str, str] = dict(conn.execute("select term_id, name from atlas.term").fetchall())
    names = {parent: parent for term in terms for parent in term.parents}
    names |= {term.term_id: term.name for term in terms}
    new = {term: name for term, name in names.items() if term not in before}
    conn.execute(
        "insert into atlas.term (term_id, name) select * from unnest(%s::text[], %s::text[])",
        [[*new], [*new.values()]],
    )
    # A table without names, or without a line for a parent, has only the id.
    renamed = {
        term: name
        for term, name in names.items()
        if term in before and name not in (term, before[term])
    }
    conn.execute(
        "update atlas.term t set name = given.name"
        " from unnest(%s::text[], %s::text[]) as given (term_id, name)"
        " where t.term_id = given.term_id",
        [[*renamed], [*renamed.values()]],
    )
    parents = [(term.term_id, parent) for term in terms for parent in term.parents]
    synonyms = [
        (term.term_id, one.text, one.scope.value) for term in terms for one in term.synonyms
    ]
    given = {term.term_id for term in terms}
    _replace(conn, "term_parent", ("term_id", "parent_id"), given, parents)
    _replace(conn, "term_synonym", ("term_id", "synonym", "scope"), given, synonyms)
    if new:
        conn.execute("analyze atlas.term, atlas.term_parent, atlas.term_synonym")
    return len(new)


def _replace(
    conn: psycopg.Connection,
    table: str,
    columns: Sequence[str],
    terms: Set[str],
    rows: Sequence[tuple[str, ...]],
) -> None:
    """Give terms exactly these rows of text in a table; only differences are written.

    They are compared here: joins with arrays of this length are planned badly.
    """
    listed = ", ".join(columns)
    arrays = ", ".join(["%s::text[]"] * len(columns))
    found = conn.execute(f"select {listed} from atlas.{table}".encode()).fetchall()  # noqa: S608
    before = {row for row in found if row[0] in terms}
    wanted = dict.fromkeys(rows)
    same = " and ".join(f"t.{name} = given.{name}" for name in columns)
    gone = sorted(before - wanted.keys())
    if gone:
        conn.execute(
            f"delete from atlas.{table} t"  # noqa: S608
            f" using unnest({arrays}) as given ({listed}) where {same}".encode(),
            [[row[place] for row in gone] for place in range(len(columns))],
        )
    added = [row for row in wanted if row not in before]
    conn.execute(
        f"insert into atlas.{table} ({listed}) select * from unnest({arrays})".encode(),  # noqa: S608
        [[row[place] for row in added] for place in range(len(columns))],
    )


def read_terms(conn: psycopg.Connection) -> TermIndex:
    """Read the ontology of the mirror; terms that are only named as parents are included."""
    names: dict[str, str] = dict(
        conn.execute(
            "select term_id::text, coalesce(nullif(btrim(name::text), ''), term_id::text)"
            " from atlas.term where term_id is not null order by 1, 2 desc"
        ).fetchall()
    )
    parents: dict[str, set[str]] = defaultdict(set)
    for term, parent in conn.execute(
        "select term_id::text, parent_id::text from atlas.term_parent"
        " where term_id is not null and parent_id is not null"
    ).fetchall():
        names.setdefault(term, term)
        names.setdefault(parent, parent)
        parents[term].add(parent)
    synonyms: dict[str, list[Synonym]] = defaultdict(list)
    for term, text, scope in conn.execute(
        "select term_id::text, synonym::text, scope::text from atlas.term_synonym order by 1, 2, 3"
    ).fetchall():
        if text and scope in set(Scope):
            synonyms[term].append(Synonym(text, Scope(scope)))
    return TermIndex(
        Term(term, name, tuple(sorted(parents[term])), tuple(synonyms[term]))
        for term, name in names.items()
    )


def has_terms(conn: psycopg.Connection) -> bool:
    """Return whether the mirror has an ontology."""
    return conn.execute("select from atlas.term limit 1").fetchone() is not None


def match_labels(
    counts: Iterable[tuple[str, str, int]], index: TermIndex
) -> tuple[LabelMatches, ...]:
    """Find the term of every value of the ontology fields.

    Parameters
    ----------
    counts
        Field, value and number of samples, once per field and value.
    index
        The terms.

    Returns
    -------
    tuple of LabelMatches
        One per field, by name.
    """
    samples: dict[str, Counter[str]] = defaultdict(Counter)
    for field, value, number in counts:
        samples[field][value] += number
    return tuple(_matches(field, samples[field], index) for field in sorted(samples))


def _matches(field: str, samples: Counter[str], index: TermIndex) -> LabelMatches:
    found: Counter[Match] = Counter()
    unknown: dict[str, tuple[int, tuple[str, ...]]] = {}
    for value, number in sorted(samples.items(), key=lambda each: (-each[1], each[0])):
        match = index.find(value)
        if match is not None:
            found[match[1]] += 1
        else:
            nearest = index.nearest(value) if len(unknown) < NEAREST else ()
            unknown[value] = (number, nearest)
    return LabelMatches(field, dict(found), unknown, samples.total())


def ontology_fields(fields: Mapping[str, FieldDefinition]) -> list[str]:
    """Return the names of the fields whose values are terms."""
    return [name for name, one in fields.items() if one.scheme is LabelScheme.ONTOLOGY]


def mirror_labels(conn: psycopg.Connection, fields: Sequence[str]) -> list[tuple[str, str, int]]:
    """Read the labels of some fields: field, value and number of samples."""
    rows = conn.execute(
        "select k.field::text, k.value, count(*) from annotator.known_label k"
        " where k.field = any(%s) group by 1, 2 order by 1, 2",
        [list(fields)],
    ).fetchall()
    return [(field, value, number) for field, value, number in rows]


def terms_per_prefix(conn: psycopg.Connection) -> dict[str, int]:
    """Count the terms per prefix of their ids, such as BTO; ``""`` for terms without one."""
    rows = conn.execute(
        "select coalesce(substring(t.term_id::text from '^([A-Za-z][A-Za-z0-9]*):'), ''), count(*)"
        " from atlas.term t where t.term_id is not null group by 1 order by 2 desc, 1"
    ).fetchall()
    return dict(rows)


def update_term_ids(
    conn: psycopg.Connection, table: str, fields: Sequence[str], index: TermIndex
) -> None:
    """Set ``term_id`` of the annotations of some fields to the terms that their values mean.

    An annotation whose value means no term keeps the ``term_id`` that it has.

    Parameters
    ----------
    conn
        Connection; its open transaction is used.
    table
        A table with columns ``field``, ``value`` and ``term_id``.
    fields
        The fields.
    index
        The terms of the mirror.
    """
    values = [
        row[0]
        for row in conn.execute(
            f"select distinct value from {table}"  # noqa: S608
            " where field = any(%s) and value is not null".encode(),
            [list(fields)],
        ).fetchall()
    ]
    found = {value: match[0] for value in values if (match := index.find(value)) is not None}
    conn.execute(
        f"update {table} n set term_id = given.term_id"  # noqa: S608
        " from unnest(%s::text[], %s::text[]) as given (value, term_id)"
        " where n.field = any(%s) and n.value = given.value"
        " and n.term_id is distinct from given.term_id".encode(),
        [[*found], [*found.values()], list(fields)],
    )
