"""Run many daemons on one database, and one that sleeps past the end of its lease."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import numpy as np

from tests.support.faults.atlas import Outcome
from tests.support.faults.kills import leased
from tests.support.faults.processes import wait_for
from tests.support.faults.rows import different, final_rows, one_number, ready

if TYPE_CHECKING:
    from annotator.settings import Settings
    from annotator.store.server.connection import Database
    from tests.support.faults.processes import Process
    from tests.support.faults.rows import Ready

DAEMONS = 8
SAMPLES = 300
LEASE_SECONDS = 2
GIVEN_UP = "a batch was given up"
_WRITTEN = "select sum(predicted + quarantined) from annotator.annotation_run"
_WORKERS = "select count(distinct worker) from annotator.annotation_run where predicted > 0"
_IN_TRANSACTION = """
select count(*) from pg_stat_activity
where starts_with(application_name, 'annotator') and state in ('active', 'idle in transaction')
"""


def _is_right(at_work: Ready) -> bool:
    """Return whether every sample was written exactly once, with the right content."""
    written = one_number(at_work.connection, _WRITTEN)
    return written == len(at_work.expected) and not different(
        final_rows(at_work.connection), at_work.expected
    )


def _quiet(processes: list[Process]) -> list[str]:
    """Return the errors that daemons logged; giving up a batch is not an error."""
    return [
        line
        for process in processes
        for line in process.output().splitlines()
        if any(word in line for word in ("Traceback", "Error", " ERROR ", "unique", "deadlock"))
    ]


def _end(processes: list[Process]) -> Outcome:
    for process in processes:
        process.send(signal.SIGTERM)
    good = sum(process.wait() == 0 and not _quiet([process]) for process in processes)
    complaints = _quiet(processes)
    remark = complaints[0][:80] if complaints else "no error in any log, exit code 0"
    return Outcome("daemons", len(processes), good, remark)


def together(database: Database, rounds: int, samples: int) -> list[Outcome]:
    """Let several daemons annotate the same samples, again and again."""
    with ready(database, samples) as at_work:
        daemons = [at_work.start.start("serve") for _ in range(DAEMONS)]
        right, workers = 0, []
        for _ in range(rounds):
            at_work.wait_for_all()
            time.sleep(0.3)  # a second prediction would be written now
            right += _is_right(at_work)
            workers.append(one_number(at_work.connection, _WORKERS))
            at_work.forget()
        remark = f"each sample once; at least {min(workers)} daemons had a part"
        what = f"{DAEMONS} daemons, {len(at_work.expected)} samples"
        return [Outcome(what, rounds, right, remark), _end(daemons)]


def _stop_with_work(at_work: Ready, sleeper: Process, random: np.random.Generator) -> None:
    """Stop a daemon that has claimed samples and no open transaction."""

    def stopped() -> bool | None:
        if at_work.left() == 0:
            at_work.forget()
        if not leased(at_work, sleeper):
            return None
        time.sleep(random.uniform(0, 0.02))
        sleeper.send(signal.SIGSTOP)
        time.sleep(0.02)
        if leased(at_work, sleeper) and not one_number(at_work.connection, _IN_TRANSACTION):
            return True
        sleeper.send(signal.SIGCONT)
        return None

    wait_for(stopped, 60, "samples in the hand of the daemon")


def stale(database: Database, times: int, samples: int) -> list[Outcome]:
    """Stop a daemon in the middle of a batch, and resume it after others wrote the batch."""
    random = np.random.default_rng(11)
    settings = {"ANNOTATOR_LEASE_SECONDS": str(LEASE_SECONDS)}
    with ready(database, samples, **settings) as at_work:
        sleeper, refused = at_work.start.start("serve"), 0
        for _ in range(times):
            _stop_with_work(at_work, sleeper, random)
            other = at_work.start.start("serve")
            at_work.wait_for_all()
            before = sleeper.output().count(GIVEN_UP)
            sleeper.send(signal.SIGCONT)

            def given_up(before: int = before) -> bool | None:
                return sleeper.output().count(GIVEN_UP) > before or None

            wait_for(given_up, 30, "the batch to be given up")
            refused += _is_right(at_work)
            other.send(signal.SIGTERM)
            other.wait()
            at_work.forget()
        remark = "its batch is refused, each sample is written once"
        return [Outcome("SIGSTOP until the lease is over", times, refused, remark), _end([sleeper])]


def run_crowd(
    database: Database, _settings: Settings, rounds: int = 20, samples: int = SAMPLES
) -> list[Outcome]:
    """Run daemons side by side, and one that sleeps.

    Parameters
    ----------
    database
        A migrated database that nothing else uses.
    rounds
        Number of rounds of each.
    samples
        Number of samples that are added to the unlabelled ones of the atlas.
    """
    return together(database, rounds, samples) + stale(database, rounds, samples)
