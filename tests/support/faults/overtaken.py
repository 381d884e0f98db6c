"""Migrate the database while daemons and retrainings of the version before are running.

The migration goes to a made-up revision after the newest one, so that the present version
is the one before.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from annotator.store.server import schema
from annotator.store.server.schema import REQUIRED_REVISION, downgrade, migrate
from tests.support.faults.atlas import Outcome
from tests.support.faults.kills import leased
from tests.support.faults.processes import wait_for
from tests.support.faults.rows import FIELD, one_number, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.store.server.connection import Database
    from tests.support.faults.processes import Process
    from tests.support.faults.rows import Ready

SAMPLES_A_ROUND = 60
TOLD = "update annotator"
_NEXT = f"{int(REQUIRED_REVISION) + 1:04}"
# Existing rows are marked; a row without the mark was written after the migration. The
# sleep holds the locks for a while, as the migration of a large atlas does.
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
_BUSY = """
select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
  and backend_type = 'client backend' and state <> 'idle'
"""
_LEASED = "select count(*) from annotator.work where leased_by is not null"


@contextmanager
def version_after() -> Iterator[None]:
    """Make this process the next version."""
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
        ended = daemon.wait() == 0 and "Traceback" not in daemon.output()
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
    """Wait for a claim and some seconds more; return whether the daemon still holds a batch."""

    def claimed() -> bool | None:
        return leased(at_work, daemon) > 0 or at_work.left() == 0 or None

    wait_for(claimed, 60, "a claim")
    time.sleep(seconds)
    return leased(at_work, daemon) > 0


def _overtake(at_work: Ready, database: Database, daemon: Process) -> bool:
    heard = len(daemon.output())
    migrate(database)
    wait_for(lambda: TOLD in daemon.output()[heard:] or None, 60, "the daemon to notice")
    late = one_number(at_work.connection, _LATE)
    held = one_number(at_work.connection, _LEASED)
    downgrade(database, REQUIRED_REVISION)
    return late == held == 0


def _overtaken_retraining(at_work: Ready, database: Database, seed: int) -> bool:
    query = "select count(*) from annotator.training_run where status = 'running'"
    before = _releases(at_work)
    process = at_work.start.start("retrain", "--field", FIELD, ANNOTATOR_SEED=str(seed))
    wait_for(lambda: one_number(at_work.connection, query) or None, 60, "a retraining")
    # It would otherwise be over before the migration has begun.
    wait_for(lambda: _stopped_in_training(at_work, process), 60, "it to train")
    migrate(database)
    process.send(signal.SIGCONT)
    code = process.wait()
    good = code != 0 and TOLD in process.output() and "Traceback" not in process.output()
    good &= _releases(at_work) == before and one_number(at_work.connection, query) == 0
    downgrade(database, REQUIRED_REVISION)
    return good


def _stopped_in_training(at_work: Ready, process: Process) -> bool | None:
    """Stop a process unless it is in a transaction, which would block the migration."""
    process.send(signal.SIGSTOP)
    time.sleep(0.05)
    if one_number(at_work.connection, _BUSY) == 0:
        return True
    process.send(signal.SIGCONT)
    return None


def _releases(at_work: Ready) -> list[Any]:
    return at_work.connection.execute(
        "select release_id, status, (select count(*) from annotator.artefact a"
        " where a.release_id = r.release_id) from annotator.release r order by 1"
    ).fetchall()
