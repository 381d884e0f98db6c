"""Fill a database with samples and predictions, for benchmarks of any size.

Nothing is imported, predicted or trained: rows are made by SQL as they are after the passes of
many nights, with datasets of very unequal size, in which curators have decided on a few samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

_SAMPLES = Path(__file__).with_name("load.sql").read_text(encoding="utf-8")
_PREDICTIONS = Path(__file__).with_name("load_release.sql").read_text(encoding="utf-8")

_RELEASE = """
with run as (
    insert into annotator.training_run (field, preset, seed, host, status, finished_at)
    values (%(field)s, 'default', 1, 'here', 'succeeded', now()) returning run_id, field
)
insert into annotator.release
    (field, run_id, status, classes, features, promoted_at, retired_at, reasons)
select field, run_id, %(status)s::annotator.release_status, '{a,b}', 10, now(),
    case when %(status)s = 'retired' then now() end, '{Refused: not above the baseline.}'
from run
returning release_id
"""

# Also about predictions that are history by now, if there are any.
_DECIDE = """
insert into annotator.review (prediction_id, decision, value)
select prediction_id, 'accepted'::annotator.review_decision, value
from annotator.prediction where prediction_id % 40 = 0 and status = 'suggested' and is_current
union all
select prediction_id, 'rejected', null
from annotator.prediction where prediction_id % 400 = 0 and status = 'suggested' and not is_current
"""

# Labels that came later confirm 19 of 20 suggestions.
_CONFIRM = """
update atlas.annotation a set value = p.value
from annotator.prediction p
where p.sample_id = a.sample_id and p.field = a.field and p.is_current and p.value is not null
  and hashtext(a.sample_id) % 20 <> 0
"""


@dataclass(frozen=True, slots=True)
class Load:
    """The contents of a database.

    Attributes
    ----------
    samples
        Number of samples.
    largest, datasets
        Samples of the largest dataset; the i-th of each ``datasets`` has ``largest / sqrt(i)``.
    labelled
        One sample of so many has a label for sex.
    refused
        Fields whose only release was refused, so that they have no predictions.
    history
        Number of retired releases per field that predicted every sample before the live one.
    kinds
        Model kinds whose contributions are stored with each prediction.
    """

    samples: int
    largest: int = 2000
    datasets: int = 1_000_000
    labelled: int = 3
    refused: tuple[str, ...] = ("sex",)
    history: int = 0
    kinds: tuple[str, ...] = ()


def fill(connection: psycopg.Connection, load: Load) -> None:
    """Make samples, releases, predictions and decisions, as a superuser; committed in parts."""
    import psycopg

    def run(statement: str, **names: object) -> psycopg.ClientCursor[tuple[int]]:
        return psycopg.ClientCursor(connection).execute(statement, names)

    run(
        _SAMPLES,
        samples=load.samples,
        largest=load.largest,
        datasets=load.datasets,
        labelled=load.labelled,
    )
    connection.commit()
    connection.execute("analyze atlas.sample")
    # Every row is made from one it refers to: a check of each would take most of the time.
    connection.execute("set session_replication_role = replica")
    for generation in range(load.history + 1):
        is_last = generation == load.history
        for field in ("tissue", "age", "sex"):
            if field in load.refused:
                if is_last:
                    run(_RELEASE, field=field, status="rejected")
                continue
            row = run(_RELEASE, field=field, status="live" if is_last else "retired").fetchone()
            assert row is not None
            run(_PREDICTIONS, release_id=row[0], kinds=list(load.kinds))
            connection.commit()
    connection.execute("set session_replication_role to default")
    connection.execute("analyze annotator.prediction")
    connection.execute(
        "insert into annotator.queue_change (dataset_id, field)"
        " select distinct dataset_id, field from annotator.prediction where is_current"
    )
    connection.execute(_DECIDE)
    connection.execute(_CONFIRM)
    connection.commit()


def keep_order(connection: psycopg.Connection) -> None:
    """Compute every place, as daemons do after each batch, then vacuum as autovacuum would."""
    while connection.execute("select annotator.refresh_queue(1000)").fetchone() != (0,):
        connection.commit()
    connection.commit()
    connection.autocommit = True
    connection.execute("vacuum analyze")
