"""An atlas with its own tables joins by the views that the documentation shows."""

from __future__ import annotations

import re

import numpy as np

from tests.support import ROOT
from tests.support.presets import LIGHT_WITHOUT_NETWORK

DOCUMENT = ROOT / "docs" / "guides" / "join-an-atlas.md"

LEGACY = """
create schema legacy;
create table legacy.study (study_accession text primary key, study_title text);
create table legacy.run (
    run_accession text primary key, study_accession text references legacy.study,
    species text, cell_line boolean, tissue_term text, donor_sex text, donor_age float8,
    loaded_at timestamptz default now()
);
create table legacy.rna (rna_id int primary key, rna_name text unique, is_microbe boolean);
create table legacy.abundance (
    run_accession text references legacy.run, rna_id int references legacy.rna, reads bigint,
    primary key (run_accession, rna_id)
);
create table legacy.tissue (tissue_term text, broader_term text);
"""


def fill(connection, atlas):
    connection.execute(LEGACY)
    cursor = connection.cursor()
    cursor.executemany(
        "insert into legacy.study values (%s, %s)",
        [(one, f"Study {one}") for one in sorted({s.dataset_id for s in atlas.samples})],
    )
    cursor.executemany(
        "insert into legacy.run values (%s, %s, 'Homo sapiens', %s, %s, %s, %s)",
        [
            (
                s.sample_id,
                s.dataset_id,
                s.is_cell_line,
                s.values.get("tissue"),
                s.values.get("sex"),
                s.numbers.get("age"),
            )
            for s in atlas.samples
        ],
    )
    profiles = atlas.profiles
    cursor.executemany(
        "insert into legacy.rna values (%s, %s, %s)",
        [
            (i, name, kind == "contaminant")
            for i, (name, kind) in enumerate(zip(profiles.features, profiles.kinds, strict=True))
        ],
    )
    with cursor.copy("copy legacy.abundance from stdin") as copy:
        rows, columns = profiles.counts.nonzero()
        values = np.asarray(profiles.counts[rows, columns]).ravel()
        for row, column, value in zip(rows, columns, values, strict=True):
            copy.write_row((profiles.sample_ids[row], int(column), int(value)))
    cursor.executemany(
        "insert into legacy.tissue values (%s, %s)",
        [
            (term, parent)
            for term, parents in atlas.terms.items()
            for parent in (parents or (None,))
        ],
    )


def test_views_are_enough(program, atlas_files):
    from annotator.settings import Settings
    from annotator.store.server.connection import open_database

    _, atlas = atlas_files
    views = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(), flags=re.S)
    assert len(views) == 1
    with open_database(Settings(home=program.home)) as database:
        with database.connect() as connection:
            fill(connection, atlas)
            connection.execute(views[0])
            connection.commit()
        program.run("migrate")
        program.run(
            *("retrain", "--field", "tissue", "--preset", str(LIGHT_WITHOUT_NETWORK)),
            ANNOTATOR_BASELINE_MARGIN="-1",
        )
        out = program.run("annotate").out
        assert "tissue:" in out
        suggested = program.rows("select value, lineage, confidence, top_features from suggestion")
        assert len(suggested) > 0
        assert program.rows("select count(*) as n from atlas.expression_long")[0]["n"] == int(
            atlas.profiles.counts.nnz
        )
        feature = str(atlas.profiles.features[0])
        found = program.rows(f"select count(*) as n from atlas.feature_expression('{feature}')")
        assert found[0]["n"] == int(atlas.profiles.counts[:, [0]].nnz)
        with database.connect() as connection:
            tables = connection.execute(
                "select relname::text from pg_class c join pg_namespace n"
                " on n.oid = c.relnamespace where n.nspname = 'atlas' and relkind = 'r'"
            ).fetchall()
        assert tables == [("term_synonym",)]  # empty where an atlas has no synonyms
