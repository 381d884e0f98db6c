"""Taking decisions back, what suggestions turned out to be worth, and the story of a sample."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from annotator.domain.answers import LiveAccuracy
from annotator.domain.fields import FIELDS
from annotator.domain.releases import Comparison, GateVerdict
from annotator.jobs.retrain.candidate import with_live_accuracy
from annotator.plain_data import plain
from annotator.report.tables.mistakes import _wilson_upper
from annotator.store.answers import predictions, work
from annotator.store.answers.review_queue import look_after_queue, refresh_queue
from annotator.store.releases.live_accuracy import live_accuracy_of
from tests.support.store import as_curator, suggestion


@pytest.fixture
def curator(database, reviewable):
    with as_curator(database) as opened:
        yield opened


def one(conn: psycopg.Connection, query: str, *values: object):
    row = conn.execute(query, values).fetchone()
    return None if row is None else row[0] if len(row) == 1 else row


def test_undoing_opens_the_sample_again_and_is_an_event(curator, reviewable) -> None:
    review = one(curator, "select review_id from accept_suggestion(%s, 'x')", reviewable.ids["a"])
    undone = "select review_id, decision::text, undone_by, undo_note from undo_review(%s, 'slip')"
    expected = (review, "accepted", "annotator_curator", "slip")
    assert one(curator, undone, review) == expected
    assert one(curator, undone, review) == expected  # once is enough
    assert one(curator, "select count(*) from event where kind = 'review undone'") == 1
    assert one(curator, "select count(*) from review") == 0
    assert one(curator, "select status from suggestion where sample_id = 'a'") == "suggested"
    assert one(curator, "select count(*) from effective_annotation where sample_id = 'a'") == 0
    rows = curator.execute("select sample_id from review_queue").fetchall()
    assert ("a",) in rows
    again = one(curator, "select review_id from reject_suggestion(%s)", reviewable.ids["a"])
    assert again != review
    with pytest.raises(psycopg.errors.NoDataFound, match="no review 98765"):
        curator.execute("select undo_review(98765)")


def test_the_origin_of_an_effective_value_is_told(curator, reviewable) -> None:
    curator.execute("select accept_suggestion(%s, 'seen')", (reviewable.ids["a"],))
    query = (
        "select origin, source, reviewer, note, release_id from effective_annotation"
        " where sample_id = %s"
    )
    expected = ("review", "accepted", "annotator_curator", "seen", reviewable.release_id)
    assert one(curator, query, "a") == expected
    assert one(curator, query, "d") == ("mirror", "curated", None, None, None)


def test_live_accuracy_follows_lineage_and_counts_each_sample_once(
    curator, connection, reviewable
) -> None:
    assert live_accuracy_of(connection, reviewable.release_id) is None
    curator.execute("select accept_suggestion(%s)", (reviewable.ids["a"],))
    curator.execute("select reject_suggestion(%s)", (reviewable.ids["b"],))
    curator.execute("select correct_suggestion(%s, 'cortex')", (reviewable.ids["c"],))
    query = "select judged, confirmed, contradicted, undecided, by_mirror from live_accuracy"
    assert one(curator, query) == (3, 1, 2, 0, 0)

    # A label in the mirror wins; one below the suggestion confirms, one above says neither.
    connection.execute(
        "insert into atlas.term (term_id, name) values ('lobe', 'lobe');"
        "insert into atlas.term_parent values ('lobe', 'liver');"
        "insert into atlas.annotation (sample_id, field, value)"
        " values ('a', 'tissue', 'organ'), ('b', 'tissue', 'lobe'), ('c', 'tissue', 'lung')"
    )
    connection.commit()
    assert one(curator, query) == (2, 2, 0, 1, 2)
    found = live_accuracy_of(connection, reviewable.release_id)
    assert found is not None
    assert (found.judged, found.confirmed) == (2, 2)
    assert found.lowest == pytest.approx(0.3424, abs=1e-3)  # Wilson's interval of 2 of 2
    assert found.highest == pytest.approx(1.0)
    assert one(curator, "select live_judged, live_accuracy from model_card") == (2, 1.0)


@pytest.mark.parametrize(
    ("field", "suggested", "label", "is_right"),
    [
        ("sex", "male", "M", True),
        ("sex", "male", "f", False),
        ("sex", "male", "_MAN", True),
        ("sex", "male", "mixed", None),
        ("age", "[0;65]", "35", True),
        ("age", "[0;65]", "70", False),
        ("age", "[0;65]", "35 years", None),
        ("age", "[0;65]", ">89", None),
    ],
)
def test_a_label_is_compared_as_its_field_is_read(
    connection, reviewable, field, suggested, label, is_right
) -> None:
    connection.execute(
        "with run as (update annotator.training_run set configuration ="
        " jsonb_build_object('field', %s::jsonb) returning run_id),"
        " moved as (update annotator.prediction set field = %s, value = %s"
        " where sample_id = 'a' returning sample_id)"
        " insert into atlas.annotation (sample_id, field, value) values ('a', %s, %s)",
        (json.dumps(plain(FIELDS[field])), field, suggested, field, label),
    )
    query = "select is_right from annotator.judged_suggestion where sample_id = 'a'"
    assert one(connection, query) is is_right


@pytest.mark.parametrize(("right", "whole"), [(0, 1), (2, 2), (7, 9), (48, 50), (1, 1000)])
def test_the_database_and_the_report_mean_the_same_interval(connection, right, whole) -> None:
    assert one(connection, "select likely_share(%s, %s, 1.96)", right, whole) == pytest.approx(
        _wilson_upper(right, whole)
    )
    # What is not right is wrong: the lowest share of one is the highest of the other.
    assert one(connection, "select likely_share(%s, %s, -1.96)", right, whole) == pytest.approx(
        1 - _wilson_upper(whole - right, whole)
    )
    assert one(connection, "select likely_share(0, 0, 1.96)") is None


def test_what_a_release_has_learned_from_is_no_test_of_it(curator, connection, reviewable) -> None:
    curator.execute("select accept_suggestion(%s)", (reviewable.ids["a"],))
    curator.execute("select reject_suggestion(%s)", (reviewable.ids["b"],))
    found = live_accuracy_of(connection, reviewable.release_id)
    assert found is not None
    assert (found.judged, found.confirmed) == (2, 1)
    connection.execute(
        "with c as (insert into annotator.cohort (field, hash, samples, datasets)"
        " values ('tissue', repeat('c', 64), 1, 1) returning cohort_id),"
        " t as (update annotator.training_run set cohort_id = c.cohort_id from c"
        " where run_id = (select run_id from annotator.release where release_id = %s))"
        " insert into annotator.cohort_sample (cohort_id, sample_id, dataset_id, value, class)"
        " select cohort_id, 'a', 'D1', 'liver', 'liver' from c",
        (reviewable.release_id,),
    )
    connection.commit()
    found = live_accuracy_of(connection, reviewable.release_id)
    assert found is not None
    assert (found.judged, found.confirmed) == (1, 0)


_LEARNED = """
update release set status = 'retired', retired_at = now();
with c as (
    insert into cohort (field, hash, samples, datasets)
    values ('tissue', repeat('c', 64), 1, 1) returning cohort_id
), s as (
    insert into cohort_sample (cohort_id, sample_id, dataset_id, value, class)
    select cohort_id, 'a', 'D1', 'liver', 'liver' from c
), run as (
    insert into training_run (field, preset, seed, host, status, finished_at, cohort_id)
    select 'tissue', 'default', 2, 'here', 'succeeded', now(), cohort_id from c returning run_id
)
insert into release (field, run_id, status, classes, features, promoted_at)
select 'tissue', run_id, 'live', '{liver,lung}', 10, now() from run;
"""


def test_what_a_release_has_learned_from_is_never_one_click(
    database, connection, curator, reviewable
) -> None:
    """It was accepted, learned from, taken back, and is answered by what learned from it."""
    review = one(curator, "select review_id from accept_suggestion(%s)", reviewable.ids["a"])
    connection.execute(_LEARNED)
    release = one(connection, "select release_id from release where status = 'live'")
    connection.commit()
    curator.execute("select undo_review(%s, 'it never was')", (review,))
    answer_anew(database, release, "liver")

    query = "select sample_id, one_click from review_queue where dataset_id = 'D1' order by 1"
    expected = [("a", False), ("b", False)]
    assert one(connection, "select count(*) from queue_change") == 0
    assert connection.execute(query).fetchall() == expected  # kept
    connection.execute("update prediction set reason = 'x'")
    assert connection.execute(query).fetchall() == expected  # worked out
    # Decided by itself, it is in nobody's way any more.
    connection.commit()
    prediction = one(
        curator, "select prediction_id from suggestion where sample_id = 'a' and release_id = %s",
        release,
    )  # fmt: skip
    curator.execute("select accept_suggestion(%s)", (prediction,))
    assert connection.execute(query).fetchall() == [("b", True)]


def test_the_gate_tells_how_the_live_release_did_and_asks_nothing_of_the_candidate() -> None:
    for promoted in (True, False):
        made = Comparison("accuracy", "live", 0.9, 0.8, 0.0, promoted, 50, 3, "One.")
        verdict = GateVerdict(promoted, ("One.",), (made,))
        assert with_live_accuracy(verdict, None) == verdict
        told = with_live_accuracy(verdict, LiveAccuracy(3, 50, 48, 0.865, 0.989))
        assert (told.promoted, told.comparisons) == (promoted, verdict.comparisons)
        assert told.reasons[0] == "One."
        assert told.reasons[1] == (
            "In use, 48 of the 50 suggestions of live release 3 that got a label later were right"
            " (0.960, 95 % interval 0.865 to 0.989); this counts neither for nor against the"
            " candidate."
        )


@pytest.mark.parametrize(
    ("name", "years", "inside"),
    [
        ("[0;65]", 0, True),
        ("[0;65]", 65, True),
        ("(65;110]", 65, False),
        ("(65;110]", 65.5, True),
        ("[-20;-5.5]", -5.5, True),
        ("(-20;1e+16)", -20, False),
        ("liver", 5, None),
    ],
)
def test_an_interval_holds_a_number(connection, name, years, inside) -> None:
    assert one(connection, "select in_interval(%s, %s)", name, years) is inside


def test_the_story_of_a_sample(curator, connection, reviewable) -> None:
    review = one(curator, "select review_id from accept_suggestion(%s, 'x')", reviewable.ids["a"])
    curator.execute("select undo_review(%s, 'slip')", (review,))
    connection.execute(
        "insert into atlas.annotation (sample_id, field, value) values ('a', 'tissue', 'lung');"
        "update atlas.sample set dataset_id = 'D2' where sample_id = 'a'"
    )
    connection.commit()
    look_after_queue(connection)
    assert look_after_queue(connection) == 0
    connection.execute("delete from atlas.annotation where sample_id = 'a'")
    connection.commit()
    assert look_after_queue(connection) == 1
    rows = curator.execute("select what, value, at is null from annotation_history('a')").fetchall()
    assert rows[0] == ("suggested", "liver", False)
    assert sorted(rows[1:]) == sorted(
        [
            ("accepted", "liver", False),
            ("review undone", "liver", False),
            ("moved to dataset", "D2", False),
            ("labelled", "lung", False),
            ("label removed", None, False),
        ]
    )
    query = "select sample_id, dataset_id from review_queue where dataset_id = 'D2' order by 1"
    assert curator.execute(query).fetchall() == [("a", "D2"), ("c", "D2")]
    assert one(curator, "select what from annotation_history('d') where at is not null") == (
        "abstained"
    )


def test_one_click_datasets_come_first_then_what_tells_most(connection, reviewable) -> None:
    assert refresh_queue(connection) == 2
    query = "select sample_id, one_click from review_queue"
    assert connection.execute(query).fetchall() == [("a", True), ("b", True), ("c", False)]
    connection.execute("update prediction set confidence = 0.5 where sample_id = 'b'")
    live = connection.execute(query).fetchall()
    assert live == [("c", False), ("b", False), ("a", False)]
    connection.commit()
    assert refresh_queue(connection) > 0
    assert one(connection, "select count(*) from queue_change") == 0
    assert connection.execute(query).fetchall() == live  # kept or worked out: the same


_HUNDRED = """
insert into sample (sample_id, dataset_id) select 's' || i, 'D1' from generate_series(1, 100) i;
insert into prediction (sample_id, dataset_id, field, release_id, input_hash, sample_updated_at,
    value, confidence, status)
select s.sample_id, 'D1', 'tissue', (select release_id from release), repeat('0', 64), updated_at,
    'liver', 0.9, 'suggested'
from sample s where s.sample_id like 's%';
update release set status = 'retired', retired_at = now();
with run as (
    insert into training_run (field, preset, seed, host, status, finished_at)
    values ('tissue', 'default', 2, 'here', 'succeeded', now()) returning run_id
)
insert into release (field, run_id, status, classes, features, promoted_at)
select 'tissue', run_id, 'live', '{liver,lung}', 10, now() from run;
"""


def answer_anew(database, release: int, value: str = "lung") -> None:
    """Answer everything pending as a daemon does, in small batches."""
    with database.connect(user="annotator_daemon") as conn:
        work.queue_pending(conn, "tissue", release)
        run_id = predictions.start_annotation_run(conn, "w", "here")
        while claimed := work.claim(conn, "w", "tissue", release, 7, 60):
            answers = [suggestion(item, value) for item in claimed]
            predictions.write_batch(conn, "w", release, run_id, answers, [])
            refresh_queue(conn)


def test_a_hundred_decisions_while_all_is_answered_anew_lose_nothing(
    database, connection, reviewable
) -> None:
    connection.execute(_HUNDRED)
    release = one(connection, "select release_id from release where status = 'live'")
    connection.commit()

    def decide(samples: list[str]) -> list[str]:
        told = []
        with as_curator(database) as conn:
            for sample in samples:
                while True:
                    prediction = one(
                        conn, "select prediction_id from suggestion where sample_id = %s", sample
                    )
                    try:
                        conn.execute("select accept_suggestion(%s)", (prediction,))
                        break
                    except psycopg.errors.ObjectNotInPrerequisiteState as error:
                        told.append(str(error))
        return told

    samples = [f"s{number}" for number in range(1, 101)]
    with ThreadPoolExecutor(5) as pool:
        daemon = pool.submit(answer_anew, database, release)
        parts = [samples[place::4] for place in range(4)]
        told = [message for part in pool.map(decide, parts) for message in part]
        daemon.result()
    assert all("is stale" in message for message in told)
    # Each decision stands, is of the answer that is current, and is in the log.
    query = (
        "select count(*), count(*) filter (where p.is_current and p.value = r.value)"
        " from review r join prediction p using (prediction_id)"
    )
    assert one(connection, query) == (100, 100)
    assert one(connection, "select count(*) from event where kind = 'review'") == 100
    query = "select count(*) from effective_annotation where origin = 'review'"
    assert one(connection, query) == 100
    assert one(connection, "select count(*) from work") == 0
    connection.commit()
    refresh_queue(connection)
    query = "select sample_id, dataset_open from review_queue where dataset_id = 'D1' order by 1"
    assert connection.execute(query).fetchall() == [("a", 2), ("b", 2)]


# Text that is likely to be taken for something else, besides whatever hypothesis thinks of.
HOSTILE = st.one_of(
    st.text(max_size=200),
    st.text(alphabet="'\"\\;-$%{}()\0\n\t /*:\u202e\u00e9", max_size=50),
    st.text(max_size=20).map(lambda text: f"liver'; {text}; --"),
)
EXAMPLES = (
    *("", " ", ";--", "';--", "'; drop table annotator.review; --", "''", "'", '"', '"";--'),
    *("\\", "\\'; --", "$$", "$$;--", "%s", "%(id)s", "{}", "/*", "E'\\x27'", "liver\0", "\0"),
    *("\U0001f9ec", "\ufffd", "\u202eliver", "e\u0301", "\u00e9", "\ufeff"),
    *("x" * 10_000_000, "'" * 10_000_000, "\u00e9" * 5_000_000, ";--" * 3_333_334),
)


def with_examples(test):
    """Try all of EXAMPLES before anything else."""
    for text in EXAMPLES:
        test = example(text=text)(test)
    return test


CALLS = [
    "accept_suggestion({id}, %s)",
    "reject_suggestion({id}, %s)",
    "correct_suggestion({id}, %s)",
    "correct_suggestion({id}, 'lung', %s)",
    "accept_dataset(%s, 'tissue')",
    "accept_dataset('D1', %s)",
    "accept_dataset('D1', 'tissue', 0.9, %s)",
    "undo_review(-1, %s)",
    "annotation_history(%s)",
    "vocabulary(%s)",
    "lineage(%s)",
]


@pytest.mark.parametrize("call", CALLS)
def test_no_text_does_harm(database, reviewable, call: str) -> None:
    with as_curator(database) as conn:
        conn.autocommit = False

        @settings(
            max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None
        )
        @with_examples
        @given(text=HOSTILE)
        def try_it(text: str) -> None:
            query = f"select * from {call.format(id=reviewable.ids['a'])}"
            refused: psycopg.Error | None = None
            try:
                conn.execute(query, (text,))
                notes = conn.execute("select note from review where note is not null").fetchall()
                assert notes in ([], [(text,)] * len(notes))
            except psycopg.Error as error:
                refused = error
            assert len(str(refused)) < 2_000
            assert not isinstance(
                refused, psycopg.errors.SyntaxError | psycopg.errors.InternalError_
            )
            conn.rollback()
            assert conn.execute("select count(*) from prediction").fetchone() == (4,)
            assert conn.execute("select count(*) from review").fetchone() == (0,)

        try_it()
