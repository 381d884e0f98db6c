"""Rows of ``atlas.sample`` that cannot be used: without an id or a dataset, or repeated.

An id that is too long is none. The mirror's own table refuses such rows. Behind views they are
found here and left out, so that they do not stop the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.values.lengths import LONGEST_NAME
from annotator.errors import SampleError

if TYPE_CHECKING:
    import psycopg

NO_DATASET, REPEATED_SAMPLE = "no_dataset", "repeated_sample"
CONTRADICTING_LABELS = "contradicting_labels"

# Codes of problems that may be solved without a change of updated_at, as an array in SQL: they
# are looked for again and never taken from annotator.quarantine.
CHECKED_AGAIN = "'{no_dataset,repeated_sample,contradicting_labels}'::text[]"

_IS_NO_NAME = f"octet_length({{}}::text) between 1 and {LONGEST_NAME} is not true"

# Read only if the parameter is true: the mirror's own table need not be searched.
UNUSABLE = f"""
    select o.sample_id from atlas.sample o
    where %(bad_rows)s::boolean group by o.sample_id
    having count(*) > 1 or {_IS_NO_NAME.format("o.sample_id")}
        or bool_or({_IS_NO_NAME.format("o.dataset_id")})
"""  # noqa: S608 constant text

# The same conditions as those on pending samples in annotator.store.answers.work.
BAD_SAMPLES = f"""
select
    s.sample_id::text as sample_id,
    case when count(*) > 1 then 'repeated_sample' else 'no_dataset' end as code,
    case when count(*) > 1 then left(format(
        'atlas.sample has %%s rows of the sample (datasets: %%s)', count(*),
        string_agg(distinct coalesce(nullif(s.dataset_id::text, ''), 'none'), ', ')
    ), 500) when bool_and(s.dataset_id <> '') then
        'the dataset_id in atlas.sample is longer than {LONGEST_NAME:,} bytes'
    else 'the sample has no dataset_id in atlas.sample' end as reason
from atlas.sample s
where not ({_IS_NO_NAME.format("s.sample_id")})
group by s.sample_id
having count(*) > 1 or bool_or({_IS_NO_NAME.format("s.dataset_id")})
"""  # noqa: S608 constant text

_WITHOUT_ID = f"select count(*) from atlas.sample where {_IS_NO_NAME.format('sample_id')}"  # noqa: S608

# A primary key on sample_id alone also excludes ids that are NULL.
_IS_KEYED = """
select exists (
    select from pg_index i
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = 'atlas.sample'::regclass and i.indisprimary and i.indnkeyatts = 1
      and a.attname = 'sample_id'
) and exists (
    select from pg_attribute a
    where a.attrelid = 'atlas.sample'::regclass and a.attname = 'dataset_id' and a.attnotnull
)
"""


def may_have_bad_rows(conn: psycopg.Connection) -> bool:
    """Return whether ``atlas.sample`` is a view, or a table without the mirror's constraints."""
    row = conn.execute(_IS_KEYED).fetchone()
    assert row is not None
    return not row[0]


def read_bad_samples(conn: psycopg.Connection) -> dict[str, SampleError]:
    """Find samples without a dataset or with more than one row, with the reason.

    Nothing is read if the table has the mirror's constraints.

    Parameters
    ----------
    conn
        Connection; the caller's transaction is used.
    """
    if not may_have_bad_rows(conn):
        return {}
    rows = conn.execute(BAD_SAMPLES, {}).fetchall()
    return {sample_id: SampleError(code, reason) for sample_id, code, reason in rows}


def rows_without_id(conn: psycopg.Connection) -> int:
    """Count the rows of ``atlas.sample`` whose id is NULL, empty or too long."""
    row = conn.execute(_WITHOUT_ID).fetchone()
    assert row is not None
    return int(row[0])
