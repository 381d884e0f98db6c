"""Plans of the queue's statements: no table is read once per row of another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from annotator.store.answers import work
from tests.support.store import add_release, run

HASH = "0" * 64


def repeated_scans(node: dict[str, Any]) -> Iterator[str]:
    """Find every table that is read whole again for each row of something else."""
    children = node.get("Plans", [])
    for child in children:
        again = child.get("Parent Relationship") == "SubPlan" or (
            node["Node Type"] == "Nested Loop" and child is children[-1]
        )
        yield from whole_scans(child) if again else repeated_scans(child)


def whole_scans(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for child in node.get("Plans", []):
        yield from whole_scans(child)


def test_a_repeated_scan_is_recognised(connection: psycopg.Connection) -> None:
    release = add_release(connection)
    fill(connection, 300, release)
    connection.execute("set local enable_hashjoin = off")
    connection.execute("set local enable_mergejoin = off")
    connection.execute("set local enable_indexscan = off")
    connection.execute("set local enable_indexonlyscan = off")
    connection.execute("set local enable_bitmapscan = off")
    names = {"field": "tissue", "release_id": release, "bad_rows": False}
    row = connection.execute(f"explain (format json) {work._COUNT_PENDING}", names).fetchone()
    assert row is not None
    assert "annotation" in list(repeated_scans(row[0][0]["Plan"]))


def fill(conn: psycopg.Connection, samples: int, release: int) -> None:
    run(conn, "insert into atlas.dataset (dataset_id) values ('D')")
    run(
        conn,
        "insert into atlas.sample (sample_id, dataset_id)"
        " select 's' || i, 'D' from generate_series(1, %s) i",
        samples,
    )
    run(
        conn,
        "insert into atlas.annotation (sample_id, field, value)"
        " select 's' || i, 'tissue', 'liver' from generate_series(1, %s) i",
        samples // 2,
    )
    run(
        conn,
        "insert into annotator.prediction (sample_id, dataset_id, field, release_id, input_hash,"
        " sample_updated_at, value, confidence, status)"
        " select sample_id, dataset_id, 'tissue', %s, %s, updated_at, 'liver', 0.9, 'suggested'"
        " from atlas.sample s"
        " where not exists (select from atlas.annotation a where a.sample_id = s.sample_id)",
        release,
        HASH,
    )


@pytest.mark.parametrize("samples", [1_000, 20_000])
@pytest.mark.parametrize("state", ["all answered", "all queued", "statistics are old"])
def test_no_plan_reads_a_table_once_a_row(
    connection: psycopg.Connection, samples: int, state: str
) -> None:
    tables = ("atlas.sample", "atlas.annotation", "annotator.prediction", "annotator.work")
    release = add_release(connection)
    if state == "statistics are old":
        run(connection, f"analyze {', '.join(tables)}")
    fill(connection, samples, release)
    if state == "all queued":
        release = add_release(connection)
        assert work.queue_pending(connection, "tissue", release) == samples // 2
    if state != "statistics are old":
        run(connection, f"analyze {', '.join(tables)}")
    names = {"field": "tissue", "release_id": release, "bad_rows": False, "most": samples}
    connection.execute(work._COMPARE_BY_HASH)
    for statement in (work._QUEUE, work._REMOVE, work._COUNT_PENDING):
        row = connection.execute(f"explain (format json) {statement}", names).fetchone()
        assert row is not None
        assert list(repeated_scans(row[0][0]["Plan"])) == []
    expected = samples // 2 if state == "all queued" else 0
    assert work.count_pending(connection, "tissue", release) == expected


def steps(plan: dict[str, Any]) -> list[float]:
    """Rows that each step of an executed plan looked at, all its loops together."""
    rows = plan["Actual Rows"] + plan.get("Rows Removed by Join Filter", 0)
    below = [step for child in plan.get("Plans", ()) for step in steps(child)]
    return [rows * plan["Actual Loops"], *below]


def test_no_step_of_a_claim_looks_at_more_rows_than_are_queued(
    connection: psycopg.Connection,
) -> None:
    fill(connection, 4_000, add_release(connection))
    release = add_release(connection)
    assert work.queue_pending(connection, "tissue", release) == 2_000
    names = {"field": "tissue", "release_id": release, "worker": "w", "lease_seconds": 60.0}
    names |= {"suspect_attempts": work.SUSPECT_ATTEMPTS, "suspect": False, "batch_size": 256}
    explain = "explain (analyze, timing off, format json) "
    row = connection.execute(explain + work._CLAIM.decode(), names).fetchone()
    assert row is not None
    assert row[0][0]["Plan"]["Actual Rows"] == 256
    assert max(steps(row[0][0]["Plan"])) <= 2_000
