"""Rows of ``atlas.sample`` that cannot be used: without an id or a dataset, or repeated.

The mirror's own table refuses them. Behind views they are found here and left out, so that
they do not stop the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import SampleError

if TYPE_CHECKING:
    import psycopg

NO_DATASET, REPEATED_SAMPLE = "no_dataset", "repeated_sample"
CONTRADICTING_LABELS = "contradicting_labels"

# Codes of problems that may be solved without a change of updated_at, as an array in SQL: they
# are looked for again and never taken from annotator.quarantine.
CHECKED_AGAIN = "'{no_dataset,repeated_sample,contradicting_labels}'::text[]"

# Read only if the parameter is true: the mirror's own table need not be searched.
REPEATED = """
    select o.sample_id from atlas.sample o
    where %(bad_rows)s::boolean group by o.sample_id having count(*) > 1
"""

# The same conditions as those on pending samples in annotator.store.answers.work.
BAD_SAMPLES = """
select
    s.sample_id::text as sample_id,
    case when count(*) > 1 then 'repeated_sample' else 'no_dataset' end as code,
    case when count(*) > 1 then left(format(
        'atlas.sample has %%s rows of the sample (datasets: %%s)', count(*),
        string_agg(distinct coalesce(nullif(s.dataset_id::text, ''), 'none'), ', ')
    ), 500) else 'the sample has no dataset_id in atlas.sample' end as reason
from atlas.sample s
where s.sample_id <> ''
group by s.sample_id
having count(*) > 1 or not bool_and(coalesce(s.dataset_id <> '', false))
"""

_WITHOUT_ID = "select count(*) from atlas.sample where not coalesce(sample_id <> '', false)"

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
    """Count the rows of ``atlas.sample`` whose id is NULL or empty."""
    row = conn.execute(_WITHOUT_ID).fetchone()
    assert row is not None
    return int(row[0])
