"""Training runs: each ends once, with its cohort."""

from __future__ import annotations

import psycopg
import pytest

from annotator.domain.releases import CandidateRelease
from annotator.domain.statuses import RunStatus
from annotator.errors import LeaseLostError
from annotator.store.releases import registry, runs
from tests.support.candidates import (
    ARTEFACTS,
    CLASSES,
    METRICS,
    candidate,
    finish,
    held_out,
    start,
    statuses,
)
from tests.support.store import run

RUN = (
    "select run_id, status::text, reason, seed, folds, finished_at >= started_at"
    " from annotator.training_run order by run_id desc limit 1"
)


def test_a_run_from_start_to_end(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    assert runs.last_attempt(daemon, "tissue") is None
    run_id = start(daemon)
    assert run(connection, RUN) == [(run_id, "running", None, 7, None, None)]
    assert runs.last_attempt(daemon, "tissue") is None
    runs.save_cohort(daemon, run_id, "tissue", "a" * 64, [("s1", "D1", "hepatocyte", "liver")])
    runs.finish_run(daemon, run_id, "succeeded", "fine", "every dataset by itself")
    assert run(connection, RUN) == [
        (run_id, "succeeded", "fine", 7, "every dataset by itself", True)
    ]
    assert runs.last_attempt(daemon, "tissue") == ("a" * 64, "c1", "succeeded", None)
    assert runs.last_attempt(daemon, "sex") is None


def test_the_last_attempt_is_the_last_that_succeeded(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    finish(daemon, candidate(daemon))
    runs.finish_run(daemon, start(daemon), "failed", "out of memory")
    runs.finish_run(daemon, start(daemon), "skipped", "nothing changed")
    assert runs.last_attempt(daemon, "tissue") == (None, "c1", "succeeded", "candidate")
    ((_, *last),) = run(connection, RUN)
    assert last[:2] == ["skipped", "nothing changed"]


def test_a_run_ends_once_and_a_failure_is_an_event(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    run_id = start(daemon)
    runs.finish_run(daemon, run_id, "failed", "no memory")
    with pytest.raises(LeaseLostError, match="no longer running"):
        runs.finish_run(daemon, run_id, "succeeded", None)
    assert run(connection, "select kind, subject, detail from annotator.event") == [
        ("failure", "tissue", {"run_id": run_id, "reason": "no memory"})
    ]


def test_a_run_that_was_told_to_stop_is_no_failure(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    runs.finish_run(daemon, start(daemon), RunStatus.INTERRUPTED, None)
    ((_, *last),) = run(connection, RUN)
    assert last[:2] == ["interrupted", None]
    assert run(connection, "select kind from annotator.event") == []


def test_runs_of_a_dead_process_are_closed(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    first, other = start(daemon), start(daemon, "sex")
    assert runs.fail_orphaned_runs(daemon, "tissue") == 1
    assert runs.fail_orphaned_runs(daemon, "tissue") == 0
    assert run(connection, "select run_id, status::text from annotator.training_run order by 1") \
        == [(first, "failed"), (other, "running")]  # fmt: skip
    assert run(connection, "select kind, subject from annotator.event") == [("failure", "tissue")]
    with pytest.raises(LeaseLostError):
        runs.save_cohort(daemon, first, "tissue", "a" * 64, [])
    with pytest.raises(LeaseLostError):
        registry.save_candidate(
            daemon, first, CandidateRelease("tissue", CLASSES, 12, ARTEFACTS, held_out(), METRICS)
        )
    assert statuses(connection) == []


def test_the_same_cohort_is_stored_once(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    rows = [("s1", "D1", "liver", "liver"), ("s2", "D1", 'odd\t"value"', None)]
    first, second = start(daemon), start(daemon)
    cohort_id = runs.save_cohort(daemon, first, "tissue", "a" * 64, iter(rows))
    assert runs.save_cohort(daemon, second, "tissue", "a" * 64, iter(rows)) == cohort_id
    assert runs.save_cohort(daemon, second, "tissue", "b" * 64, rows[:1]) != cohort_id
    assert run(connection, "select samples, datasets from annotator.cohort order by cohort_id") == [
        (2, 1),
        (1, 1),
    ]
    assert (
        run(
            connection,
            "select sample_id, dataset_id, value, class from annotator.cohort_sample"
            " where cohort_id = %s order by 1",
            cohort_id,
        )
        == rows
    )
