"""Deleting the predictions of superseded releases: what goes, what stays, and who may do it."""

from __future__ import annotations

import logging
from dataclasses import replace

import psycopg
import pytest

from annotator.jobs.retrain.retrain import retrain
from annotator.store.answers import history
from annotator.store.answers.history import DeletedHistory, delete_history
from tests.support.store import add_release, add_samples, run

HASH = "0" * 64
HUMAN = "Homo sapiens"


def predict(conn: psycopg.Connection, release: int, *, current: bool = False) -> dict[str, int]:
    """Add a prediction for every sample, with a contribution; return the ids by sample."""
    rows = run(
        conn,
        "with made as (insert into annotator.prediction (sample_id, dataset_id, field, release_id,"
        " input_hash, sample_updated_at, value, confidence, status, is_current)"
        " select s.sample_id, s.dataset_id, r.field, r.release_id, %s, s.updated_at, 'liver', 0.9,"
        " 'suggested', %s from atlas.sample s, annotator.release r where r.release_id = %s"
        " returning sample_id, prediction_id), explained as ("
        " insert into annotator.class_contribution (prediction_id, model_kind, method, class,"
        " class_rank, features, scores, expression)"
        " select prediction_id, 'combined', 'x', 'liver', 1, '{a}', '{1}', '{1}' from made)"
        " select sample_id, prediction_id from made",
        HASH,
        current,
        release,
    )
    return dict(rows)


def kept(conn: psycopg.Connection) -> dict[int, int]:
    """Return how many predictions each release has."""
    return dict(
        run(
            conn,
            "select release_id, count(*) from annotator.prediction group by 1 order by 1",
        )
    )


@pytest.fixture
def releases(connection) -> list[int]:
    """Three superseded releases of tissue and a live one, with predictions for three samples."""
    add_samples(connection, "a", "b", "c")
    made = []
    for generation in range(4):
        made.append(add_release(connection))
        predict(connection, made[-1], current=generation == 3)
    return made


def test_all_but_the_newest_superseded_releases_lose_their_predictions(
    connection, daemon, releases
) -> None:
    first, second, third, live = releases
    found = delete_history(daemon, "tissue", HUMAN, 1)
    assert found == DeletedHistory(6, 6, (second, first))
    assert kept(connection) == {third: 3, live: 3}
    assert run(connection, "select count(*) from annotator.class_contribution") == [(6,)]
    assert delete_history(daemon, "tissue", HUMAN, 1) == DeletedHistory()
    assert delete_history(daemon, "tissue", HUMAN, 0) == DeletedHistory(3, 3, (third,))
    assert kept(connection) == {live: 3}


def test_predictions_that_are_current_or_were_ever_decided_on_are_kept(connection, daemon) -> None:
    add_samples(connection, "accepted", "undone", "current", "old")
    release = add_release(connection)
    ids = predict(connection, release, current=True)
    run(connection, "select annotator.accept_suggestion(%s)", ids["accepted"])
    ((review, *_),) = run(
        connection, "select (annotator.reject_suggestion(%s)).review_id", ids["undone"]
    )
    run(connection, "select annotator.undo_review(%s)", review)
    run(
        connection,
        "update annotator.prediction set is_current = false where sample_id <> 'current'",
    )
    add_release(connection)
    assert delete_history(daemon, "tissue", HUMAN, 0) == DeletedHistory(1, 1, (release,))
    left = run(connection, "select sample_id from annotator.prediction order by 1")
    assert left == [("accepted",), ("current",), ("undone",)]


def test_a_live_release_and_other_fields_and_organisms_lose_nothing(connection, daemon) -> None:
    add_samples(connection, "a")
    others = [add_release(connection, "sex"), add_release(connection, "tissue", "Mus musculus")]
    for release in others:
        predict(connection, release)
    add_release(connection, "sex")
    add_release(connection, "tissue", "Mus musculus")
    live = add_release(connection)
    predict(connection, live)  # of an earlier state of the sample
    assert delete_history(daemon, "tissue", HUMAN, 0) == DeletedHistory()
    assert run(connection, "select last from annotator.delete_history(%s)", live) == [(None,)]
    assert kept(connection) == dict.fromkeys([*others, live], 1)


def test_every_part_is_a_transaction_with_an_event(
    connection, daemon, releases, monkeypatch
) -> None:
    monkeypatch.setattr(history, "PREDICTIONS_AT_A_TIME", 2)
    delete_history(daemon, "tissue", HUMAN, 2)
    events = run(
        connection,
        "select subject, actor, detail, count(*) over (partition by xmin::text)"
        " from annotator.event where kind = 'history deleted' order by event_id",
    )
    parts = [{"release_id": releases[0], "predictions": n, "contributions": n} for n in (2, 1)]
    assert events == [("tissue", "annotator_daemon", part, 1) for part in parts]


def test_the_queue_does_not_change(connection, daemon, releases) -> None:
    while run(connection, "select annotator.refresh_queue()") != [(0,)]:
        pass
    before = run(connection, "select * from annotator.queue_group")
    assert before
    assert delete_history(daemon, "tissue", HUMAN, 0).predictions == 9
    assert run(connection, "select count(*) from annotator.queue_change") == [(0,)]
    assert run(connection, "select * from annotator.queue_group") == before


def test_predictions_that_others_have_locked_are_left_for_the_next_time(
    database, connection, daemon, releases
) -> None:
    with database.connect() as other:
        other.execute(
            "select from annotator.prediction where release_id = %s and sample_id = 'a' for update",
            (releases[0],),
        )
        assert delete_history(daemon, "tissue", HUMAN, 2) == DeletedHistory(2, 2, (releases[0],))
    assert delete_history(daemon, "tissue", HUMAN, 2) == DeletedHistory(1, 1, (releases[0],))


@pytest.mark.parametrize(("keep", "left"), [(None, 4), (2, 3), (0, 1)])
def test_a_retraining_deletes_what_the_settings_do_not_keep(
    database, connection, job_settings, releases, caplog, keep, left
) -> None:
    caplog.set_level(logging.INFO)
    outcome = retrain(database, replace(job_settings, keep_predictions=keep), "tissue")
    assert outcome.has_nothing_to_learn  # and yet
    assert len(kept(connection)) == left
    lines = [record for record in caplog.records if "superseded" in record.getMessage()]
    assert [line.predictions for line in lines] == ([] if left == 4 else [3 * (4 - left)])
