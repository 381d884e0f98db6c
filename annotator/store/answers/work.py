"""The queue of pending samples, and the leases on them.

A row of ``annotator.work`` is a sample that has no label for the field and no
prediction by the live release yet. A worker claims rows until its lease expires; a row
is deleted when its result is written (:mod:`annotator.store.answers.predictions`). If a
worker crashes, its lease expires by the clock of the database.

Every function is a transaction of its own, but queueing many samples takes several.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from annotator.domain.answers import ClaimedSample
from annotator.store.events import add_event
from annotator.store.sample_rows import CHECKED_AGAIN, UNUSABLE, may_have_bad_rows
from annotator.store.server.locks import wait_for_lock
from annotator.store.server.schema import hold_schema
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

# Samples that were claimed this many times without a result are claimed one at a time, so
# that a sample that crashes its worker is found without affecting others in its batch.
SUSPECT_ATTEMPTS = 2

QUEUED_AT_A_TIME = 100_000
"""Samples per transaction: a worker can claim the first ones of a million after seconds, and those
that wait to queue the same field need not wait for the last one."""

ANALYZED_FROM = 1_000
"""Samples queued at once from which the queue is analyzed without waiting for autovacuum."""

# A release is for samples of its organism. From an array of spellings the planner estimates
# their number well: it would hash all samples if it expected few.
_SPELLINGS = """(
    select annotator.spellings_of(r.organism)
    from annotator.release r where r.release_id = %(release_id)s
)::text[]"""

# Every NOT EXISTS is an anti-join on the sample, which PostgreSQL can hash, so none
# may contain a volatile function (statement_timestamp() is stable, clock_timestamp()
# is not). The relations of the atlas may be views: nothing here relies on their keys, and
# samples without a dataset or with several rows are left out.
_PENDING = f"""
pending as (
    select s.sample_id, s.dataset_id, s.updated_at
    from atlas.sample s
    where s.sample_id <> '' and s.dataset_id <> '' and (
        s.organism::text = any ({_SPELLINGS})
        or s.organism is null and '' = any ({_SPELLINGS})
    ) and not exists (
        select from ({UNUSABLE}) unusable where unusable.sample_id = s.sample_id
    ) and not exists (
        select from annotator.known_label k
        where k.sample_id = s.sample_id and k.field = %(field)s
    ) and not exists (
        select from annotator.prediction p
        where p.sample_id = s.sample_id and p.field = %(field)s
          and p.is_current and p.release_id = %(release_id)s
          and p.sample_updated_at is not distinct from s.updated_at
    ) and not exists (
        select from annotator.review r
        where r.sample_id = s.sample_id and r.field = %(field)s
          and r.decision in ('accepted', 'corrected')
    ) and not exists (
        select from annotator.quarantine q
        where q.sample_id = s.sample_id and q.field = %(field)s
          and (q.release_id is null or q.release_id = %(release_id)s)
          and q.sample_updated_at is not distinct from s.updated_at
          and q.code <> all ({CHECKED_AGAIN})
    )
)
"""  # noqa: S608 constant text

# As of the last ANALYZE, a new release has no predictions. With such statistics the
# planner would compare every sample with every prediction.
_COMPARE_BY_HASH = "set local enable_nestloop = off"
_COMPARE_AS_USUAL = "set local enable_nestloop to default"

_COUNT_PENDING = f"with {_PENDING} select count(*) from pending"  # noqa: S608 constant text

# A sample that is not queued yet has waited since it arrived or since the release went live.
_PENDING_AND_OLDEST = f"""
with {_PENDING}
select
    count(*),
    extract(epoch from clock_timestamp() - min(
        coalesce(w.queued_at, greatest(s.updated_at, live.promoted_at))
    ))::float8
from pending s
join annotator.release live on live.release_id = %(release_id)s
left join annotator.work w on w.sample_id = s.sample_id and w.field = %(field)s
"""  # noqa: S608 constant text

_REMOVE = f"""
with {_PENDING}, settled as (
    select w.sample_id
    from annotator.work w
    where w.field = %(field)s
      and (w.leased_until is null or w.leased_until <= statement_timestamp())
      and not exists (select from pending where pending.sample_id = w.sample_id)
      -- Rows of the live releases of other organisms are for those to remove.
      and not exists (
          select from annotator.release other
          where other.release_id = w.release_id and other.status = 'live'
            and other.release_id <> %(release_id)s
      )
    for update of w skip locked
)
delete from annotator.work w
using settled
where w.field = %(field)s and w.sample_id = settled.sample_id
"""  # noqa: S608 constant text

# Rows that are leased, or queued and up to date, are left out before the insert:
# ON CONFLICT would lock each of them at every poll.
_QUEUE = f"""
with {_PENDING}, next as materialized (
    select s.sample_id, s.dataset_id, s.updated_at
    from pending s
    where not exists (
        select from annotator.work w
        where w.sample_id = s.sample_id and w.field = %(field)s
          and (
              w.leased_until > statement_timestamp()
              or (
                  w.release_id = %(release_id)s
                  and w.dataset_id = s.dataset_id
                  and w.sample_updated_at is not distinct from s.updated_at
              )
          )
    )
    limit %(most)s
), queued as (
    insert into annotator.work (sample_id, dataset_id, field, release_id, sample_updated_at)
    select next.sample_id, next.dataset_id, %(field)s, %(release_id)s, next.updated_at
    from next
    order by next.sample_id
    on conflict (sample_id, field) do update set
        dataset_id = excluded.dataset_id,
        release_id = excluded.release_id,
        sample_updated_at = excluded.sample_updated_at,
        queued_at = clock_timestamp(),
        leased_by = null,
        leased_until = null,
        attempts = 0
    where work.leased_until is null or work.leased_until <= statement_timestamp()
    returning 1
)
select (select count(*) from next), (select count(*) from queued)
"""  # noqa: S608 constant text

_CLAIM = Path(__file__).with_name("claim.sql").read_bytes()

_STAY_ALIVE = "select set_config('application_name', 'annotator ' || md5(%s), false)"

# Any session may take any name, but only those of our roles may write the queue.
_RELEASE_CLAIMS_OF_CRASHED = """
with crashed as (
    select holder.leased_by
    from (select distinct leased_by from annotator.work where leased_by is not null) as holder
    where not exists (
        select from pg_stat_activity a
        where a.application_name = 'annotator ' || md5(holder.leased_by)
          and a.datname = current_database()
          and has_table_privilege(a.usesysid, 'annotator.work', 'update')
    )
), theirs as (
    select w.sample_id, w.field
    from annotator.work w
    join crashed using (leased_by)
    order by w.field, w.sample_id
    for update of w skip locked
)
update annotator.work w set leased_by = null, leased_until = null
from theirs
where w.sample_id = theirs.sample_id and w.field = theirs.field
"""

_QUARANTINE_OFFENDERS = """
with offender as (
    select w.sample_id
    from annotator.work w
    where w.field = %(field)s and w.attempts >= %(attempts)s
      and (w.leased_until is null or w.leased_until <= statement_timestamp())
    for update skip locked
), taken as (
    delete from annotator.work w
    using offender
    where w.field = %(field)s and w.sample_id = offender.sample_id
    returning w.sample_id, w.release_id, w.sample_updated_at, w.attempts
), hidden as (
    update annotator.prediction p set is_current = false
    from taken
    where p.sample_id = taken.sample_id and p.field = %(field)s and p.is_current
), quarantined as (
    insert into annotator.quarantine
        (sample_id, field, release_id, sample_updated_at, code, reason)
    select
        taken.sample_id, %(field)s, taken.release_id, taken.sample_updated_at,
        'repeatedly_failed',
        format(
            'claimed %%s times by workers that failed, crashed or lost their connection',
            taken.attempts
        )
    from taken
    on conflict do nothing
)
select sample_id from taken order by sample_id
"""


def _names(conn: psycopg.Connection, field: str, release_id: int) -> dict[str, object]:
    """Return the parameters of a statement over pending samples."""
    return {"field": field, "release_id": release_id, "bad_rows": may_have_bad_rows(conn)}


def _is_live(conn: psycopg.Connection, release_id: int) -> bool:
    found = conn.execute(
        "select from annotator.release where release_id = %s and status = 'live'", (release_id,)
    )
    return found.fetchone() is not None


def queue_pending(conn: psycopg.Connection, field: str, release_id: int) -> int:
    """Queue the samples that have no label for the field and no prediction by the release.

    A sample of the release's organism is pending if its field was not curated, accepted or
    corrected, and if the release has no current prediction for its present state and has
    not quarantined it in that state. Rows that are no longer pending are removed; leased
    rows are left alone. Daemons that queue at the same time wait for one another.

    Parameters
    ----------
    conn
        Connection; committed in parts.
    field
        Name of the field.
    release_id
        A live release of the field. If it is no longer live, nothing is
        queued: the next pass uses its successor.

    Returns
    -------
    int
        Number of samples that were queued for the first time or again.
    """
    total = 0
    found = QUEUED_AT_A_TIME
    is_first = True
    while found == QUEUED_AT_A_TIME:
        with committed(conn):
            wait_for_lock(conn, f"queue {field}")
            if not _is_live(conn, release_id):
                break
            names = _names(conn, field, release_id)
            conn.execute(_COMPARE_BY_HASH)
            if is_first:
                conn.execute(_REMOVE, names)
            row = conn.execute(_QUEUE, names | {"most": QUEUED_AT_A_TIME}).fetchone()
        assert row is not None
        found, queued = row
        if queued >= ANALYZED_FROM:
            with committed(conn):
                conn.execute("select annotator.analyze_work()")
        total += queued
        is_first = False
    return total


def count_pending(conn: psycopg.Connection, field: str, release_id: int) -> int:
    """Count the pending samples as :func:`queue_pending` finds them, including leased ones."""
    with conn.transaction():
        conn.execute(_COMPARE_BY_HASH)
        row = conn.execute(_COUNT_PENDING, _names(conn, field, release_id)).fetchone()
        conn.execute(_COMPARE_AS_USUAL)  # the caller's transaction may go on
    assert row is not None
    return int(row[0])


def pending_and_oldest(
    conn: psycopg.Connection, field: str, release_id: int
) -> tuple[int, float | None]:
    """Count the pending samples and return how long the oldest has waited.

    Returns
    -------
    tuple
        The number of samples as by :func:`count_pending`, and the seconds by the
        database's clock since the oldest was queued or, if it is not queued yet, since
        it arrived or the release went live. ``None`` instead of seconds if none is pending.
    """
    with conn.transaction():
        conn.execute(_COMPARE_BY_HASH)
        row = conn.execute(_PENDING_AND_OLDEST, _names(conn, field, release_id)).fetchone()
        conn.execute(_COMPARE_AS_USUAL)  # the caller's transaction may go on
    assert row is not None
    return int(row[0]), None if row[1] is None else max(0.0, float(row[1]))


def claim(
    conn: psycopg.Connection,
    worker: str,
    field: str,
    release_id: int,
    batch_size: int,
    lease_seconds: float,
) -> list[ClaimedSample]:
    """Lease up to ``batch_size`` queued samples to a worker.

    Rows that another worker holds are skipped; those with an expired lease are
    taken over. A dataset that does not fit completely is left for the next
    claim, unless it is the first. Samples that were claimed
    :data:`SUSPECT_ATTEMPTS` times without a result come last and one at a time.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    worker
        Name of the worker, unique among all running workers.
    field, release_id
        The field and its release; nothing is claimed if the release is not live.
    batch_size
        Maximum number of samples.
    lease_seconds
        Length of the lease, in seconds by the clock of the database.

    Returns
    -------
    list of ClaimedSample
        Ordered by dataset and sample; empty if no sample is queued.

    Raises
    ------
    SchemaError
        The database was migrated since the pass began.
    """
    names: dict[str, object] = {
        "worker": worker,
        "field": field,
        "release_id": release_id,
        "lease_seconds": float(lease_seconds),
        "suspect_attempts": SUSPECT_ATTEMPTS,
    }
    with committed(conn):
        hold_schema(conn)
        if not _is_live(conn, release_id):
            return []
        rows = conn.execute(_CLAIM, names | {"suspect": False, "batch_size": batch_size}).fetchall()
        if not rows:
            rows = conn.execute(_CLAIM, names | {"suspect": True, "batch_size": 1}).fetchall()
    claimed = [ClaimedSample(*row) for row in rows]
    return sorted(claimed, key=lambda sample: (sample.dataset_id, sample.sample_id))


def release_claims(conn: psycopg.Connection, worker: str, *, may_be_at_fault: bool = False) -> int:
    """Release every claim of a worker; committed.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    worker
        The worker.
    may_be_at_fault
        Whether one of the samples may be why there is no result; the attempt is then counted,
        as for claims that are never released.

    Returns
    -------
    int
        Number of samples that were released.
    """
    with committed(conn):
        return conn.execute(
            "update annotator.work set leased_by = null, leased_until = null,"
            " attempts = greatest(attempts - %s, 0) where leased_by = %s",
            (0 if may_be_at_fault else 1, worker),
        ).rowcount


def stay_alive(conn: psycopg.Connection, worker: str) -> None:
    """Mark a worker as alive for as long as its connection lasts, by its name; committed."""
    with committed(conn):
        conn.execute(_STAY_ALIVE, (worker,))


def release_claims_of_the_gone(conn: psycopg.Connection) -> int:
    """Release the claims of workers that crashed or lost their connection; committed.

    Their leases need not have expired. The attempts are counted, because one of these
    samples may have crashed the worker.

    Returns
    -------
    int
        Number of samples that were released.
    """
    with committed(conn):
        return conn.execute(_RELEASE_CLAIMS_OF_CRASHED).rowcount


def pending_counts(conn: psycopg.Connection) -> Mapping[int, tuple[int, int]]:
    """Count the queued samples per release, as pairs of waiting and leased ones."""
    with conn.transaction():
        rows = conn.execute(
            "select release_id, count(*) filter (where not leased), count(*) filter (where leased)"
            " from (select release_id,"
            "        coalesce(leased_until > statement_timestamp(), false) as leased"
            "       from annotator.work) queued"
            " group by release_id order by release_id"
        ).fetchall()
    return {release_id: (waiting, leased) for release_id, waiting, leased in rows}


def quarantine_repeat_offenders(conn: psycopg.Connection, field: str, attempts: int = 5) -> int:
    """Quarantine samples that were claimed repeatedly without a result.

    Such a sample crashes its worker each time. It stays in quarantine, with the code
    ``repeatedly_failed``, until it changes or another release goes live.

    Parameters
    ----------
    conn
        Connection; the transaction is committed.
    field
        Name of the field.
    attempts
        Number of claims after which a sample is quarantined.

    Returns
    -------
    int
        Number of samples that were quarantined.
    """
    with committed(conn):
        taken = conn.execute(
            _QUARANTINE_OFFENDERS, {"field": field, "attempts": attempts}
        ).fetchall()
        if taken:
            samples = [row[0] for row in taken]
            add_event(conn, "failure", field, {"code": "repeatedly_failed", "samples": samples})
    return len(taken)
