"""The labels of the mirror, which one view defines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annotator.domain.fields import FIELDS, FieldDefinition, LabelScheme
from annotator.domain.values.missing import IGNORED, MISSING_WORDS, plain_word
from annotator.jobs.retrain.retrain import UNLABELLED, retrain
from annotator.jobs.watch.status import read_status
from annotator.store.answers.work import count_pending
from annotator.store.mirror.label_values import declare_words, read_value_use
from tests.support.store import add_release, add_samples, run

DISEASE = FieldDefinition(
    name="disease", scheme=LabelScheme.CATEGORIES, vocabulary=("none", "tumour")
)


def annotate(connection, field: str, *values: str) -> None:
    """Annotate samples s0, s1, ... with values; committed."""
    add_samples(connection, *(f"s{place}" for place in range(len(values))))
    for place, value in enumerate(values):
        run(
            connection,
            "insert into atlas.annotation (sample_id, field, value) values (%s, %s, %s)",
            *(f"s{place}", field, value),
        )


def test_blanks_and_words_for_missing_are_no_labels(connection) -> None:
    connection.execute(
        "insert into atlas.dataset (dataset_id) values ('D');"
        "insert into atlas.sample (sample_id, dataset_id)"
        " select name, 'D' from unnest('{a,b,c,d,e,f,g,h}'::text[]) as name;"
        "insert into atlas.annotation (sample_id, field, value, numeric_value) values"
        " ('a', 'age', ' liver ', null), ('b', 'age', null, 61.5), ('c', 'age', '62', 62.25),"
        " ('d', 'age', 'NaN', 63), ('e', 'age', '  ', null), ('f', 'age', ' nan', 'NaN'),"
        " ('g', 'age', null, 'NaN'), ('h', 'age', '64', 'NaN')"
    )
    query = "select sample_id, value, numeric_value, source from annotator.known_label order by 1"
    assert connection.execute(query).fetchall() == [
        ("a", "liver", None, "curated"),
        ("b", "61.5", 61.5, "curated"),
        ("c", "62", 62.25, "curated"),
        ("d", "63", 63.0, "curated"),
        ("h", "64", None, "curated"),
    ]


def test_the_database_compares_words_as_the_program_does(connection) -> None:
    texts = [*MISSING_WORDS, *(f"a{character}B" for character in IGNORED), "İ", "Ä-日本", "+", ""]
    found = connection.execute(
        "select annotator.plain_word(text) from unnest(%s::text[]) with ordinality as t (text, n)"
        " order by n",
        [texts],
    ).fetchall()
    assert [word for (word,) in found] == [plain_word(text) for text in texts]


@pytest.mark.parametrize("word", ["NA", "Not_Applicable", "missing: control sample", "-", "?"])
def test_samples_with_a_word_for_a_missing_value_are_pending(connection, word) -> None:
    release = add_release(connection)
    annotate(connection, "tissue", word, "liver")
    assert count_pending(connection, "tissue", release) == 1
    query = "select sample_id, value from annotator.effective_annotation"
    assert run(connection, query) == [("s1", "liver")]


def test_a_declared_word_is_a_label_of_its_field_only(connection) -> None:
    annotate(connection, "disease", "None", "unknown", "tumour")
    run(
        connection,
        "insert into atlas.annotation (sample_id, field, value) values ('s0', 'sex', 'none')",
    )
    query = "select field, value from annotator.known_label order by 2"
    assert run(connection, query) == [("disease", "tumour")]
    for _ in range(2):
        declare_words(connection, {**FIELDS, "disease": DISEASE})
        assert run(connection, query) == [("disease", "None"), ("disease", "tumour")]
    declare_words(connection, {**FIELDS, "disease": replace(DISEASE, vocabulary=("a", "b"))})
    assert run(connection, query) == [("disease", "tumour")]


def test_values_are_counted_with_those_that_an_import_kept_as_attributes(connection) -> None:
    annotate(connection, "sex", "M", "female", "n/a", "both", "")
    run(
        connection,
        "update atlas.sample set attributes = jsonb_build_object('sex (as given)', 'mixed')"
        " where sample_id = 's4'",
    )
    tissue, sex, age = read_value_use(connection, FIELDS)
    assert (tissue.given, age.given) == (0, 0)
    assert (sex.used, sex.missing, sex.not_understood) == (2, 1, 2)
    (only,) = read_value_use(connection, FIELDS, ["sex"])
    assert only == sex


def test_a_retraining_counts_the_values_of_its_field(connection, database, settings) -> None:
    annotate(connection, "sex", "unknown", "mixed")
    outcome = retrain(database, settings, "sex")
    assert outcome.status == UNLABELLED
    assert (outcome.values.used, outcome.values.missing, outcome.values.not_understood) == (0, 1, 1)
    assert read_status(database, settings).values == ()
    status = read_status(database, settings, with_values=True)
    assert outcome.values in status.values
    assert status.as_dict()["values"][1]["field"] == "sex"
