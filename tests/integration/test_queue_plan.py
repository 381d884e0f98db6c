"""The queue is read by its order: what is asked for is looked up, and no more."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(BENCHMARKS))  # as for a script of that folder

import review_queue  # noqa: E402

from annotator.domain.fields import FIELDS  # noqa: E402
from annotator.store.answers import work  # noqa: E402
from annotator.store.watch import monitoring as figures  # noqa: E402


def nodes(plan: dict) -> list[dict]:
    return [plan, *(node for below in plan.get("Plans", []) for node in nodes(below))]


def plan_of(
    connection: psycopg.Connection, query: str, names: Mapping[str, object] | None = None
) -> list[dict]:
    row = connection.execute(
        f"explain (analyze, timing off, format json) {query}", names
    ).fetchone()
    assert row is not None
    return nodes(row[0][0]["Plan"])


def looked_up(plan: list[dict], relation: str) -> float:
    """Rows of a relation that were touched."""
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in plan
        if node.get("Relation Name") == relation
    )


@pytest.mark.parametrize("suggestions", [4_000, 20_000])
def test_reading_the_first_rows_looks_at_the_first_datasets_only(
    connection, suggestions, monkeypatch
) -> None:
    small = review_queue.FILL.replace(f"{review_queue.LARGEST} /", "60 /")
    monkeypatch.setattr(review_queue, "FILL", small)
    review_queue.fill(connection, suggestions)
    connection.commit()
    review_queue.keep_order(connection)

    found = plan_of(connection, "select * from annotator.review_queue limit 50")
    assert not [
        node["Relation Name"]
        for node in found
        if node["Node Type"] == "Seq Scan"
        and node["Relation Name"] in ("prediction", "sample")
        and node["Actual Loops"]
    ]
    # 50 rows of datasets of up to 60 samples, whatever the size of the whole.
    assert 50 <= looked_up(found, "prediction") <= 250
    assert looked_up(found, "sample") <= 250

    ((dataset,),) = connection.execute("select max(dataset_id) from annotator.queue_group")
    found = plan_of(
        connection, f"select * from annotator.review_queue where dataset_id = '{dataset}'"
    )
    assert looked_up(found, "prediction") <= 250
    assert looked_up(found, "queue_group") <= 2

    # What is watched is counted from indexes; only the newest answers are looked at themselves.
    most = 100
    names = {"fields": list(FIELDS), "days": 30, "fewest": 30, "most": most}
    found = plan_of(connection, figures._FIELDS.decode(), names)
    rows = [node for node in found if node["Node Type"] != "Index Only Scan"]
    assert 0 < looked_up(rows, "prediction") <= 2 * most
    ((release,),) = connection.execute(
        "select release_id from release where field = 'tissue' limit 1"
    )
    connection.execute("set enable_nestloop = off")
    names = {"field": "tissue", "release_id": release}
    found = plan_of(connection, work._PENDING_AND_OLDEST, names)
    assert {node["Node Type"] for node in found if node.get("Relation Name") == "prediction"} == {
        "Index Only Scan"
    }
