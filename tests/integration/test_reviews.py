"""The functions that a curator decides with, and what the views make of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from annotator.store.server.connection import Database
from annotator.store.server.schema import migrate, migrations_folder
from tests.support.store import as_curator


@pytest.fixture
def curator(database: Database, reviewable):
    with as_curator(database) as opened:
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


def test_a_sample_that_changed_makes_what_was_said_of_it_stale(
    curator, connection, reviewable
) -> None:
    connection.execute(
        "update atlas.sample set updated_at = updated_at + interval '1 microsecond'"
        " where sample_id = 'a'"
    )
    connection.commit()
    for call in (
        "accept_suggestion(%s)",
        "reject_suggestion(%s)",
        "correct_suggestion(%s, 'lung')",
    ):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is stale"):
            curator.execute(f"select {call}", (reviewable.ids["a"],))
    query = "select sample_id from suggestion order by 1"
    assert curator.execute(query).fetchall() == [("b",), ("c",), ("d",)]
    query = "select prediction_id from accept_dataset('D1', 'tissue')"
    assert curator.execute(query).fetchall() == [(reviewable.ids["b"],)]


def test_what_was_decided_outlives_its_sample(curator, connection, reviewable) -> None:
    call = "select review_id from accept_suggestion(%s)"
    first = curator.execute(call, (reviewable.ids["a"],)).fetchall()
    connection.execute("delete from atlas.sample where dataset_id = 'D1'")
    connection.commit()

    assert suggestion(curator, "a")["status"] == "accepted"
    assert curator.execute(call, (reviewable.ids["a"],)).fetchall() == first
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="already accepted by"):
        curator.execute("select reject_suggestion(%s)", (reviewable.ids["a"],))
    query = "select sample_id, dataset_id from suggestion order by 1"
    assert curator.execute(query).fetchall() == [("a", "D1"), ("c", "D2"), ("d", "D2")]


def test_times_without_a_zone_are_the_same_for_every_reader(
    empty_database, make_reviewable
) -> None:
    """As an atlas has them that brings its own tables."""
    tables = migrations_folder() / "sql" / "0001_atlas.sql"
    with empty_database.connect() as conn:
        conn.execute("create schema atlas")
        conn.execute(tables.read_text().replace("updated_at   timestamptz", "updated_at timestamp"))
        conn.commit()
    migrate(empty_database)
    with empty_database.connect() as conn:
        prediction = make_reviewable(conn).ids["a"]
    with as_curator(empty_database) as curator:
        curator.execute("set timezone = 'Asia/Tokyo'")
        assert curator.execute("select count(*) from suggestion").fetchone() == (4,)
        assert curator.execute("select count(*) from review_queue").fetchone() == (3,)
        curator.execute("select accept_suggestion(%s)", (prediction,))


def test_a_sample_is_shown_in_the_dataset_that_it_is_in_now(
    curator, connection, reviewable
) -> None:
    connection.execute("update atlas.sample set dataset_id = 'D2' where sample_id = 'b'")
    connection.commit()

    assert suggestion(curator, "b")["dataset_id"] == "D2"
    query = "select prediction_id from accept_dataset('D1', 'tissue')"
    assert curator.execute(query).fetchall() == [(reviewable.ids["a"],)]


def test_a_dataset_is_accepted_without_what_is_curated(curator, connection, reviewable) -> None:
    connection.execute(
        "insert into atlas.annotation (sample_id, field, value, numeric_value)"
        " values ('a', 'tissue', 'lung', null), ('b', 'tissue', ' ', 'NaN')"
    )
    connection.commit()

    query = "select prediction_id from accept_dataset('D1', 'tissue')"
    assert curator.execute(query).fetchall() == [(reviewable.ids["b"],)]
    query = "select sample_id, value, source from effective_annotation where sample_id < 'c'"
    assert curator.execute(query + " order by 1").fetchall() == [
        ("a", "lung", "curated"),
        ("b", "liver", "accepted"),
    ]


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


@pytest.mark.parametrize(
    "call",
    [
        "accept_suggestion(%(id)s, %(note)s)",
        "reject_suggestion(%(id)s, %(note)s)",
        "correct_suggestion(%(id)s, 'lung', %(note)s)",
        "accept_dataset('D1', 'tissue', 0, %(note)s)",
    ],
)
def test_a_note_has_a_length(curator, reviewable, call: str) -> None:
    given = {"id": reviewable.ids["a"], "note": "µ" * 10_001}
    with pytest.raises(psycopg.errors.StringDataRightTruncation, match="10001 characters") as error:
        curator.execute(f"select {call}", given)
    assert "µ" not in str(error.value)
    curator.execute(f"select {call}", given | {"note": given["note"][:-1]})


def test_the_note_of_an_undone_decision_has_a_length(curator, reviewable) -> None:
    ((review,),) = curator.execute(
        "select review_id from accept_suggestion(%s)", (reviewable.ids["a"],)
    ).fetchall()
    with pytest.raises(psycopg.errors.StringDataRightTruncation, match="10001 characters"):
        curator.execute("select undo_review(%s, repeat('x', 10001))", (review,))


def test_the_vocabulary_has_classes_curated_values_and_terms(curator, connection) -> None:
    connection.execute(
        "insert into atlas.annotation (sample_id, field, value) values ('a', 'tissue', ' ')"
    )
    connection.commit()
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
        "insert into prediction (sample_id, dataset_id, field, release_id, input_hash,"
        " sample_updated_at, value, confidence, status) select sample_id, dataset_id, 'tissue', %s,"
        " repeat('1', 64), updated_at, 'liver', 0.9, 'suggested' from sample where sample_id = 'a'",
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
        with as_curator(database) as conn:
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
        "insert into metric select run_id, 'one dataset out', kind, name, '', value, 4, 2"
        " from training_run cross join (values ('combined', 'accuracy', 0.75),"
        " ('combined', 'precision', 0.96), ('combined', 'answered', 0.7),"
        " ('combined', 'prediction_set_coverage', 0.91), ('combined', 'auc', 0.8),"
        " ('combined', 'expected_calibration_error', 0.03), ('forest', 'auc', 0.9),"
        " ('forest', 'precision', 0.99)) as figure (kind, name, value)"
    )
    connection.execute(
        "insert into label_suspicion select run_id, made.sample, 'D2', 'lung', 'liver', 0.5,"
        " made.rank, '{\"network\": 0.9}' from training_run"
        " cross join (values ('d', 2), ('e', 1)) as made (sample, rank)"
    )
    connection.execute(
        "with made as (insert into cohort (field, hash, samples, datasets)"
        " values ('tissue', repeat('0', 64), 1, 1) returning cohort_id),"
        " member as (insert into cohort_sample select cohort_id, sample_id, 'D2', 'blood', 'lung'"
        " from made cross join (values ('d'), ('e')) as labelled (sample_id))"
        " update training_run set cohort_id = made.cohort_id from made"
    )
    connection.execute(
        "insert into sample (sample_id, dataset_id) values ('e', 'D2');"
        "insert into annotation (sample_id, field, value) values ('e', 'tissue', 'blood')"
    )
    query = (
        "select sample_id, dataset_id, field, label, predicted, confidence, suspicion, rank,"
        " evidence from suspect_annotation"
    )
    assert connection.execute(query).fetchall() == [
        ("e", "D2", "tissue", "lung", "liver", None, 0.5, 1, {"network": 0.9}),
        ("d", "D2", "tissue", "lung", "liver", 0.95, 0.5, 2, {"network": 0.9}),
    ]
    connection.execute("update annotation set value = 'lung' where sample_id = 'e'")
    assert [row[0] for row in connection.execute(query)] == ["d"]
    for changed in ("update annotation set value = 'liver'", "delete from annotation"):
        connection.execute(changed)
        assert connection.execute(query).fetchall() == []
    query = (
        "select status, accuracy, held_out_samples, by_kind, precision, answered,"
        " prediction_set_coverage, expected_calibration_error, auc from model_card"
    )
    assert connection.execute(query).fetchall() == [
        ("live", 0.75, 4, {"combined": 0.75}, 0.96, 0.7, 0.91, 0.03, 0.8)
    ]
