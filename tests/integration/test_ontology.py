"""Ontologies in the mirror, and labels in other spellings than their terms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from scipy.sparse import csr_matrix

from annotator.domain.imports import ImportedCounts, ImportSummary, SampleRecord
from annotator.domain.terms import Match, Scope, Synonym, Term, label_key
from annotator.errors import InputError
from annotator.jobs.import_files import import_files
from annotator.jobs.retrain.plan import plan_of, read_labelled
from annotator.jobs.watch.doctor.terms import check_terms
from annotator.learn.labels.classes import make_labels
from annotator.store.mirror.importing import apply_import, import_terms
from annotator.store.mirror.terms import read_terms
from tests.support.atlas import load_atlas, small_atlas
from tests.support.store import as_curator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from annotator.settings import Settings
    from annotator.store.server.connection import Database

TERMS = (
    Term("X:1", "organ"),
    Term("X:2", "liver", ("X:1",), (Synonym("hepar"), Synonym("X:20", Scope.REPLACED))),
    Term("X:3", "hepatocyte", ("X:2",), (Synonym("liver cell", Scope.RELATED),)),
    Term("X:4", "T cell", ("X:1",), (Synonym("liver cell", Scope.RELATED), Synonym("T-zelle"))),
)
LABELS = ("Liver", "HEPAR", "x:3", "livr", "T-cell", "X:20", "liver cell", "liver")


def load(
    connection: psycopg.Connection, terms: Sequence[Term] = (), labels: Sequence[str] = LABELS
) -> ImportSummary:
    records = [
        SampleRecord(f"s{number}", "D1", {"tissue": label}, {})
        for number, label in enumerate(labels)
    ]
    summary = apply_import(
        connection,
        samples=records,
        counts=ImportedCounts(
            ["let-7a"],
            "srna",
            [([one.sample_id for one in records], csr_matrix([[1.0]] * len(records)))],
        ),
        terms=terms,
    )
    connection.commit()
    return summary


def term_ids(connection: psycopg.Connection) -> dict[str, str | None]:
    return dict(connection.execute("select value, term_id from atlas.annotation").fetchall())


FOUND = {
    "Liver": "X:2",
    "HEPAR": "X:2",
    "x:3": "X:3",
    "livr": None,
    "T-cell": "X:4",
    "X:20": "X:2",
    "liver cell": None,
    "liver": "X:2",
}


def test_an_import_finds_terms_and_keeps_values_as_written(connection) -> None:
    [matches] = load(connection, TERMS).labels
    assert term_ids(connection) == FOUND
    assert matches.found == {Match.NAME: 3, Match.SYNONYM: 1, Match.ID: 1, Match.REPLACED: 1}
    assert matches.unknown == {
        "livr": (1, ("liver",)),
        "liver cell": (1, ("T cell", "hepatocyte")),
    }


def test_an_ontology_may_come_after_the_samples(connection) -> None:
    assert load(connection).labels == ()
    summary = import_terms(connection, TERMS)
    assert (summary.terms_added, summary.labels[0].values) == (4, len(LABELS))
    assert term_ids(connection) == FOUND


def test_the_same_ontology_again_changes_nothing(connection) -> None:
    import_terms(connection, TERMS)
    query = "select ctid, xmin, t::text from atlas.{} t order by 3"
    tables = ("term", "term_parent", "term_synonym")
    before = [connection.execute(query.format(one)).fetchall() for one in tables]
    assert import_terms(connection, TERMS[::-1]).terms_added == 0
    assert [connection.execute(query.format(one)).fetchall() for one in tables] == before
    changed = replace(TERMS[1], name="hepar", synonyms=(Synonym("liver", Scope.RELATED),))
    import_terms(connection, [changed])
    assert read_terms(connection).terms["X:2"] == changed


def test_sql_finds_the_same_terms_as_python(connection) -> None:
    import_terms(connection, [*TERMS, Term("Y:1", "Liver"), Term("A:1", "thing", ("X:3",))])
    index = read_terms(connection)
    for label in (*LABELS, " T_cell", "Y:1", "t zelle", "", "thing", "CD4- T cell", "a - b"):
        found = index.find(label)
        expected = None if found is None else index.representative(found[0])
        query = "select annotator.find_term(%s), annotator.label_key(%s)"
        assert connection.execute(query, (label, label)).fetchone() == (expected, label_key(label))
    lineage = connection.execute("select annotator.lineage('thing')").fetchone()
    assert lineage == (["thing", "hepatocyte", "liver", "organ"],)


def test_synonyms_may_be_a_view_of_the_atlas(connection) -> None:
    load(connection, TERMS)
    connection.execute(
        "drop table atlas.term_synonym; create view atlas.term_synonym as"
        " select 'X:2'::varchar as term_id, 'Leber'::varchar as synonym, 'exact' as scope"
    )
    assert connection.execute("select annotator.find_term('leber')").fetchone() == ("X:2",)
    assert read_terms(connection).class_name("LEBER") == "liver"


def test_a_correction_is_stored_as_the_term(connection, curator, reviewable) -> None:
    connection.execute("insert into atlas.term_synonym values ('liver', 'hepar', 'exact')")
    connection.commit()
    curator.execute("select correct_suggestion(%s, 'HEPAR')", (reviewable.ids["a"],))
    row = curator.execute(
        "select value, term_id from effective_annotation where sample_id = 'a'"
    ).fetchone()
    assert row == ("liver", "liver")


@pytest.fixture
def curator(database: Database):
    with as_curator(database) as conn:
        conn.execute("set search_path = annotator")
        yield conn


def test_the_vocabulary_has_one_spelling_per_value(connection, curator) -> None:
    load(connection, TERMS, ("Liver", "T-cell", "elbow joint", "Elbow joint", "Elbow joint"))
    values = {row[0] for row in curator.execute("select vocabulary('tissue')").fetchall()}
    assert values == {"organ", "liver", "hepatocyte", "T cell", "Elbow joint"}


def test_doctor_names_unknown_labels_and_counts_ontologies(connection, settings: Settings) -> None:
    assert list(check_terms(connection, settings)) == []
    load(connection, [*TERMS, Term("plain", "plain")], ("Liver", "livr"))
    several, labels = check_terms(connection, settings)
    assert "4 X" in several.found
    assert "'livr' (nearest: 'liver')" in labels.found


def test_an_ontology_is_imported_alone_or_with_both_files(database, tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_text("id,name,is_a\nX:2,liver,X:1\nX:1,organ,\n")
    assert import_files(database, ontology=path).terms_added == 2
    with pytest.raises(InputError, match="COUNTS and SAMPLES"):
        import_files(database, path, ontology=path)
    with pytest.raises(InputError, match="COUNTS and SAMPLES"):
        import_files(database)


def test_letter_case_makes_no_classes(database: Database, settings: Settings) -> None:
    def classes() -> tuple[tuple[str, ...], list[str]]:
        plan = plan_of(settings, "tissue")
        read, ontology = read_labelled(database, plan)
        label_set, labels = make_labels(read.cohort, ontology, plan.models.labels)
        return label_set.classes, labels.tolist()

    atlas = small_atlas()
    load_atlas(database, atlas)
    clean = classes()
    studies = sorted({sample.dataset_id for sample in atlas.samples})
    samples = tuple(
        replace(one, values={**one.values, "tissue": one.values["tissue"].title()})
        if "tissue" in one.values and studies.index(one.dataset_id) % 2
        else one
        for one in atlas.samples
    )
    load_atlas(database, replace(atlas, samples=samples))
    assert classes() == clean
    # Without an ontology, the commonest spelling names the class.
    with database.connect() as connection:
        connection.execute("update atlas.annotation set term_id = null")
        connection.execute("truncate atlas.term_synonym, atlas.term_parent")
        connection.execute("delete from atlas.term")
        connection.commit()
    names = classes()[0]
    assert len({label_key(name) for name in names}) == len(names)
