"""Views and functions have one definition each, which every upgrade applies again."""

from __future__ import annotations

import re

import pytest

from annotator.errors import NeedsPersonError
from annotator.jobs.watch.doctor.findings import OK, WRONG
from annotator.jobs.watch.doctor.schema import check_revision
from annotator.store.server import schema
from annotator.store.server.schema import downgrade, migrate
from annotator.store.server.schema_objects import read_objects

OBJECTS = read_objects(schema.migrations_folder() / "schema")
_CREATED = re.compile(r"^create or replace (view|function) annotator\.(\w+)", re.MULTILINE)


def test_each_file_defines_what_it_is_named_for() -> None:
    for each in OBJECTS:
        assert _CREATED.findall(each.definition) == [(each.kind, each.name)]


def test_each_object_comes_after_those_that_it_names() -> None:
    seen: set[str] = set()
    names = {each.name for each in OBJECTS}
    for each in OBJECTS:
        needed = names & set(re.findall(r"annotator\.(\w+)", each.definition))
        assert needed - {each.name} <= seen
        seen.add(each.name)
    assert seen == names


def test_the_database_has_no_other_views_or_functions(connection) -> None:
    found = connection.execute(
        "select 'view', relname from pg_class"
        " where relnamespace = 'annotator'::regnamespace and relkind in ('v', 'm')"
        " union all select 'function', proname from pg_proc"
        " where pronamespace = 'annotator'::regnamespace"
    ).fetchall()
    assert sorted(found) == sorted((each.kind, each.name) for each in OBJECTS)


def test_migrating_again_restores_a_definition(database, connection) -> None:
    query = "select pg_get_viewdef('annotator.curve'::regclass)"
    ((before,),) = connection.execute(query)
    connection.execute("drop view annotator.curve")
    connection.commit()
    migrate(database)
    assert connection.execute(query).fetchall() == [(before,)]
    connection.commit()


def test_objects_of_another_version_are_noticed_and_replaced(database, connection):
    connection.execute("comment on schema annotator is 'of another version'")
    connection.commit()
    (found,) = check_revision(connection)
    assert (found.level, "another version" in found.found) == (WRONG, True)
    connection.commit()
    migrate(database)
    (found,) = check_revision(connection)
    assert found.level == OK
    connection.commit()


def at_0001(database) -> None:
    with schema._only_one(database) as transaction:
        schema._run_alembic(transaction, "upgrade", "0001")


@pytest.mark.parametrize(
    "query",
    [
        "select * from annotator.contribution",  # a table that a revision drops
        "select * from annotator.reject_suggestion(1)",  # a function of another signature
    ],
)
def test_objects_of_others_that_stand_in_the_way_are_named(empty_database, query) -> None:
    at_0001(empty_database)
    with empty_database.connect() as connection:
        connection.execute(f"create view public.theirs as {query}")
    with pytest.raises(NeedsPersonError, match="theirs"):
        migrate(empty_database)
    with empty_database.connect() as connection:
        connection.execute("drop view public.theirs")
    migrate(empty_database)


def test_going_back_names_objects_of_others(database, connection) -> None:
    connection.execute("create view public.theirs as select * from annotator.known_label")
    connection.commit()
    with pytest.raises(NeedsPersonError, match="theirs"):
        downgrade(database, "0001")


# An atlas of views whose texts are of another type than our tables'.
_ATLAS = """
create schema atlas;
create table public.run (
    run varchar(20), study varchar(20), field varchar(10), label varchar(40), source varchar(10)
);
create view atlas.dataset as
    select distinct study as dataset_id, null::text as title, null::text as platform,
        '{}'::jsonb as attributes
    from public.run;
create view atlas.sample as
    select run as sample_id, study as dataset_id, 'Homo sapiens'::text as organism,
        null::boolean as is_cell_line, '{}'::jsonb as attributes, null::timestamptz as updated_at
    from public.run;
create view atlas.feature as
    select 1 as feature_id, 'x'::text as name, 'srna'::text as kind, null::text as biotype;
create view atlas.expression as
    select run as sample_id, 1 as nnz, '{1}'::int[] as feature_ids, '{1}'::real[] as counts
    from public.run;
create view atlas.annotation as
    select run as sample_id, field, label as value, null::numeric as numeric_value,
        null::text as term_id, source
    from public.run where label is not null;
create view atlas.term as select 'liver'::text as term_id, 'liver'::text as name;
create view atlas.term_parent as select 'liver'::text as term_id, 'organ'::text as parent_id;
"""
_TYPES = """
select c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where c.relnamespace = 'annotator'::regnamespace and c.relkind = 'v'
"""


def types_of(database) -> dict[str, str]:
    with database.connect() as connection:
        return dict(connection.execute(_TYPES).fetchall())


def test_an_upgrade_keeps_the_column_types_of_an_atlas_of_views(empty_database) -> None:
    with empty_database.connect() as connection:
        connection.execute(_ATLAS)
    at_0001(empty_database)
    before = types_of(empty_database)
    assert before["review_queue.dataset_id"] == "character varying"
    with empty_database.connect() as connection:
        connection.execute("create view public.theirs as select * from annotator.review_queue")
    migrate(empty_database)
    after = types_of(empty_database)
    assert {name: after[name] for name in before} == before
    with empty_database.connect(user="annotator_reader") as connection:
        connection.execute("select * from annotator.review_queue where dataset_id = 'S1'")
