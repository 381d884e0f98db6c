"""Reading cohorts, which are the labelled samples that a field is learned from."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.fields import FieldDefinition, LabelScheme
from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.domain.profiles import Cohort
from annotator.domain.values.lengths import length_problem
from annotator.domain.values.reading import ValueReader
from annotator.errors import SampleError
from annotator.store.mirror.expression import read_profiles
from annotator.store.mirror.features import as_objects
from annotator.store.sample_rows import CONTRADICTING_LABELS, read_bad_samples
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg
    from numpy.typing import NDArray


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
    copies
        Labelled samples that are not in the cohort because they are copies of others, with
        the reason. They are usable, so they are not quarantined.
    renamed
        Dataset to its names of features that are replaced by those of other datasets.
    """

    cohort: Cohort
    lines: NDArray[np.object_]
    left_out: Mapping[str, SampleError]
    updated_at: Mapping[str, str | None]
    copies: Mapping[str, SampleError] = field(default_factory=dict)
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

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


_CURATED = """
select s.sample_id::text, s.dataset_id::text, k.value, k.numeric_value,
       s.updated_at::timestamptz::text, s.organism
from annotator.known_label k
join annotator.sample_organism s on s.sample_id = k.sample_id
where k.field = %(field)s
"""

# A curated value takes precedence over a decision, as in annotator.effective_annotation.
_DECIDED = """
union all
select s.sample_id::text, s.dataset_id::text, e.value, e.numeric_value,
       s.updated_at::timestamptz::text, s.organism
from annotator.effective_annotation e
join annotator.sample_organism s on s.sample_id = e.sample_id
where e.field = %(field)s
  and not exists (
      select from annotator.known_label k
      where k.sample_id = e.sample_id and k.field = e.field)
"""


_LABELLED_ORGANISMS = """
select s.organism, count(distinct a.sample_id)
from annotator.effective_annotation a
join annotator.sample_organism s on s.sample_id = a.sample_id
where a.field = %(field)s and (a.origin = 'mirror' or %(learn_from_reviews)s)
group by s.organism
"""


def labelled_organisms(
    conn: psycopg.Connection, field: str, learn_from_reviews: bool
) -> Mapping[str, int]:
    """Return the organisms that have labels of a field, with the number of labelled samples.

    Parameters
    ----------
    conn
        Connection; the caller's transaction is used.
    field, learn_from_reviews
        As for :func:`read_cohort`.
    """
    rows = conn.execute(
        _LABELLED_ORGANISMS, {"field": field, "learn_from_reviews": learn_from_reviews}
    ).fetchall()
    return dict(rows)


def read_cohort(
    conn: psycopg.Connection,
    definition: FieldDefinition,
    learn_from_reviews: bool,
    organism: str = DEFAULT_ORGANISM,
) -> ReadCohort:
    """Read every sample of an organism that has one value of a field and usable rows.

    Parameters
    ----------
    conn
        Connection; the caller's transaction is used.
    definition
        The field.
    learn_from_reviews
        Whether values that a curator accepted or corrected count as labels.
    organism
        The organism, by the name of :func:`annotator.domain.organisms.organism_named`.

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
    labels, refused, updated_at = _read_labels(conn, definition, learn_from_reviews, organism)
    read = read_profiles(conn, list(labels), [str(kind) for kind in definition.feature_kinds])
    kept = [labels[sample_id] for sample_id in read.profiles.sample_ids]
    known = {
        name: as_objects(_known_values(conn, name, [one.sample_id for one in kept]))
        for name in definition.known_fields
    }
    cohort = Cohort(
        definition=definition,
        profiles=replace(read.profiles, organism=organism),
        dataset_ids=as_objects([one.dataset_id for one in kept]),
        values=as_objects([one.value for one in kept]),
        numbers=np.array([one.number for one in kept], dtype=np.float64),
        known=known,
    )
    return ReadCohort(
        cohort,
        _lines(kept, known, read.hashes),
        {**refused, **read.rejected},
        updated_at,
    )


def _read_labels(
    conn: psycopg.Connection, definition: FieldDefinition, learn_from_reviews: bool, organism: str
) -> tuple[dict[str, _Label], dict[str, SampleError], dict[str, str | None]]:
    """Return the label of each sample, by sample id in ascending order.

    Beside it are the labelled samples that cannot be used, with the reason, and the time of
    the last change of all of them.
    """
    query = _CURATED + (_DECIDED if learn_from_reviews else "")
    rows = conn.execute(query, {"field": definition.name}).fetchall()
    bad = read_bad_samples(conn)
    reader = ValueReader(definition)
    given: dict[str, list[_Label]] = {}
    refused: dict[str, SampleError] = {}
    updated_at: dict[str, str | None] = {}
    of_organism = [
        row[:5] for row in rows if row[5] == organism and row[0] and not length_problem(row[0])
    ]
    for sample_id, dataset_id, value, number, changed in sorted(of_organism, key=_order):
        if sample_id in bad:
            refused[sample_id] = bad[sample_id]
        elif value.strip():
            label = _Label(sample_id, dataset_id, value.strip(), _number(reader, value, number))
            given.setdefault(sample_id, []).append(label)
        updated_at.setdefault(sample_id, changed)
    labels: dict[str, _Label] = {}
    for sample_id, found in given.items():
        if len({_meaning(reader, label) for label in found}) > 1:
            refused[sample_id] = _contradicting(definition.name, found)
        else:
            labels[sample_id] = found[0]
    return labels, refused, updated_at


def _order(row: tuple[Any, ...]) -> tuple[str, str, str]:
    sample_id, dataset_id, value = row[:3]
    return sample_id, dataset_id or "", value


def _meaning(reader: ValueReader, label: _Label) -> float | str:
    if not math.isnan(label.number):
        return label.number
    return (reader.read(label.value).value or label.value).casefold()


def _contradicting(field: str, labels: Sequence[_Label]) -> SampleError:
    values = ", ".join(dict.fromkeys(repr(label.value) for label in labels))
    return SampleError(CONTRADICTING_LABELS, f"labels of {field} contradict each other: {values}")


def _number(reader: ValueReader, value: str, number: float | None) -> float:
    """Return the label as a number, NaN if it is none; a view may return it as text."""
    if number is None and reader.definition.scheme is LabelScheme.INTERVALS:
        number = reader.read(value).number
    return number if number is not None and math.isfinite(number) else math.nan


def _known_values(conn: psycopg.Connection, field: str, sample_ids: Sequence[str]) -> list[str]:
    rows = conn.execute(
        "select sample_id::text, value from annotator.effective_annotation"
        " where field = %s and value is not null order by 1, 2",
        [field],
    ).fetchall()
    values: dict[str, set[str]] = {}
    for sample_id, value in rows:
        values.setdefault(sample_id, set()).add(value)
    # Values that contradict each other are as good as none.
    return [
        next(iter(found)) if len(found := values.get(sample_id, set())) == 1 else ""
        for sample_id in sample_ids
    ]


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
