"""The organisms of the mirror's samples, and how the mirror writes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from annotator.domain.organisms import DEFAULT_ORGANISM, WithoutRelease, organism_named
from annotator.domain.values.lengths import LONGEST_NAME
from annotator.store.server.transactions import committed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from annotator.domain.imports import SampleRecord

_SPELLINGS = f"""
select coalesce(organism::text, ''), count(*) from atlas.sample
where octet_length(organism::text) <= {LONGEST_NAME} or organism is null group by 1 order by 1
"""  # noqa: S608 constant text

_NOTE = """
insert into annotator.organism_spelling (spelling, organism)
select * from unnest(%s::text[], %s::text[]) as given (spelling, organism)
order by given.spelling
on conflict (spelling) do update set organism = excluded.organism
"""

# Samples are read a second time only if some organism has no live release.
_WITHOUT_RELEASE = """
with live as materialized (
    select r.field, r.organism from annotator.release r where r.status = 'live'
), lacking as materialized (
    select f.field, o.organism
    from (select distinct live.field from live) f
    cross join (select distinct s.organism from annotator.sample_organism s) o
    where o.organism is not null and not exists (
        select from live where live.field = f.field and live.organism = o.organism
    )
)
select lacking.field, lacking.organism, count(*)
from lacking
join annotator.sample_organism s using (organism)
where not exists (
    select from annotator.known_label k
    where k.sample_id = s.sample_id and k.field = lacking.field
) and not exists (
    select from annotator.review r
    where r.sample_id = s.sample_id and r.field = lacking.field
      and r.decision in ('accepted', 'corrected')
)
group by lacking.field, lacking.organism
order by lacking.field, lacking.organism
"""


def note_organisms(conn: psycopg.Connection, default: str) -> Mapping[str, int]:
    """Store which organism each spelling of the mirror means; committed.

    Only new or changed spellings are written, and none that is the name itself.

    Parameters
    ----------
    conn
        Connection of a role that may write to schema ``annotator``.
    default
        The organism of samples without one.

    Returns
    -------
    Mapping
        Organism to its number of samples.
    """
    found: dict[str, int] = {}
    with committed(conn):
        noted: dict[str, str] = dict(
            conn.execute("select spelling, organism from annotator.organism_spelling").fetchall()
        )
        changed: dict[str, str] = {}
        for spelling, samples in conn.execute(_SPELLINGS).fetchall():
            organism = organism_named(spelling) or organism_named(default)
            found[organism] = found.get(organism, 0) + samples
            if noted.get(spelling, spelling or DEFAULT_ORGANISM) != organism:
                changed[spelling] = organism
        if changed:
            conn.execute(_NOTE, [list(changed), list(changed.values())])
    return found


def with_organisms(
    conn: psycopg.Connection, records: Sequence[SampleRecord], default: str
) -> Sequence[SampleRecord]:
    """Add the organism to new samples without one; samples of the mirror keep theirs.

    Parameters
    ----------
    conn
        Connection; the caller's transaction is used.
    records
        Samples that are about to be imported.
    default
        The organism of samples without one.
    """
    default = organism_named(default)
    without = [record.sample_id for record in records if record.organism is None]
    if default == DEFAULT_ORGANISM or not without:  # the mirror fills in the usual one
        return records
    known = conn.execute(
        "select sample_id from atlas.sample where sample_id = any (%s)", (without,)
    ).fetchall()
    new = set(without) - {sample_id for (sample_id,) in known}
    return [
        replace(record, organism=default) if record.sample_id in new else record
        for record in records
    ]


def organism_of_sample(conn: psycopg.Connection, sample_id: str, default: str) -> str:
    """Return the organism of a sample; ``default`` if it has none or does not exist."""
    with conn.transaction():
        row = conn.execute(
            "select organism::text from atlas.sample where sample_id::text = %s limit 1",
            (sample_id,),
        ).fetchone()
    given = "" if row is None or row[0] is None else row[0]
    return organism_named(given) or organism_named(default)


def samples_without_release(conn: psycopg.Connection) -> tuple[WithoutRelease, ...]:
    """Count the samples that wait because their organism has no release of a field.

    Only fields with a live release of some organism are considered: without one, nothing
    is annotated at all.

    Returns
    -------
    tuple of WithoutRelease
        Ordered by field and organism.
    """
    with conn.transaction():
        live = set(
            conn.execute(
                "select field, organism from annotator.release where status = 'live'"
            ).fetchall()
        )
        rows = conn.execute(_WITHOUT_RELEASE).fetchall() if live else []
    counts: dict[tuple[str, str], int] = {}
    for field, spelling, samples in rows:
        # A spelling that was added since the last pass may mean an organism with a release.
        pair = (field, organism_named(spelling))
        if pair not in live and pair[1]:
            counts[pair] = counts.get(pair, 0) + samples
    return tuple(WithoutRelease(*pair, samples) for pair, samples in sorted(counts.items()))
