"""Kill a daemon at random moments while it annotates."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from tests.support.faults.atlas import Outcome
from tests.support.faults.processes import wait_for
from tests.support.faults.rows import BATCH, one_number, ready

if TYPE_CHECKING:
    from annotator.settings import Settings
    from annotator.store.server.connection import Database
    from tests.support.faults.processes import Process
    from tests.support.faults.rows import Ready

SAMPLES_A_KILL = 10
_LEASED = "select count(*) from annotator.work where leased_by like %s"
# A batch is written as a whole: a prediction without its contributions, or a sample that is
# both pending and predicted, would be half a batch.
_HALF = """
select
    (select count(*) from annotator.prediction p where not exists (
        select from annotator.contribution c where c.prediction_id = p.prediction_id))
    + (select count(*) from annotator.prediction p
       join annotator.work w using (sample_id, field)
       where p.is_current and p.release_id = w.release_id
         and p.sample_updated_at = w.sample_updated_at)
"""


def leased(ready: Ready, process: Process) -> int:
    """Return the number of samples that a process has claimed."""
    return one_number(ready.connection, _LEASED, f"%/{process.pid}/%")


def _one_life(at_work: Ready, seconds: float) -> tuple[int, bool]:
    """Kill a daemon after its first claim; return its claimed samples and if no batch is halved."""
    process = at_work.start.start("serve")

    def claimed() -> bool | None:
        return leased(at_work, process) > 0 or at_work.left() == 0 or None

    wait_for(claimed, 60, "a claim")
    time.sleep(seconds)
    process.kill()
    in_hand = leased(at_work, process)
    return in_hand, one_number(at_work.connection, _HALF) == 0


def run_kills(database: Database, _settings: Settings, kills: int = 200) -> list[Outcome]:
    """Kill the daemon again and again until everything is annotated.

    Parameters
    ----------
    database
        A migrated database that nothing else uses.
    kills
        Number of kills; there are ten samples per kill.
    """
    random = np.random.default_rng(9)
    with ready(database, SAMPLES_A_KILL * kills, ANNOTATOR_LEASE_SECONDS="1") as at_work:
        began = time.perf_counter()
        at_work.start.run("annotate")
        pace = (time.perf_counter() - began) / len(at_work.expected)
        at_work.forget()
        killed = whole = in_middle = 0
        while killed < kills and (left := at_work.left()):
            # On average as many samples for each remaining life; and no life so short that one
            # sample is claimed each time, since that one would be taken for the cause.
            longest = 2 * pace * max(BATCH, left / (kills - killed))
            in_hand, is_whole = _one_life(at_work, random.uniform(0, longest))
            killed, whole, in_middle = killed + 1, whole + is_whole, in_middle + (in_hand > 0)
        last = at_work.start.start("serve")
        at_work.wait_for_all()
        last.kill()
        remark = f"{in_middle} with a batch in hand; whole batches or none of them"
        return [
            Outcome("SIGKILL while it annotates", killed, whole, remark),
            *at_work.judged(),
        ]
