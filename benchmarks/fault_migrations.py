"""Migrations: from every earlier revision and back, five at once, killed, beside an old daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fault_atlas import Outcome, load_atlas
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.store import binaries, schema
from annotator.store.schema import REQUIRED_REVISION, downgrade, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from annotator.settings import Settings
    from annotator.store.connection import Database

ROOT = Path(__file__).parents[1]
EARLIER = tuple(f"{number:04}" for number in range(1, int(REQUIRED_REVISION)))
AT_ONCE = 5
PATIENCE = 120.0  # seconds
_numbers = count(1)

# What the first revision can hold; every later one has brought it along.
ROWS = """
insert into atlas.dataset (dataset_id) values ('D1');
insert into atlas.sample (sample_id, dataset_id)
select 's' || i, 'D1' from generate_series(1, 60) as i;
insert into atlas.feature (name, kind) values ('hsa-miR-21-5p', 'srna');
insert into atlas.annotation (sample_id, field, value)
select 's' || i, 'tissue', case when i % 2 = 0 then 'blood' else 'lung' end
from generate_series(31, 60) as i;
insert into annotator.cohort (field, hash, samples, datasets)
values ('tissue', repeat('0', 64), 30, 1);
insert into annotator.cohort_sample
select cohort_id, sample_id, 'D1', value, value from annotator.cohort, atlas.annotation;
insert into annotator.training_run (field, preset, seed, host, status, finished_at, cohort_id)
select 'tissue', 'default', 1, 'here', 'succeeded', now(), cohort_id from annotator.cohort;
insert into annotator.release (field, run_id, status, classes, features, promoted_at)
select 'tissue', run_id, 'live', '{blood,lung}', 10, now() from annotator.training_run;
insert into annotator.artefact (release_id, name, media_type, sha256, size, content)
select release_id, 'model.json', 'application/json', encode(sha256('{}'), 'hex'), 2, '{}'
from annotator.release;
insert into annotator.validation_prediction
    (run_id, sample_id, dataset_id, model_kind, fold, truth, value, probability, probabilities)
select run_id, sample_id, 'D1', 'combined', 0, value, 'lung', 0.75, '{0.25,0.75}'
from annotator.training_run, atlas.annotation;
insert into annotator.prediction (
    sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, lineage,
    confidence, status, models
)
select s.sample_id, 'D1', 'tissue', release_id, repeat('0', 64), updated_at, 'lung',
    '{lung,organ}', 0.9, 'suggested', '{"network": {"value": "lung", "probability": 0.9}}'
from annotator.release, atlas.sample s
where not exists (select from atlas.annotation a where a.sample_id = s.sample_id);
select annotator.accept_suggestion(prediction_id, 'fits') from annotator.prediction
where sample_id = 's1';
select annotator.reject_suggestion(prediction_id, 'does not') from annotator.prediction
where sample_id = 's2';
select annotator.correct_suggestion(prediction_id, 'blood', 'is blood') from annotator.prediction
where sample_id = 's3';
insert into annotator.event (kind, subject, detail) values ('failure', 'tissue', '{"reason": "x"}');
insert into annotator.tick (job, due_at, worker, outcome) values ('retrain', now(), 'w', 'done');
"""

_MIGRATE = """
import sys
import alembic.command, sqlalchemy.dialects.postgresql.psycopg
from annotator.store.connection import Database
from annotator.store.schema import migrate
print("ready", flush=True)
sys.stdin.readline()
migrate(Database(sys.argv[1], embedded=True))
"""


# -- databases -----------------------------------------------------------------------------


@contextmanager
def another(database: Database, template: Database | None = None) -> Iterator[Database]:
    """A database of its own on the same server, empty or a copy of one that nobody uses."""
    name = f"migrated_{os.getpid()}_{next(_numbers)}"
    of = "template0" if template is None else str(conninfo_to_dict(template.conninfo)["dbname"])
    with database.connect(autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(of)
            )
        )
    try:
        yield replace(database, conninfo=make_conninfo(database.conninfo, dbname=name))
    finally:
        with database.connect(autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            )


def bring_to(database: Database, revision: str) -> None:
    """Make a database as the version of a revision left it, with rows in it."""
    with schema._only_one(database) as connection:
        schema._ensure_roles(connection)
    schema._run_alembic(database, "upgrade", "0001")
    with database.connect(autocommit=True) as connection:
        connection.execute(ROWS)
    schema._run_alembic(database, "upgrade", revision)


def dump(database: Database, *, rights: bool) -> list[str]:
    """Return everything in a database, schema and rows, as text that can be compared."""
    command = [
        binaries.folder() / "pg_dump",
        "--no-owner",
        *(() if rights else ("--no-privileges",)),
        database.conninfo,
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = (line.rstrip(",") for line in text.splitlines())  # a column may be the last one now
    return sorted(line for line in lines if line and not line.startswith(("--", "\\")))


def rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table of both schemas."""
    with database.connect() as connection:
        names = connection.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname in ('annotator', 'atlas') and tablename <> 'alembic_version'"
        ).fetchall()
        return {
            name: [
                row[0]
                for row in connection.execute(
                    f"select to_jsonb(t) from {name} t order by to_jsonb(t)::text"
                )
            ]
            for (name,) in names
        }


def kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> bool:
    """Tell whether every row is there, in the columns that it had."""

    def of_then(name: str) -> list[str]:
        columns = set(before[name][0]) if before[name] else set()
        found = [{key: row.get(key) for key in columns} for row in after.get(name, [])]
        return sorted(str(sorted(row.items())) for row in found)

    return all(
        not found or of_then(name) == sorted(str(sorted(row.items())) for row in found)
        for name, found in before.items()
    )


# -- up, down, at once ---------------------------------------------------------------------


def up_and_down(database: Database, revision: str) -> list[Outcome]:
    """Bring a database of an earlier revision up, and back."""
    with another(database) as one:
        empty = dump(one, rights=True)
        bring_to(one, revision)
        before, was = rows(one), dump(one, rights=False)
        migrate(one)
        up = kept(before, rows(one)) and _views_answer(one)
        downgrade(one, revision)
        down = dump(one, rights=False) == was and rows(one) == before
        migrate(one)
        again = kept(before, rows(one)) and _views_answer(one)
        downgrade(one)
        gone = dump(one, rights=True) == empty
    return [
        Outcome(f"from {revision} up, twice", 2, up + again, "every row kept, every view answers"),
        Outcome(f"back to {revision}", 1, int(down), "schema and rows as they were"),
        Outcome(f"from {revision} up, and away", 1, int(gone), "no trace"),
    ]


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


def _start(database: Database) -> subprocess.Popen[str]:
    """Start a migration in a process of its own, up to where it begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", _MIGRATE, database.conninfo],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def all_at_once(database: Database, revision: str) -> Outcome:
    """Start five migrations at the same moment."""
    with another(database) as one:
        bring_to(one, revision)
        before = rows(one)
        processes = [_start(one) for _ in range(AT_ONCE)]
        for process in processes:
            _begin(process)
        ends = [process.wait(PATIENCE) for process in processes]
        for process in processes:
            process.communicate()
        good = kept(before, rows(one)) and _views_answer(one)
    tried = len(ends)
    return Outcome(f"{tried} at once from {revision}", tried, ends.count(0) * good, "all succeed")


def _nobody_migrates(database: Database) -> None:
    deadline = time.monotonic() + PATIENCE
    query = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and application_name = 'annotator migrate'"
    )
    with database.connect(autocommit=True) as connection:
        while connection.execute(query).fetchone() != (0,):
            if time.monotonic() > deadline:
                raise TimeoutError("the server still migrates for a dead process")
            time.sleep(0.02)


def killed(database: Database, revision: str, times: int) -> list[Outcome]:
    """Kill migrations at random moments."""
    random = np.random.default_rng(int(revision))
    old = new = finished = 0
    with another(database) as template:
        bring_to(template, revision)
        was = dump(template, rights=True)
        with another(database, template) as undisturbed:
            process = _start(undisturbed)
            started = time.perf_counter()
            _begin(process)
            if process.wait(PATIENCE) != 0:
                raise RuntimeError(process.communicate()[1])
            process.communicate()
            took = time.perf_counter() - started
            wanted = dump(undisturbed, rights=True)
        for _ in range(times):
            with another(database, template) as one:
                process = _start(one)
                _begin(process)
                time.sleep(random.uniform(0, took))
                process.send_signal(signal.SIGKILL)
                process.communicate()
                _nobody_migrates(one)
                found = dump(one, rights=True)
                old += found == was
                new += found == wanted
                migrate(one)
                finished += dump(one, rights=True) == wanted
    return [
        Outcome(
            f"killed on the way from {revision}",
            times,
            old + new,
            f"{old} as before, {new} through with it; nothing between",
        ),
        Outcome(f"killed on the way from {revision}", times, finished, "the next one succeeds"),
    ]


# -- a daemon of the version before --------------------------------------------------------

_CHEAP = """
from dataclasses import replace
from annotator.learn.presets import PRESETS
PRESETS["default"] = replace(
    PRESETS["default"], network=None, forest=None, boosting=None, leaf_kinds=()
)
from annotator.cli import main
main()
"""


@contextmanager
def version_before() -> Iterator[Path | None]:
    """Unpack the last version that knew the revision before, where the history is at hand."""

    def git(*arguments: str) -> bytes:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    wanted = f'REQUIRED_REVISION = "{REQUIRED_REVISION}"'
    try:
        found = git("log", "-1", "--format=%H", f"-S{wanted}", "--", "annotator/store/schema.py")
        archive = git("archive", f"{found.decode().strip()}^")
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        with tempfile.TemporaryFile() as file:
            file.write(archive)
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                tar.extractall(folder, filter="data")
        yield Path(folder)


def _url(database: Database) -> str:
    parts = conninfo_to_dict(database.conninfo)
    return f"postgresql://{parts['user']}@:{parts['port']}/{parts['dbname']}?host={parts['host']}"


def old_daemon(database: Database, settings: Settings, samples_first: int = 5) -> list[Outcome]:
    """Migrate while a daemon of the version before annotates, one sample at a time."""
    with version_before() as checkout, another(database) as one:
        if checkout is None:
            return [Outcome("a daemon of the version before", 0, 0, "no history at hand")]
        environment = os.environ | {
            "PYTHONPATH": str(checkout),
            "ANNOTATOR_DATABASE_URL": _url(one),
            "ANNOTATOR_HOME": str(settings.home_folder().parent / "old"),
            "ANNOTATOR_BATCH_SIZE": "1",
            "ANNOTATOR_POLL_SECONDS": "1",
            "ANNOTATOR_FOLDS": "2",
            "ANNOTATOR_WORKERS": "1",
            "ANNOTATOR_BASELINE_MARGIN": "-1",
            "ANNOTATOR_GATE_MARGIN": "1",
        }

        def call(*arguments: str) -> None:
            command = [sys.executable, "-c", _CHEAP, *arguments]
            subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True)

        call("migrate")
        load_atlas(one)
        call("retrain", "--field", "tissue")
        with tempfile.TemporaryFile("w+") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-c", _CHEAP, "serve"],
                cwd=checkout,  # the first place that modules are looked for
                env=environment,
                stderr=log,
            )
            try:
                _wait(lambda: _answers(one) >= samples_first, "the old daemon annotates")
                migrate(one)
                _wait(lambda: "update annotator" in _read(log), "the old daemon notices")
                before = _answers(one)
                with one.connect(autocommit=True) as connection:
                    connection.execute("update atlas.sample set updated_at = clock_timestamp()")
                time.sleep(5)  # it asks every second
                quiet, alive = _answers(one) == before, daemon.poll() is None
            finally:
                daemon.send_signal(signal.SIGTERM)
                code = daemon.wait(PATIENCE)
            said = _read(log)
        whole = _one_answer_each(one)
    name = "a daemon of the version before"
    return [
        Outcome(name, 1, int(quiet and whole), "writes nothing any more, and left nothing half"),
        Outcome(name, 1, int(alive and code == 0 and "Traceback" not in said), "says what to do"),
    ]


def _read(log: Any) -> str:
    return os.pread(log.fileno(), 10_000_000, 0).decode(errors="replace")


def _wait(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"in vain: {what}")
        time.sleep(0.1)


def _answers(database: Database) -> int:
    with database.connect() as connection:
        row = connection.execute("select count(*) from annotator.prediction").fetchone()
    assert row is not None
    return int(row[0])


def _one_answer_each(database: Database) -> bool:
    with database.connect() as connection:
        row = connection.execute(
            "select (select count(*) from (select from annotator.prediction where is_current"
            " group by sample_id, field having count(*) > 1) as twice),"
            " (select count(*) from annotator.prediction p where is_current"
            "  and not exists (select from annotator.work w where w.sample_id = p.sample_id)"
            "  and p.models is null)"
        ).fetchone()
    return row == (0, 0)


def run_migrations(
    database: Database, settings: Settings, times: int = 60, *, beside_a_daemon: bool = True
) -> list[Outcome]:
    """Migrate in every way that may go wrong.

    Parameters
    ----------
    database, settings
        Whose server takes the databases that are made.
    times
        How many migrations are killed, over all earlier revisions.
    beside_a_daemon
        Whether a daemon of the version before runs meanwhile.
    """
    outcomes = []
    for revision in EARLIER:
        outcomes += up_and_down(database, revision)
    for revision in EARLIER:
        outcomes.append(all_at_once(database, revision))
    for revision in EARLIER:
        outcomes += killed(database, revision, max(1, times // len(EARLIER)))
    if beside_a_daemon:
        outcomes += old_daemon(database, settings)
    return outcomes
