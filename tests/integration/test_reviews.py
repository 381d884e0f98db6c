"""The functions that a curator decides with, and what the views make of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from annotator.store.connection import Database


@pytest.fixture
def curator(database: Database, reviewable):
    with database.connect(user="annotator_curator", autocommit=True) as opened:
        yield opened


def suggestion(conn: psycopg.Connection, sample: str) -> dict[str, object]:
    cursor = conn.execute("select * from suggestion where sample_id = %s", (sample,))
    names = [column.name for column in cursor.description or ()]
    (row,) = cursor.fetchall()
    return dict(zip(names, row, strict=True))


def test_accepting_makes_the_value_effective(curator, reviewable) -> None:
    curator.execute("select accept_suggestion(%s, 'seen')", (reviewable.ids["a"],))

    assert suggestion(curator, "a")["status"] == "accepted"
    query = "select value, source from effective_annotation where sample_id = 'a'"
    assert curator.execute(query).fetchall() == [("liver", "accepted")]
    query = "select decision, note, reviewer from review"
    assert curator.execute(query).fetchall() == [("accepted", "seen", "annotator_curator")]
    query = "select subject, detail ->> 'value', actor from event where kind = 'review'"
    assert curator.execute(query).fetchall() == [("a", "liver", "annotator_curator")]


def test_rejecting_leaves_the_gap(curator, reviewable) -> None:
    curator.execute("select reject_suggestion(%s, 'wrong')", (reviewable.ids["a"],))

    found = suggestion(curator, "a")
    assert (found["status"], found["reason"]) == ("rejected", "wrong")
    query = "select count(*) from effective_annotation where sample_id = 'a'"
    assert curator.execute(query).fetchone() == (0,)


def test_correcting_replaces_value_and_lineage(curator, reviewable) -> None:
    curator.execute("select correct_suggestion(%s, 'lung', null)", (reviewable.ids["a"],))

    found = suggestion(curator, "a")
    assert (found["status"], found["value"]) == ("corrected", "lung")
    assert found["lineage"] == ["lung", "organ"]
    query = "select value, source from effective_annotation where sample_id = 'a'"
    assert curator.execute(query).fetchall() == [("lung", "corrected")]


@pytest.mark.parametrize(
    "call",
    [
        "accept_suggestion(%(id)s, 'x')",
        "reject_suggestion(%(id)s, 'x')",
        "correct_suggestion(%(id)s, 'lung', 'x')",
    ],
)
def test_saying_the_same_again_changes_nothing(curator, reviewable, call: str) -> None:
    query = f"select review_id, reviewed_at from {call}"
    first = curator.execute(query, {"id": reviewable.ids["a"]}).fetchall()
    again = curator.execute(query, {"id": reviewable.ids["a"]}).fetchall()

    assert len(first) == 1
    assert again == first
    assert curator.execute("select count(*) from event").fetchone() == (1,)


def test_a_decision_stands(curator, reviewable) -> None:
    curator.execute("select accept_suggestion(%s)", (reviewable.ids["a"],))
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="already accepted by"):
        curator.execute("select reject_suggestion(%s)", (reviewable.ids["a"],))
    assert suggestion(curator, "a")["status"] == "accepted"


@pytest.mark.parametrize(
    "call", ["accept_suggestion(%s)", "reject_suggestion(%s)", "correct_suggestion(%s, 'lung')"]
)
def test_a_stale_prediction_is_refused(curator, connection, reviewable, call: str) -> None:
    connection.execute("update prediction set is_current = false where sample_id = 'a'")
    connection.commit()
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is stale"):
        curator.execute(f"select {call}", (reviewable.ids["a"],))
    assert curator.execute("select count(*) from review").fetchone() == (0,)


def test_an_unknown_prediction_is_named(curator) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="no prediction 987654"):
        curator.execute("select accept_suggestion(987654)")


def test_an_abstention_cannot_be_accepted_but_corrected(curator, reviewable) -> None:
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="nothing to accept"):
        curator.execute("select accept_suggestion(%s)", (reviewable.ids["d"],))
    curator.execute("select correct_suggestion(%s, 'liver')", (reviewable.ids["d"],))
    assert suggestion(curator, "d")["status"] == "corrected"


def test_a_correction_outside_the_vocabulary_names_the_nearest(curator, reviewable) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r"'livr'.*nearest: 'liver'"):
        curator.execute("select correct_suggestion(%s, 'livr')", (reviewable.ids["a"],))
    with pytest.raises(psycopg.errors.NullValueNotAllowed):
        curator.execute("select correct_suggestion(%s, null)", (reviewable.ids["a"],))


def test_the_vocabulary_has_classes_curated_values_and_terms(curator) -> None:
    rows = curator.execute("select value from vocabulary('tissue') order by 1").fetchall()
    assert rows == [("blood",), ("cortex",), ("liver",), ("lung",), ("organ",)]


def test_curated_values_come_before_decisions(curator, connection, reviewable) -> None:
    curator.execute("select correct_suggestion(%s, 'liver')", (reviewable.ids["d"],))
    query = "select value, source from effective_annotation where sample_id = 'd'"
    assert curator.execute(query).fetchall() == [("blood", "curated")]

    connection.execute("delete from atlas.annotation")
    connection.commit()
    assert curator.execute(query).fetchall() == [("liver", "corrected")]


def test_a_dataset_is_accepted_from_a_confidence_upwards(curator, reviewable) -> None:
    query = "select prediction_id from accept_dataset('D1', 'tissue', 0.85, 'all')"
    assert curator.execute(query).fetchall() == [(reviewable.ids["a"],)]
    assert suggestion(curator, "b")["status"] == "suggested"

    query = "select prediction_id from accept_dataset('D1', 'tissue')"
    assert curator.execute(query).fetchall() == [(reviewable.ids["b"],)]
    assert curator.execute(query).fetchall() == []
    assert suggestion(curator, "c")["status"] == "suggested"


def test_abstentions_are_not_accepted_with_their_dataset(curator, reviewable) -> None:
    query = "select prediction_id from accept_dataset('D2', 'tissue')"
    assert curator.execute(query).fetchall() == [(reviewable.ids["c"],)]
    assert suggestion(curator, "d")["status"] == "abstained"


def test_a_dataset_without_predictions_is_named(curator) -> None:
    with pytest.raises(psycopg.errors.NoDataFound, match="tissue in dataset 'D9'"):
        curator.execute("select accept_dataset('D9', 'tissue')")


def test_a_value_that_was_rejected_is_not_suggested_again(curator, connection, reviewable) -> None:
    curator.execute("select reject_suggestion(%s)", (reviewable.ids["a"],))
    connection.execute("update prediction set is_current = false where sample_id = 'a'")
    connection.execute(
        "insert into prediction (sample_id, dataset_id, field, release_id, input_hash, value,"
        " confidence, status) values ('a', 'D1', 'tissue', %s, repeat('1', 64), 'liver', 0.9,"
        " 'suggested')",
        (reviewable.release_id,),
    )
    connection.commit()

    found = suggestion(curator, "a")
    assert (found["status"], found["reason"]) == ("rejected", "the same value was rejected before")
    query = "select count(*) from review_queue where sample_id = 'a'"
    assert curator.execute(query).fetchone() == (0,)


def test_the_queue_has_agreeing_datasets_first_and_drops_what_is_done(curator, reviewable) -> None:
    query = "select sample_id, dataset_open, dataset_agrees from review_queue"
    # d has a curated value: it is not open.
    assert curator.execute(query).fetchall() == [("a", 2, True), ("b", 2, True), ("c", 1, True)]
    curator.execute("select accept_dataset('D1', 'tissue')")
    assert curator.execute(query).fetchall() == [("c", 1, True)]


def test_two_who_decide_at_once_do_not_both_win(database, reviewable) -> None:
    def decide(call: str) -> bool:
        with database.connect(user="annotator_curator", autocommit=True) as conn:
            try:
                conn.execute(f"select {call}", (reviewable.ids["a"],))
            except psycopg.errors.ObjectNotInPrerequisiteState:
                return False
            return True

    calls = ["accept_suggestion(%s)", "reject_suggestion(%s)", "correct_suggestion(%s, 'lung')"]
    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(decide, calls)) == 1


def test_suspects_and_model_cards(connection, reviewable) -> None:
    connection.execute(
        "insert into validation_prediction select run_id, 'd', 'D2', 'combined', 0, 'lung',"
        " 'liver', 0.95, '{0.95,0.05}' from training_run"
    )
    connection.execute(
        "insert into metric select run_id, 'one dataset out', 'combined', 'accuracy', '', 0.75, 4,"
        " 2 from training_run"
    )
    query = "select sample_id, label, predicted, confidence from suspect_annotation"
    assert connection.execute(query).fetchall() == [("d", "lung", "liver", 0.95)]
    query = "select status, accuracy, held_out_samples, by_kind from model_card"
    assert connection.execute(query).fetchall() == [("live", 0.75, 4, {"combined": 0.75})]
