"""The statements that documents give to curators run, for a reader, and find something."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import psycopg
import pytest

from annotator.domain.explanations import (
    ClassEnrichment,
    ClassMarker,
    ClassSimilarity,
    ReleaseExplanations,
    SampleMap,
)
from annotator.store.releases.explanations import copy_explanations
from tests.support import ROOT

DOCS = ROOT / "docs"
CLASSES = ["blood", "brain"]
NAMES = np.array(["S1"], dtype=object)
EXPLANATIONS = ReleaseExplanations(
    markers=(
        ClassMarker("blood", 1, "hsa-miR-451a", 2.0, 1, 2, 1.0, (800.0, 1.0)),
        ClassMarker("brain", 1, "hsa-miR-124-3p", 1.5, 2, None, None, (0.0, 512.0)),
        ClassMarker("brain", 2, "hsa-miR-9-5p", 1.25, None, 7, 1.0, (2.0, 64.0)),
    ),
    similarities=(
        ClassSimilarity("blood", "brain", 4, 0, None),
        ClassSimilarity("brain", "blood", 5, 4, 2.5),
        ClassSimilarity("blood", None, 4, 0, None),
        ClassSimilarity("brain", None, 5, 4, 2.25),
    ),
    enrichments=(
        ClassEnrichment("table4", "brain", "brain", 9, 2, 2, 2, 0.03, 0.04, ("hsa-miR-124-3p",)),
        ClassEnrichment("table4", "skin", "brain", 9, 1, 2, 0, 1.0, 1.0, ()),
    ),
    sample_map=SampleMap(NAMES, NAMES, np.array(["blood"], dtype=object), np.zeros((1, 2), "f4")),
)
# Class, its rank, features, their scores.
CONTRIBUTIONS = [
    ("blood", 1, ["hsa-miR-451a", "hsa-miR-205-5p"], [2.5, 0.5]),
    ("brain", 2, ["hsa-miR-124-3p", "hsa-miR-205-5p"], [-1.5, 0.75]),
]


def statements(document: str) -> list[str]:
    """The SQL statements of a document, without their comments."""
    blocks = re.findall(r"```sql\n(.*?)```", (DOCS / document).read_text("utf-8"), flags=re.S)
    text = re.sub(r"^--.*$", "", "\n".join(blocks), flags=re.M)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


def first(connection: psycopg.Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def prediction_id(connection: psycopg.Connection) -> int:
    """A sample taken for blood, rather than brain, by a release with explanations."""
    connection.execute("insert into atlas.dataset (dataset_id) values ('D1')")
    connection.execute("insert into atlas.sample (sample_id, dataset_id) values ('S1', 'D1')")
    release_id = first(
        connection,
        "with t as (insert into annotator.training_run (field, preset, status, seed, host,"
        " finished_at) values ('tissue', 'default', 'succeeded', 1, 'here', now())"
        " returning run_id) insert into annotator.release (field, run_id, status, classes,"
        " features, promoted_at) select 'tissue', run_id, 'live', %s, 9, now() from t"
        " returning release_id",
        CLASSES,
    )
    copy_explanations(connection, release_id, EXPLANATIONS)
    found = first(
        connection,
        "insert into annotator.prediction (sample_id, dataset_id, field, release_id, input_hash,"
        " sample_updated_at, value, lineage, confidence, status, models)"
        " select 'S1', 'D1', 'tissue', %s, repeat('0', 64), updated_at, 'blood', '{blood}', 0.9,"
        " 'suggested', '{}' from atlas.sample returning prediction_id",
        release_id,
    )
    for said in CONTRIBUTIONS:
        for kind, method in (("combined", "weighted_sum"), ("network", "deeplift")):
            connection.execute(
                "insert into annotator.class_contribution (prediction_id, model_kind, method,"
                " class, class_rank, features, scores, expression)"
                " values (%s, %s, %s, %s, %s, %s, %s, '{10, 10}')",
                (found, kind, method, *said),
            )
    connection.commit()
    return int(found)


@pytest.fixture
def reader(database: Any, prediction_id: int):
    with database.connect(user="annotator_reader") as conn:
        conn.execute("set search_path to annotator, atlas")
        yield conn


def answers(conn: psycopg.Connection, statement: str, prediction_id: int) -> list[tuple[Any, ...]]:
    ready = statement.replace(":prediction_id", str(prediction_id))
    return conn.execute(ready.encode()).fetchall()


def test_every_statement_about_explanations_finds_something(reader, prediction_id) -> None:
    queries = statements("method/explanations.md")
    assert len(queries) == 9
    for query in queries:
        assert answers(reader, query, prediction_id), query


def test_what_would_have_made_it_another_class(reader, prediction_id) -> None:
    (query,) = [each for each in statements("method/explanations.md") if "for_runner_up" in each]
    found = [(row[0], *row[2:]) for row in answers(reader, query, prediction_id)]
    assert found == [
        ("hsa-miR-205-5p", 0.5, 0.75),
        ("hsa-miR-124-3p", None, -1.5),
        ("hsa-miR-451a", 2.5, None),
    ]


def test_a_marker_in_all_classes(reader, prediction_id) -> None:
    (query,) = [each for each in statements("method/explanations.md") if "with ordinality" in each]
    assert answers(reader, query, prediction_id) == [("brain", 512.0), ("blood", 0.0)]


def test_the_markers_of_a_class_and_the_median_class(reader, prediction_id) -> None:
    (query,) = [each for each in statements("method/explanations.md") if "median" in each]
    assert answers(reader, query, prediction_id)[0] == (
        *(1, "hsa-miR-124-3p", 1.5, None, None, 512.0, 256.0),
    )


@pytest.mark.parametrize("name", ["selective-prediction", "contradicted-labels"])
def test_statements_about_answers_and_labels_run(reader, prediction_id, name) -> None:
    queries = statements(f"method/{name}.md")
    assert queries
    for query in queries:
        answers(reader, query, prediction_id)


def test_the_roles_of_the_guide_can_be_created(connection) -> None:
    queries = statements("guides/operate.md")
    assert queries
    for query in queries:
        connection.execute(query.encode())
    connection.rollback()


def tables(document: str) -> list[list[str]]:
    """The rows of a document's tables that begin with a name in backticks."""
    lines = (DOCS / document).read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in rows if re.match(r"\|? ?`\w", row[0])]


def queue_columns() -> list[str]:
    """The columns of the review queue, which have a table of their own."""
    text = (DOCS / "reference" / "sql.md").read_text("utf-8")
    section = text.split("## Columns of the review queue")[1].split("\n## ")[0]
    cells = [line.split(" | ")[0] for line in section.splitlines()]
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def test_relations_of_the_reference_have_its_columns(reader) -> None:
    found, undocumented = 0, {}
    for row in tables("reference/sql.md"):
        if len(row) == 3:
            (relation,) = re.findall(r"`(\w+)`", row[0])
            columns = re.findall(r"`(\w+)`", row[2]) or queue_columns()
            listed = ", ".join(columns)
            reader.execute(f"select {listed} from {relation} limit 0".encode())
            cursor = reader.execute(f"select * from {relation} limit 0".encode())
            missing = {column.name for column in cursor.description} - set(columns)
            ((kind,),) = reader.execute(
                "select relkind::text from pg_class where oid = %s::regclass", [relation]
            ).fetchall()
            if missing and kind == "v":  # tables have columns that only the program uses
                undocumented[relation] = sorted(missing)
            found += 1
    assert undocumented == {}
    assert found > 20


def test_every_function_that_curators_call_is_in_the_reference(reader) -> None:
    """Functions that views call are for no one to call, so daemons may run them, too."""
    text = (DOCS / "reference" / "sql.md").read_text("utf-8")
    rows = reader.execute(
        "select proname from pg_proc where pronamespace = 'annotator'::regnamespace"
        " and has_function_privilege('annotator_curator', oid, 'execute')"
        " and not has_function_privilege('annotator_daemon', oid, 'execute')"
    ).fetchall()
    assert rows
    assert {name for (name,) in rows if f"`{name}(" not in text} == set()


def test_functions_of_the_reference_exist(reader) -> None:
    documented = re.findall(
        r"^\| `(\w+)\(([\w, ]*)\)`", (DOCS / "reference" / "sql.md").read_text("utf-8"), flags=re.M
    )
    assert documented
    for name, arguments in documented:
        assert first(
            reader,
            "select exists (select from pg_proc where proname = %s"
            " and proargnames[1:pronargs] = %s)",
            name,
            arguments.split(", "),
        ), name
