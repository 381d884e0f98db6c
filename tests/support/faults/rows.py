"""Compare the stored rows of every sample with those of an undisturbed run."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.atlas import load_atlas
from tests.support.faults.atlas import Outcome
from tests.support.faults.processes import launcher, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from annotator.store.server.connection import Database
    from tests.support.faults.processes import Launcher

FIELD = "tissue"
BATCH = 8


class Row(NamedTuple):
    """The stored prediction or quarantine of a sample, without ids and times."""

    sample_id: str
    exact: tuple[object, ...]
    figures: tuple[float, ...]


_COPIES = """
with good as (
    select sample_id, row_number() over (order by sample_id) - 1 as place
    from atlas.expression e
    where (select sum(c) from unnest(e.counts) as c) >= 10000 and e.nnz >= 100
), copies as (
    select i, 'K' || lpad(i::text, 6, '0') as name, good.sample_id as of
    from generate_series(1, %(samples)s) as i
    join good on good.place = i %% (select count(*) from good)
), d as (
    insert into atlas.dataset (dataset_id)
    select distinct 'KILLS-' || (i / 50)::text from copies
), s as (
    insert into atlas.sample (sample_id, dataset_id)
    select name, 'KILLS-' || (i / 50)::text from copies
)
insert into atlas.expression
select name, e.nnz, e.feature_ids,
    array(
        select (c * (1 + ((i * 7 + o) %% 11) / 20.0))::real
        from unnest(e.counts) with ordinality as u (c, o) order by o
    )
from copies join atlas.expression e on e.sample_id = copies.of
"""

# Contributions are those of the prediction in the order of their ranks.
_ROWS = """
select p.sample_id,
    p.field, p.dataset_id, p.release_id, p.input_hash, p.value, p.lineage, p.status::text,
    p.reason, p.prediction_set, p.is_current, p.sample_updated_at is not distinct from s.updated_at,
    (select array_agg(c.model_kind || '/' || c.class || '/' || c.rank
        order by c.model_kind, c.class_rank, c.rank)
     from annotator.contribution c where c.prediction_id = p.prediction_id),
    p.confidence, p.novelty, p.known_features,
    (select sum(abs(c.score)) from annotator.contribution c
     where c.prediction_id = p.prediction_id)
from annotator.prediction p join atlas.sample s using (sample_id)
union all
select q.sample_id, q.field, null, q.release_id, q.code, q.reason, null, 'quarantined',
    null, null, null, q.sample_updated_at is not distinct from s.updated_at, null,
    null, null, null, null
from annotator.quarantine q join atlas.sample s using (sample_id)
-- A retraining puts labelled samples there.
where not exists (
    select from atlas.annotation a where a.sample_id = q.sample_id and a.field = q.field)
order by 1, 2, 4
"""
_FIGURES = 4
# Sums of float32 are rounded differently in batches of another size.
TOLERANCE = 1e-5


class Ready(NamedTuple):
    """A database with a live release and pending samples.

    Attributes
    ----------
    start
        Starts processes.
    connection
        Connection of the owner, in autocommit mode.
    expected
        Rows that an undisturbed run stored for every sample.
    """

    start: Launcher
    connection: psycopg.Connection
    expected: list[Row]

    def forget(self) -> None:
        """Delete all predictions and quarantines; daemons may be running meanwhile."""
        for table in ("prediction", "quarantine", "work", "annotation_run"):
            self.connection.execute(f"delete from annotator.{table}")  # type: ignore[arg-type]

    def left(self) -> int:
        """Return the number of samples without a prediction for their current state."""
        return len(self.expected) - one_number(self.connection, _ANSWERED)

    def wait_for_all(self, seconds: float = 120) -> None:
        """Wait until every sample is predicted or quarantined."""
        wait_for(lambda: self.left() == 0 or None, seconds, "every sample to be answered")

    def judged(self) -> list[Outcome]:
        """Compare the stored rows with the expected ones; nothing may be written twice."""
        samples = len(self.expected)
        rows = final_rows(self.connection)
        odd = different(rows, self.expected)
        written = one_number(self.connection, _WRITTEN)
        return [
            Outcome("samples after it", samples, samples - len(odd), difference_text(rows, odd)),
            Outcome("written once", samples, samples - abs(written - samples), "none twice"),
        ]


_ANSWERED = """
select count(*) from (
    select p.sample_id, p.sample_updated_at from annotator.prediction p where p.is_current
    union all
    select q.sample_id, q.sample_updated_at from annotator.quarantine q
    where not exists (
        select from atlas.annotation a where a.sample_id = q.sample_id and a.field = q.field)
) answered
join atlas.sample s
    on (s.sample_id, s.updated_at) = (answered.sample_id, answered.sample_updated_at)
"""
_WRITTEN = "select sum(predicted + quarantined) from annotator.annotation_run"


@contextmanager
def ready(database: Database, samples: int, **settings: str) -> Iterator[Ready]:
    """Make a release, add samples, and annotate them once without any fault.

    Parameters
    ----------
    database
        A migrated database, which another experiment may have used before.
    samples
        Number of pending samples besides the unlabelled ones of the atlas.
    settings
        Environment variables of every process.
    """
    with (
        tempfile.TemporaryDirectory(prefix="processes-") as folder,
        database.connect(autocommit=True, application_name="experiment") as connection,
        launcher(Path(folder), database, ANNOTATOR_BATCH_SIZE=str(BATCH), **settings) as start,
    ):
        if one_number(connection, "select count(*) from atlas.sample") == 0:
            load_atlas(database)
        if one_number(connection, _LIVE) == 0:
            made = start.run("retrain", "--field", FIELD)
            assert made.code() == 0, made.output()
        one = Ready(start, connection, [])
        one.forget()
        for table in ("expression", "sample", "dataset"):
            connection.execute(
                f"delete from atlas.{table}"  # type: ignore[arg-type]
                f" where {'dataset' if table == 'dataset' else 'sample'}_id like 'K%%'"
            )
        connection.execute(_COPIES, {"samples": samples})
        done = start.run("annotate")
        assert done.code() == 0, done.output()
        expected = final_rows(connection)
        one.forget()
        yield one._replace(expected=expected)


_LIVE = "select count(*) from annotator.release where status = 'live'"


def final_rows(connection: psycopg.Connection) -> list[Row]:
    """Return the stored rows of every sample, in a fixed order."""
    found = []
    for sample_id, *rest in connection.execute(_ROWS):
        exact, figures = rest[:-_FIGURES], rest[-_FIGURES:]
        found.append(
            Row(
                sample_id,
                tuple(tuple(one) if isinstance(one, list) else one for one in exact),
                tuple(-1.0 if one is None else float(one) for one in figures),
            )
        )
    return found


def different(rows: list[Row], expected: list[Row]) -> list[str]:
    """Return the samples whose stored rows differ: none, several or other ones."""

    def by_sample(all_rows: list[Row]) -> Mapping[str, list[Row]]:
        named: dict[str, list[Row]] = {}
        for row in all_rows:
            named.setdefault(row.sample_id, []).append(row)
        return named

    left, right = by_sample(rows), by_sample(expected)
    return sorted(
        sample
        for sample in {*left, *right}
        if not _alike(left.get(sample, []), right.get(sample, []))
    )


def difference_text(rows: list[Row], odd: list[str]) -> str:
    """Return the result of :func:`different` as text."""
    if not odd:
        return "same rows as in an undisturbed run"
    found = [row.exact for row in rows if row.sample_id == odd[0]]
    return f"{odd[0]}: {len(found)} rows, {[(one[4], one[7]) for one in found]}"


def _alike(some: list[Row], others: list[Row]) -> bool:
    return [row.exact for row in some] == [row.exact for row in others] and all(
        abs(a - b) <= TOLERANCE * max(1.0, abs(b))
        for row, other in zip(some, others, strict=True)
        for a, b in zip(row.figures, other.figures, strict=True)
    )


def one_number(connection: psycopg.Connection, query: str, *values: object) -> int:
    """Return the single number that a query returns."""
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return int(row[0] or 0)
