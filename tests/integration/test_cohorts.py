"""Cohorts: who is in, with which label, and what the hash notices."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS
from annotator.domain.imports import ImportedCounts, SampleRecord
from annotator.errors import InputError
from annotator.jobs.retrain.plan import plan_of
from annotator.learn.labels.classes import make_labels
from annotator.learn.labels.ontology import Ontology
from annotator.learn.labels.roll_up import LabelOptions
from annotator.settings import Settings
from annotator.store.mirror.cohorts import ReadCohort, read_cohort
from annotator.store.mirror.importing import apply_import
from annotator.store.mirror.terms import read_terms
from annotator.store.server.schema import migrations_folder
from annotator.store.server.schema_objects import create_objects
from tests.support.terms import terms_of

RECORDS = (
    SampleRecord("s3", "D2", {"tissue": "skin", "sex": "male"}, {"age": 70.0}),
    SampleRecord("s1", "D1", {"tissue": "lung"}, {"age": 61.5}),
    SampleRecord("s2", "D1", {"sex": "female"}, {}),
    SampleRecord("s4", "D2", {"tissue": "skin"}, {}),
    SampleRecord("s5", "D2", {"tissue": "lung", "sex": "male"}, {}),
)
COUNTS = {"s1": [1, 2], "s2": [0, 9], "s3": [4, 0], "s4": [0, 0], "s5": [0, 0]}
TERMS = {"lung": ("organ",), "skin": ("organ", "cover"), "organ": (), "cover": ()}


def load(
    conn: psycopg.Connection, counts: dict[str, list[int]], names: list[str], kind: str
) -> None:
    apply_import(
        conn,
        samples=RECORDS,
        counts=ImportedCounts(names, kind, [(list(counts), csr_matrix(list(counts.values())))]),
        terms=terms_of(TERMS),
    )


@pytest.fixture
def atlas(connection: psycopg.Connection) -> psycopg.Connection:
    """Three samples with sRNA reads, one with virus reads only, one without any."""
    load(connection, COUNTS, ["miR-1", "let-7a"], "srna")
    load(connection, {"s5": [3], "s3": [8]}, ["virus"], "contaminant")
    connection.commit()
    return connection


def decide(
    conn: psycopg.Connection,
    sample: str,
    field: str,
    said: str,
    value: str | None,
    number: float | None = None,
) -> None:
    """Store a prediction and what a curator decided about it."""
    row = conn.execute(
        "with run as (insert into annotator.training_run"
        " (field, preset, status, seed, host, finished_at)"
        " values (%(field)s, 'default', 'succeeded', 1, 'here', now()) returning run_id),"
        " made as (insert into annotator.release (field, run_id, classes, features)"
        " select %(field)s, run_id, array['a', 'b'], 1 from run returning release_id)"
        " insert into annotator.prediction"
        " (sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value,"
        " confidence, status, models)"
        " select sample_id, dataset_id, %(field)s, release_id, repeat('0', 64), updated_at,"
        " %(said)s, 0.9, 'suggested', %(models)s"
        " from made join atlas.sample on sample_id = %(sample)s returning prediction_id",
        {"field": field, "sample": sample, "said": said, "models": Jsonb({})},
    ).fetchone()
    assert row is not None
    decision = "rejected" if value is None else "accepted" if value == said else "corrected"
    conn.execute(
        "insert into annotator.review (prediction_id, decision, value, number)"
        " values (%s, %s, %s, %s)",
        [row[0], decision, value, number],
    )


def ids(read: ReadCohort) -> list[str]:
    return list(read.cohort.profiles.sample_ids)


def test_labelled_samples_with_usable_expression_by_their_id(atlas: psycopg.Connection) -> None:
    cohort = read_cohort(atlas, FIELDS["tissue"], True).cohort
    # s4 has no reads, s5 none of sRNAs, s2 no tissue.
    assert cohort.profiles.sample_ids.tolist() == ["s1", "s3"]
    assert cohort.profiles.features.tolist() == ["let-7a", "miR-1"]
    assert cohort.profiles.counts.toarray().tolist() == [[2, 1], [0, 4]]
    assert cohort.dataset_ids.tolist() == ["D1", "D2"]
    assert cohort.values.tolist() == ["lung", "skin"]
    assert str(cohort.numbers.tolist()) == "[nan, nan]"
    assert cohort.known == {}


def test_sex_sees_contaminants_and_the_known_tissue(atlas: psycopg.Connection) -> None:
    cohort = read_cohort(atlas, FIELDS["sex"], True).cohort
    assert cohort.profiles.features.tolist() == ["let-7a", "miR-1", "virus"]
    assert cohort.profiles.counts.toarray().tolist() == [[9, 0, 0], [0, 4, 8], [0, 0, 3]]
    assert cohort.values.tolist() == ["female", "male", "male"]
    assert cohort.known["tissue"].tolist() == ["", "skin", "lung"]


def test_numbers_come_as_numbers_and_as_text(atlas: psycopg.Connection) -> None:
    cohort = read_cohort(atlas, FIELDS["age"], True).cohort
    assert cohort.values.tolist() == ["61.5", "70"]
    assert cohort.numbers.tolist() == [61.5, 70.0]


def test_reviews_join_only_when_asked(atlas: psycopg.Connection) -> None:
    decide(atlas, "s2", "tissue", "skin", "lung")  # corrected
    decide(atlas, "s1", "tissue", "skin", "skin")  # against a curated value, which wins
    alone, joined = (read_cohort(atlas, FIELDS["tissue"], learn) for learn in (False, True))
    assert (ids(alone), ids(joined)) == (["s1", "s3"], ["s1", "s2", "s3"])
    assert joined.cohort.values.tolist() == ["lung", "lung", "skin"]
    assert alone.hash != joined.hash
    decide(atlas, "s2", "age", "(65;110]", "(65;110]")  # accepted
    decide(atlas, "s5", "age", "[0;65]", "44")  # corrected by a number
    ages = read_cohort(atlas, FIELDS["age"], True).cohort
    assert ages.values.tolist() == ["61.5", "(65;110]", "70", "44"]
    assert str(ages.numbers.tolist()) == "[61.5, nan, 70.0, 44.0]"
    assert ages.known["tissue"].tolist() == ["lung", "lung", "skin", "lung"]


def test_a_reviewed_number_is_learned_with_its_interval(atlas: psycopg.Connection) -> None:
    decide(atlas, "s2", "age", "(65;110]", "[0;65]", 57.5)
    first = read_cohort(atlas, FIELDS["age"], True)
    assert first.cohort.values.tolist() == ["61.5", "[0;65]", "70"]
    assert first.cohort.numbers.tolist() == [61.5, 57.5, 70.0]
    atlas.execute("update annotator.review set number = 58")
    assert read_cohort(atlas, FIELDS["age"], True).hash != first.hash


def test_a_rejected_suggestion_is_no_label(atlas: psycopg.Connection) -> None:
    decide(atlas, "s2", "tissue", "skin", None)
    assert ids(read_cohort(atlas, FIELDS["tissue"], True)) == ["s1", "s3"]


@pytest.mark.parametrize(
    "change",
    [
        "update atlas.annotation set value = 'bone' where sample_id = 's1' and field = 'tissue'",
        "update atlas.sample set dataset_id = 'D2' where sample_id = 's1'",
        "update atlas.expression set counts = '{1,3}' where sample_id = 's1'",
        "delete from atlas.annotation where sample_id = 's1'",
        "update atlas.feature set name = 'miR-2' where name = 'miR-1'",
    ],
)
def test_the_hash_notices_every_change(atlas: psycopg.Connection, change: str) -> None:
    before = read_cohort(atlas, FIELDS["tissue"], True).hash
    assert read_cohort(atlas, FIELDS["tissue"], True).hash == before
    assert len(before) == 64
    atlas.execute(change)
    assert read_cohort(atlas, FIELDS["tissue"], True).hash != before


def test_the_hash_notices_known_values_and_ignores_what_is_not_learned_from(
    atlas: psycopg.Connection,
) -> None:
    sex, tissue = (read_cohort(atlas, FIELDS[field], True).hash for field in ("sex", "tissue"))
    atlas.execute("update atlas.annotation set value = 'bone' where value = 'skin'")
    assert read_cohort(atlas, FIELDS["sex"], True).hash != sex
    atlas.execute("update atlas.annotation set value = 'skin' where value = 'bone'")
    atlas.execute("update atlas.feature set feature_id = feature_id + 500")
    atlas.execute(
        "update atlas.expression set feature_ids ="
        " (select array_agg(id + 500 order by place) from unnest(feature_ids)"
        " with ordinality as one (id, place)) where nnz > 0"
    )
    atlas.execute("update atlas.annotation set value = 'female' where value = 'male'")
    assert read_cohort(atlas, FIELDS["tissue"], True).hash == tissue


def test_values_of_a_foreign_view_are_cleaned(atlas: psycopg.Connection) -> None:
    atlas.execute("alter table atlas.annotation rename to own")
    atlas.execute(
        "create view atlas.annotation (sample_id, field, value, numeric_value, term_id, source) as"
        " values ('s1', 'age', ' 34 ', null::numeric, null::text, 'theirs'),"
        " ('s2', 'age', '', 12.5, null, 'theirs'), ('s3', 'age', null, 'NaN', null, 'theirs'),"
        " ('s5', 'age', '  ', null, null, 'theirs'), ('s4', null, 'x', null, null, 'theirs'),"
        " ('gone', 'age', '3', null, null, 'theirs'), ('s1', 'age', '34', null, null, 'theirs')"
    )
    create_objects(atlas, migrations_folder() / "schema")  # they stood on the table so far
    cohort = read_cohort(atlas, FIELDS["age"], False).cohort
    assert cohort.profiles.sample_ids.tolist() == ["s1", "s2"]
    assert cohort.values.tolist() == ["34", "12.5"]
    assert cohort.numbers.tolist() == [34.0, 12.5]


def test_stored_texts_are_read_as_an_import_reads_them(atlas: psycopg.Connection) -> None:
    atlas.execute("delete from atlas.annotation where field = 'age'")
    atlas.execute(
        "insert into atlas.annotation (sample_id, field, value)"
        " values ('s1', 'age', '35 years'), ('s2', 'age', '>89'), ('s3', 'age', 'Not Available'),"
        " ('s5', 'age', 'adult')"
    )
    cohort = read_cohort(atlas, FIELDS["age"], False).cohort
    assert cohort.values.tolist() == ["35 years", ">89", "adult"]
    assert str(cohort.numbers.tolist()) == "[35.0, nan, nan]"
    _, labels = make_labels(cohort, Ontology(), LabelOptions(1, 1))
    assert labels.tolist() == ["[0;65]", "(65;110]", ""]


def test_an_empty_mirror_has_an_empty_cohort(connection: psycopg.Connection) -> None:
    read = read_cohort(connection, FIELDS["sex"], True)
    assert read.cohort.profiles.counts.shape == (0, 0)
    assert read.cohort.known["tissue"].tolist() == []


def test_there_is_no_plan_for_a_field_that_nobody_declared() -> None:
    with pytest.raises(InputError, match="no field 'species'"):
        plan_of(Settings(), "species")


def test_every_term_has_its_parents(atlas: psycopg.Connection) -> None:
    assert read_terms(atlas).class_parents() == {
        "cover": (),
        "lung": ("organ",),
        "organ": (),
        "skin": ("cover", "organ"),
    }
