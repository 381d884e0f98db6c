"""Kill a retraining at random moments, and in the middle of storing and promoting."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import ArtefactError
from annotator.learn.release.files import read_model
from annotator.store.releases.artefacts import load_artefacts
from annotator.store.releases.registry import live_releases
from tests.support.faults.atlas import Outcome
from tests.support.faults.processes import wait_for
from tests.support.faults.rows import FIELD, one_number, ready

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from annotator.settings import Settings
    from annotator.store.server.connection import Database
    from tests.support.faults.rows import Ready

ORPHANS = 5
ORPHAN_BYTES = 1_000_000
KEEP = 2

# A statement that waits for one of these locks is in the transaction that stores and promotes.
_HELD_UP = {
    "the release": "lock table annotator.release in share row exclusive mode",
    "its files": "lock table annotator.artefact in exclusive mode",
    "its held-out predictions": "lock table annotator.validation_prediction in exclusive mode",
    "its figures": "lock table annotator.metric in exclusive mode",
    "the change of what is live": "select from annotator.release where status = 'live' for update",
}
_WAITS = """
select count(*) from pg_stat_activity
where starts_with(application_name, 'annotator') and wait_event_type = 'Lock'
"""
_SESSIONS = "select count(*) from pg_stat_activity where starts_with(application_name, 'annotator')"
_OPEN = "select count(*) from annotator.release where status = 'candidate'"
_KEPT = "select count(distinct release_id) from annotator.artefact"
_PLANT = """
with run as (
    insert into annotator.training_run (field, preset, seed, host)
    select 'tissue', 'default', i, 'gone' from generate_series(1, %(orphans)s) as i
    returning run_id
), made as (
    insert into annotator.release (field, run_id, classes, features)
    select 'tissue', run_id, '{a,b}', 1 from run
    returning release_id
)
insert into annotator.artefact (release_id, name, media_type, sha256, size, content)
select release_id, 'model', 'application/octet-stream',
    encode(sha256(content), 'hex'), octet_length(content), content
from made, (select convert_to(repeat('x', %(size)s), 'UTF8') as content) as c
"""


def is_intact(connection: psycopg.Connection) -> bool:
    """Return whether exactly one release is live, and its files are complete and load."""
    live = live_releases(connection)
    try:
        for release in live:
            read_model(load_artefacts(connection, release.release_id))
    except ArtefactError:
        return False
    return len(live) == 1 and one_number(connection, _OPEN) == 0


@contextmanager
def _held_up(database: Database, statement: str) -> Iterator[None]:
    """Hold a lock so that the retraining waits at one of its statements."""
    with database.connect(application_name="experiment") as connection:
        connection.execute(statement)
        yield
        connection.rollback()


def _gone(at_work: Ready) -> None:
    """Wait until the server has noticed that the process was killed."""
    wait_for(
        lambda: one_number(at_work.connection, _SESSIONS) == 0 or None, 60, "its sessions' end"
    )


def _seconds_to_promote(at_work: Ready, seed: int) -> float:
    live, began = live_releases(at_work.connection), time.perf_counter()
    process = at_work.start.start("retrain", "--field", FIELD, ANNOTATOR_SEED=str(seed))
    wait_for(lambda: live_releases(at_work.connection) != live or None, 120, "a promotion")
    seconds = time.perf_counter() - began
    process.wait()
    return seconds


def _killed_while_waiting(database: Database, at_work: Ready, statement: str, seed: int) -> bool:
    live = live_releases(at_work.connection)
    with _held_up(database, statement):
        process = at_work.start.start("retrain", "--field", FIELD, ANNOTATOR_SEED=str(seed))
        wait_for(lambda: one_number(at_work.connection, _WAITS) or None, 120, "the hold-up")
        process.kill()
        during = live_releases(at_work.connection) == live
    _gone(at_work)
    return during and live_releases(at_work.connection) == live and is_intact(at_work.connection)


def _killed_at_random(at_work: Ready, seed: int, seconds: float) -> tuple[bool, bool]:
    """Kill a retraining after some seconds; return whether all is intact and it had promoted."""
    live = live_releases(at_work.connection)
    process = at_work.start.start("retrain", "--field", FIELD, ANNOTATOR_SEED=str(seed))
    time.sleep(seconds)
    process.kill()
    _gone(at_work)
    return is_intact(at_work.connection), live_releases(at_work.connection) != live


def run_retraining(database: Database, _settings: Settings, kills: int = 50) -> list[Outcome]:
    """Kill retrainings, half at random moments, half while they store and promote.

    Parameters
    ----------
    database
        A migrated database that nothing else uses.
    kills
        Number of kills.
    """
    random = np.random.default_rng(12)
    with ready(database, 10, ANNOTATOR_KEEP_RELEASES=str(KEEP)) as at_work:
        connection, seed = at_work.connection, 1
        longest = 1.2 * _seconds_to_promote(at_work, seed)
        at_random = kills - kills // 2
        intact = promoted = 0
        for _ in range(at_random):
            seed += 1
            good, changed = _killed_at_random(at_work, seed, random.uniform(0, longest))
            intact, promoted = intact + good, promoted + changed
        outcomes = [
            Outcome(
                "SIGKILL at a random moment",
                at_random,
                intact,
                f"one live release, whole and loaded; {promoted} had gone live before the kill",
            )
        ]
        for place, (what, statement) in enumerate(_HELD_UP.items()):
            times = len(range(place, kills // 2, len(_HELD_UP)))
            intact = 0
            for _ in range(times):
                seed += 1
                intact += _killed_while_waiting(database, at_work, statement, seed)
            remark = "what was live stays live, no candidate is left"
            outcomes.append(Outcome(f"SIGKILL while it writes {what}", times, intact, remark))
        connection.execute(_PLANT, {"orphans": ORPHANS, "size": ORPHAN_BYTES})
        before = live_releases(connection)
        last = at_work.start.run("retrain", "--field", FIELD, ANNOTATOR_SEED=str(seed + 1))
        good = last.code() == 0 and live_releases(connection) != before and is_intact(connection)
        outcomes.append(Outcome("the next retraining", 1, int(good), "goes live"))
        left = one_number(
            connection, "select count(*) from annotator.artefact where name = 'model'"
        )
        outcomes.append(
            Outcome("candidates without a run", ORPHANS, ORPHANS - left, "rejected, files deleted")
        )
        running = one_number(
            connection, "select count(*) from annotator.training_run where status = 'running'"
        )
        runs = one_number(connection, "select count(*) from annotator.training_run")
        outcomes.append(Outcome("runs", runs, runs - running, "none is said to be running"))
        kept = one_number(connection, _KEPT)
        outcomes.append(
            Outcome(
                "releases with files", 1, int(kept == 1 + KEEP), f"{kept}: the live one and {KEEP}"
            )
        )
        at_work.start.run("annotate")
        outcomes.append(
            Outcome(
                "samples after it",
                len(at_work.expected),
                len(at_work.expected) - at_work.left(),
                "answered by what is live",
            )
        )
    return outcomes
