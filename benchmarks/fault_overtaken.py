"""Daemons and retrainings that a migration overtakes: they are the version before it.

A revision is made up that comes after the newest one; so the present version is the one
before, on any machine. Where the history is at hand, the last version that knew the
revision before is tried as well, as it was published.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from earlier_schemas import another
from fault_atlas import Outcome, load_atlas
from fault_kills import leased
from fault_processes import PATIENCE, url_of, wait_for
from fault_rows import FIELD, one_number, ready

from annotator.store import schema
from annotator.store.schema import REQUIRED_REVISION, downgrade, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fault_processes import Process
    from fault_rows import Ready

    from annotator.settings import Settings
    from annotator.store.connection import Database

ROOT = Path(__file__).parents[1]
SAMPLES_A_ROUND = 60
TOLD = "update annotator"
_NEXT = f"{int(REQUIRED_REVISION) + 1:04}"
# Rows that are there get the mark; a row without it was written after the migration. The
# sleep holds the locks for a while, as a migration of a large atlas does.
_NEXT_REVISION = f"""
from alembic import op

revision = "{_NEXT}"
down_revision = "{REQUIRED_REVISION}"


def upgrade():
    op.execute("alter table annotator.prediction add column written_before boolean")
    op.execute("update annotator.prediction set written_before = true")
    op.execute("select pg_sleep(0.3)")


def downgrade():
    op.execute("alter table annotator.prediction drop column written_before")
"""
_LATE = "select count(*) from annotator.prediction where written_before is null"
_LEASED = "select count(*) from annotator.work where leased_by is not null"


@contextmanager
def version_after() -> Iterator[None]:
    """Let this process be of the version that comes next."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "migrations"
        shutil.copytree(schema.migrations_folder(), made)
        (made / "versions" / f"{_NEXT}_next.py").write_text(_NEXT_REVISION, encoding="utf-8")
        with (
            patch.object(schema, "REQUIRED_REVISION", _NEXT),
            patch.object(schema, "migrations_folder", lambda: made),
        ):
            yield


def overtaken(database: Database, rounds: int) -> list[Outcome]:
    """Migrate to the next revision while the present version annotates and retrains, and back."""
    random = np.random.default_rng(17)
    samples = SAMPLES_A_ROUND * rounds
    with ready(database, samples) as at_work, version_after():
        daemon = at_work.start.start("serve")
        tried = good = in_hand = 0
        while tried < rounds and at_work.left():
            busy = _in_hand_after(at_work, daemon, random.uniform(0, 0.3))
            good += _overtake(at_work, database, daemon)
            tried, in_hand = tried + 1, in_hand + busy
        at_work.wait_for_all()
        alive = daemon.code() is None
        daemon.send(signal.SIGTERM)
        ended = daemon.wait() == 0 and "Traceback" not in daemon.said()
        retrainings = [
            _overtaken_retraining(at_work, database, 100 + number)
            for number in range(max(1, rounds // 5))
        ]
        remark = f"nothing written after it, what was in hand ({in_hand}) given back"
        return [
            Outcome("a daemon overtaken by a migration", tried, good, remark),
            Outcome("the daemon", 1, int(alive and ended), "works on where the schema goes back"),
            *at_work.judged(),
            Outcome(
                "a retraining overtaken by a migration",
                len(retrainings),
                sum(retrainings),
                "no release, what is live stays live",
            ),
        ]


def _in_hand_after(at_work: Ready, daemon: Process, seconds: float) -> bool:
    """Wait for a claim, and some time after it; tell whether the daemon has a batch in hand."""

    def claimed() -> bool | None:
        return leased(at_work, daemon) > 0 or at_work.left() == 0 or None

    wait_for(claimed, 60, "a claim")
    time.sleep(seconds)
    return leased(at_work, daemon) > 0


def _overtake(at_work: Ready, database: Database, daemon: Process) -> bool:
    heard = len(daemon.said())
    migrate(database)
    wait_for(lambda: TOLD in daemon.said()[heard:] or None, 60, "the daemon to notice")
    late = one_number(at_work.connection, _LATE)
    held = one_number(at_work.connection, _LEASED)
    downgrade(database, REQUIRED_REVISION)
    return late == held == 0


def _overtaken_retraining(at_work: Ready, database: Database, seed: int) -> bool:
    query = "select count(*) from annotator.training_run where status = 'running'"
    before = _releases(at_work)
    process = at_work.start.start("retrain", "--field", FIELD, ANNOTATOR_SEED=str(seed))
    wait_for(lambda: one_number(at_work.connection, query) or None, 60, "a retraining")
    migrate(database)
    code = process.wait()
    good = code != 0 and TOLD in process.said() and "Traceback" not in process.said()
    good &= _releases(at_work) == before and one_number(at_work.connection, query) == 0
    downgrade(database, REQUIRED_REVISION)
    return good


def _releases(at_work: Ready) -> list[Any]:
    return at_work.connection.execute(
        "select release_id, status, (select count(*) from annotator.artefact a"
        " where a.release_id = r.release_id) from annotator.release r order by 1"
    ).fetchall()


# -- as it was published -------------------------------------------------------------------

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


def old_daemon(database: Database, settings: Settings, samples_first: int = 5) -> list[Outcome]:
    """Migrate while a daemon of the version before annotates, one sample at a time."""
    name = f"the daemon of revision {int(REQUIRED_REVISION) - 1:04}"
    with version_before() as checkout, another(database) as one:
        if checkout is None:
            return [Outcome(name, 0, 0, "no history at hand")]
        environment = os.environ | {
            "ANNOTATOR_DATABASE_URL": url_of(one),
            "ANNOTATOR_HOME": str(settings.home_folder().parent / "old"),
            "ANNOTATOR_BATCH_SIZE": "1",
            "ANNOTATOR_POLL_SECONDS": "1",
            "ANNOTATOR_FOLDS": "2",
            "ANNOTATOR_WORKERS": "1",
            "ANNOTATOR_BASELINE_MARGIN": "-1",
            "ANNOTATOR_GATE_MARGIN": "1",
        }

        def call(version: Path, *arguments: str) -> str:
            command = [sys.executable, "-c", _CHEAP, *arguments]
            known = environment | {"PYTHONPATH": str(version)}
            run = subprocess.run(command, cwd=version, env=known, check=True, capture_output=True)
            return run.stdout.decode()

        call(checkout, "migrate")
        load_atlas(one)
        call(checkout, "retrain", "--field", FIELD)
        with tempfile.TemporaryFile("w+") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-c", _CHEAP, "serve"],
                cwd=checkout,  # the first place that modules are looked for
                env=environment | {"PYTHONPATH": str(checkout)},
                stderr=log,
            )
            try:
                wait_for(
                    lambda: _answers(one) >= samples_first or None, PATIENCE, "the first answers"
                )
                migrate(one)
                written = _answers(one)
                wait_for(lambda: TOLD in _read(log) or None, PATIENCE, "the old daemon to notice")
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
        call(ROOT, "annotate")
        fields = json.loads(call(ROOT, "status", "--json"))["fields"]
        waiting = sum(field["waiting"] + field["leased"] for field in fields)
    late = f"{before - written} answers of the pass in hand, each of them whole, then nothing"
    return [
        Outcome(name, 1, int(quiet and whole), late),
        Outcome(
            name,
            1,
            int(alive and code == 0 and "Traceback" not in said),
            "says what to do" + ("" if "Traceback" not in said else ", after a traceback"),
        ),
        Outcome("its release", 1, int(waiting == 0), "answers for the version after it"),
    ]


def _read(log: Any) -> str:
    return os.pread(log.fileno(), 10_000_000, 0).decode(errors="replace")


def _answers(database: Database) -> int:
    with database.connect(autocommit=True) as connection:
        return one_number(connection, "select count(*) from annotator.prediction")


def _one_answer_each(database: Database) -> bool:
    with database.connect(autocommit=True) as connection:
        twice = one_number(
            connection,
            "select count(*) from (select from annotator.prediction where is_current"
            " group by sample_id, field having count(*) > 1) as twice",
        )
        half = one_number(
            connection,
            "select count(*) from annotator.prediction p where not exists (select from"
            " annotator.contribution c where c.prediction_id = p.prediction_id)",
        )
    return twice == half == 0
