"""Add samples that are broken in every way to many good ones, through views."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.annotate.live_models import LiveModels
from tests.support.atlas import load_atlas
from tests.support.faults.atlas import Outcome, make_releases

if TYPE_CHECKING:
    from annotator.settings import Settings
    from annotator.store.server.connection import Database

SHARE = 0.05
FIELD = "tissue"

# The change to the row of a good sample, and the code with which it must be quarantined.
POISONS: dict[str, tuple[str, str]] = {
    "NaN": ("nnz, feature_ids, 'NaN'::float8 || counts[2:]", "non_finite_counts"),
    "infinite": ("nnz, feature_ids, 'Infinity'::float8 || counts[2:]", "non_finite_counts"),
    "minus infinite": ("nnz, feature_ids, '-Infinity'::float8 || counts[2:]", "non_finite_counts"),
    "NULL count": ("nnz, feature_ids, null::float8 || counts[2:]", "non_finite_counts"),
    "negative": ("nnz, feature_ids, (-5)::float8 || counts[2:]", "negative_counts"),
    "1e18": ("nnz, feature_ids, 1e18::float8 || counts[2:]", "absurd_counts"),
    "1e300": ("nnz, feature_ids, 1e300::float8 || counts[2:]", "absurd_counts"),
    "all zero": ("nnz, feature_ids, array_fill(0::float8, array[nnz::int])", "no_counts"),
    "empty": ("0, '{}'::bigint[], '{}'::float8[]", "no_counts"),
    "no arrays": ("null::bigint, null::bigint[], null::float8[]", "no_counts"),
    "one feature": ("1, feature_ids[1:1], '{50000}'::float8[]", "too_few_known_features"),
    "hardly any reads": (
        "nnz, feature_ids, array_fill(0.01::float8, array[nnz::int])",
        "too_few_reads",
    ),
    "ten times the features": (
        "10 * nnz, array(select generate_series(1000001, 1000000 + 10 * nnz)),"
        " array_fill(3::float8, array[10 * nnz::int])",
        "too_many_features",
    ),
    "a million counts": (
        "nnz, feature_ids, array_fill(3::float8, array[1000000])",
        "too_many_features",
    ),
    "other features": (
        "nnz, array(select generate_series(1000001, 1000000 + nnz)), counts",
        "unknown_features",
    ),
    "a feature twice": (
        "nnz + 1, feature_ids || feature_ids[1], counts || 3::float8",
        "duplicate_features",
    ),
    "more ids than counts": ("nnz, feature_ids, counts[2:]", "mismatched_arrays"),
    "more counts than ids": ("nnz, feature_ids[2:], counts", "mismatched_arrays"),
    "nnz that lies": ("2147483647, feature_ids, counts", "mismatched_arrays"),
    "negative nnz": ("-1, feature_ids, counts", "mismatched_arrays"),
    "division by zero": ("-7, feature_ids, counts", "unreadable"),
}

# The mirror's own table would refuse most of these; an atlas of views cannot.
_VIEWS = """
create schema source;
create table source.expression as
select sample_id, nnz::bigint as nnz, feature_ids::bigint[] as feature_ids,
    counts::float8[] as counts
from atlas.expression;
create unique index on source.expression (sample_id);
drop view atlas.expression_long;
drop function atlas.feature_expression(text);
drop table atlas.expression;
create view atlas.expression as
select sample_id, nnz + 0 / (nnz + 7) as nnz, feature_ids, counts from source.expression;
grant select on atlas.expression to annotator_daemon, annotator_curator, annotator_reader;
insert into atlas.dataset (dataset_id) values ('POISONED');
"""

_COPIES = """
with good as (
    select sample_id, row_number() over (order by sample_id) - 1 as place
    from source.expression e
    where (select sum(c) from unnest(e.counts) as c) >= 10000 and e.nnz >= 100
), copies as (
    select i, 'P' || lpad(i::text, 6, '0') as name, good.sample_id as of
    from generate_series(1, %(samples)s) as i
    join good on good.place = i %% (select count(*) from good)
), s as (
    insert into atlas.sample (sample_id, dataset_id) select name, 'POISONED' from copies
)
insert into source.expression
select name, e.nnz, e.feature_ids, e.counts
from copies join source.expression e on e.sample_id = copies.of
"""


def poison(database: Database, samples: int) -> dict[str, str]:
    """Add samples, a share of them broken; return each broken sample with its expected code.

    Parameters
    ----------
    database
        A database with the simulated atlas.
    samples
        Number of added samples; :data:`SHARE` of them, but at least one of each kind,
        are broken.
    """
    sorts = list(POISONS)
    broken = max(len(sorts), round(SHARE * samples))
    step = samples // broken
    expected = {}
    with database.connect() as connection:
        connection.execute(_VIEWS)
        connection.execute(_COPIES, {"samples": samples})
        for number in range(broken):
            name = f"P{1 + number * step:06}"
            columns, expected[name] = POISONS[sorts[number % len(sorts)]]
            connection.execute(
                "update source.expression set (nnz, feature_ids, counts) ="
                f" (select {columns}) where sample_id = %s",
                (name,),
            )
        connection.commit()
    return expected


def peak_megabytes() -> float:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def held_megabytes() -> float:
    """Return the current memory of this process, or 0 if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * resource.getpagesize() / 1024**2


def run_poison(
    database: Database, settings: Settings, samples: int = 2000, passes: int = 5
) -> list[Outcome]:
    """Annotate good and broken samples together, again and again.

    Parameters
    ----------
    database, settings
        A migrated database that nothing else uses.
    samples
        Number of samples added to the atlas.
    passes
        Number of times everything is annotated; memory must not grow with it.
    """
    load_atlas(database)
    make_releases(database, settings, FIELD, [1])
    models = LiveModels()
    annotate(database, settings, worker="before", models=models)  # loads the models
    peak_before = peak_megabytes()
    expected = poison(database, samples)
    held = []
    for number in range(passes):
        with database.connect() as connection:
            connection.execute("update atlas.sample set updated_at = clock_timestamp()")
            connection.commit()
        annotate(database, settings, worker=f"pass {number}", models=models)
        held.append(held_megabytes())
    outcomes = _compare(database, samples, expected)
    growth = held[-1] - held[len(held) // 2]
    outcomes.append(
        Outcome(
            "memory",
            passes,
            passes if growth < 20 and peak_megabytes() - peak_before < 200 else 0,
            f"{held[0]:.0f} MB after the first pass, {growth:+.1f} MB over the last"
            f" {len(held) - 1 - len(held) // 2}, peak {peak_megabytes() - peak_before:+.0f} MB",
        )
    )
    return outcomes


def _compare(database: Database, samples: int, expected: dict[str, str]) -> list[Outcome]:
    """Compare the stored predictions and quarantines with the expected ones."""
    with database.connect() as connection:
        codes = dict(
            connection.execute(
                "select q.sample_id, q.code from annotator.quarantine q join atlas.sample s"
                " on s.sample_id = q.sample_id and s.updated_at = q.sample_updated_at"
                " where q.field = %s and s.dataset_id = 'POISONED'",
                (FIELD,),
            ).fetchall()
        )
        answered = {
            row[0]
            for row in connection.execute(
                "select p.sample_id from annotator.prediction p join atlas.sample s"
                " on s.sample_id = p.sample_id and s.updated_at = p.sample_updated_at"
                " where p.field = %s and p.is_current and s.dataset_id = 'POISONED'",
                (FIELD,),
            )
        }
    outcomes = []
    broken = list(expected)
    for place, (sort, (_, code)) in enumerate(POISONS.items()):
        of_sort = broken[place :: len(POISONS)]
        right = sum(codes.get(name) == code and name not in answered for name in of_sort)
        outcomes.append(Outcome(f"sample: {sort}", len(of_sort), right, f"quarantined: {code}"))
    good = {f"P{number:06}" for number in range(1, samples + 1)} - expected.keys()
    outcomes.append(
        Outcome("samples beside them", len(good), len(good & answered), "answered or abstained")
    )
    return outcomes
