"""Lookups, claims and deletions use indexes, however many samples there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from annotator.store.answers import predictions, work
from benchmarks.speed.load import Load, fill, keep_order
from tests.support.databases import new_database

LOAD = Load(0, largest=40, datasets=40, labelled=30, refused=(), history=2, kinds=("combined",))
SUGGESTION = "select * from annotator.suggestion where sample_id = %(sample)s"
HISTORY = "select * from annotator.annotation_history(%(sample)s)"
FIRST_PAGE = "select * from annotator.review_queue limit 50"
DELETE = "select * from annotator.delete_history(%(release)s, 0, 50)"
LARGE = ("prediction", "class_contribution")


@pytest.fixture(scope="module", params=[200, 5_000], ids=["200 samples", "5000 samples"])
def filled(server, request) -> Iterator[Any]:
    """Three fields, two retired releases and a live one each; with statistics."""
    with new_database(server) as database:
        with database.connect() as connection:
            fill(connection, replace(LOAD, samples=request.param))
            keep_order(connection)
        yield database


@pytest.fixture
def loaded(filled) -> Iterator[psycopg.Connection]:
    """A new connection, in one transaction that is rolled back."""
    with filled.connect() as connection:
        yield connection
        connection.rollback()


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for below in plan.get("Plans", []) for node in nodes(below))]


def steps(
    connection: psycopg.Connection, query: str, names: Mapping[str, object]
) -> list[dict[str, Any]]:
    """Return the steps that are executed for a query."""
    row = connection.execute(
        f"explain (analyze, timing off, format json) {query}", names
    ).fetchone()
    assert row is not None
    return [node for node in nodes(row[0][0]["Plan"]) if node["Actual Loops"]]


_NEW = """
with run as (
    insert into annotator.training_run (field, preset, seed, host, status, finished_at)
    values ('tissue', 'default', 1, 'here', 'succeeded', now()) returning run_id, field
), retired as (
    update annotator.release set status = 'retired', retired_at = now()
    where field = 'tissue' and status = 'live'
)
insert into annotator.release (field, run_id, classes, features)
select field, run_id, '{a,b}', 5 from run returning release_id
"""
_LIVE = "update annotator.release set status = 'live', promoted_at = now() where release_id = %s"
_READ = """
select relname, seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0)
from pg_stat_xact_user_tables where relname = any (%s)
"""


def read(
    connection: psycopg.Connection,
    query: str,
    names: Mapping[str, object],
    tables: tuple[str, ...] = LARGE,
) -> dict[str, tuple[int, int]]:
    """Run a query; return its sequential scans and rows read by table, functions included."""

    def counts() -> dict[str, tuple[int, int]]:
        return {row[0]: row[1:] for row in connection.execute(_READ, ([*tables],)).fetchall()}

    before = counts()
    connection.execute(query, names).fetchall()
    return {
        table: (scans - before[table][0], rows - before[table][1])
        for table, (scans, rows) in counts().items()
    }


@pytest.mark.parametrize("query", [SUGGESTION, FIRST_PAGE], ids=["suggestion", "first page"])
def test_what_curators_see_is_looked_up(loaded, query) -> None:
    ((sample,),) = loaded.execute("select max(sample_id) from atlas.sample").fetchall()
    found = [
        step
        for step in steps(loaded, query, {"sample": sample})
        if step.get("Relation Name") in LARGE
    ]
    assert found
    assert "Seq Scan" not in [step["Node Type"] for step in found]


def test_the_history_of_a_sample_is_looked_up(loaded) -> None:
    ((sample,),) = loaded.execute("select max(sample_id) from atlas.sample").fetchall()
    scans, rows = read(loaded, HISTORY, {"sample": sample})["prediction"]
    assert scans == 0
    assert 9 <= rows <= 40  # three fields and releases, for several kinds of entries


def test_a_claim_reads_what_it_takes(loaded) -> None:
    with loaded.transaction(force_rollback=True):
        ((release,),) = loaded.execute(_NEW).fetchall()
        loaded.execute(_LIVE, (release,))
        queued = work.queue_pending(loaded, "tissue", release)
        loaded.execute("analyze annotator.work")  # which so few samples may not be worth
        names: dict[str, object] = {"field": "tissue", "release_id": release, "worker": "w"}
        names |= {"suspect_attempts": 2, "suspect": False, "batch_size": 50, "lease_seconds": 60.0}
        assert queued > 100
        found = steps(loaded, work._CLAIM.decode(), names)
        assert "work_claim" in [step.get("Index Name") for step in found]
        assert {step.get("Relation Name") for step in found} == {"work", None}


def test_a_full_queue_is_not_searched_for_the_samples_of_a_batch(loaded) -> None:
    with loaded.transaction(force_rollback=True):
        loaded.execute("delete from annotator.work")
        loaded.execute("analyze annotator.work")  # as after the last release
        ((release,),) = loaded.execute(_NEW).fetchall()
        loaded.execute(_LIVE, (release,))
        if work.queue_pending(loaded, "tissue", release) < work.ANALYZED_FROM:
            pytest.skip("such a queue is short")
        claimed = work.claim(loaded, "w", "tissue", release, 50, 60.0)
        names: dict[str, object] = {"field": "tissue", "release_id": release, "worker": "w"}
        names["samples"] = [sample.sample_id for sample in claimed]
        found = steps(loaded, predictions._LOCK_WORK, names)
        assert {"work_pkey"} == {step.get("Index Name") for step in found} - {None}


def test_a_part_of_history_is_found_and_deleted_by_index(loaded) -> None:
    ((release,),) = loaded.execute(
        "select min(release_id) from annotator.release where field = 'age'"
    ).fetchall()
    found = read(loaded, DELETE, {"release": release})
    assert found["prediction"][0] == found["class_contribution"][0] == 0
    # Found, examined, locked, deleted.
    assert 50 <= found["prediction"][1] <= 5 * 50
    assert found["class_contribution"][1] <= 2 * 50


def test_samples_that_moved_are_found_without_reading_predictions(loaded) -> None:
    scans, rows = read(loaded, "select annotator.watch_mirror()", {})["prediction"]
    assert scans == 0
    assert rows <= 30  # those on pages that are not known to be visible to all


def test_labels_are_compared_at_once_however_old_the_statistics_are(loaded) -> None:
    loaded.execute("truncate annotator.mirror_change")
    loaded.execute("analyze annotator.mirror_change")
    ((labels,),) = loaded.execute("select annotator.watch_mirror()").fetchall()
    found = read(loaded, "select annotator.watch_mirror()", {}, ("mirror_change", "annotation"))
    assert labels > 0
    assert sum(rows for _, rows in found.values()) <= 2 * labels


def test_terms_are_looked_up_only_for_suggestions_that_differ_from_the_label(loaded) -> None:
    loaded.execute("set local track_functions = 'all'")
    ((judged, confirmed),) = loaded.execute(
        "select judged, confirmed from annotator.live_accuracy"
        " where release_id = (select max(release_id) from annotator.release where field = 'sex')"
        " and field = 'sex'"
    ).fetchall()
    ((calls,),) = loaded.execute(
        "select coalesce(sum(calls), 0) from pg_stat_xact_user_functions"
        " where funcname = 'lineage_keys'"
    ).fetchall()
    assert confirmed > 0
    assert calls <= judged - confirmed
