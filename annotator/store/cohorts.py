"""Reading cohorts: the labelled samples that a field is learned from."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain import FIELDS, Cohort, FieldDefinition, LabelScheme
from annotator.errors import InputError
from annotator.store.expression import read_profiles
from annotator.store.features import as_objects

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ReadCohort:
    """A cohort and its hash.

    Attributes
    ----------
    cohort
        Samples in the order of their ids.
    hash
        SHA-256 (hex) over the field and, for each sample, its id, dataset,
        label, known values and the hash of its expression.
    """

    cohort: Cohort
    hash: str


@dataclass(frozen=True, slots=True)
class _Label:
    """What is said of one sample."""

    sample_id: str
    dataset_id: str
    value: str
    number: float


_CURATED = """
select s.sample_id::text, s.dataset_id::text,
       coalesce(nullif(btrim(a.value::text), ''), a.numeric_value::text),
       a.numeric_value::float8
from atlas.annotation a
join atlas.sample s on s.sample_id = a.sample_id
where a.field::text = %(field)s
  and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN')
"""

# A curated value wins over a decided one, as it does in annotator.effective_annotation.
_DECIDED = """
union all
select s.sample_id::text, s.dataset_id::text, e.value, null
from annotator.effective_annotation e
join atlas.sample s on s.sample_id = e.sample_id
where e.field = %(field)s
  and not exists (
      select from atlas.annotation a
      where a.sample_id = e.sample_id and a.field = e.field
        and (btrim(a.value) <> '' or a.numeric_value::float8 <> 'NaN'))
"""


def read_cohort(conn: psycopg.Connection, field: str, learn_from_reviews: bool) -> ReadCohort:
    """Read every sample that has a value of a field and usable expression.

    Parameters
    ----------
    conn
        Read in the caller's transaction.
    field
        A key of :data:`annotator.domain.FIELDS`.
    learn_from_reviews
        Whether values that a curator accepted or corrected count as labels.

    Returns
    -------
    ReadCohort
        Its features are those of the field's kinds. ``values`` holds an
        interval that a curator accepted as it is, with NaN in ``numbers``.

    Raises
    ------
    InputError
        There is no such field.
    SchemaError
        A relation of the mirror is a view that breaks the contract.
    """
    if field not in FIELDS:
        raise InputError(f"there is no field {field!r}; known: {', '.join(FIELDS)}")
    definition = FIELDS[field]
    labels = _read_labels(conn, definition, learn_from_reviews)
    read = read_profiles(conn, list(labels), [str(kind) for kind in definition.feature_kinds])
    kept = [labels[sample_id] for sample_id in read.profiles.sample_ids]
    known = {
        name: as_objects(_known_values(conn, name, [one.sample_id for one in kept]))
        for name in definition.known_fields
    }
    cohort = Cohort(
        field=field,
        profiles=read.profiles,
        dataset_ids=as_objects([one.dataset_id for one in kept]),
        values=as_objects([one.value for one in kept]),
        numbers=np.array([one.number for one in kept], dtype=np.float64),
        known=known,
    )
    return ReadCohort(cohort, _hash(field, kept, known, read.hashes))


def _read_labels(
    conn: psycopg.Connection, definition: FieldDefinition, learn_from_reviews: bool
) -> dict[str, _Label]:
    """Return the label of each sample, by sample id in ascending order."""
    query = _CURATED + (_DECIDED if learn_from_reviews else "")
    rows = conn.execute(query, {"field": definition.name}).fetchall()
    labels: dict[str, _Label] = {}
    complete = [row for row in rows if None not in row[:3]]
    for sample_id, dataset_id, value, number in sorted(complete, key=lambda row: row[:3]):
        label = _Label(sample_id, dataset_id, value.strip(), _number(definition, value, number))
        is_number_or_name = not math.isnan(label.number) or value.strip().lower() != "nan"
        if label.value and is_number_or_name:
            labels.setdefault(sample_id, label)
    return labels


def _number(definition: FieldDefinition, value: str, number: float | None) -> float:
    """Return the label as a number, NaN where it is none; a view may give it as text."""
    if number is None and definition.scheme is LabelScheme.INTERVALS:
        try:
            number = float(value)
        except ValueError:
            return math.nan
    return number if number is not None and math.isfinite(number) else math.nan


def _known_values(conn: psycopg.Connection, field: str, sample_ids: Sequence[str]) -> list[str]:
    rows = conn.execute(
        "select sample_id::text, value from annotator.effective_annotation"
        " where field = %s and value is not null order by 1, 2",
        [field],
    ).fetchall()
    values: dict[str, str] = {}
    for sample_id, value in rows:
        values.setdefault(sample_id, value)
    return [values.get(sample_id, "") for sample_id in sample_ids]


def _hash(
    field: str,
    labels: Sequence[_Label],
    known: Mapping[str, NDArray[np.object_]],
    expression: NDArray[np.object_],
) -> str:
    content = hashlib.sha256(json.dumps([field, *known]).encode())
    for row, label in enumerate(labels):
        number = None if math.isnan(label.number) else label.number
        line = [
            label.sample_id,
            label.dataset_id,
            label.value,
            number,
            [values[row] for values in known.values()],
            expression[row],
        ]
        content.update(json.dumps(line).encode() + b"\n")
    return content.hexdigest()


def read_term_parents(conn: psycopg.Connection) -> Mapping[str, tuple[str, ...]]:
    """Read the ontology of the mirror.

    Returns
    -------
    Mapping
        Every term to its parents by name, ``()`` for a root.
    """
    rows = conn.execute(
        "select t.term_id::text, p.parent_id::text from atlas.term t"
        " left join atlas.term_parent p on p.term_id = t.term_id"
        " union select p.term_id::text, p.parent_id::text from atlas.term_parent p"
    ).fetchall()
    parents: dict[str, set[str]] = {term: set() for row in rows for term in row if term}
    for term, parent in rows:
        if term and parent:
            parents[term].add(parent)
    return {term: tuple(sorted(parents[term])) for term in sorted(parents)}
