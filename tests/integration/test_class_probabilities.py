"""The probability of every class of every prediction, and the best guess of an abstention."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from annotator.store.answers import predictions, work
from tests.support.store import as_curator, suggestion


def add_answer(
    conn: psycopg.Connection, sample: str, digit: str, probabilities: list[float | None] | None
) -> int:
    """Store one more prediction of a sample of ``reviewable``, in its release's classes."""
    row = conn.execute(
        "insert into annotator.prediction (sample_id, dataset_id, field, release_id, input_hash,"
        " value, confidence, status, is_current, class_probabilities)"
        " select %s, 'D1', 'tissue', release_id, repeat(%s, 64), 'liver', 0.9, 'suggested', false,"
        " %s::real[] from annotator.release returning prediction_id",
        (sample, digit, probabilities),
    ).fetchone()
    assert row is not None
    return int(row[0])


def shown(conn: psycopg.Connection, prediction_id: int) -> list[tuple[str, float]]:
    query = "select class, probability from annotator.class_probability where prediction_id = %s"
    return conn.execute(query, (prediction_id,)).fetchall()


@pytest.mark.parametrize("role", ["annotator_reader", "annotator_curator"])
def test_the_classes_of_a_prediction_are_shown_most_probable_first(
    database, connection, reviewable, role
) -> None:
    one = add_answer(connection, "a", "1", [0.25, 0.75])
    other = add_answer(connection, "b", "1", [0.5, 0.5])
    connection.commit()
    with database.connect(user=role) as conn:
        assert shown(conn, one) == [("lung", 0.75), ("liver", 0.25)]
        assert shown(conn, other) == [("liver", 0.5), ("lung", 0.5)]
        # What earlier versions stored has no rows.
        assert shown(conn, reviewable.ids["a"]) == []
        query = "select count(*) from annotator.class_probability"
        assert conn.execute(query).fetchone() == (4,)


@pytest.mark.parametrize(
    ("probabilities", "name"),
    [
        ([1.0], "has 1 class probabilities, release .* has 2 classes"),
        ([0.5, 0.25, 0.25], "has 3 class probabilities, release .* has 2 classes"),
        ([], "has 0 class probabilities, release .* has 2 classes"),
        ([-0.1, 1.0], "class_probabilities_are_probabilities"),
        ([0.0, 1.1], "class_probabilities_are_probabilities"),
        ([0.0, float("nan")], "class_probabilities_are_probabilities"),
        ([0.5, None], "class_probabilities_are_probabilities"),
    ],
)
def test_only_a_probability_per_class_is_stored(
    connection, reviewable, probabilities, name
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=name):
        add_answer(connection, "a", "1", probabilities)


def test_probabilities_of_a_batch_are_stored(database, connection, reviewable) -> None:
    connection.execute("update atlas.sample set updated_at = clock_timestamp()")
    connection.commit()
    given = {"a": (0.875, 0.125), "b": (1.0 + 1e-16, 1e-60), "c": ()}
    with database.connect(user="annotator_daemon") as conn:
        work.queue_pending(conn, "tissue", reviewable.release_id)
        claimed = work.claim(conn, "w", "tissue", reviewable.release_id, 10, 60)
        answers = [suggestion(item, class_probabilities=given[item.sample_id]) for item in claimed]
        run = predictions.start_annotation_run(conn, "w", "here")
        predictions.write_batch(conn, "w", reviewable.release_id, run, answers, [])
    query = (
        "select sample_id, class, probability from suggestion join class_probability"
        " using (prediction_id) order by 1, 3 desc"
    )
    assert connection.execute(query).fetchall() == [
        ("a", "liver", 0.875),
        ("a", "lung", 0.125),
        ("b", "liver", 1.0),
        ("b", "lung", 0.0),  # too small for single precision
    ]


def test_one_prediction_is_looked_up_and_no_other(connection, reviewable) -> None:
    connection.execute(
        "insert into atlas.sample (sample_id, dataset_id)"
        " select 's' || i, 'D1' from generate_series(1, 2000) i;"
        "insert into annotator.prediction (sample_id, dataset_id, field, release_id, input_hash,"
        " sample_updated_at, value, confidence, status, class_probabilities)"
        " select s.sample_id, 'D1', 'tissue', release_id, repeat('0', 64), updated_at, 'liver',"
        " 0.9, 'suggested', '{0.9,0.1}' from atlas.sample s, annotator.release"
        " where s.sample_id like 's%'"
    )
    connection.commit()
    connection.execute("analyze")
    row = connection.execute(
        "explain (analyze, timing off, format json) select c.* from annotator.suggestion s"
        " join annotator.class_probability c using (prediction_id) where s.sample_id = 's77'"
    ).fetchone()
    assert row is not None
    plans = [row[0][0]["Plan"]]
    touched = 0.0
    while plans:
        node = plans.pop()
        plans += node.get("Plans", [])
        if node.get("Relation Name") == "prediction":
            rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            touched += rows * node["Actual Loops"]
    assert 0 < touched <= 5


def test_the_best_guess_of_an_abstention_is_shown(database, connection, reviewable) -> None:
    connection.execute(
        "update annotator.prediction set value = null, confidence = null, status = 'abstained',"
        " reason = 'not confident', models = %s where sample_id = 'c'",
        (Jsonb({"combined": {"value": "liver", "probability": 0.4}}),),
    )
    connection.commit()
    with as_curator(database) as curator:
        for view in ("suggestion", "review_queue"):
            query = f"select value, best_value, status from {view} where sample_id = 'c'"
            assert curator.execute(query).fetchall() == [(None, "liver", "abstained")]
            query = f"select value, best_value from {view} where sample_id = 'a'"
            assert curator.execute(query).fetchall() == [("liver", "liver")]
        curator.execute("select correct_suggestion(%s, 'lung')", (reviewable.ids["c"],))
        curator.execute("select accept_suggestion(%s)", (reviewable.ids["a"],))
        query = "select sample_id, value, best_value from suggestion order by 1"
        found = curator.execute(query).fetchall()
        assert found[0] == ("a", "liver", "liver")
        assert found[2] == ("c", "lung", "lung")


def test_samples_that_nothing_answers_for_have_no_best_guess(connection, reviewable) -> None:
    connection.execute("delete from annotator.prediction")
    connection.execute("update annotator.release set status = 'rejected'")
    query = "select distinct value, best_value from annotator.review_queue"
    assert connection.execute(query).fetchall() == [(None, None)]
