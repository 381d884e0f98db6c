"""Rows of an atlas of views that cannot be used stop nothing else."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import psycopg
import pytest

from annotator.domain.fields import FIELDS
from annotator.store.answers import bad_rows, work
from annotator.store.answers.dataset_samples import other_samples_in
from annotator.store.mirror.cohorts import quarantine_left_out, read_cohort
from annotator.store.mirror.organisms import note_organisms
from annotator.store.server.connection import Database
from annotator.store.server.health import mirror_facts
from annotator.store.watch.daemons import snapshot
from tests.support.store import add_release, run

TISSUE = FIELDS["tissue"]

# As docs/guides/join-an-atlas.md has it: tables of somebody else, which allow everything.
VIEWS = """
create schema source;
create table source.sample (sample_id text, dataset_id text, updated_at timestamptz default now());
create table source.annotation (sample_id text, field text, value text);
create table source.expression (sample_id text, nnz int, feature_ids int[], counts real[]);
alter table atlas.sample rename to old_sample;
alter table atlas.annotation rename to old_annotation;
alter table atlas.expression rename to old_expression;
create view atlas.sample as
select sample_id, dataset_id, 'Homo sapiens' as organism, false as is_cell_line,
    '{}'::jsonb as attributes, updated_at from source.sample;
create view atlas.annotation as
select sample_id, field, value, null::float8 as numeric_value, null::text as term_id,
    'source' as source from source.annotation;
create view atlas.expression as select * from source.expression;
grant select on all tables in schema atlas to annotator_daemon, annotator_curator, annotator_reader;
insert into atlas.dataset (dataset_id) values ('D1'), ('D2');
insert into atlas.feature (name, kind) values ('miR-1', 'srna');
insert into source.sample (sample_id, dataset_id)
values ('good', 'D1'), ('lost', null), ('blank', ''), ('twice', 'D1'), ('twice', 'D2'),
    ('same', 'D1'), ('same', 'D1'), (null, 'D1'), (null, null);
"""


@pytest.fixture
def release(database: Database, connection) -> int:
    """The live release of an atlas of views with rows of every kind."""
    from annotator.store.server.schema import migrate

    run(connection, VIEWS)
    migrate(database)  # so that views of ours name the new relations
    return add_release(connection)


def pass_of(daemon, release: int) -> list[str]:
    """Begin a pass as the daemon does; return the samples that are queued."""
    bad_rows.quarantine_bad_samples(daemon, "tissue")
    work.queue_pending(daemon, "tissue", release)
    return [row[0] for row in run(daemon, "select sample_id from annotator.work order by 1")]


def codes(connection) -> dict[str, str]:
    return dict(run(connection, "select sample_id, code from annotator.quarantine order by 1"))


def quarantined_now(connection) -> int:
    (field,) = [one for one in snapshot(connection).fields if one.field == "tissue"]
    return field.quarantined


def test_bad_rows_are_quarantined_and_the_others_queued(connection, daemon, release) -> None:
    assert bad_rows.quarantine_bad_samples(daemon, "tissue") == 4
    assert pass_of(daemon, release) == ["good"]
    assert codes(connection) == {
        "blank": "no_dataset",
        "lost": "no_dataset",
        "same": "repeated_sample",
        "twice": "repeated_sample",
    }
    assert work.count_pending(daemon, "tissue", release) == 1
    assert work.pending_and_oldest(daemon, "tissue", release)[0] == 1
    assert quarantined_now(connection) == 4
    ((reason,),) = run(
        connection, "select reason from annotator.quarantine where sample_id = 'twice'"
    )
    assert "D1, D2" in reason


def test_the_next_pass_adds_nothing(connection, daemon, release) -> None:
    pass_of(daemon, release)
    assert bad_rows.quarantine_bad_samples(daemon, "tissue") == 0
    assert work.queue_pending(daemon, "tissue", release) == 0


@pytest.mark.parametrize("also", ["", ", updated_at = clock_timestamp()"])
def test_a_sample_is_queued_when_its_row_is_right(connection, daemon, release, also) -> None:
    pass_of(daemon, release)
    run(connection, f"update source.sample set dataset_id = 'D2'{also} where sample_id = 'lost'")
    run(connection, "delete from source.sample where (sample_id, dataset_id) = ('twice', 'D2')")
    assert pass_of(daemon, release) == ["good", "lost", "twice"]
    assert quarantined_now(connection) == 2


def test_a_later_problem_of_the_same_state_is_quarantined_too(connection, daemon, release) -> None:
    pass_of(daemon, release)
    run(connection, "update source.sample set dataset_id = 'D2' where sample_id = 'lost'")
    run(
        connection,
        "insert into annotator.quarantine (sample_id, field, sample_updated_at, code, reason)"
        " select sample_id, 'tissue', updated_at, 'no_counts', 'why' from source.sample"
        " where sample_id = 'lost' on conflict do nothing",
    )
    assert pass_of(daemon, release) == ["good"]


# PostgreSQL compresses what it indexes, but cannot make this short enough.
LONG = "".join(sha256(bytes([number])).hexdigest() for number in range(200))


def test_a_dataset_with_an_endless_id_is_none(connection, daemon, release) -> None:
    run(connection, "update source.sample set dataset_id = %s where sample_id = 'good'", LONG)
    assert pass_of(daemon, release) == []
    assert codes(connection)["good"] == "no_dataset"
    assert quarantined_now(connection) == 5


def test_a_sample_with_an_endless_id_is_left_out_and_counted(connection, daemon, release) -> None:
    run(connection, "insert into source.sample (sample_id, dataset_id) values (%s, 'D1')", LONG)
    run(connection, "insert into source.annotation values (%s, 'tissue', 'liver')", LONG)
    assert pass_of(daemon, release) == ["good"]
    assert bad_rows.note_rows_without_id(daemon) == 3
    assert mirror_facts(connection).without_id == 3
    read = read_cohort(daemon, TISSUE, learn_from_reviews=True)
    assert quarantine_left_out(daemon, read) == len(read.left_out) == 0


def test_a_sample_that_moves_to_a_dataset_with_an_endless_id_stays(
    connection, daemon, release
) -> None:
    run(connection, PREDICT, release)
    run(connection, "update source.sample set dataset_id = %s where sample_id = 'good'", LONG)
    assert run(daemon, "select annotator.watch_mirror()") == [(0,)]


@pytest.mark.parametrize(
    "statement",
    [
        "insert into atlas.dataset (dataset_id) values (%s)",
        "insert into atlas.feature (name, kind) values (%s, 'srna')",
        "insert into atlas.term (term_id, name) values ('T', %s)",
        "insert into atlas.term_synonym (term_id, synonym) values ('T', %s)",
    ],
)
def test_the_mirrors_own_tables_refuse_endless_names(connection, statement) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        run(connection, statement, "x" * 1001)


def test_an_endless_organism_is_noted_nowhere(connection, daemon, release) -> None:
    run(
        connection,
        "create or replace view atlas.sample as select sample_id, dataset_id,"
        f" '{LONG}' as organism, false as is_cell_line, '{{}}'::jsonb as attributes,"
        " updated_at from source.sample",
    )
    assert note_organisms(daemon, "human") == {}


PREDICT = """
insert into annotator.prediction
    (sample_id, dataset_id, field, release_id, input_hash, sample_updated_at, value, confidence,
     status)
select 'good', 'D1', 'tissue', %s, repeat('0', 64), updated_at, 'liver', 0.9, 'suggested'
from source.sample where sample_id = 'good'
returning prediction_id
"""


def test_a_prediction_is_hidden_when_its_sample_becomes_unusable(
    connection, daemon, release
) -> None:
    run(connection, PREDICT, release)
    run(connection, "insert into source.sample (sample_id, dataset_id) values ('good', 'D2')")
    pass_of(daemon, release)
    assert run(connection, "select is_current from annotator.prediction") == [(False,)]
    assert codes(connection)["good"] == "repeated_sample"


def test_a_sample_in_two_datasets_does_not_move_between_them(connection, daemon, release) -> None:
    run(connection, PREDICT, release)
    run(connection, "insert into source.sample (sample_id, dataset_id) values ('good', 'D2')")
    assert run(daemon, "select annotator.watch_mirror()") == [(0,)]


def test_decided_and_labelled_samples_are_left_alone(connection, daemon, release) -> None:
    ((prediction,),) = run(connection, PREDICT, release)
    run(connection, "select annotator.accept_suggestion(%s)", prediction)
    run(connection, "update source.sample set dataset_id = null where sample_id = 'good'")
    run(connection, "insert into source.annotation values ('lost', 'tissue', 'liver')")
    pass_of(daemon, release)
    assert not {"good", "lost"} & codes(connection).keys()
    assert run(connection, "select is_current from annotator.prediction") == [(True,)]


def test_bad_rows_are_not_pooled(daemon, release) -> None:
    found = other_samples_in(daemon, "tissue", release, ["D1", "D2"], 10)
    assert [sample.sample_id for sample in found] == ["good"]


def label_all(connection) -> None:
    run(
        connection,
        "insert into source.expression"
        " select s.sample_id, 1, array[f.feature_id], array[5] from atlas.feature f"
        " cross join (select distinct sample_id from source.sample) s"
        " where s.sample_id is not null;"
        " insert into source.annotation select distinct sample_id, 'tissue', 'liver'"
        " from source.sample;"
        " insert into source.sample (sample_id, dataset_id) values ('both', 'D1'), ('agree', 'D1');"
        " insert into source.annotation values ('both', 'tissue', 'liver'),"
        " ('both', 'tissue', 'lung'), ('agree', 'tissue', 'liver'), ('agree', 'tissue', 'Liver ');"
        " insert into source.expression select 'agree', nnz, feature_ids, counts"
        " from source.expression where sample_id = 'good'",
    )


def test_a_cohort_leaves_bad_rows_out_with_the_reason(connection, daemon, release) -> None:
    label_all(connection)
    run(connection, "insert into source.expression select * from source.expression"
        " where sample_id = 'good'")  # fmt: skip
    read = read_cohort(daemon, TISSUE, learn_from_reviews=True)
    assert list(read.cohort.profiles.sample_ids) == ["agree"]
    expected = {
        "blank": "no_dataset",
        "both": "contradicting_labels",
        "good": "duplicate_features",
        "lost": "no_dataset",
        "same": "repeated_sample",
        "twice": "repeated_sample",
    }
    assert {name: error.code for name, error in read.left_out.items()} == expected
    assert quarantine_left_out(daemon, read) == len(expected)
    assert quarantine_left_out(daemon, read) == 0
    assert codes(connection) == expected
    assert quarantined_now(connection) == len(expected)


def test_a_known_value_that_is_contradicted_is_not_known(connection, daemon, release) -> None:
    label_all(connection)
    run(
        connection,
        "insert into source.annotation values ('agree', 'sex', 'male'), ('good', 'sex', 'male'),"
        " ('good', 'sex', 'female')",
    )
    read = read_cohort(daemon, replace(TISSUE, known_fields=("sex",)), learn_from_reviews=False)
    assert dict(zip(read.cohort.profiles.sample_ids, read.cohort.known["sex"], strict=True)) == {
        "agree": "male",
        "good": "",
    }


def test_rows_without_an_id_are_noted_once(connection, daemon, release) -> None:
    assert bad_rows.note_rows_without_id(daemon) == 2
    assert bad_rows.note_rows_without_id(daemon) == 2
    events = "select detail -> 'rows' from annotator.event where kind = 'failure' order by event_id"
    assert run(connection, events) == [(2,)]
    run(connection, "insert into source.sample (dataset_id) values ('D2')")
    assert bad_rows.note_rows_without_id(daemon) == 3
    assert run(connection, events) == [(2,), (3,)]


def test_facts_of_the_mirror_count_bad_rows(connection, release) -> None:
    label_all(connection)
    facts = mirror_facts(connection)
    assert (facts.samples, facts.repeated, facts.contradicting) == (7, 2, 1)
    assert (facts.without_id, facts.without_dataset) == (2, 3)


def test_the_mirrors_own_table_is_not_searched(connection, daemon) -> None:
    release = add_release(connection)
    assert bad_rows.quarantine_bad_samples(daemon, "tissue") == 0
    assert bad_rows.note_rows_without_id(daemon) == 0
    connection.execute(work._COMPARE_BY_HASH)
    names = {"field": "tissue", "release_id": release, "bad_rows": False}
    plan = connection.execute(f"explain {work._COUNT_PENDING}", names).fetchall()
    assert sum("on sample " in line for (line,) in plan) == 1
