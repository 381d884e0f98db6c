"""Reading cohorts, which are the labelled samples that a field is learned from."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FieldDefinition, LabelScheme
from annotator.domain.profiles import Cohort
from annotator.store.mirror.expression import read_profiles
from annotator.store.mirror.features import as_objects
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray

    from annotator.errors import SampleError


@dataclass(frozen=True, eq=False)
class ReadCohort:
    """A cohort, and the lines from which its hash is computed.

    Attributes
    ----------
    cohort
        Samples in the order of their ids.
    lines
        One JSON line per sample: its id, dataset, label, known values and the hash of
        its expression, dtype object (str).
    left_out
        Labelled samples that are not in the cohort, with the reason.
    updated_at
        Time of the last change of each labelled sample when it was read, as text.
    """

    cohort: Cohort
    lines: NDArray[np.object_]
    left_out: Mapping[str, SampleError]
    updated_at: Mapping[str, str | None]

    @property
    def hash(self) -> str:
        """SHA-256 (hex) over the field, its known fields and the lines."""
        content = hashlib.sha256(json.dumps([self.cohort.field, *self.cohort.known]).encode())
        for line in self.lines.tolist():
            content.update(line.encode() + b"\n")
        return content.hexdigest()


@dataclass(frozen=True, slots=True)
class _Label:
    """The label of one sample."""

    sample_id: str
    dataset_id: str
    value: str
    number: float
    updated_at: str | None


_CURATED = """
select s.sample_id::text, s.dataset_id::text, k.value, k.numeric_value,
       s.updated_at::timestamptz::text
from annotator.known_label k
join atlas.sample s on s.sample_id = k.sample_id
where k.field = %(field)s
"""

# A curated value takes precedence over a decision, as in annotator.effective_annotation.
_DECIDED = """
union all
select s.sample_id::text, s.dataset_id::text, e.value, e.numeric_value,
       s.updated_at::timestamptz::text
from annotator.effective_annotation e
join atlas.sample s on s.sample_id = e.sample_id
where e.field = %(field)s
  and not exists (
      select from annotator.known_label k
      where k.sample_id = e.sample_id and k.field = e.field)
"""


def read_cohort(
    conn: psycopg.Connection, definition: FieldDefinition, learn_from_reviews: bool
) -> ReadCohort:
    """Read every sample that has a value of a field and usable expression.

    Parameters
    ----------
    conn
        Connection; the caller's transaction is used.
    definition
        The field.
    learn_from_reviews
        Whether values that a curator accepted or corrected count as labels.

    Returns
    -------
    ReadCohort
        Its features are of the kinds that the field uses. If a curator decided on an
        interval, ``values`` contains it unchanged; ``numbers`` has the number that
        the curator gave, NaN if only the interval is known.

    Raises
    ------
    SchemaError
        A relation of the mirror is a view that violates the contract.
    """
    labels = _read_labels(conn, definition, learn_from_reviews)
    read = read_profiles(conn, list(labels), [str(kind) for kind in definition.feature_kinds])
    kept = [labels[sample_id] for sample_id in read.profiles.sample_ids]
    known = {
        name: as_objects(_known_values(conn, name, [one.sample_id for one in kept]))
        for name in definition.known_fields
    }
    cohort = Cohort(
        definition=definition,
        profiles=read.profiles,
        dataset_ids=as_objects([one.dataset_id for one in kept]),
        values=as_objects([one.value for one in kept]),
        numbers=np.array([one.number for one in kept], dtype=np.float64),
        known=known,
    )
    return ReadCohort(
        cohort,
        _lines(kept, known, read.hashes),
        read.rejected,
        {sample_id: label.updated_at for sample_id, label in labels.items()},
    )


def _read_labels(
    conn: psycopg.Connection, definition: FieldDefinition, learn_from_reviews: bool
) -> dict[str, _Label]:
    """Return the label of each sample, by sample id in ascending order."""
    query = _CURATED + (_DECIDED if learn_from_reviews else "")
    rows = conn.execute(query, {"field": definition.name}).fetchall()
    labels: dict[str, _Label] = {}
    complete = [row for row in rows if None not in row[:3]]
    for sample_id, dataset_id, value, number, updated_at in sorted(
        complete, key=lambda row: row[:3]
    ):
        label = _Label(
            sample_id,
            dataset_id,
            value.strip(),
            _number(definition, value, number),
            updated_at,
        )
        if label.value:
            labels.setdefault(sample_id, label)
    return labels


def _number(definition: FieldDefinition, value: str, number: float | None) -> float:
    """Return the label as a number, NaN if it is none; a view may return it as text."""
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


def _lines(
    labels: Sequence[_Label],
    known: Mapping[str, NDArray[np.object_]],
    expression: NDArray[np.object_],
) -> NDArray[np.object_]:
    lines = []
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
        lines.append(json.dumps(line))
    return as_objects(lines)


# Only the state of the sample that was read is quarantined, not later ones.
_QUARANTINE = """
insert into annotator.quarantine (sample_id, field, sample_updated_at, code, reason)
select given.sample_id, %(field)s, given.updated_at::timestamptz, given.code, given.reason
from unnest(%(samples)s::text[], %(updated_at)s::text[], %(codes)s::text[], %(reasons)s::text[])
    as given (sample_id, updated_at, code, reason)
order by given.sample_id
on conflict do nothing
"""


def quarantine_left_out(conn: psycopg.Connection, read: ReadCohort) -> int:
    """Quarantine the labelled samples that cannot be used; committed.

    Nothing is changed for a sample that is quarantined already in the state in which the
    cohort was read.

    Returns
    -------
    int
        Number of samples that were quarantined now.
    """
    names = list(read.left_out)
    with committed(conn):
        return conn.execute(
            _QUARANTINE,
            {
                "field": read.cohort.field,
                "samples": names,
                "updated_at": [read.updated_at[name] for name in names],
                "codes": [error.code for error in read.left_out.values()],
                "reasons": [error.reason for error in read.left_out.values()],
            },
        ).rowcount
