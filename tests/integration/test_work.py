"""The queue: what is pending, who has it, and what happens to those that died."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg

from annotator.store.answers import work
from annotator.store.server.schema import migrations_folder
from annotator.store.server.schema_objects import create_objects
from tests.support.store import add_release, add_samples, as_daemon, run

HASH = "0" * 64


def predict(conn: psycopg.Connection, sample: str, release: int, status: str = "suggested") -> int:
    return int(
        run(
            conn,
            "insert into annotator.prediction (sample_id, dataset_id, field, release_id,"
            " input_hash, sample_updated_at, value, confidence, status, reason)"
            " select sample_id, dataset_id, 'tissue', %s, %s, updated_at, 'liver', 0.9, %s, 'why'"
            " from atlas.sample where sample_id = %s returning prediction_id",
            release,
            HASH,
            status,
            sample,
        )[0][0]
    )


def review(conn: psycopg.Connection, prediction: int, decision: str) -> None:
    run(
        conn,
        "insert into annotator.review (prediction_id, decision, value) values (%s, %s, %s)",
        prediction,
        decision,
        None if decision == "rejected" else "liver",
    )


def quarantine(conn: psycopg.Connection, sample: str, release: int | None) -> None:
    run(
        conn,
        "insert into annotator.quarantine"
        " (sample_id, field, release_id, sample_updated_at, code, reason)"
        " select sample_id, 'tissue', %s, updated_at, 'no_counts', 'why'"
        " from atlas.sample where sample_id = %s",
        release,
        sample,
    )


def change(conn: psycopg.Connection, sample: str) -> None:
    run(
        conn,
        "update atlas.sample set updated_at = clock_timestamp() where sample_id = %s",
        sample,
    )


def queued(conn: psycopg.Connection) -> list[str]:
    return [row[0] for row in run(conn, "select sample_id from annotator.work order by 1")]


def names_of(claimed: list[Any]) -> list[str]:
    return [sample.sample_id for sample in claimed]


def test_queues_exactly_what_is_missing_and_unanswered(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(
        connection, "curated", "number", "empty_value", "blank", "not_a_number", "nothing",
        "answered", "abstained", "answered_before", "changed", "accepted", "corrected",
        "rejected", "unusable", "unusable_then", "unusable_here", "unusable_before", "other_field",
    )  # fmt: skip
    before = add_release(connection)
    accepted = predict(connection, "accepted", before)
    corrected = predict(connection, "corrected", before)
    rejected = predict(connection, "rejected", before)
    predict(connection, "answered_before", before)
    release = add_release(connection)
    run(
        connection,
        "insert into atlas.annotation (sample_id, field, value, numeric_value) values"
        " ('curated', 'tissue', 'liver', null), ('number', 'tissue', null, 4),"
        " ('empty_value', 'tissue', null, null), ('blank', 'tissue', ' ', null),"
        " ('not_a_number', 'tissue', '', 'NaN'), ('other_field', 'sex', 'female', null)",
    )
    predict(connection, "answered", release)
    predict(connection, "abstained", release, "abstained")
    predict(connection, "changed", release)
    review(connection, accepted, "accepted")
    review(connection, corrected, "corrected")
    review(connection, rejected, "rejected")
    quarantine(connection, "unusable", None)
    quarantine(connection, "unusable_then", None)
    quarantine(connection, "unusable_here", release)
    quarantine(connection, "unusable_before", before)
    for sample in ("changed", "accepted", "unusable_then"):
        change(connection, sample)

    expected = [
        "answered_before", "blank", "changed", "empty_value", "not_a_number", "nothing",
        "other_field", "rejected",
        "unusable_before", "unusable_then",
    ]  # fmt: skip
    assert work.count_pending(daemon, "tissue", release) == len(expected)
    assert work.queue_pending(daemon, "tissue", release) == len(expected)
    assert queued(connection) == expected
    assert work.pending_counts(daemon) == {release: (len(expected), 0)}


def test_queueing_again_touches_no_row(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b")
    release = add_release(connection)
    assert work.queue_pending(daemon, "tissue", release) == 2
    rows = "select sample_id, ctid::text, xmin::text, xmax::text from annotator.work order by 1"
    before = run(connection, rows)
    assert work.queue_pending(daemon, "tissue", release) == 0
    assert run(connection, rows) == before


def test_a_new_release_or_version_queues_anew_unless_leased(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b", "c")
    first = add_release(connection)
    work.queue_pending(daemon, "tissue", first)
    assert names_of(work.claim(daemon, "w1", "tissue", first, 1, 600)) == ["a"]
    assert names_of(work.claim(daemon, "w2", "tissue", first, 1, 0)) == ["b"]
    second = add_release(connection)
    assert work.queue_pending(daemon, "tissue", second) == 2
    rows = run(
        connection,
        "select sample_id, release_id, leased_by, attempts from annotator.work order by 1",
    )
    assert rows == [("a", first, "w1", 1), ("b", second, None, 0), ("c", second, None, 0)]
    change(connection, "c")
    assert work.queue_pending(daemon, "tissue", second) == 1
    (claimed,) = [s for s in work.claim(daemon, "w1", "tissue", second, 9, 9) if s.sample_id == "c"]
    updated = run(connection, "select updated_at from atlas.sample where sample_id = 'c'")
    assert claimed.sample_updated_at == updated[0][0]


def test_removes_what_is_settled_unless_leased(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    work.claim(daemon, "w1", "tissue", release, 1, 600)
    run(
        connection,
        "insert into atlas.annotation (sample_id, field, value)"
        " select sample_id, 'tissue', 'liver' from atlas.sample",
    )
    assert work.queue_pending(daemon, "tissue", release) == 0
    assert queued(connection) == ["a"]
    assert work.release_claims(daemon, "w1") == 1
    work.queue_pending(daemon, "tissue", release)
    assert queued(connection) == []


def test_a_release_that_is_not_live_queues_and_claims_nothing(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    first = add_release(connection)
    work.queue_pending(daemon, "tissue", first)
    add_release(connection)
    assert work.queue_pending(daemon, "tissue", first) == 0
    assert queued(connection) == ["a"]
    assert work.claim(daemon, "w1", "tissue", first, 9, 600) == []


def test_fields_are_queued_apart(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    tissue, sex = add_release(connection, "tissue"), add_release(connection, "sex")
    work.queue_pending(daemon, "tissue", tissue)
    work.queue_pending(daemon, "sex", sex)
    assert names_of(work.claim(daemon, "w1", "sex", sex, 9, 600)) == ["a"]
    assert work.pending_counts(daemon) == {sex: (0, 1), tissue: (1, 0)}


def test_works_over_views_without_keys_or_times(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b")
    run(connection, "alter table atlas.sample rename to kept_sample")
    run(connection, "alter table atlas.annotation rename to kept_annotation")
    run(
        connection,
        "create view atlas.sample as select sample_id, dataset_id, organism, is_cell_line,"
        " attributes, null::timestamptz as updated_at from atlas.kept_sample",
    )
    run(
        connection,
        "create view atlas.annotation as select 'b' as sample_id, 'tissue' as field,"
        " 'liver' as value, null::float as numeric_value, null as term_id, 'x' as source",
    )
    run(connection, "grant select on atlas.sample, atlas.annotation to annotator_daemon")
    create_objects(connection, migrations_folder() / "schema")  # they stood on the tables so far
    release = add_release(connection)
    assert work.queue_pending(daemon, "tissue", release) == 1
    assert work.queue_pending(daemon, "tissue", release) == 0
    (claimed,) = work.claim(daemon, "w1", "tissue", release, 9, 600)
    assert (claimed.sample_id, claimed.sample_updated_at) == ("a", None)
    work.release_claims(daemon, "w1")
    predict(connection, "a", release)
    assert work.queue_pending(daemon, "tissue", release) == 0
    assert queued(connection) == []


def test_claims_whole_datasets_in_order(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "d", dataset="D2")
    add_samples(connection, "b", "c", dataset="D1")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    assert names_of(work.claim(daemon, "w1", "tissue", release, 3, 600)) == ["b", "c"]
    assert names_of(work.claim(daemon, "w2", "tissue", release, 3, 600)) == ["a", "d"]
    assert work.claim(daemon, "w3", "tissue", release, 3, 600) == []


def test_a_dataset_that_no_claim_can_hold_is_cut_and_datasets_that_fit_are_claimed_together(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b", "c", "d", dataset="D1")
    add_samples(connection, "e", "f", dataset="D2")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    claims = [names_of(work.claim(daemon, "w1", "tissue", release, 3, 600)) for _ in range(4)]
    assert claims == [["a", "b", "c"], ["d", "e", "f"], [], []]


def in_threads(count: int, body: Any) -> list[Any]:
    """Run ``body(number)`` in threads that start together; re-raise what they raise."""
    barrier = threading.Barrier(count, timeout=60)

    def one(number: int) -> Any:
        barrier.wait()
        return body(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_eight_claimers_never_share_a_sample(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    names = [f"s{number:03}" for number in range(200)]
    add_samples(connection, *names)
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)

    def claim_all(number: int) -> list[str]:
        taken: list[str] = []
        with as_daemon(database) as conn:
            while batch := work.claim(conn, f"w{number}", "tissue", release, 7, 600):
                taken += names_of(batch)
        return taken

    taken = in_threads(8, claim_all)
    assert sorted(sample for part in taken for sample in part) == names


def test_many_samples_are_queued_in_parts_that_others_can_claim_meanwhile(
    connection: psycopg.Connection, daemon: psycopg.Connection, monkeypatch
) -> None:
    monkeypatch.setattr(work, "QUEUED_AT_A_TIME", 2)
    add_samples(connection, *"abcde")
    release = add_release(connection)
    assert work.queue_pending(daemon, "tissue", release) == 5
    parts = "select count(*) from annotator.work group by xmin::text order by 1"
    assert run(connection, parts) == [(1,), (2,), (2,)]
    assert work.queue_pending(daemon, "tissue", release) == 0
    again = add_release(connection)
    assert work.queue_pending(daemon, "tissue", again) == 5


def test_daemons_that_queue_at_once_queue_each_sample_once(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    names = [f"s{number:03}" for number in range(50)]
    add_samples(connection, *names)
    release = add_release(connection)

    def queue(number: int) -> int:
        with as_daemon(database) as conn:
            return work.queue_pending(conn, "tissue", release)

    assert sorted(in_threads(4, queue)) == [0, 0, 0, 50]
    assert queued(connection) == names


def test_a_lease_that_ran_out_is_taken_over(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    assert names_of(work.claim(daemon, "w1", "tissue", release, 9, 0)) == ["a"]
    assert work.pending_counts(daemon) == {release: (1, 0)}
    assert names_of(work.claim(daemon, "w2", "tissue", release, 9, 600)) == ["a"]
    assert work.claim(daemon, "w3", "tissue", release, 9, 600) == []
    assert run(connection, "select leased_by, attempts from annotator.work") == [("w2", 2)]
    assert work.release_claims(daemon, "w1") == 0
    assert work.release_claims(daemon, "w2") == 1


def test_a_claim_is_committed_whatever_the_connection_did_before(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    daemon.execute("select 1")  # leaves a transaction open
    work.queue_pending(daemon, "tissue", release)
    daemon.execute("select 1")
    work.claim(daemon, "w1", "tissue", release, 9, 600)
    daemon.rollback()
    assert run(connection, "select leased_by from annotator.work") == [("w1",)]


def test_a_callers_transaction_decides_over_what_is_in_it(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    with daemon.transaction(force_rollback=True):
        assert work.queue_pending(daemon, "tissue", release) == 1
    assert queued(connection) == []


def test_suspects_come_last_and_alone(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a", "b", "c", "d")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    run(
        connection,
        "update annotator.work set attempts = %s where sample_id in ('a', 'b')",
        work.SUSPECT_ATTEMPTS,
    )
    claims = [names_of(work.claim(daemon, "w1", "tissue", release, 9, 600)) for _ in range(4)]
    assert claims == [["c", "d"], ["a"], ["b"], []]


def test_a_sample_that_kills_its_workers_ends_in_quarantine_without_its_neighbours(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "good1", "good2", "killer")
    release = add_release(connection)
    predict(connection, "killer", release)
    change(connection, "killer")
    work.queue_pending(daemon, "tissue", release)
    for _ in range(20):
        claimed = work.claim(daemon, "w1", "tissue", release, 9, 0)
        if "killer" not in names_of(claimed):
            for sample in names_of(claimed):
                run(connection, "delete from annotator.work where sample_id = %s", sample)
                predict(connection, sample, release)
        work.quarantine_repeat_offenders(daemon, "tissue")
    assert run(
        connection, "select sample_id, field, release_id, code from annotator.quarantine"
    ) == [("killer", "tissue", release, "repeatedly_failed")]
    assert queued(connection) == []
    assert work.queue_pending(daemon, "tissue", release) == 0
    assert run(connection, "select count(*) from annotator.suggestion") == [(2,)]
    assert run(
        connection,
        "select subject, detail -> 'samples' from annotator.event where kind = 'failure'",
    ) == [("tissue", ["killer"])]
    assert work.queue_pending(daemon, "tissue", add_release(connection)) == 3


def test_a_leased_sample_is_not_given_up_yet(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    run(connection, "update annotator.work set attempts = 4")
    work.claim(daemon, "w1", "tissue", release, 9, 600)
    assert work.quarantine_repeat_offenders(daemon, "tissue") == 0
    run(connection, "update annotator.work set leased_until = now()")
    assert work.quarantine_repeat_offenders(daemon, "tissue") == 1


def test_what_is_given_back_is_not_held_against_the_sample(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    add_samples(connection, "a")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    run(connection, "update annotator.work set attempts = 3")
    for _ in range(3):
        assert names_of(work.claim(daemon, "w1", "tissue", release, 9, 600)) == ["a"]
        assert work.release_claims(daemon, "w1") == 1
    assert run(connection, "select attempts from annotator.work") == [(3,)]
    assert work.quarantine_repeat_offenders(daemon, "tissue") == 0
    run(
        connection, "update annotator.work set attempts = 0, leased_by = 'w1', leased_until = now()"
    )
    assert work.release_claims(daemon, "w1") == 1
    assert run(connection, "select attempts from annotator.work") == [(0,)]


def test_what_a_worker_held_is_given_back_when_its_connection_is_gone(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    """No lease has to run out; the attempt counts, and who lives keeps what it has."""
    add_samples(connection, "a", "b", "c")
    release = add_release(connection)
    work.queue_pending(daemon, "tissue", release)
    work.stay_alive(daemon, "alive")
    work.claim(daemon, "alive", "tissue", release, 1, 600)
    with as_daemon(database) as other:
        work.stay_alive(other, "soon gone")
        work.claim(other, "soon gone", "tissue", release, 1, 600)
        assert work.release_claims_of_the_gone(daemon) == 0
        pid = other.info.backend_pid
    pause = threading.Event()
    while run(connection, "select from pg_stat_activity where pid = %s", pid):
        pause.wait(0.01)
    assert work.release_claims_of_the_gone(daemon) == 1
    assert run(
        connection,
        "select sample_id, leased_by, attempts from annotator.work order by sample_id",
    ) == [("a", "alive", 1), ("b", None, 1), ("c", None, 0)]
