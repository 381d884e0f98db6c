"""Migrations beside an atlas that exists already, as views."""

from __future__ import annotations

import pytest

from annotator.errors import SchemaError
from annotator.store.server.connection import Database
from annotator.store.server.mirror_columns import MIRROR
from annotator.store.server.schema import downgrade, migrate
from tests.support.catalogue import catalogue

_FOREIGN = """
create schema warehouse;
create table warehouse.study (acc varchar(20) primary key, label varchar(80));
create table warehouse.run (acc varchar(20) primary key, study varchar(20), loaded timestamp);
create table warehouse.gene (id bigint primary key, symbol varchar(40));
create table warehouse.reads (run varchar(20), gene bigint, n numeric);
insert into warehouse.study values ('S1', 'one');
insert into warehouse.run values ('R1', 'S1', '2020-01-01'), ('R2', 'S1', '2020-01-01');
insert into warehouse.gene values (10000000000, 'hsa-miR-21-5p'), (2, 'hsa-let-7a-5p');
insert into warehouse.reads values ('R1', 2, 5), ('R1', 10000000000, 7), ('R2', 2, 1);
create schema atlas;
create view atlas.dataset as
    select acc as dataset_id, label as title, null::text as platform, '{}'::jsonb as attributes
    from warehouse.study;
create view atlas.sample as
    select acc as sample_id, study as dataset_id, 'Homo sapiens'::text as organism,
           null::boolean as is_cell_line, '{}'::jsonb as attributes, loaded as updated_at
    from warehouse.run;
create view atlas.feature as
    select id as feature_id, symbol as name, 'srna'::text as kind, null::text as biotype
    from warehouse.gene;
create materialized view atlas.expression as
    select run as sample_id, count(*)::int as nnz, array_agg(gene order by gene) as feature_ids,
           array_agg(n::double precision order by gene) as counts
    from warehouse.reads group by run;
create view atlas.annotation as
    select acc as sample_id, 'tissue'::varchar(10) as field, 'liver'::varchar(10) as value,
           null::numeric as numeric_value, null::text as term_id, 'warehouse'::text as source
    from warehouse.run where acc = 'R1';
create view atlas.term as select 'liver'::varchar(10) as term_id, 'Liver'::text as name;
create view atlas.term_parent as
    select 'liver'::varchar(10) as term_id, 'organ'::varchar(10) as parent_id;
"""


@pytest.fixture
def foreign(empty_database: Database) -> Database:
    with empty_database.connect() as conn:
        conn.execute(_FOREIGN)
    return empty_database


def test_an_atlas_of_views_is_left_as_it_is(foreign) -> None:
    before = catalogue(foreign)
    migrate(foreign)
    with foreign.connect(user="annotator_reader") as conn:
        kinds = dict(
            conn.execute(
                "select relname, relkind::text from pg_class"
                " where relnamespace = 'atlas'::regnamespace and relname = any (%s)",
                (list(MIRROR),),
            ).fetchall()
        )
        assert set(kinds) == set(MIRROR)
        assert set(kinds.values()) == {"v", "m"}
        rows = conn.execute("select * from atlas.expression_long order by 1, 2").fetchall()
        assert rows == [
            ("R1", "hsa-let-7a-5p", "srna", 5.0),
            ("R1", "hsa-miR-21-5p", "srna", 7.0),
            ("R2", "hsa-let-7a-5p", "srna", 1.0),
        ]
        query = "select * from atlas.feature_expression('hsa-let-7a-5p') order by 1"
        assert conn.execute(query).fetchall() == [("R1", 5.0), ("R2", 1.0)]
        query = "select sample_id, value from annotator.effective_annotation"
        assert conn.execute(query).fetchall() == [("R1", "liver")]
        assert conn.execute("select annotator.lineage('liver')").fetchone() == (["Liver", "organ"],)
        assert conn.execute("select * from annotator.vocabulary('tissue')").fetchall() == [
            ("Liver",)
        ]
    downgrade(foreign)
    assert catalogue(foreign) == before


def test_reading_aids_of_the_atlas_are_kept(foreign) -> None:
    with foreign.connect() as conn:
        conn.execute(
            "create view atlas.expression_long as select run::text as sample_id,"
            " gene::text as feature, 'srna'::text as kind, n::real as count from warehouse.reads"
        )
    migrate(foreign)
    downgrade(foreign)
    with foreign.connect() as conn:
        assert conn.execute("select count(*) from atlas.expression_long").fetchone() == (3,)
        query = "select to_regprocedure('atlas.feature_expression(text)')"
        assert conn.execute(query).fetchone() == (None,)


def test_an_incomplete_atlas_is_refused(foreign) -> None:
    with foreign.connect() as conn:
        conn.execute("drop view atlas.term, atlas.term_parent")
    before = catalogue(foreign)
    with pytest.raises(SchemaError, match=r"atlas\.term, atlas\.term_parent missing"):
        migrate(foreign)
    assert catalogue(foreign) == before


def test_an_atlas_whose_columns_do_not_fit_is_refused(foreign) -> None:
    with foreign.connect() as conn:
        conn.execute("drop view atlas.term")
        conn.execute("create view atlas.term as select 1 as term_id, 'x'::text as title")
    with pytest.raises(SchemaError, match=r"term\.term_id must be text; atlas\.term\.name must"):
        migrate(foreign)
