"""Migrate from every earlier revision and back, five at once, interrupted, and beside daemons."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annotator.store.server.schema import REQUIRED_REVISION, downgrade, migrate
from tests.support.faults.atlas import Outcome
from tests.support.faults.earlier_schemas import EARLIER, another, bring_to, dump, lost_rows, rows
from tests.support.faults.overtaken import overtaken
from tests.support.faults.processes import launcher, url_of, wait_for
from tests.support.store import as_curator

if TYPE_CHECKING:
    from annotator.settings import Settings
    from annotator.store.server.connection import Database
    from tests.support.faults.earlier_schemas import Rows
    from tests.support.faults.processes import Launcher, Process

AT_ONCE = 5
_MIGRATES = (
    "from pg_stat_activity where datname = current_database()"
    " and application_name = 'annotator migrate'"
)


def start_migration(start: Launcher, database: Database) -> Process:
    """Start ``annotator migrate`` for a database; return at once."""
    return start.start("migrate", ANNOTATOR_DATABASE_URL=url_of(database))


def _migrated(start: Launcher, database: Database) -> bool:
    process = start_migration(start, database)
    return process.wait() == 0 and f"is now at schema {REQUIRED_REVISION}" in process.output()


# -- up and down ---------------------------------------------------------------------------


def up_and_down(start: Launcher, database: Database, revision: str) -> list[Outcome]:
    """Migrate a database of an earlier revision up and back, before and after it is used."""
    with another(database) as one:
        empty = dump(one, rights=True)
        bring_to(one, revision)
        before, was = rows(one), dump(one, rights=False)
        schema_was = dump(one, rights=False, data=False)
        up = _migrated(start, one) and _kept(one, before)
        downgrade(one, revision)
        down = dump(one, rights=False) == was and rows(one) == before
        up_again = _migrated(start, one) and _kept(one, before)
        works = product_works(start, one)
        downgrade(one, revision)
        back = dump(one, rights=False, data=False) == schema_was
        lost = set(lost_rows(before, rows(one))) - _COUNTED_ANEW
        back &= lost == {"annotator.review"}  # the review that was undone
        last = _migrated(start, one)
        downgrade(one)
        gone = dump(one, rights=True) == empty
    tables = sum(1 for found in before.values() if found)
    held = sum(len(found) for found in before.values())
    return [
        Outcome(
            f"from {revision} up, twice",
            2,
            up + up_again,
            f"each of {held} rows in all {tables} tables kept, every view answers",
        ),
        Outcome(
            f"from {revision} up", 1, int(works), "status, queue, reviews and live accuracy work"
        ),
        Outcome(f"back to {revision}", 1, int(down), "schema and rows as they were"),
        Outcome(
            f"back to {revision} after work",
            1,
            int(back),
            "schema as it was, no row lost but an undone review",
        ),
        Outcome(f"from {revision} up, and away", 1, int(last and gone), "no trace"),
    ]


def _kept(database: Database, before: Rows) -> bool:
    return lost_rows(before, rows(database)) == [] and _views_answer(database)


def _views_answer(database: Database) -> bool:
    with database.connect(user="annotator_reader") as connection:
        views = connection.execute(
            "select format('%I.%I', schemaname, viewname) from pg_views"
            " where schemaname = 'annotator'"
            " and has_table_privilege(format('%I.%I', schemaname, viewname), 'select')"
        ).fetchall()
        for (view,) in views:
            connection.execute(f"select * from {view}").fetchall()
        decided = connection.execute("select count(*) from annotator.effective_annotation")
        return len(views) >= 5 and decided.fetchone() == (32,)  # 30 known, 1 accepted, 1 corrected


# The order of the queue is computed again after every decision and undo.
_COUNTED_ANEW = {"annotator.queue_change", "annotator.queue_group"}
# By field: waiting, leased, suggested, abstained, quarantined.
_STATUS = {"tissue": (1, 1, 26, 1, 1), "sex": (0, 0, 0, 0, 0), "age": (0, 0, 0, 0, 0)}
_OPEN = {("tissue", "suggested"): 23, ("tissue", "abstained"): 1}
_QUEUE = "select field, status, count(*) from review_queue group by field, status"
_OF = "(select prediction_id from suggestion where sample_id = %s and field = 'tissue')"
_LABELS = """
insert into atlas.annotation (sample_id, field, value)
values ('s7', 'tissue', 'lung'), ('s8', 'tissue', 'blood')
"""
_ACCURACY = "select field, judged, confirmed from live_accuracy where status = 'live'"


def product_works(start: Launcher, database: Database) -> bool:
    """Read the status, decide, undo and label; return whether all results are as expected."""
    process = start.run("status", "--json", ANNOTATOR_DATABASE_URL=url_of(database))
    if process.code() != 0:
        return False
    fields = {field["field"]: field for field in json.loads(process.output())["fields"]}
    names = ("waiting", "leased", "suggested", "abstained", "quarantined")
    found = {name: tuple(field[key] for key in names) for name, field in fields.items()}
    good = found == _STATUS
    with as_curator(database) as curator:
        open_now = {tuple(row[:2]): row[2] for row in curator.execute(_QUEUE)}
        good &= open_now == _OPEN
        taken = curator.execute(f"select decision::text from accept_suggestion({_OF})", ("s6",))
        good &= taken.fetchall() == [("accepted",)]
        undone = curator.execute(
            "select undone.reviewer from review r"
            " cross join lateral undo_review(r.review_id, 'too soon') undone"
            " where r.sample_id = 's1'"
        )
        good &= len(undone.fetchall()) == 1
        story = curator.execute("select what, value from annotation_history('s11')").fetchall()
        good &= story == [("suggested", "blood"), ("rejected", None), ("suggested", "lung")]
        classes = curator.execute("select distinct class from contribution order by 1").fetchall()
        good &= classes == [("blood",), ("lung",)]
        with database.connect(autocommit=True) as owner:
            owner.execute(_LABELS)
        # Right: s6, s7; wrong: s2 and s3 by earlier reviews, s8; s1 is open again.
        accuracy = {row[0]: tuple(row[1:]) for row in curator.execute(_ACCURACY)}
        good &= accuracy == {"tissue": (5, 2)}
    return good


# -- at once -------------------------------------------------------------------------------


def all_at_once(start: Launcher, database: Database, revision: str | None) -> Outcome:
    """Start five migrations at the same time, from a revision or an empty database."""
    with another(database) as one:
        before: Rows = {}
        if revision is not None:
            bring_to(one, revision)
            before = rows(one)
        processes = [start_migration(start, one) for _ in range(AT_ONCE)]
        ends = [process.wait() for process in processes]
        said = [process.output() for process in processes]
        good = lost_rows(before, rows(one)) == [] and (revision is None or _views_answer(one))
    first = sum(f"is now at schema {REQUIRED_REVISION}" in text for text in said)
    rest = sum(f"is already at schema {REQUIRED_REVISION}" in text for text in said)
    good &= (first, rest) == (1, AT_ONCE - 1)
    return Outcome(
        f"{AT_ONCE} at once from {revision or 'nothing'}",
        AT_ONCE,
        ends.count(0) * good,
        "all succeed: one migrates, four find it done",
    )


# -- interrupted ---------------------------------------------------------------------------


def interrupted(start: Launcher, database: Database, revision: str, times: int) -> list[Outcome]:
    """Interrupt migrations at random moments: by SIGKILL, SIGTERM, or a lost connection."""
    random = np.random.default_rng(int(revision))
    ways = (_kill, _kill, _end, _cut)
    count: dict[str, list[int]] = {way.__name__: [] for way in ways}
    written = before = finished = 0
    unclear: list[str] = []
    with another(database) as template:
        bring_to(template, revision)
        was = dump(template, rights=True)
        with another(database, template) as one:
            migrate(one)
            # What the settings declare is stored afterwards, by this or any other command.
            undeclared = dump(one, rights=True)
        lasted = []
        for _ in range(3):  # the very first process is slow
            with another(database, template) as undisturbed:
                began = time.perf_counter()
                if not _migrated(start, undisturbed):
                    raise RuntimeError("an undisturbed migration failed")
                lasted.append(time.perf_counter() - began)
                wanted = dump(undisturbed, rights=True)
        for number in range(times):
            with another(database, template) as one:
                way = ways[number % len(ways)]
                process = start_migration(start, one)
                time.sleep(random.uniform(0, sorted(lasted)[1]))
                process.send(signal.SIGSTOP)
                written += _has_written(one)
                if not way(one, process):
                    unclear.append(f"{way.__name__}: {process.code()}, {process.output()}")
                _nobody_migrates(one)
                found = dump(one, rights=True)
                before += found == was
                count[way.__name__].append(int(found in (was, undeclared, wanted)))
                finished += _again(start, one) and dump(one, rights=True) == wanted
    split = f"{before} as before ({written} had written), {times - before} through with it"
    names = {"_kill": "SIGKILL", "_end": "SIGTERM", "_cut": "connection cut"}
    return [
        *(
            Outcome(
                f"{names[way]} on the way from {revision}",
                len(withstood),
                sum(withstood),
                "the old schema or the whole new one",
            )
            for way, withstood in count.items()
            if withstood
        ),
        Outcome(
            f"interrupted, from {revision}",
            times,
            times - len(unclear),
            "; ".join(" ".join(text.split())[:200] for text in unclear)
            or "the right exit code, one line or none",
        ),
        Outcome(f"the next one, from {revision}", times, finished, f"succeeds; {split}"),
    ]


def _kill(_database: Database, process: Process) -> bool:
    process.kill()
    return True


def _end(_database: Database, process: Process) -> bool:
    process.send(signal.SIGTERM)
    process.send(signal.SIGCONT)
    return process.wait() in (0, 128 + signal.SIGTERM) and "Traceback" not in process.output()


def _cut(database: Database, process: Process) -> bool:
    with database.connect(autocommit=True) as connection:
        connection.execute(f"select pg_terminate_backend(pid) {_MIGRATES}")
    process.send(signal.SIGCONT)
    code, said = process.wait(), process.output()
    return code in (0, 4) and len(said.splitlines()) == 1


def _has_written(database: Database) -> bool:
    """Return whether an open transaction of a migration has changed anything."""
    with database.connect(autocommit=True) as connection:
        found = connection.execute(f"select bool_or(backend_xid is not null) {_MIGRATES}")
        return found.fetchone() == (True,)


def _again(start: Launcher, database: Database) -> bool:
    return start_migration(start, database).wait() == 0


def _nobody_migrates(database: Database) -> None:
    with database.connect(autocommit=True) as connection:

        def nobody() -> bool | None:
            return connection.execute(f"select count(*) {_MIGRATES}").fetchone() == (0,) or None

        wait_for(nobody, 120, "the server to end a dead process's migration")


def run_migrations(
    database: Database, _settings: Settings, times: int = 120, *, rounds: int = 20
) -> list[Outcome]:
    """Migrate in every way that may fail.

    Parameters
    ----------
    database, settings
        A migrated database that nothing else uses; others are made on its server.
    times
        Number of interrupted migrations, over all earlier revisions.
    rounds
        Number of migrations beside a daemon.
    """
    outcomes = []
    with (
        tempfile.TemporaryDirectory(prefix="migrations-") as folder,
        launcher(Path(folder), database, models=False) as start,
    ):
        for revision in EARLIER:
            outcomes += up_and_down(start, database, revision)
        for origin in (None, *EARLIER):
            outcomes.append(all_at_once(start, database, origin))
        for revision in EARLIER:
            outcomes += interrupted(start, database, revision, max(4, times // len(EARLIER)))
    outcomes += overtaken(database, rounds)
    return outcomes
