"""Functions and operators that others create in schema ``public`` are never called.

Before PostgreSQL 15 everybody could create objects there, and upgraded databases still let them.
"""

from __future__ import annotations

import pytest

from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.retrain.retrain import retrain
from annotator.jobs.watch.status import read_status
from annotator.store.server.connection import Database
from annotator.store.server.schema import migrate
from tests.support.atlas import load_atlas
from tests.support.faults.earlier_schemas import bring_to
from tests.support.store import as_curator, execute, rows

# Each fits what we call better than the one of PostgreSQL, which takes other types, too.
TRAPS = """
grant create on schema public to public;
do $$ begin create role annotator_test_trapper;
exception when duplicate_object or unique_violation then null; end $$;
set role annotator_test_trapper;
create function public.sprung(text) returns text language plpgsql as
    $$ begin raise exception 'a trap was sprung: %', $1; end $$;
create function public.hashtextextended(text, integer) returns bigint language sql as
    $$ select public.sprung('hashtextextended')::bigint $$;
create function public.unnest(text[]) returns setof text language sql as
    $$ select public.sprung('unnest') $$;
create function public.cardinality(text[]) returns integer language sql as
    $$ select public.sprung('cardinality')::integer $$;
create function public.array_position(text[], text) returns integer language sql as
    $$ select public.sprung('array_position')::integer $$;
create function public.format(text, text) returns text language sql as
    $$ select public.sprung('format') $$;
create function public.counted(bigint, text) returns bigint language sql as
    $$ select public.sprung('count')::bigint $$;
create aggregate public.count(text) (sfunc = public.counted, stype = bigint, initcond = '0');
create aggregate public.array_agg(text) (sfunc = array_append, stype = text[]);
create function public.joined(text, bigint) returns text language sql as
    $$ select public.sprung('||') $$;
create operator public.|| (leftarg = text, rightarg = bigint, function = public.joined);
create function public.equal(text[], text[]) returns boolean language sql as
    $$ select public.sprung('=')::boolean $$;
create operator public.= (leftarg = text[], rightarg = text[], function = public.equal);
reset role;
"""


def set_traps(database: Database) -> None:
    with database.connect() as connection:
        connection.execute(TRAPS)
        connection.commit()


@pytest.fixture(params=[None, "0001"])
def trapped(request, empty_database):
    """A database with traps, empty or as an earlier version left it."""
    if request.param is not None:
        bring_to(empty_database, request.param)
    set_traps(empty_database)
    return empty_database


def test_a_migration_calls_no_trap_and_keeps_none(trapped) -> None:
    migrate(trapped)
    # Views and functions would keep what they were parsed with.
    execute(trapped, "drop owned by annotator_test_trapper")


def test_no_job_calls_a_trap(database, job_settings) -> None:
    set_traps(database)
    load_atlas(database)
    assert retrain(database, job_settings, "sex").status == "promoted"
    assert annotate(database, job_settings, worker="w").predicted["sex"] > 0
    assert read_status(database, job_settings).problems == ()


def test_a_curator_with_public_in_the_search_path_calls_no_trap(database, reviewable) -> None:
    views = rows(database, "select viewname from pg_views where schemaname = 'annotator'")
    set_traps(database)
    with as_curator(database) as curator:
        curator.execute("set search_path = annotator, atlas, public")
        for (view,) in views:
            curator.execute(f"select * from {view}")
        curator.execute("select correct_suggestion(%s, 'lung')", (reviewable.ids["a"],))
        curator.execute("select * from annotation_history('a')")
        curator.execute("select lineage('lung'), lineage_keys('lung')")
        curator.execute("select * from accept_dataset('D1', 'tissue')")
        curator.execute("select * from review_queue")


def test_every_function_has_a_search_path_of_its_own(connection) -> None:
    """Unless it was parsed when it was created."""
    found = connection.execute(
        "select proname from pg_proc where pronamespace::regnamespace::text in"
        " ('annotator', 'atlas') and prosqlbody is null"
        " and not coalesce(proconfig::text like '%search_path=pg_catalog, pg_temp%', false)"
    ).fetchall()
    assert found == []
