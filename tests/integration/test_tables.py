"""Tables and enums as Python describes them are those that migrations leave."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from annotator.domain import statuses
from annotator.store import tables
from annotator.store.server import schema

# All that a table has, but for how it is stored and who may do what; columns by name.
_TABLES = """
select 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || ' ' || a.attnotnull || a.attidentity::text || a.attgenerated::text
    || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    || ' ' || coalesce(col_description(c.oid, a.attnum), '')
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'annotator'::regnamespace and c.relkind = 'r'
    and c.relname <> 'alembic_version'
union all
select 'table ' || c.relname || ' ' || coalesce(obj_description(c.oid, 'pg_class'), '')
from pg_class c
where c.relnamespace = 'annotator'::regnamespace and c.relkind = 'r'
    and c.relname <> 'alembic_version'
union all
select 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
from pg_constraint
where connamespace = 'annotator'::regnamespace and contype in ('p', 'u', 'f', 'c')
    and conrelid::regclass::text not like '%alembic_version'
union all
select 'index ' || indexdef from pg_indexes
where schemaname = 'annotator' and tablename <> 'alembic_version'
order by 1
"""


def engine_of(database):
    def connect():
        connection = database.connect(autocommit=True)
        connection.execute("set search_path = ''")  # so that every schema is named
        connection.autocommit = False
        return connection

    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        poolclass=NullPool,
        use_native_hstore=False,
    )


def catalogue(database) -> list[str]:
    with database.connect() as connection:
        connection.execute("set local search_path = ''")
        return [row[0] for row in connection.execute(_TABLES)]


def test_alembic_finds_nothing_to_change(database) -> None:
    def is_ours(name, kind, _parents) -> bool:
        return kind != "schema" or name == "annotator"

    options = {
        "include_schemas": True,
        "include_name": is_ours,
        "compare_server_default": True,
        "version_table_schema": "annotator",
    }
    with engine_of(database).connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.METADATA) == []


def test_tables_made_from_python_are_those_that_migrations_leave(database, empty_database) -> None:
    """Beyond what Alembic compares: checks, names of constraints, generated columns."""
    functions = schema.migrations_folder() / "schema" / "functions"
    with empty_database.connect() as connection:
        connection.execute("create schema annotator")
        for name in ("disagreement", "informativeness"):  # generated columns call them
            connection.execute((functions / f"{name}.sql").read_bytes())
    with engine_of(empty_database).begin() as connection:
        tables.METADATA.create_all(connection)
    made, migrated = set(catalogue(empty_database)), set(catalogue(database))
    assert (made - migrated, migrated - made) == (set(), set())


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("run_status", statuses.RunStatus),
        ("release_status", statuses.ReleaseStatus),
        ("prediction_status", statuses.PredictionStatus),
        ("review_decision", statuses.ReviewDecision),
    ],
)
def test_enums_are_those_of_the_database(connection, name, members) -> None:
    found = connection.execute(
        "select enumlabel from pg_enum where enumtypid = %s::regtype order by enumsortorder",
        (f"annotator.{name}",),
    ).fetchall()
    assert [row[0] for row in found] == [str(each) for each in members]


def test_the_database_has_no_other_enums(connection) -> None:
    found = connection.execute(
        "select typname from pg_type where typtype = 'e'"
        " and typnamespace = 'annotator'::regnamespace"
    ).fetchall()
    assert {row[0] for row in found} == {
        "run_status",
        "release_status",
        "prediction_status",
        "review_decision",
    }
