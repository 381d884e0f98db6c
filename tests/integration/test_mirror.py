"""Applying imports: idempotent, whole or not at all, without keeping readers out."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS
from annotator.domain.imports import ImportedCounts, ImportSummary, SampleRecord, UnnamedFeatures
from annotator.domain.terms import Term
from annotator.errors import InputError, NeedsPersonError
from annotator.store.mirror.expression import read_profiles
from annotator.store.mirror.importing import apply_import
from annotator.store.server.connection import Database
from tests.support.terms import terms_of

SRNAS = ["miR-9", "let-7a", "miR-21"]
RECORDS = tuple(
    replace(record, given_fields=frozenset(FIELDS))
    for record in (
        SampleRecord("s1", "D1", {"tissue": "lung", "sex": "female"}, {"age": 61.5}),
        SampleRecord(
            "s2", "D1", {"tissue": "left lung"}, {}, "Mus musculus", True, {"kit": "A\\b\t"}
        ),
        SampleRecord("s3", "D2", {}, {"age": 30.0}),
    )
)
COUNTS = {"s1": [1, 2, 3], "s2": [0, 0, 9], "s3": [4, 0, 0]}
TERMS = {"lung": ("organ",), "left lung": ("lung",), "organ": ()}
UNCHANGED = ImportSummary(0, 0, 0, 3, 0, 0, 0)


def batches(
    counts: dict[str, list[float]], size: int = 2
) -> Iterable[tuple[list[str], csr_matrix]]:
    names = list(counts)
    for start in range(0, len(names), size):
        chosen = names[start : start + size]
        rows = np.array([counts[name] for name in chosen], dtype=np.float32)
        yield chosen, csr_matrix(rows)


def load(
    conn: psycopg.Connection,
    records: Sequence[SampleRecord] = RECORDS,
    counts: dict[str, list[float]] | None = None,
    names: Sequence[str] = SRNAS,
    kind: str = "srna",
    terms: dict[str, tuple[str, ...]] | None = TERMS,
    replace: bool = False,
) -> ImportSummary:
    summary = apply_import(
        conn,
        samples=records,
        counts=ImportedCounts(names, kind, batches(COUNTS if counts is None else counts)),
        terms=terms_of(terms or {}),
        replace=replace,
    )
    conn.commit()
    return dataclasses.replace(summary, labels=())


def everything(conn: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the mirror with its place on disk: a rewritten row moves."""
    tables = ("dataset", "sample", "feature", "expression", "annotation", "term", "term_parent")
    content = {
        table: conn.execute(
            f"select ctid::text, xmin::text, t::text from atlas.{table} t order by t::text"
        ).fetchall()
        for table in tables
    }
    conn.commit()
    return content


def dense(conn: psycopg.Connection) -> dict[str, dict[str, float]]:
    profiles = read_profiles(conn).profiles
    conn.commit()
    return {
        name: {str(f): float(v) for f, v in zip(profiles.features, row, strict=True) if v}
        for name, row in zip(profiles.sample_ids, profiles.counts.toarray(), strict=True)
    }


def updated(conn: psycopg.Connection) -> dict[str, Any]:
    rows = conn.execute("select sample_id, updated_at from atlas.sample").fetchall()
    conn.commit()
    return dict(rows)


def test_a_first_import_fills_the_mirror(connection: psycopg.Connection) -> None:
    assert load(connection) == ImportSummary(2, 3, 0, 0, 3, 5, 3)
    assert dense(connection) == {
        "s1": {"miR-9": 1, "let-7a": 2, "miR-21": 3},
        "s2": {"miR-21": 9},
        "s3": {"miR-9": 4},
    }
    samples = connection.execute(
        "select sample_id, dataset_id, organism, is_cell_line, attributes"
        " from atlas.sample order by 1"
    ).fetchall()
    assert samples == [
        ("s1", "D1", "Homo sapiens", None, {}),
        ("s2", "D1", "Mus musculus", True, {"kit": "A\\b\t"}),
        ("s3", "D2", "Homo sapiens", None, {}),
    ]
    annotations = connection.execute(
        "select sample_id, field, value, numeric_value, term_id, source"
        " from atlas.annotation order by 1, 2"
    ).fetchall()
    assert annotations == [
        ("s1", "age", None, 61.5, None, "import"),
        ("s1", "sex", "female", None, None, "import"),
        ("s1", "tissue", "lung", None, "lung", "import"),
        ("s2", "tissue", "left lung", None, "left lung", "import"),
        ("s3", "age", None, 30.0, None, "import"),
    ]
    parents = connection.execute("select * from atlas.term_parent order by 1").fetchall()
    assert parents == [("left lung", "lung"), ("lung", "organ")]


def test_the_same_again_changes_nothing(connection: psycopg.Connection) -> None:
    load(connection)
    before = everything(connection)
    assert load(connection) == UNCHANGED
    assert load(connection, terms=None) == UNCHANGED
    # Neither do other orders of samples and features.
    turned = {name: counts[::-1] for name, counts in reversed(COUNTS.items())}
    assert load(connection, RECORDS[::-1], turned, SRNAS[::-1]) == UNCHANGED
    assert everything(connection) == before
    sequence = connection.execute("select last_value from atlas.feature_feature_id_seq").fetchone()
    assert sequence == (3,)


def test_a_changed_sample_is_replaced_and_marked(connection: psycopg.Connection) -> None:
    load(connection)
    before = updated(connection)
    summary = load(connection, counts=COUNTS | {"s1": [0, 2, 8]})
    assert summary == replace(UNCHANGED, samples_changed=1, samples_unchanged=2, counts_changed=2)
    assert dense(connection)["s1"] == {"let-7a": 2, "miR-21": 8}
    after = updated(connection)
    assert {name for name in after if after[name] != before[name]} == {"s1"}
    assert after["s1"] > before["s1"]


def test_the_other_kind_of_feature_stays(connection: psycopg.Connection) -> None:
    load(connection)
    before = updated(connection)
    viruses = {"s2": [5.0, 0.0], "s3": [0.0, 0.0]}
    summary = load(connection, RECORDS, viruses, ["virus", "phage"], "contaminant")
    assert summary == ImportSummary(0, 0, 1, 2, 2, 0, 0)
    assert {name for name, at in updated(connection).items() if at > before[name]} == {"s2"}
    assert dense(connection)["s2"] == {"miR-21": 9, "virus": 5}
    load(connection, counts=COUNTS | {"s2": [7, 0, 0]})
    assert dense(connection)["s2"] == {"miR-9": 7, "virus": 5}
    load(connection, counts=COUNTS | {"s2": [0, 0, 0]})
    assert dense(connection)["s2"] == {"virus": 5}
    stored = everything(connection)
    load(connection, RECORDS, viruses, ["virus", "phage"], "contaminant")
    assert everything(connection) == stored


def test_a_feature_that_the_file_does_not_name_is_kept(connection: psycopg.Connection) -> None:
    load(connection)
    counts: dict[str, list[float]] = {"s1": [1, 5], "s3": [0, 0]}
    summary = load(connection, [RECORDS[0], RECORDS[2]], counts, SRNAS[:2])
    assert dense(connection) == {
        "s1": {"miR-9": 1, "let-7a": 5, "miR-21": 3},
        "s2": {"miR-21": 9},
    }
    assert summary.samples_changed == 2
    assert summary.counts_changed == 2  # let-7a of s1, and miR-9 of s3, which is zero now
    assert summary.kept == UnnamedFeatures(features=1, samples=1)


def test_files_of_two_classes_of_features_add_up(connection: psycopg.Connection) -> None:
    load(connection)
    other: dict[str, list[float]] = {"s1": [30.0, 7.0], "s2": [0.0, 9.0], "s3": [0.0, 0.0]}
    summary = load(connection, RECORDS, other, ["piR-1", "piR-2"])
    assert summary.samples_changed == 2
    assert summary.counts_changed == 0
    assert summary.kept == UnnamedFeatures(features=3, samples=3)
    assert dense(connection)["s1"] == {
        "miR-9": 1,
        "let-7a": 2,
        "miR-21": 3,
        "piR-1": 30,
        "piR-2": 7,
    }
    stored = everything(connection)
    again = (load(connection), load(connection, RECORDS, other, ["piR-1", "piR-2"]))
    assert [one.samples_changed for one in again] == [0, 0]
    assert again[0].kept == UnnamedFeatures(features=2, samples=2)
    assert everything(connection) == stored


def test_a_replacing_file_removes_the_features_that_it_does_not_name(
    connection: psycopg.Connection,
) -> None:
    load(connection)
    load(connection, RECORDS, {"s1": [5.0]}, ["virus"], "contaminant")
    summary = load(connection, RECORDS[:1], {"s1": [1, 2]}, SRNAS[:2], replace=True)
    assert summary.removed == UnnamedFeatures(features=1, samples=1)
    assert summary.kept == UnnamedFeatures()
    assert dense(connection)["s1"] == {"miR-9": 1, "let-7a": 2, "virus": 5}
    assert dense(connection)["s2"] == {"miR-21": 9}


def test_a_sample_that_loses_all_reads_is_changed_once(connection: psycopg.Connection) -> None:
    load(connection)
    nothing = COUNTS | {"s3": [0, 0, 0]}
    assert load(connection, counts=nothing).samples_changed == 1
    assert "s3" not in dense(connection)
    assert load(connection, counts=nothing) == UNCHANGED


def test_the_file_decides_the_annotations_it_made(connection: psycopg.Connection) -> None:
    load(connection)
    connection.execute(
        "insert into atlas.annotation (sample_id, field, value, source)"
        " values ('s2', 'sex', 'male', 'curator'), ('s3', 'tissue', 'skin', 'curator')"
    )
    connection.commit()
    before = updated(connection)
    now = (
        replace(RECORDS[0], values={"tissue": "left lung"}, numbers={"age": 62.0}),
        RECORDS[1],
        replace(RECORDS[2], values={"tissue": "lung"}, numbers={}),
    )
    summary = load(connection, now)
    # s1: tissue and age changed, sex gone; s3: tissue taken over, age gone.
    assert summary == ImportSummary(0, 0, 2, 1, 0, 5, 0)
    rows = connection.execute(
        "select sample_id, field, coalesce(value, numeric_value::text), term_id, source"
        " from atlas.annotation order by 1, 2"
    ).fetchall()
    assert rows == [
        ("s1", "age", "62", None, "import"),
        ("s1", "tissue", "left lung", "left lung", "import"),
        ("s2", "sex", "male", None, "curator"),
        ("s2", "tissue", "left lung", "left lung", "import"),
        ("s3", "tissue", "lung", "lung", "import"),
    ]
    assert updated(connection) == before


def test_a_column_that_is_left_out_removes_nothing(connection: psycopg.Connection) -> None:
    load(connection)
    silent = tuple(
        replace(one, values={}, numbers={}, given_fields=frozenset({"sex"})) for one in RECORDS
    )
    summary = load(connection, silent)
    assert summary.annotations_changed == 1  # the sex of s1 is said to be missing
    rows = connection.execute(
        "select sample_id, field from atlas.annotation order by 1, 2"
    ).fetchall()
    assert rows == [("s1", "age"), ("s1", "tissue"), ("s2", "tissue"), ("s3", "age")]


MOVED = replace(RECORDS[1], dataset_id="D9", organism=None, is_cell_line=None, attributes={})


def test_a_sample_does_not_move_unless_it_is_asked_for(connection: psycopg.Connection) -> None:
    load(connection)
    before = everything(connection)
    with pytest.raises(InputError, match=r"'s2' from 'D1' to 'D9'.*--sample-prefix.*--replace"):
        load(connection, [MOVED], {"s2": [0, 0, 9]})
    connection.rollback()
    assert everything(connection) == before


def test_the_first_samples_that_would_move_are_named_and_all_are_counted(
    connection: psycopg.Connection,
) -> None:
    records = [replace(RECORDS[1], sample_id=f"m{number}") for number in range(5)]
    load(connection, records, {})
    with pytest.raises(InputError, match=r"\(5 in all\): 'm0' .*'m2' .* and 2 more"):
        load(connection, [replace(one, dataset_id="D9") for one in records], {})


def test_a_sample_moves_with_a_replacing_file(connection: psycopg.Connection) -> None:
    load(connection)
    summary = load(connection, [MOVED], {"s2": [0, 0, 9]}, replace=True)
    assert (summary.samples_moved, summary.samples_changed, summary.datasets_added) == (1, 1, 1)
    query = "select dataset_id, organism, is_cell_line, attributes from atlas.sample"
    row = connection.execute(f"{query} where sample_id = 's2'").fetchone()
    assert row == ("D9", "Mus musculus", None, {})


def of_sample(connection: psycopg.Connection, sample_id: str) -> tuple[Any, ...] | None:
    return connection.execute(
        "select is_cell_line, attributes from atlas.sample where sample_id = %s", [sample_id]
    ).fetchone()


def test_attributes_without_a_column_are_kept(connection: psycopg.Connection) -> None:
    load(connection)
    less = replace(
        RECORDS[1], is_cell_line=None, attributes={"lab": "A"}, given_columns=frozenset({"lab"})
    )
    summary = load(connection, [less], {})
    assert summary.attributes_kept == 1
    assert of_sample(connection, "s2") == (True, {"kit": "A\\b\t", "lab": "A"})


def test_an_empty_cell_removes_an_attribute(connection: psycopg.Connection) -> None:
    load(connection)
    columns = frozenset({"kit", "is_cell_line"})
    empty = replace(RECORDS[1], is_cell_line=None, attributes={}, given_columns=columns)
    summary = load(connection, [empty], {})
    assert summary.attributes_kept == 0
    assert of_sample(connection, "s2") == (None, {})


def test_a_replacing_file_removes_annotations_without_a_column(
    connection: psycopg.Connection,
) -> None:
    load(connection)
    connection.execute(
        "insert into atlas.annotation (sample_id, field, value, source)"
        " values ('s2', 'sex', 'male', 'curator')"
    )
    nothing = replace(RECORDS[1], values={}, given_fields=frozenset())
    assert load(connection, [nothing], {}).annotations_changed == 0
    assert load(connection, [nothing], {}, replace=True).annotations_changed == 1
    rows = connection.execute(
        "select field, source from atlas.annotation where sample_id = 's2'"
    ).fetchall()
    assert rows == [("sex", "curator")]


def test_terms_have_the_parents_last_given(connection: psycopg.Connection) -> None:
    load(connection)
    terms: dict[str, tuple[str, ...]] = {"left lung": ("airway", "lung"), "lung": (), "airway": ()}
    assert load(connection, terms=terms).terms_added == 1
    rows = connection.execute("select * from atlas.term_parent order by 1, 2").fetchall()
    assert rows == [("left lung", "airway"), ("left lung", "lung")]


def cut_short() -> Iterable[tuple[list[str], csr_matrix]]:
    yield from batches({"s1": [7, 7, 7]})
    raise InputError("line 4 is cut")


def repeated() -> Iterable[tuple[list[str], csr_matrix]]:
    yield from batches({"s1": [7, 1, 1]})
    yield from batches({"s1": [1, 1, 1]})


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"batches": cut_short}, "line 4"),
    ({"batches": repeated}, "given twice"),
    ({"batches": lambda: batches({"s1": [1, 1, 1], "s9": [1, 1, 1]})}, "'s9'"),
    ({"batches": lambda: batches({"s1": [7, 1, 1], "s2": [1, -2, 1]})}, "-2"),
    ({"batches": lambda: batches({"s1": [7, 1, 1], "s2": [1, float("nan"), 1]})}, "nan"),
    ({"batches": lambda: batches({"s1": [7, 1]})}, "shape"),
    ({"samples": (*RECORDS, RECORDS[0])}, "'s1' is given twice"),
    ({"feature_names": ["a", "b", "a"]}, "'a' is given twice"),
    ({"feature_names": ["a", "b", ""]}, "has no id"),
    ({"kind": "gene"}, "'gene'"),
    ({"kind": "contaminant"}, "'let-7a' is a srna"),
    ({"terms": (Term("a", "a", ("a",)),)}, "its own parent"),
]


def test_wrong_input_changes_nothing(connection: psycopg.Connection) -> None:
    load(connection)
    before = everything(connection)
    good: dict[str, Any] = {
        "samples": (*RECORDS, SampleRecord("s4", "D3", {"tissue": "skin"}, {})),
        "feature_names": SRNAS,
        "kind": "srna",
        "batches": lambda: batches({"s1": [7, 7, 7]}),
        "terms": terms_of(TERMS | {"skin": ()}),
    }
    for change, message in WRONG:
        for autocommit in (False, True):
            given = good | change
            connection.autocommit = autocommit
            with pytest.raises(InputError, match=message):
                apply_import(
                    connection,
                    samples=given["samples"],
                    counts=ImportedCounts(
                        given["feature_names"], given["kind"], given["batches"]()
                    ),
                    terms=given["terms"],
                )
            # Nothing is left for the caller's transaction to commit, nothing was committed.
            connection.autocommit = False
            connection.commit()
        assert everything(connection) == before, message


def test_damaged_expression_is_healed(connection: psycopg.Connection) -> None:
    load(connection)
    connection.execute("update atlas.expression set counts = '{-1,NaN,5}' where sample_id = 's1'")
    connection.commit()
    summary = load(connection)
    assert (summary.samples_changed, summary.expression_repaired) == (1, 1)
    assert dense(connection)["s1"] == {"miR-9": 1, "let-7a": 2, "miR-21": 3}


def test_views_over_another_atlas_are_left_alone(connection: psycopg.Connection) -> None:
    connection.execute("alter table atlas.annotation rename to own")
    connection.execute("create view atlas.annotation as select * from atlas.own")
    connection.commit()
    with pytest.raises(NeedsPersonError, match=r"atlas\.annotation is not a table of this program"):
        load(connection)


def test_readers_go_on_and_imports_wait_for_one_another(
    database: Database, connection: psycopg.Connection
) -> None:
    load(connection)
    middle, go_on = threading.Event(), threading.Event()
    results: list[ImportSummary] = []

    def slowly() -> Iterable[tuple[list[str], csr_matrix]]:
        yield from batches({"s1": [8, 8, 8]})
        middle.set()
        assert go_on.wait(30)
        yield from batches({"s2": [8, 8, 8], "s3": [8, 8, 8]})

    def run(source: Iterable[tuple[list[str], csr_matrix]]) -> None:
        with database.connect() as conn:
            results.append(
                apply_import(conn, samples=RECORDS, counts=ImportedCounts(SRNAS, "srna", source))
            )
            conn.commit()

    first = threading.Thread(target=run, args=(slowly(),))
    first.start()
    assert middle.wait(30)
    second = threading.Thread(target=run, args=(batches({name: [8, 8, 8] for name in COUNTS}),))
    second.start()
    # A reader gets all of the old state, at once: a lock in its way would end in an error.
    connection.execute("set lock_timeout = '2s'")
    assert dense(connection)["s1"] == {"miR-9": 1, "let-7a": 2, "miR-21": 3}
    assert results == []
    go_on.set()
    first.join(30)
    second.join(30)
    assert [one.samples_changed for one in results] == [3, 0]
    assert dense(connection)["s3"] == {"miR-9": 8, "let-7a": 8, "miR-21": 8}
