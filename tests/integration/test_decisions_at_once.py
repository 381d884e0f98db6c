"""A hundred samples, two curators for each, while everything is answered anew."""

from __future__ import annotations

import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.retrain.retrain import retrain
from tests.support.atlas import load_atlas
from tests.support.faults.atlas import fault_settings
from tests.support.presets import LIGHT_WITHOUT_NETWORK
from tests.support.store import as_curator

DECISIONS = 100
CURATORS = 8


def one(database, query, *values):
    with database.connect() as connection:
        return connection.execute(query, values).fetchone()


# What a release before said of every sample.
_BEFORE = """
delete from atlas.annotation where field = 'sex';
with run as (
    insert into annotator.training_run (field, preset, seed, host, status, finished_at)
    values ('sex', 'default', 1, 'here', 'succeeded', now()) returning run_id
), release as (
    insert into annotator.release
        (field, run_id, status, classes, features, promoted_at, retired_at)
    select 'sex', run_id, 'retired', '{female,male}', 10, now(), now() from run
    returning release_id
)
insert into annotator.prediction (sample_id, dataset_id, field, release_id, input_hash,
    sample_updated_at, value, lineage, confidence, status)
select s.sample_id, s.dataset_id, 'sex', release_id, repeat('0', 64), s.updated_at, 'male',
    '{male}', 0.9, 'suggested'
from release, atlas.sample s;
"""


@pytest.fixture
def reannotated(database, settings):
    """Samples that a retired release has answered, the job's settings and the live release."""
    load_atlas(database)
    quick = replace(
        fault_settings(settings),
        preset=str(LIGHT_WITHOUT_NETWORK),
        batch_size=2,
        cross_validation_folds=0,
        minimum_reads=1,
        minimum_known_features=0.0,
    )  # every sample is answered
    live = retrain(database, quick, "sex").release_id
    with database.connect(autocommit=True) as connection:
        connection.execute(_BEFORE)
        samples = connection.execute("select sample_id from annotator.suggestion order by 1")
        return [sample for (sample,) in samples], quick, live


def decide(database, samples, call, started):
    """Decide every sample, looking again where the answer changed; return what was told."""
    told = Counter()
    started.wait(60)
    with as_curator(database) as conn:
        for sample in samples:
            while True:
                (prediction,) = conn.execute(
                    "select prediction_id from suggestion where sample_id = %s and field = 'sex'",
                    (sample,),
                ).fetchone()
                try:
                    conn.execute(call, (prediction,))
                    told["won"] += 1
                except psycopg.errors.ObjectNotInPrerequisiteState as error:
                    message = error.diag.message_primary
                    if "is stale" in message:
                        told["stale"] += 1
                        continue
                    told[re.sub(r"^prediction \d+ | at .*", "", message)] += 1
                break
    return told


def test_one_of_two_wins_and_nothing_is_lost(database, reannotated):
    samples, quick, live = reannotated
    assert len(samples) >= DECISIONS
    chosen = samples[:DECISIONS]
    started = threading.Event()
    calls = [f"select correct_suggestion(%s, '{value}', 'seen')" for value in ("male", "female")]
    with ThreadPoolExecutor(CURATORS + 1) as pool:
        job = pool.submit(
            annotate, database, quick, worker="job", batch_done=lambda _batch: started.set()
        )
        # Two curators a part: one in the order of the job, the other against it.
        parts = [chosen[place :: CURATORS // 2] for place in range(CURATORS // 2)]
        curators = [
            pool.submit(decide, database, part, call, started)
            for part in parts
            for part, call in zip((part, part[::-1]), calls, strict=True)
        ]
        told = sum((curator.result() for curator in curators), Counter())
        summary = job.result()

    told.pop("stale", None)
    of_other = "was already corrected by annotator_curator"
    assert told == {"won": DECISIONS, of_other: DECISIONS}
    decided = one(
        database,
        "select count(*), count(distinct r.sample_id),"
        " count(*) filter (where p.is_current and p.sample_id = any (%s) and r.note = 'seen'),"
        " (select count(*) from annotator.event where kind = 'review'),"
        " (select count(*) from annotator.effective_annotation e"
        "  where e.origin = 'review' and e.value in ('male', 'female'))"
        " from annotator.review r join annotator.prediction p using (prediction_id)",
        chosen,
    )
    assert decided == (DECISIONS,) * 5
    # They were decided while the job went on, which answered all others.
    assert one(
        database,
        "select min(r.reviewed_at) between a.started_at and a.finished_at"
        " from annotator.review r, annotator.annotation_run a where a.worker = 'job'"
        " group by a.annotation_run_id",
    ) == (True,)
    assert summary.predicted["sex"] > 0
    assert one(
        database,
        "select count(*) from annotator.prediction p where is_current and field = 'sex'"
        " and p.release_id <> %s and not exists"
        " (select from annotator.review r where r.prediction_id = p.prediction_id)",
        live,
    ) == (0,)
    # None of those that are decided is in the queue, each of the others is.
    assert one(
        database,
        "select count(*), count(*) filter (where sample_id = any (%s)) from annotator.review_queue"
        " where field = 'sex'",
        chosen,
    ) == (len(samples) - DECISIONS, 0)
    again = annotate(database, quick, worker="after")
    assert (again.predicted, again.quarantined) == ({}, {})
