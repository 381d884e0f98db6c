"""Quarantine of samples whose rows in ``atlas.sample`` cannot be used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from annotator.store.events import add_event
from annotator.store.sample_rows import BAD_SAMPLES, may_have_bad_rows, rows_without_id
from annotator.store.server.schema import hold_schema
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    import psycopg

logger = logging.getLogger(__name__)

# Samples with a label or a decision have no gap; a retraining leaves them out itself.
# Predictions are locked in the order in which annotator.accept_dataset locks them.
_QUARANTINE = f"""
with bad as materialized ({BAD_SAMPLES}), waiting as materialized (
    select distinct bad.sample_id, bad.code, bad.reason, s.updated_at
    from bad
    join atlas.sample s on s.sample_id = bad.sample_id
    where not exists (
        select from annotator.known_label k
        where k.sample_id = bad.sample_id and k.field = %(field)s
    ) and not exists (
        select from annotator.review r
        where r.sample_id = bad.sample_id and r.field = %(field)s
          and r.decision in ('accepted', 'corrected')
    )
), locked as (
    select p.prediction_id
    from annotator.prediction p
    where p.field = %(field)s and p.is_current
      and p.sample_id in (select waiting.sample_id from waiting)
    order by p.prediction_id
    for update
), hidden as (
    update annotator.prediction p set is_current = false
    from locked where p.prediction_id = locked.prediction_id
)
insert into annotator.quarantine (sample_id, field, sample_updated_at, code, reason)
select waiting.sample_id, %(field)s, waiting.updated_at, waiting.code, waiting.reason
from waiting
order by waiting.sample_id
on conflict do nothing
returning sample_id
"""  # noqa: S608 constant text

_NOTED_TODAY = """
select (detail ->> 'rows')::bigint
from annotator.event
where kind = 'failure' and detail ->> 'code' = 'no_sample_id'
  and at > clock_timestamp() - interval '1 day'
order by event_id desc
limit 1
"""


def quarantine_bad_samples(conn: psycopg.Connection, field: str) -> int:
    """Quarantine samples of a field without a dataset or with more than one row; committed.

    Their predictions are no longer current. They are pending again as soon as their rows are
    right, even if ``updated_at`` has not changed.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    field
        Name of the field.

    Returns
    -------
    int
        Number of samples that were quarantined now.

    Raises
    ------
    SchemaError
        The database was migrated in the meantime.
    """
    with committed(conn):
        hold_schema(conn)
        if not may_have_bad_rows(conn):
            return 0
        return len({row[0] for row in conn.execute(_QUARANTINE, {"field": field})})


def note_rows_without_id(conn: psycopg.Connection) -> int:
    """Record that ``atlas.sample`` has rows without an id: daily, and when their number changes.

    Such a row cannot be quarantined, because nothing identifies it.

    Returns
    -------
    int
        Number of these rows.
    """
    with committed(conn):
        hold_schema(conn)
        found = rows_without_id(conn) if may_have_bad_rows(conn) else 0
        if found:
            noted = conn.execute(_NOTED_TODAY).fetchone()
            if noted is None or noted[0] != found:
                reason = f"{found} rows of atlas.sample have no usable sample_id and are left out"
                logger.warning("%s; correct the view", reason)
                detail = {"code": "no_sample_id", "rows": found, "reason": reason}
                add_event(conn, "failure", "atlas.sample", detail)
    return found
