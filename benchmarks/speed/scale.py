"""Compare how long everything takes with 10,000 samples and with a million.

Fills one database per size with predictions of tissue, age and sex for every sample: those of the
live release and of two retired ones, with contributions. Then it does what curators, daemons and
Prometheus do, with the program's own functions: queries, a promotion, queueing, claiming, writing,
and deleting history. Short steps are repeated, in turn in both databases, so that other
load on the machine slows down both; a reader looks up suggestions during what is long.

    python -m benchmarks.speed.scale --samples 50000    # minutes
    python -m benchmarks.speed.scale                    # a million: 15 minutes, 20 GB
    python -m benchmarks.speed.scale --write docs/measurements/scale.md

Other load on the machine adds to every time but not to the processor time of the server process,
which is printed beside it. The exit code is 1 if something is slower than wanted. --home keeps the
databases. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from tabulate import tabulate

from benchmarks.faults.reliability import written
from benchmarks.speed.load import Load, fill, keep_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from annotator.domain.answers import ClaimedSample, SamplePrediction
    from annotator.store.server.connection import Database

SMALL = 10_000
FIELDS = ("tissue", "age", "sex")
# Of both sizes: datasets of 8 to 200 samples. A sample in 30 got a label for sex after all.
LOAD = Load(0, largest=200, datasets=600, labelled=30, refused=(), history=2, kinds=("combined",))
STORED_KINDS = 10  # rows of contributions per prediction: five model kinds, two classes
BATCH, BATCHES, LOOKUPS, REPEATS = 256, 12, 100, 15
PAUSE = 0.003  # seconds between the queries of the reader
WHILE = "longest wait of a reader"

FIRST_PAGE = "first page of review_queue"
OF_FIELD = "first page of one field"
SUGGESTION = "a sample's suggestions"
HISTORY = "a sample's history"
CLAIM = f"claiming {BATCH} samples"
WRITE = f"writing {BATCH} samples"
QUEUE = "queueing after a promotion"
LIMITS = {FIRST_PAGE: 50.0, OF_FIELD: 50.0, SUGGESTION: 10.0, HISTORY: 10.0}
LARGEST_RATIO = 1.25
"""Claiming and writing should take no longer than with 10,000 samples, but for noise."""

_SUGGESTION = "select * from annotator.suggestion where sample_id = %s"
_HISTORY = "select * from annotator.annotation_history(%s)"
_CANDIDATE = """
with run as (
    insert into annotator.training_run (field, preset, seed, host, status, finished_at)
    values (%s, 'default', 1, 'here', 'succeeded', now()) returning run_id, field
)
insert into annotator.release (field, run_id, classes, features)
select field, run_id, '{a,b}', 10 from run returning release_id
"""
_PATIENCE = "set lock_timeout = '100ms'"
_FINISH = """
delete from annotator.work w using (
    select sample_id, field from annotator.work
    where field = 'tissue' and release_id = %s and leased_by is null
    order by dataset_id, sample_id limit %s
) done
where w.sample_id = done.sample_id and w.field = done.field
"""
_HAS_HISTORY = """
select r.field
from annotator.release r
where r.status = 'retired' and r.field <> 'tissue'
  and exists (select from annotator.prediction p where p.release_id = r.release_id)
group by r.field having count(*) > 1 order by r.field desc limit 1
"""
_SIZES = """
select c.relname, pg_table_size(c.oid)::float8, pg_indexes_size(c.oid)::float8,
    greatest(c.reltuples, 1)::float8
from pg_class c
where c.oid in ('annotator.prediction'::regclass, 'annotator.class_contribution'::regclass)
order by c.relname desc
"""


class Times(NamedTuple):
    """Median and least milliseconds, and the median of the server's processor, if measured."""

    median: float
    least: float
    processor: float | None

    @property
    def words(self) -> str:
        spent = "" if self.processor is None else f" ({self.processor:,.1f})"
        least = f" ≥ {self.least:,.1f}" if self.least < self.median else ""
        return f"{self.median:,.1f}{least}{spent}"


@dataclass
class Side:
    """One of the two databases, with what was measured in it."""

    samples: int
    database: Database
    connection: psycopg.Connection
    names: list[str]
    times: dict[str, Times] = field(default_factory=dict)
    sizes: list[tuple[str, float, float, float]] = field(default_factory=list)

    def note(self, what: str, times: Sequence[float], processor: Sequence[float] = ()) -> None:
        spent = statistics.median(processor) if processor else None
        self.times[what] = Times(statistics.median(times), min(times), spent)
        print(f"{self.samples:>9,} samples: {what}: {self.times[what].words}", flush=True)

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float, float]:
        """Return the result, the milliseconds, and those of the server's processor among them."""
        path = Path(f"/proc/{self.connection.info.backend_pid}/schedstat")
        before = int(path.read_text().split()[0])
        start = time.perf_counter()
        found = call()
        milliseconds = 1000 * (time.perf_counter() - start)
        return found, milliseconds, (int(path.read_text().split()[0]) - before) / 1e6

    def once(self, what: str, call: Callable[[], Any]) -> None:
        _, milliseconds, processor = self.timed(call)
        self.note(what, [milliseconds], [processor])

    def live(self, field: str = "tissue") -> int:
        """Return the live release of a field."""
        rows = self.connection.execute(
            "select release_id from annotator.release where status = 'live' and field = %s",
            (field,),
        ).fetchall()
        self.connection.commit()
        return int(rows[0][0])

    def queries(
        self, query: str, times: int, *, of_samples: bool = False
    ) -> list[Callable[[], Any]]:
        """Return calls of a query, each about another sample."""
        chosen = random.sample(self.names, times)

        def call(name: str) -> Callable[[], Any]:
            def run() -> None:
                self.connection.execute(query, (name,) if of_samples else None).fetchall()
                self.connection.commit()

            return run

        return [call(name) for name in chosen]


def in_turn(
    what: str, sides: Sequence[Side], calls: Sequence[list[Callable[[], Any]]]
) -> list[Any]:
    """Time the calls of every side, alternating between the sides; return their results."""
    found: list[list[tuple[Any, float, float]]] = [[] for _ in sides]
    for together in zip(*calls, strict=True):
        for place, call in enumerate(together):
            found[place].append(sides[place].timed(call))
    for side, measured in zip(sides, found, strict=True):
        side.note(what, [each[1] for each in measured], [each[2] for each in measured])
    return [[each[0] for each in measured] for measured in found]


class Reader(threading.Thread):
    """Looks up the suggestions of samples every few milliseconds; knows the longest wait.

    It ends with an error when it has to wait for a lock, as other load cannot make it.
    """

    def __init__(self, side: Side) -> None:
        super().__init__(daemon=True)
        self._side, self._done = side, threading.Event()
        self._error: Exception | None = None
        self.longest = 0.0

    def run(self) -> None:
        try:
            with self._side.database.connect(autocommit=True) as connection:
                connection.execute(_PATIENCE)
                while not self._done.wait(PAUSE):
                    start = time.perf_counter()
                    connection.execute(_SUGGESTION, (random.choice(self._side.names),)).fetchall()
                    self.longest = max(self.longest, 1000 * (time.perf_counter() - start))
        except psycopg.Error as error:
            self._error = error

    def stop(self) -> None:
        self._done.set()
        self.join()
        if self._error is not None:
            raise self._error


@contextmanager
def reading(side: Side, what: str) -> Iterator[None]:
    """Note how long a reader had to wait at most while the block ran."""
    reader = Reader(side)
    reader.start()
    time.sleep(0.5)
    yield
    time.sleep(0.5)
    reader.stop()
    side.note(f"{WHILE} {what}", [reader.longest])


def forget_cache(folder: Path) -> None:
    """Drop the files of a stopped server from the memory of the system."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def answers(claimed: Sequence[ClaimedSample], kinds: Sequence[str]) -> list[SamplePrediction]:
    """Make predictions for claimed samples, with as many contributions as were loaded."""
    from annotator.domain.answers import ClassContributions, SamplePrediction
    from annotator.domain.statuses import PredictionStatus

    features = tuple(f"hsa-miR-{number}-5p" for number in range(100, 120))
    contributions = tuple(
        ClassContributions(kind, "deeplift", "a", 1, features, (0.25,) * 20, (812.5,) * 20)
        for kind in kinds
    )
    models = {
        kind: {"value": "a", "probability": 0.7}
        for kind in ("combined", "network", "forest", "boosting", "linear")
    }
    return [
        SamplePrediction(
            sample_id=sample.sample_id,
            dataset_id=sample.dataset_id,
            field=sample.field,
            input_hash=f"{number:064x}",
            sample_updated_at=sample.sample_updated_at,
            value="a",
            lineage=("a", "organ"),
            confidence=0.7,
            status=PredictionStatus.SUGGESTED,
            reason=None,
            novelty=0.3,
            models=models,
            top_features=features[:3],
            contributions=contributions,
            prediction_set=("a",),
            set_coverage=0.9,
            class_probabilities=(0.7, 0.3),
        )
        for number, sample in enumerate(claimed)
    ]


def look_up(
    sides: Sequence[Side], how: str = "", pages: int = REPEATS, each: int = LOOKUPS
) -> None:
    """Time the queries of a curator."""
    queue = "select * from annotator.review_queue"
    for what, query in (
        (FIRST_PAGE, f"{queue} limit 50"),
        (OF_FIELD, f"{queue} where field = 'age' limit 50"),
    ):
        in_turn(what + how, sides, [side.queries(query, pages) for side in sides])
    for what, query in ((SUGGESTION, _SUGGESTION), (HISTORY, _HISTORY)):
        calls = [side.queries(query, each, of_samples=True) for side in sides]
        in_turn(what + how, sides, calls)


def watch(side: Side) -> None:
    """Time what is repeated whether anything happens or not."""
    from annotator.store.answers.review_queue import look_after_queue
    from annotator.store.answers.work import count_pending, queue_pending
    from annotator.store.watch.daemons import snapshot
    from annotator.store.watch.monitoring import read_gauges

    connection, release = side.connection, side.live("age")
    look_after_queue(connection)  # notes the labels, which were loaded without a trace
    side.once("a pass: changes in the mirror", lambda: look_after_queue(connection))
    side.once(
        "a pass: queueing of a field, nothing pending",
        lambda: queue_pending(connection, "age", release),
    )
    side.once("count_pending of a field", lambda: count_pending(connection, "age", release))
    side.once("every metric for Prometheus", lambda: read_gauges(connection))
    side.once("annotator status", lambda: snapshot(connection))
    connection.commit()


def promoted(side: Side, *, is_timed: bool = False) -> int:
    """Make a new release of tissue and promote it."""
    from annotator.store.releases.lifecycle import promote

    row = side.connection.execute(_CANDIDATE, ("tissue",)).fetchone()
    assert row is not None
    release = int(row[0])
    side.connection.commit()
    if is_timed:
        with reading(side, "during a promotion"):
            side.once("promotion", lambda: promote(side.connection, release, ["better"]))
    else:
        promote(side.connection, release, ["better"])
    return release


def work_through(sides: Sequence[Side], how: str = "") -> None:
    """Time the claims and writes of one worker."""
    from annotator.store.answers.predictions import start_annotation_run, write_batch
    from annotator.store.answers.review_queue import refresh_queue
    from annotator.store.answers.work import claim

    def claims(side: Side) -> list[Callable[[], Any]]:
        names = (side.connection, "benchmark", "tissue", side.live(), BATCH, 3600.0)
        return [lambda: claim(*names)] * BATCHES

    batches = in_turn(CLAIM + how, sides, [claims(side) for side in sides])

    def writes(side: Side, found: Sequence[Sequence[ClaimedSample]]) -> list[Callable[[], Any]]:
        release = side.live()
        run = start_annotation_run(side.connection, "benchmark", "here")

        def write(made: list[SamplePrediction]) -> Callable[[], Any]:
            def call() -> None:
                write_batch(side.connection, "benchmark", release, run, made, [])
                refresh_queue(side.connection)

            return call

        return [write(answers(batch, LOAD.kinds)) for batch in found]

    calls = [writes(side, found) for side, found in zip(sides, batches, strict=True)]
    in_turn(WRITE + how, sides, calls)


def finish_a_tenth(side: Side) -> None:
    """Remove a tenth of the queue from its beginning, as if it had been written by others."""
    side.connection.execute(_FINISH, (side.live(), side.samples // 10))
    side.connection.commit()


def delete_old(side: Side) -> None:
    """Time the deletion of the predictions of the older retired release of a field."""
    from annotator.store.answers.history import delete_history

    rows = side.connection.execute(_HAS_HISTORY).fetchall()
    if not rows:  # all of it was deleted by earlier runs: --home
        return
    ((field,),) = rows
    with reading(side, "while history is deleted"):
        names = (side.connection, field, "Homo sapiens", 1)
        deleted, milliseconds, processor = side.timed(lambda: delete_history(*names))
    thousands = deleted.predictions / 1000
    side.note("deleting the history of a release", [milliseconds], [processor])
    side.note(
        "deleting, per 1,000 predictions", [milliseconds / thousands], [processor / thousands]
    )


def measure(sides: Sequence[Side]) -> None:
    """Do everything that is timed, in the order of the table."""
    from annotator.store.answers.work import queue_pending

    random.seed(1)
    look_up(sides, ", nothing in memory", 1, 20)
    look_up(sides)
    for side in sides:
        watch(side)
        with reading(side, "while nothing else happens"):
            time.sleep(5)
        release = promoted(side, is_timed=True)
        with reading(side, "during the queueing after it"):
            side.once(QUEUE, partial(queue_pending, side.connection, "tissue", release))
        whole, thousands = side.times[QUEUE], side.samples / 1000
        spent = [] if whole.processor is None else [whole.processor / thousands]
        side.note("queueing, per 1,000 samples", [whole.median / thousands], spent)
    work_through(sides)
    for side in sides:
        finish_a_tenth(side)
    work_through(sides, ", a tenth later")
    look_up(sides, ", after that")
    for side in sides:
        release = promoted(side)
        side.once(
            "queueing after another promotion",
            partial(queue_pending, side.connection, "tissue", release),
        )
        delete_old(side)


def prepare(home: Path, load: Load) -> None:
    """Fill the database of one size, if it is not there."""
    from annotator.store.server.connection import Database
    from annotator.store.server.embedded import running_server
    from annotator.store.server.schema import migrate

    with running_server(home) as conninfo:
        database = Database(conninfo, embedded=True)
        is_new = migrate(database)[0] is None
        with database.connect() as connection:
            if is_new:
                start = time.perf_counter()
                fill(connection, load)
                keep_order(connection)
                print(f"{load.samples:,} samples: filled in {time.perf_counter() - start:.0f} s")
            connection.commit()
            connection.autocommit = True
            connection.execute("delete from annotator.work")
            connection.execute("vacuum annotator.work")
            connection.execute("checkpoint")
    forget_cache(home)


@contextmanager
def opened(home: Path, samples: int) -> Iterator[Side]:
    """Start the server of one size."""
    from annotator.store.server.connection import Database
    from annotator.store.server.embedded import running_server

    with running_server(home) as conninfo:
        database = Database(conninfo, embedded=True)
        with database.connect() as connection:
            names = connection.execute("select sample_id from atlas.sample order by 1").fetchall()
            sizes = connection.execute(_SIZES).fetchall()
            connection.commit()
            yield Side(samples, database, connection, [row[0] for row in names], sizes=sizes)


def report(small: Side, large: Side) -> str:
    """Word the tables."""
    rows = []
    for what, times in large.times.items():
        before = small.times.get(what)
        if before is None:  # it was there before: --home
            continue
        ratio = (
            times.median / before.median
            if before.processor is None or times.processor is None
            else times.processor / max(before.processor, 0.05)
        )
        wanted = f"{LIMITS[what]:,.0f} ms" if what in LIMITS else ""
        wanted = f"ratio {LARGEST_RATIO}" if what in (CLAIM, WRITE) else wanted
        rows.append((what, before.words, times.words, f"{ratio:,.1f}", wanted))
    headers = (
        "ms: median ≥ least (processor)",
        f"{small.samples:,} samples",
        f"{large.samples:,} samples",
        "ratio",
        "wanted",
    )
    text = [tabulate(rows, headers, tablefmt="github", disable_numparse=True), ""]
    sizes = [
        (f"`{name}`", f"{count:,.0f}", f"{table / count:,.0f}", f"{index / count:,.0f}")
        for name, table, index, count in large.sizes
    ]
    stored = ("table", "rows", "bytes per row", "bytes of indexes per row")
    text.append(tabulate(sizes, stored, tablefmt="github", disable_numparse=True))
    return "\n".join(text)


def failures(small: Side, large: Side) -> list[str]:
    """Return what is slower than wanted. Other load can only add to the least time."""
    slow = [what for what, limit in LIMITS.items() if large.times[what].least > limit]
    for what in (CLAIM, WRITE):
        now, before = large.times[what].processor, small.times[what].processor
        assert now is not None
        assert before is not None
        if now > LARGEST_RATIO * before:
            slow.append(what)
    return slow


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, help="folder that keeps the databases")
    parser.add_argument("--write", type=Path, help="document whose table is replaced")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        counts = (SMALL, arguments.samples)
        homes = [(arguments.home or Path(folder)) / str(samples) for samples in counts]
        for home, samples in zip(homes, counts, strict=True):
            prepare(home, replace(LOAD, samples=samples))
        sides = [
            stack.enter_context(opened(home, samples))
            for home, samples in zip(homes, counts, strict=True)
        ]
        measure(sides)
    table = report(*sides)
    print(table)
    if arguments.write:
        text = arguments.write.read_text(encoding="utf-8")
        arguments.write.write_text(written(text, "scale", table), encoding="utf-8")
    slow = failures(*sides)
    if slow:
        raise SystemExit(f"slower than wanted: {', '.join(slow)}")


if __name__ == "__main__":
    main()
