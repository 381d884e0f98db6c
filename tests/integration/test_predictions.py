"""Writing a batch: all of it or nothing, and only by the one who holds it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest

from annotator.domain.answers import (
    ClaimedSample,
    ClassContributions,
    QuarantinedSample,
    SamplePrediction,
)
from annotator.errors import LeaseLostError
from annotator.store.answers import predictions, work
from tests.support.store import add_release, add_samples, as_daemon, run

RESULTS = ("prediction", "contribution", "quarantine", "event")

TROUBLE = "tab\there, \\N, \\t, line\r\nbreak, \\."  # in the text format of COPY


def answer(sample: ClaimedSample, value: str = "liver", digit: str = "a") -> SamplePrediction:
    return SamplePrediction(
        sample_id=sample.sample_id,
        dataset_id=sample.dataset_id,
        field=sample.field,
        input_hash=digit * 64,
        sample_updated_at=sample.sample_updated_at,
        value=value,
        lineage=(value, "organ"),
        confidence=0.875,
        status="suggested",
        reason=None,
        novelty=0.1,
        models={"network": {"value": value, "probability": 0.75}},
        top_features=("hsa-miR-122-5p", 'odd "name", {here}'),
        contributions=(
            ClassContributions(
                "network",
                "deeplift",
                "liver",
                1,
                ("hsa-miR-122-5p", TROUBLE),
                (1.0 / 3.0, -2.5),
                (1e5, 0.0),
            ),
        ),
    )


def unusable(sample: ClaimedSample, only_this_release: bool = False) -> QuarantinedSample:
    return QuarantinedSample(
        sample.sample_id,
        sample.field,
        sample.sample_updated_at,
        "no_counts",
        "it has no counts",
        only_this_release,
    )


def take(
    conn: psycopg.Connection, worker: str, release: int, lease_seconds: float = 600
) -> list[ClaimedSample]:
    work.queue_pending(conn, "tissue", release)
    return work.claim(conn, worker, "tissue", release, 100, lease_seconds)


def write(
    conn: psycopg.Connection,
    worker: str,
    release: int,
    answers: list[SamplePrediction],
    others: list[QuarantinedSample] | None = None,
) -> None:
    run_id = predictions.start_annotation_run(conn, worker, "here")
    predictions.write_batch(conn, worker, release, run_id, answers, others or [])
    predictions.finish_annotation_run(conn, run_id)


def counts(conn: psycopg.Connection) -> dict[str, int]:
    return {table: run(conn, f"select count(*) from annotator.{table}")[0][0] for table in RESULTS}


NOTHING = dict.fromkeys(RESULTS, 0)


def test_writes_answers_contributions_and_quarantine(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b", "c")
    release = add_release(connection)
    a, b, c = take(daemon, "w1", release)
    abstained = replace(
        answer(b), value=None, confidence=None, status="abstained", reason="too new", lineage=()
    )
    write(daemon, "w1", release, [answer(a), abstained], [unusable(c)])
    assert run(
        connection,
        "select sample_id, value, lineage, confidence, status, reason, top_features, models,"
        " novelty, release_id from annotator.suggestion where sample_id = 'a'",
    ) == [
        (
            "a", "liver", ["liver", "organ"], 0.875, "suggested", None,
            ["hsa-miR-122-5p", 'odd "name", {here}'],
            {"network": {"value": "liver", "probability": 0.75}}, 0.1, release,
        )
    ]  # fmt: skip
    assert run(
        connection,
        "select c.rank, c.feature, c.score, c.expression from annotator.contribution c"
        " join annotator.prediction p using (prediction_id) where p.sample_id = 'a' order by 1",
    ) == [(1, "hsa-miR-122-5p", 1.0 / 3.0, 1e5), (2, TROUBLE, -2.5, 0.0)]
    assert run(connection, "select sample_id, code, release_id from annotator.quarantine") == [
        ("c", "no_counts", None)
    ]
    assert run(connection, "select count(*) from annotator.work") == [(0,)]
    assert run(
        connection,
        "select worker, predicted, quarantined, finished_at is not null"
        " from annotator.annotation_run",
    ) == [("w1", 2, 1, True)]
    ((kind, subject, detail),) = run(
        connection, "select kind, subject, detail from annotator.event"
    )
    assert (kind, subject) == ("annotated", "tissue")
    assert (detail["suggested"], detail["abstained"], detail["quarantined"]) == (1, 1, 1)
    assert take(daemon, "w1", release) == []


def test_an_empty_batch_writes_nothing(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    write(daemon, "w1", add_release(connection), [])
    assert counts(connection) == NOTHING


def test_takes_numbers_as_numpy_makes_them(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    (a,) = take(daemon, "w1", release)
    numbers: Any = np.array([0.5, 0.25], dtype=np.float32)
    given = replace(
        answer(a),
        confidence=numbers[0],
        novelty=np.float64(0.25),
        models={"forest": {"value": "liver", "probability": numbers[1], "rank": np.int64(2)}},
        contributions=(
            ClassContributions(
                "forest", "shap", "liver", np.int64(1), ("x",), (numbers[1],), (np.float64(7.0),)
            ),  # type: ignore[arg-type]
        ),
    )
    write(daemon, "w1", release, [given])
    assert run(connection, "select confidence, novelty, models from annotator.prediction") == [
        (0.5, 0.25, {"forest": {"value": "liver", "probability": 0.25, "rank": 2}})
    ]
    assert run(connection, "select rank, score, expression from annotator.contribution") == [
        (1, 0.25, 7.0)
    ]


def test_the_selective_policy_is_kept(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b")
    release = add_release(connection)
    a, b = take(daemon, "w1", release)
    trusted = replace(
        answer(a),
        prediction_set=("liver", 'odd "name", {here}'),
        set_coverage=0.9,
        known_features=np.float64(0.75),
        number=np.float32(40.5),
        number_low=30.25,
        number_high=51.0,
    )
    write(daemon, "w1", release, [trusted, answer(b)])
    assert run(
        connection,
        "select prediction_set, set_coverage, known_features, number, number_low, number_high"
        " from annotator.suggestion order by sample_id",
    ) == [
        (["liver", 'odd "name", {here}'], 0.9, 0.75, 40.5, 30.25, 51.0),
        ([], None, None, None, None, None),
    ]


def test_a_new_release_answers_anew_and_the_old_answer_is_history(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    first = add_release(connection)
    write(daemon, "w1", first, [answer(s) for s in take(daemon, "w1", first)])
    second = add_release(connection)
    write(daemon, "w1", second, [answer(s, "brain") for s in take(daemon, "w1", second)])
    assert run(
        connection,
        "select release_id, value, is_current from annotator.prediction order by prediction_id",
    ) == [(first, "liver", False), (second, "brain", True)]
    assert run(connection, "select value from annotator.suggestion") == [("brain",)]


def test_the_same_input_again_makes_the_earlier_answer_current(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    moved = "update atlas.sample set updated_at = clock_timestamp()"
    for digit in ("a", "a", "b", "a"):
        write(daemon, "w1", release, [answer(s, digit=digit) for s in take(daemon, "w1", release)])
        run(connection, moved)
    rows = run(
        connection,
        "select input_hash, is_current from annotator.prediction order by prediction_id",
    )
    assert rows == [("a" * 64, True), ("b" * 64, False)]
    assert counts(connection)["contribution"] == 4
    assert len(take(daemon, "w1", release)) == 1


def test_a_batch_of_seen_and_new_inputs_stores_each_answer_with_its_own_contributions(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b", "c")
    release = add_release(connection)
    write(daemon, "w1", release, [answer(s) for s in take(daemon, "w1", release)])
    run(connection, "update atlas.sample set updated_at = clock_timestamp()")
    claimed = take(daemon, "w1", release)
    again = [
        replace(
            answer(s, digit="a" if s.sample_id == "b" else "b"),
            contributions=(
                ClassContributions("forest", "shap", "liver", 1, (s.sample_id,), (1.0,), (2.0,)),
            ),
        )
        for s in claimed
    ]
    write(daemon, "w1", release, again)
    assert run(
        connection,
        "select p.sample_id, left(p.input_hash, 1), p.sample_updated_at = s.updated_at, c.feature"
        " from annotator.prediction p join atlas.sample s using (sample_id)"
        " join annotator.contribution c using (prediction_id)"
        " where p.is_current and c.rank = 1 order by 1",
    ) == [("a", "b", True, "a"), ("b", "a", True, "hsa-miR-122-5p"), ("c", "b", True, "c")]
    assert run(connection, "select count(*) from annotator.prediction") == [(5,)]


def test_quarantine_hides_the_answer_until_the_sample_changes(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b")
    first = add_release(connection)
    write(daemon, "w1", first, [answer(s) for s in take(daemon, "w1", first)])
    release = add_release(connection)
    a, b = take(daemon, "w1", release)
    write(daemon, "w1", release, [], [unusable(a), unusable(b, only_this_release=True)])
    assert run(connection, "select count(*) from annotator.suggestion") == [(0,)]
    assert run(connection, "select sample_id, release_id from annotator.quarantine order by 1") == [
        ("a", None),
        ("b", release),
    ]
    assert take(daemon, "w1", release) == []
    successor = add_release(connection)
    assert [s.sample_id for s in take(daemon, "w1", successor)] == ["b"]
    run(connection, "update atlas.sample set updated_at = clock_timestamp() where sample_id = 'a'")
    assert [s.sample_id for s in take(daemon, "w1", successor)] == ["a"]


def test_the_same_quarantine_twice_is_one_row(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    (a,) = take(daemon, "w1", release)
    write(daemon, "w1", release, [], [unusable(a)])
    run(
        connection,
        "insert into annotator.work (sample_id, dataset_id, field, release_id, leased_by,"
        " leased_until) values ('a', 'D1', 'tissue', %s, 'w1', now() + interval '1 hour')",
        release,
    )
    write(daemon, "w1", release, [], [unusable(a)])
    assert counts(connection)["quarantine"] == 1


def test_a_worker_whose_batch_was_taken_over_writes_nothing(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b", "c")
    release = add_release(connection)
    a, b, c = take(daemon, "slow", release, lease_seconds=0)
    assert len(work.claim(daemon, "quick", "tissue", release, 1, 600)) == 1
    with pytest.raises(LeaseLostError, match="slow no longer holds 1 of 3"):
        write(daemon, "slow", release, [answer(a), answer(b)], [unusable(c)])
    assert counts(connection) == NOTHING
    assert run(connection, "select sample_id, leased_by from annotator.work order by 1") == [
        ("a", "quick"),
        ("b", "slow"),
        ("c", "slow"),
    ]
    write(daemon, "quick", release, [answer(a)])
    assert run(connection, "select sample_id from annotator.suggestion") == [("a",)]


def test_a_lease_that_ran_out_but_was_not_taken_still_counts(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    (a,) = take(daemon, "w1", release, lease_seconds=0)
    write(daemon, "w1", release, [answer(a)])
    assert counts(connection)["prediction"] == 1


def test_a_sample_that_was_never_claimed_is_refused(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    (a,) = take(daemon, "w1", release)
    add_samples(connection, "b")
    with pytest.raises(LeaseLostError):
        write(daemon, "w1", release, [answer(a), answer(replace(a, sample_id="b"))])
    assert counts(connection) == NOTHING


def test_a_release_that_was_replaced_writes_nothing(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    (a,) = take(daemon, "w1", release)
    add_release(connection)
    with pytest.raises(LeaseLostError, match="no longer live"):
        write(daemon, "w1", release, [answer(a)])
    assert counts(connection) == NOTHING


def test_one_bad_answer_leaves_nothing_of_the_batch(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b", "c")
    release = add_release(connection)
    a, b, c = take(daemon, "w1", release)
    with pytest.raises(psycopg.errors.CheckViolation):
        write(daemon, "w1", release, [answer(a), replace(answer(b), confidence=1.5)], [unusable(c)])
    daemon.rollback()
    assert counts(connection) == NOTHING
    write(daemon, "w1", release, [answer(a), answer(b)], [unusable(c)])
    assert counts(connection)["prediction"] == 2


def wait_until(conn: psycopg.Connection, condition: str, pid: int) -> None:
    """Wait until the backend ``pid`` is where a test wants it."""
    pause = threading.Event()
    while not run(conn, f"select 1 from pg_stat_activity where pid = %s and {condition}", pid):
        pause.wait(0.01)


def writing(
    conn: psycopg.Connection, worker: str, release: int, answers: list[SamplePrediction]
) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []
    run_id = predictions.start_annotation_run(conn, worker, "here")

    def body() -> None:
        try:
            predictions.write_batch(conn, worker, release, run_id, answers, [])
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    return thread, errors


@pytest.mark.parametrize(
    "step", ["insert on annotator.class_contribution", "delete on annotator.work"]
)
def test_a_writer_that_is_killed_leaves_nothing_and_the_next_one_finishes(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection, step: str
) -> None:
    add_samples(connection, "a", "b")
    release = add_release(connection)
    claimed = take(daemon, "w1", release, lease_seconds=0)
    run(
        connection,
        "create function pause() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(60); return null; end $$",
    )
    run(
        connection,
        f"create trigger pause before {step} for each statement execute function pause()",
    )
    pid = daemon.info.backend_pid
    thread, errors = writing(daemon, "w1", release, [answer(s) for s in claimed])
    wait_until(connection, "wait_event = 'PgSleep'", pid)
    run(connection, "select pg_terminate_backend(%s)", pid)
    thread.join()
    assert [type(error) for error in errors] == [psycopg.errors.AdminShutdown]
    daemon.close()
    run(connection, "drop function pause() cascade")
    assert counts(connection) == NOTHING
    assert run(connection, "select predicted from annotator.annotation_run") == [(0,)]
    with as_daemon(database) as other:
        write(other, "w2", release, [answer(s) for s in take(other, "w2", release)])
    assert counts(connection) == NOTHING | {"prediction": 2, "contribution": 4, "event": 1}


def test_a_decision_made_while_the_batch_was_in_hand_stays(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b")
    first = add_release(connection)
    write(daemon, "w1", first, [answer(s) for s in take(daemon, "w1", first)])
    second = add_release(connection)
    claimed = take(daemon, "w1", second)
    ((prediction,),) = run(
        connection, "select prediction_id from annotator.suggestion where sample_id = 'a'"
    )
    # The curator's transaction is open while the batch is written: the batch waits for it.
    connection.execute("select from annotator.accept_suggestion(%s)", (prediction,))
    thread, errors = writing(daemon, "w1", second, [answer(s, "brain") for s in claimed])
    with psycopg.connect(connection.info.dsn) as watcher:
        wait_until(watcher, "wait_event_type = 'Lock'", daemon.info.backend_pid)
    connection.commit()
    thread.join()
    assert errors == []
    assert run(
        connection, "select sample_id, value, status from annotator.suggestion order by 1"
    ) == [("a", "liver", "accepted"), ("b", "brain", "suggested")]
    assert run(connection, "select count(*) from annotator.work") == [(0,)]


def test_a_batch_is_durable_whatever_the_connection_did_before(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    claimed = take(daemon, "w1", release)
    run_id = predictions.start_annotation_run(daemon, "w1", "here")
    daemon.execute("select 1")  # leaves a transaction open
    predictions.write_batch(daemon, "w1", release, run_id, [answer(s) for s in claimed], [])
    daemon.rollback()
    assert counts(connection)["prediction"] == 1


def test_classes_that_are_added_rank_behind_those_of_the_answer(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    (a,) = take(daemon, "w1", release)
    (liver,) = answer(a).contributions

    def of(class_name: str, rank: int) -> ClassContributions:
        return replace(liver, class_name=class_name, class_rank=rank)

    write(daemon, "w1", release, [replace(answer(a), contributions=(liver, of("brain", 2)))])
    prediction = run(connection, "select prediction_id from annotator.prediction")[0][0]
    # Of a dataset that has more samples by now: lung is before brain.
    now = [of("skin", 4), of("lung", 1), of("liver", 2), of("brain", 3)]
    assert predictions.add_contributions(daemon, prediction, now) == 2 * len(liver.features)
    stored = "select class, class_rank from annotator.class_contribution order by class_rank"
    ranks = [("liver", 1), ("brain", 2), ("lung", 3), ("skin", 4)]
    assert run(connection, stored) == ranks
    assert predictions.add_contributions(daemon, prediction, now) == 0
    assert run(connection, stored) == ranks
