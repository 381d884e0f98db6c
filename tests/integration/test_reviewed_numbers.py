"""Ages that a reviewer corrects by years: kept beside the interval that includes them."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from annotator.store.server.schema import downgrade, migrate
from tests.support.store import as_curator

CLASSES = ["[0;45]", "(45;70]", "(70;110]"]
_ANSWERED = """
with run as (
    insert into annotator.training_run (field, preset, seed, host, status, finished_at)
    values ('age', 'default', 2, 'here', 'succeeded', now()) returning run_id
), made as (
    insert into annotator.release (field, run_id, status, classes, features, promoted_at)
    select 'age', run_id, 'live', %(classes)s, 10, now() from run returning release_id
)
insert into annotator.prediction (
    sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, lineage,
    confidence, status, models
)
select
    s.sample_id, s.dataset_id, 'age', release_id, repeat('0', 64), s.updated_at, '(70;110]',
    '{(70;110]}', 0.9, 'suggested', %(models)s
from made cross join atlas.sample s
returning sample_id, prediction_id
"""


@pytest.fixture
def ages(connection: psycopg.Connection, reviewable) -> dict[str, int]:
    """Every sample of ``reviewable`` has an age suggested; predictions by sample."""
    found = connection.execute(_ANSWERED, {"classes": CLASSES, "models": Jsonb({})}).fetchall()
    connection.commit()
    return dict(found)


@pytest.fixture
def curator(database, ages):
    with as_curator(database) as opened:
        yield opened


def one(conn: psycopg.Connection, query: str, *values: object):
    (row,) = conn.execute(query, values).fetchall()
    return row


@pytest.mark.parametrize(
    ("given", "number", "interval"),
    [
        ("57", 57, "(45;70]"),
        ("57.5", 57.5, "(45;70]"),
        (" 57 ", 57, "(45;70]"),
        ("0", 0, "[0;45]"),
        ("45", 45, "[0;45]"),
        ("45.01", 45.01, "(45;70]"),
        ("70", 70, "(45;70]"),
        ("110", 110, "(70;110]"),
        (".5", 0.5, "[0;45]"),
    ],
)
def test_years_are_kept_with_the_interval_that_includes_them(
    curator, ages, given, number, interval
) -> None:
    decided = one(
        curator,
        "select decision::text, value, number from correct_suggestion(%s, %s, 'methods')",
        ages["a"],
        given,
    )
    assert decided == ("corrected", interval, number)
    query = "select value, number, note from review where prediction_id = %s"
    assert one(curator, query, ages["a"]) == (interval, number, "methods")
    query = (
        "select value, numeric_value, source from effective_annotation"
        " where sample_id = 'a' and field = 'age'"
    )
    assert one(curator, query) == (interval, number, "corrected")
    query = "select value, best_value, status from suggestion where prediction_id = %s"
    assert one(curator, query, ages["a"]) == (interval, interval, "corrected")


@pytest.mark.parametrize("given", ["110.5", "-1", "999"])
def test_years_that_no_interval_includes_are_refused(curator, ages, given) -> None:
    message = rf"no age interval of release \d+ includes {given}; .*\[0;45\], \(45;70\], \(70;110\]"
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=message):
        curator.execute("select correct_suggestion(%s, %s)", (ages["a"], given))
    assert one(curator, "select count(*) from review") == (0,)


def test_a_gap_between_the_classes_includes_no_years(curator, connection, ages) -> None:
    connection.execute(
        "update annotator.release set classes = '{[0;45],(70;110]}' where field = 'age'"
    )
    connection.commit()
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="includes 57"):
        curator.execute("select correct_suggestion(%s, '57')", (ages["a"],))


@pytest.mark.parametrize("given", ["57 years", "57,5", "about 57", "NaN", "", "9" * 400])
def test_other_text_is_no_number(curator, ages, given) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="is not a known age value"):
        curator.execute("select correct_suggestion(%s, %s)", (ages["a"], given))


def test_an_interval_is_accepted_and_corrected_without_a_number(curator, ages) -> None:
    accepted = one(curator, "select value, number from accept_suggestion(%s)", ages["a"])
    assert accepted == ("(70;110]", None)
    query = "select value, number from correct_suggestion(%s, '[0;45]')"
    assert one(curator, query, ages["b"]) == ("[0;45]", None)
    query = (
        "select numeric_value from effective_annotation where field = 'age' and sample_id in"
        " ('a', 'b')"
    )
    assert curator.execute(query).fetchall() == [(None,), (None,)]


def test_a_number_is_no_value_of_another_field(curator, reviewable) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="'57' is not a known tissue"):
        curator.execute("select correct_suggestion(%s, '57')", (reviewable.ids["a"],))


def test_another_number_of_the_same_interval_is_another_decision(curator, ages) -> None:
    query = "select review_id from correct_suggestion(%s, %s)"
    first = one(curator, query, ages["a"], "57")
    assert one(curator, query, ages["a"], "57.0") == first
    for other in ("58", "(45;70]"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="already corrected"):
            curator.execute(query, (ages["a"], other))


def test_the_number_is_carried_through_undoing_events_and_the_history(curator, ages) -> None:
    (review,) = one(curator, "select review_id from correct_suggestion(%s, '57.5')", ages["a"])
    undone = one(curator, "select value, number from undo_review(%s, 'slip')", review)
    assert undone == ("(45;70]", 57.5)
    assert one(curator, "select value, number from undone_review") == ("(45;70]", 57.5)
    query = "select detail -> 'number' from event where kind = any (%s) order by event_id"
    kinds = ["review", "review undone"]
    assert curator.execute(query, (kinds,)).fetchall() == [(57.5,), (57.5,)]
    query = (
        "select what, detail -> 'number' from annotation_history('a')"
        " where field = 'age' and detail ? 'number' order by 1"
    )
    assert curator.execute(query).fetchall() == [("corrected", 57.5), ("review undone", 57.5)]
    # Open again, for a better number.
    query = "select number from correct_suggestion(%s, '56')"
    assert one(curator, query, ages["a"]) == (56,)
    query = (
        "select detail -> 'number' from annotation_history('a')"
        " where what = 'corrected' order by at desc limit 1"
    )
    assert one(curator, query) == (56,)


def test_the_mirrors_number_comes_before_that_of_a_review(curator, connection, ages) -> None:
    curator.execute("select correct_suggestion(%s, '57')", (ages["a"],))
    connection.execute(
        "insert into atlas.annotation (sample_id, field, value, numeric_value)"
        " values ('a', 'age', null, 61.5), ('b', 'age', '33', null), ('c', 'age', '34', 'NaN')"
    )
    connection.commit()
    query = (
        "select sample_id, value, numeric_value, origin from effective_annotation"
        " where field = 'age' order by 1"
    )
    assert curator.execute(query).fetchall() == [
        ("a", "61.5", 61.5, "mirror"),
        ("b", "33", None, "mirror"),
        ("c", "34", None, "mirror"),
    ]


def test_a_number_judges_suggestions_whose_intervals_are_cut_otherwise(
    curator, connection, ages
) -> None:
    curator.execute("select correct_suggestion(%s, '57')", (ages["a"],))
    curator.execute("select correct_suggestion(%s, '(45;70]')", (ages["b"],))
    connection.execute(
        "update annotator.prediction set value = '[0;60]' where prediction_id = any (%s)",
        (list(ages.values()),),
    )
    query = "select sample_id, is_right from judged_suggestion where field = 'age' order by 1"
    assert connection.execute(query).fetchall() == [("a", True), ("b", None)]


def test_only_corrections_have_a_number(connection, ages) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="only_corrections_have_a_number"):
        connection.execute(
            "insert into annotator.review (prediction_id, decision, value, number)"
            " values (%s, 'accepted', '(70;110]', 80)",
            (ages["a"],),
        )


def test_going_back_keeps_the_interval(database, curator, ages) -> None:
    curator.execute("select correct_suggestion(%s, '57')", (ages["a"],))
    curator.close()
    downgrade(database, "0001")
    with as_curator(database) as conn:
        query = "select value from effective_annotation where field = 'age'"
        assert conn.execute(query).fetchall() == [("(45;70]",)]
        query = "select value from correct_suggestion(%s, '[0;45]')"
        assert one(conn, query, ages["b"]) == ("[0;45]",)
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="is not a known age value"):
            conn.execute("select correct_suggestion(%s, '57')", (ages["c"],))
    migrate(database)
    with database.connect() as conn:
        query = "select value, number from annotator.review where prediction_id = %s"
        assert one(conn, query, ages["a"]) == ("(45;70]", None)
