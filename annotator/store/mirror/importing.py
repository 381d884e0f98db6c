"""Applying an import to the mirror, in one transaction.

The files change what they give of the samples they list: features, attributes and
annotations that they do not have are kept, unless the files are to replace everything.
Only differences are written, so that importing the same files again changes nothing.
No lock blocks readers; imports wait for one another.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from annotator.domain.fields import FIELDS, FeatureKind
from annotator.domain.imports import AS_GIVEN, ImportSummary, SampleRecord, UnnamedFeatures
from annotator.domain.values.lengths import length_problem
from annotator.domain.wording import some
from annotator.errors import InputError, NeedsPersonError
from annotator.store.mirror.merging import merge_expression
from annotator.store.mirror.signatures import copies_of
from annotator.store.mirror.terms import (
    apply_terms,
    has_terms,
    match_labels,
    mirror_labels,
    ontology_fields,
    read_terms,
    update_term_ids,
)
from annotator.store.server.locks import wait_for_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.imports import ImportedCounts
    from annotator.domain.terms import LabelMatches, Term

SOURCE = "import"
_ADVICE = "files cannot be imported here; add the data to that atlas"
_TABLES = [
    *("dataset", "sample", "feature", "expression", "annotation"),
    *("term", "term_parent", "term_synonym"),
]


def apply_import(
    conn: psycopg.Connection,
    *,
    samples: Sequence[SampleRecord],
    counts: ImportedCounts,
    terms: Sequence[Term] = (),
    fields: Mapping[str, FieldDefinition] = FIELDS,
    replace: bool = False,
) -> ImportSummary:
    """Update the mirror from the files of an import.

    A sample whose expression changes keeps the features that are not named and
    gets a new ``updated_at``. An annotation of an earlier import is removed if its value is
    missing now; one from another source is kept unless the files have a value.
    Terms in ``terms`` get exactly the names, parents and synonyms given there.

    Parameters
    ----------
    conn
        Connection; its open transaction is used, or else a new one.
    samples
        All samples that may occur in ``counts``, once each.
    counts
        The counts of some or all of them.
    terms
        The terms of the ontology, if one was given.
    fields
        Definitions by name. For fields of the ontology scheme, values are looked up among
        the terms.
    replace
        Whether the files are the whole truth about their samples: features of the same kind,
        attributes and annotations of earlier imports that the files do not have are removed,
        and samples may move to another dataset.

    Returns
    -------
    ImportSummary

    Raises
    ------
    InputError
        The input contradicts itself or the mirror, or samples would move to another dataset;
        nothing was changed.
    NeedsPersonError
        The mirror consists of views over another atlas.
    """
    _check_input(samples, counts.feature_names, counts.kind)
    with conn.transaction():
        wait_for_imports(conn)
        check_own_tables(conn, _ADVICE)
        terms_added = apply_terms(conn, terms)
        features_added = _apply_features(conn, counts.feature_names, counts.kind)
        _stage(conn, samples, replace=replace)
        labels = _match_terms(conn, fields, has_new_terms=bool(terms))
        moved = _moved(conn, replace=replace)
        attributes_kept = 0 if replace else _number(conn, _KEPT_ATTRIBUTES)
        datasets_added = conn.execute(_NEW_DATASETS).rowcount
        changed = set(_ids(conn, _CHANGED_SAMPLES))
        added = set(_ids(conn, _NEW_SAMPLES))
        annotated = [
            sample_id
            for statement in (_GONE_ANNOTATIONS, _CHANGED_ANNOTATIONS, _NEW_ANNOTATIONS)
            for sample_id in _ids(conn, statement)
        ]
        merged = merge_expression(conn, samples, counts, added, replace=replace)
        changed = (changed | set(annotated) | merged.changed) - added
        conn.execute("drop table pg_temp.import_sample, pg_temp.import_annotation")
        if added or changed:
            # So that the planner knows of the new rows before autovacuum does.
            conn.execute(
                "analyze atlas.sample, atlas.feature, atlas.annotation,"
                " atlas.expression (sample_id, nnz)"
            )
        copies = copies_of(conn, merged.changed)
    return ImportSummary(
        datasets_added=datasets_added,
        samples_added=len(added),
        samples_changed=len(changed),
        samples_unchanged=len(samples) - len(added) - len(changed),
        features_added=features_added,
        annotations_changed=len(annotated),
        terms_added=terms_added,
        samples_moved=moved,
        counts_changed=merged.counts_changed,
        expression_repaired=merged.repaired,
        kept=UnnamedFeatures() if replace else merged.unnamed,
        removed=merged.unnamed if replace else UnnamedFeatures(),
        attributes_kept=attributes_kept,
        copies=copies,
        labels=labels,
    )


def _check_input(samples: Sequence[SampleRecord], feature_names: Sequence[str], kind: str) -> None:
    if kind not in set(FeatureKind):
        raise InputError(f"features cannot be {kind!r}; known: {', '.join(FeatureKind)}")
    for what, names in (
        ("sample", [record.sample_id for record in samples]),
        ("feature", feature_names),
    ):
        seen: set[str] = set()
        for name in names:
            if not name or name in seen:
                raise InputError(
                    f"{what} {name!r} is given twice" if name else f"a {what} has no id"
                )
            seen.add(name)
            if problem := length_problem(name):
                raise InputError(f"the {what} id or name is {problem}")


def wait_for_imports(conn: psycopg.Connection) -> None:
    """Be the only one that writes to the mirror until the transaction ends."""
    wait_for_lock(conn, "import")


def check_own_tables(conn: psycopg.Connection, advice: str) -> None:
    """Refuse a mirror of views over another atlas, with advice for the person.

    Raises
    ------
    NeedsPersonError
        A relation of the mirror is not a table.
    """
    rows = conn.execute(
        "select relname from pg_class where relnamespace = 'atlas'::regnamespace"
        " and relname = any(%s) and relkind not in ('r', 'p') order by relname",
        [_TABLES],
    ).fetchall()
    if rows:
        raise NeedsPersonError(
            f"atlas.{rows[0][0]} is not a table of this program but a view over another atlas:"
            f" {advice}"
        )


def _ids(conn: psycopg.Connection, statement: str) -> list[str]:
    return [row[0] for row in conn.execute(statement).fetchall()]


def _number(conn: psycopg.Connection, statement: str) -> int:
    row = conn.execute(statement).fetchone()
    assert row is not None
    return int(row[0])


# --- features -----------------------------------------------------------------------------------


def _apply_features(conn: psycopg.Connection, names: Sequence[str], kind: str) -> int:
    other = conn.execute(
        "select name, kind from atlas.feature where name = any(%s) and kind <> %s"
        " order by name limit 1",
        [[*names], kind],
    ).fetchone()
    if other is not None:
        raise InputError(
            f"feature {other[0]!r} is a {other[1]} in the mirror and cannot be imported as {kind}"
        )
    # An anti-join instead of ON CONFLICT, which would use up an id for every existing name.
    return conn.execute(
        "insert into atlas.feature (name, kind)"
        " select given.name, %s from unnest(%s::text[]) with ordinality as given (name, place)"
        " where not exists (select from atlas.feature f where f.name = given.name)"
        " order by given.place",
        [kind, [*names]],
    ).rowcount


def import_terms(
    conn: psycopg.Connection,
    terms: Sequence[Term],
    fields: Mapping[str, FieldDefinition] = FIELDS,
) -> ImportSummary:
    """Update the ontology of the mirror alone, and the terms of its labels.

    Raises
    ------
    NeedsPersonError
        The mirror consists of views over another atlas.
    """
    with conn.transaction():
        wait_for_imports(conn)
        check_own_tables(conn, _ADVICE)
        added = apply_terms(conn, terms)
        of_terms = ontology_fields(fields)
        index = read_terms(conn)
        update_term_ids(conn, "atlas.annotation", of_terms, index)
        labels = match_labels(mirror_labels(conn, of_terms), index)
    return ImportSummary(terms_added=added, labels=labels)


# --- samples and annotations --------------------------------------------------------------------

_STAGING = (
    "create temporary table import_sample (sample_id text primary key, dataset_id text,"
    " organism text, is_cell_line boolean, attributes jsonb, given_fields text[],"
    " given_columns text[], replaces boolean not null default false) on commit drop",
    "create temporary table import_annotation (sample_id text, field text, value text,"
    " numeric_value double precision, term_id text, primary key (sample_id, field)) on commit drop",
)

_MOVED = """
select s.sample_id, s.dataset_id, i.dataset_id
from pg_temp.import_sample i
join atlas.sample s on s.sample_id = i.sample_id
where s.dataset_id <> i.dataset_id
order by s.sample_id
"""

_KEPT_ATTRIBUTES = """
select count(distinct kept.name)
from pg_temp.import_sample i
join atlas.sample s on s.sample_id = i.sample_id
cross join lateral jsonb_object_keys(s.attributes - i.given_columns) as kept (name)
"""

_NEW_DATASETS = """
insert into atlas.dataset (dataset_id)
select distinct i.dataset_id from pg_temp.import_sample i
where not exists (select from atlas.dataset d where d.dataset_id = i.dataset_id)
"""

_CHANGED_SAMPLES = """
update atlas.sample s
set dataset_id = now.dataset_id,
    organism = now.organism,
    is_cell_line = now.is_cell_line,
    attributes = now.attributes
from (
    select
        before.sample_id,
        i.dataset_id,
        coalesce(i.organism, before.organism) as organism,
        case when i.replaces or 'is_cell_line' = any (i.given_columns) then i.is_cell_line
            else coalesce(i.is_cell_line, before.is_cell_line) end as is_cell_line,
        case when i.replaces then i.attributes
            else before.attributes - i.given_columns || i.attributes end as attributes
    from pg_temp.import_sample i
    join atlas.sample before on before.sample_id = i.sample_id
) now
where now.sample_id = s.sample_id
  and (s.dataset_id, s.organism, s.is_cell_line, s.attributes) is distinct from
      (now.dataset_id, now.organism, now.is_cell_line, now.attributes)
returning s.sample_id
"""

_NEW_SAMPLES = """
insert into atlas.sample (sample_id, dataset_id, organism, is_cell_line, attributes)
select i.sample_id, i.dataset_id, coalesce(i.organism, 'Homo sapiens'), i.is_cell_line, i.attributes
from pg_temp.import_sample i
where not exists (select from atlas.sample s where s.sample_id = i.sample_id)
returning sample_id
"""

_GONE_ANNOTATIONS = f"""
delete from atlas.annotation a
using pg_temp.import_sample i
where a.sample_id = i.sample_id and (i.replaces or a.field = any (i.given_fields))
  and a.source = '{SOURCE}'
  and not exists (
      select from pg_temp.import_annotation n
      where n.sample_id = a.sample_id and n.field = a.field)
returning a.sample_id
"""  # noqa: S608

_CHANGED_ANNOTATIONS = f"""
update atlas.annotation a
set value = n.value, numeric_value = n.numeric_value, term_id = n.term_id, source = '{SOURCE}'
from pg_temp.import_annotation n
where n.sample_id = a.sample_id and n.field = a.field
  and (a.value, a.numeric_value, a.term_id, a.source) is distinct from
      (n.value, n.numeric_value, n.term_id, '{SOURCE}')
returning a.sample_id
"""  # noqa: S608

_NEW_ANNOTATIONS = f"""
insert into atlas.annotation (sample_id, field, value, numeric_value, term_id, source)
select n.sample_id, n.field, n.value, n.numeric_value, n.term_id, '{SOURCE}'
from pg_temp.import_annotation n
where not exists (
    select from atlas.annotation a where a.sample_id = n.sample_id and a.field = n.field)
returning sample_id
"""  # noqa: S608


def _stage(
    conn: psycopg.Connection,
    samples: Sequence[SampleRecord],
    *,
    replace: bool,
) -> None:
    """Put the samples and their annotations into temporary tables."""
    for statement in _STAGING:
        conn.execute(statement)
    _copy(
        conn,
        "import_sample",
        (
            "sample_id",
            "dataset_id",
            "organism",
            "is_cell_line",
            "attributes",
            "given_fields",
            "given_columns",
            "replaces",
        ),
        (
            (
                one.sample_id,
                one.dataset_id,
                one.organism,
                one.is_cell_line,
                json.dumps(dict(one.attributes), ensure_ascii=False),
                sorted(one.given_fields),
                _given_attributes(one),
                replace,
            )
            for one in samples
        ),
    )
    _copy(
        conn,
        "import_annotation",
        ("sample_id", "field", "value", "numeric_value"),
        (
            (one.sample_id, name, one.values.get(name), one.numbers.get(name))
            for one in samples
            for name in {**one.values, **one.numbers}
        ),
    )
    conn.execute("analyze pg_temp.import_sample, pg_temp.import_annotation")


def _given_attributes(record: SampleRecord) -> list[str]:
    """Return the attributes that a record gives, also those that are removed by an empty cell.

    The column of a field replaces an attribute of that name, from before the field was declared.
    """
    as_given = (f"{name}{AS_GIVEN}" for name in record.given_fields)
    return sorted({*record.given_columns, *record.attributes, *record.given_fields, *as_given})


def _match_terms(
    conn: psycopg.Connection, fields: Mapping[str, FieldDefinition], *, has_new_terms: bool
) -> tuple[LabelMatches, ...]:
    """Set the terms of the staged annotations; if there are new terms, also of those before."""
    of_terms = ontology_fields(fields)
    if not of_terms or not has_terms(conn):
        return ()
    index = read_terms(conn)
    if has_new_terms:
        update_term_ids(conn, "atlas.annotation", of_terms, index)
    update_term_ids(conn, "pg_temp.import_annotation", of_terms, index)
    rows = conn.execute(
        "select field, value, count(*) from pg_temp.import_annotation"
        " where field = any(%s) and value is not null group by 1, 2",
        [of_terms],
    ).fetchall()
    return match_labels(rows, index)


def _moved(conn: psycopg.Connection, *, replace: bool) -> int:
    """Return the number of samples that move to another dataset; refuse them unless asked for."""
    moved = conn.execute(_MOVED).fetchall()
    if moved and not replace:
        shown = some(moved, lambda row: f"{row[0]!r} from {row[1]!r} to {row[2]!r}", most=3)
        raise InputError(
            f"samples would move to another dataset ({len(moved)} in all): {shown};"
            " if they are other samples with the same ids, add --sample-prefix; to move them,"
            " add --replace"
        )
    return len(moved)


def _copy(
    conn: psycopg.Connection, table: str, columns: Sequence[str], rows: Iterator[tuple[Any, ...]]
) -> None:
    statement = sql.SQL("copy pg_temp.{} ({}) from stdin").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
