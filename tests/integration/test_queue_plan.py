"""The queue is read by its order: what is asked for is looked up, and no more."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
import pytest

from annotator.store.watch import monitoring
from benchmarks.speed.load import Load, fill, keep_order


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


@pytest.mark.parametrize("suggestions", [4_000, 10_000])
def test_reading_the_first_rows_looks_at_the_first_datasets_only(connection, suggestions) -> None:
    fill(connection, Load(suggestions // 2, largest=60))
    keep_order(connection)

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


def rows_read(connection: psycopg.Connection, relation: str) -> int:
    """Rows of a table itself, not of its indexes, that this session has read.

    They are counted since its statistics were last sent, which no transaction does before it ends.
    """
    row = connection.execute(
        "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables"
        " where schemaname = 'annotator' and relname = %s",
        (relation,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_what_is_watched_is_counted_from_indexes(database, connection, monkeypatch) -> None:
    """Only the newest predictions are read themselves, whatever the size of the whole."""
    most = 100
    monkeypatch.setattr(monitoring, "MOST_RECENT", most)
    suggestions = 4_000
    fill(connection, Load(suggestions // 2))
    with database.connect(autocommit=True) as other:
        other.execute("vacuum analyze annotator.prediction")  # indexes alone are enough then
    # In one transaction of a new connection: the server may forget the counts of earlier ones.
    with database.connect() as other, other.transaction():
        (tissue, *_) = monitoring.read_gauges(other).fields
        read = rows_read(other, "prediction")
    assert tissue.recent == most
    assert most <= read <= suggestions / 10
