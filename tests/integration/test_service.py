"""Heartbeats, due times, locks and the state of it all."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import psycopg

from annotator.store.answers import work
from annotator.store.releases import registry, runs
from annotator.store.releases.runs import RunStart
from annotator.store.watch import daemons as service
from tests.support import ROOT
from tests.support.store import as_daemon, run

DUE = datetime(2026, 1, 2, 2, 0, tzinfo=UTC)


def names(daemons: tuple[service.DaemonStatus, ...]) -> list[str]:
    return [daemon.worker for daemon in daemons]


def test_who_beats_lives_and_who_is_silent_does_not(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    service.beat(daemon, "w1", "here", 11, "0.1", "annotating")
    service.beat(daemon, "w2", "there", 22, "0.1", "idle")
    service.beat(daemon, "w1", "here", 11, "0.1", "idle")
    found = service.snapshot(daemon).daemons
    assert names(found) == ["w1", "w2"]
    assert (found[0].host, found[0].pid, found[0].version, found[0].state) == (
        "here", 11, "0.1", "idle",
    )  # fmt: skip
    assert found[0].silent_seconds >= 0
    run(
        connection,
        "update annotator.heartbeat set beat_at = clock_timestamp() - interval '1 minute'"
        " where worker = 'w1'",
    )
    assert names(service.snapshot(daemon).daemons) == ["w2"]
    assert names(service.snapshot(daemon, alive_seconds=3600).daemons) == ["w1", "w2"]
    service.forget(daemon, "w2")
    assert names(service.snapshot(daemon).daemons) == []


def test_those_silent_for_long_are_forgotten(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    service.beat(daemon, "old", "here", 1, "0.1", "idle")
    run(connection, "update annotator.heartbeat set beat_at = now() - interval '30 days'")
    service.beat(daemon, "new", "here", 2, "0.1", "idle")
    assert run(connection, "select worker from annotator.heartbeat") == [("new",)]


def test_of_five_that_ask_one_takes_the_tick(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    barrier = threading.Barrier(5)
    taken: list[bool] = []

    def take(number: int) -> None:
        with as_daemon(database) as conn:
            barrier.wait()
            taken.append(service.take_tick(conn, "retrain", DUE, f"w{number}"))

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 4 + [True]
    assert service.any_tick(daemon, "retrain")
    assert not service.any_tick(daemon, "other job")
    assert not service.take_tick(daemon, "retrain", DUE, "late")
    assert service.take_tick(daemon, "other job", DUE, "late")
    assert service.take_tick(daemon, "retrain", DUE.replace(day=3), "late")
    service.finish_tick(daemon, "retrain", DUE, "promoted")
    assert run(
        connection,
        "select outcome from annotator.tick where job = 'retrain' order by due_at",
    ) == [("promoted",), (None,)]


def test_the_time_is_that_of_the_database(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    ((before,),) = run(connection, "select clock_timestamp()")
    now = service.database_time(daemon)
    assert now.utcoffset() is not None
    assert before <= now <= service.database_time(daemon)


def test_the_state_of_an_empty_database(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    found = service.snapshot(daemon)
    assert (found.samples, found.datasets) == (0, 0)
    assert [status.field for status in found.fields] == ["tissue", "sex", "age"]
    assert found.fields[0] == service.FieldStatus(
        "tissue", None, None, None, None, None, None, None, 0, 0, 0, 0, 0, None
    )
    assert (found.daemons, found.last_annotation_run, found.failures) == ((), None, ())


def test_the_state_of_a_working_database(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    run(connection, "insert into atlas.dataset (dataset_id) values ('D1'), ('D2')")
    run(
        connection,
        "insert into atlas.sample (sample_id, dataset_id)"
        " select 's' || i, 'D1' from generate_series(1, 8) i",
    )
    run_id = runs.start_run(
        daemon,
        RunStart(
            field="tissue",
            preset="paper",
            seed=1,
            configuration={},
            configuration_hash="c",
            versions={},
            host="here",
        ),
    )
    ((release_id,),) = run(
        connection,
        "insert into annotator.release (field, run_id, status, classes, features, promoted_at)"
        " values ('tissue', %s, 'live', '{liver,brain}', 5, now()) returning release_id",
        run_id,
    )
    run(
        connection,
        "insert into annotator.metric"
        " (run_id, scheme, model_kind, name, class, value, samples, datasets) values"
        " (%(run)s, 'one-dataset-out', 'combined', 'accuracy', '', 0.81, 8, 2),"
        " (%(run)s, 'cv', 'combined', 'accuracy', '', 0.99, 8, 2),"
        " (%(run)s, 'one-dataset-out', 'network', 'accuracy', '', 0.5, 8, 2)".replace(
            "%(run)s", str(run_id)
        ),
    )
    runs.finish_run(daemon, run_id, "succeeded", None)
    later = runs.start_run(
        daemon,
        RunStart(
            field="tissue",
            preset="paper",
            seed=1,
            configuration={},
            configuration_hash="c",
            versions={},
            host="here",
        ),
    )
    runs.finish_run(daemon, later, "failed", "out of memory")
    run(
        connection,
        "insert into annotator.prediction (sample_id, dataset_id, field, release_id, input_hash,"
        " sample_updated_at, value, confidence, status, reason, is_current)"
        " select sample_id, dataset_id, 'tissue', %s, repeat('0', 64), updated_at, 'liver', 0.9,"
        " (case sample_id when 's3' then 'abstained' else 'suggested' end)"
        "     ::annotator.prediction_status, 'why', sample_id <> 's4'"
        " from atlas.sample where sample_id <= 's4'",
        release_id,
    )
    run(
        connection,
        "insert into annotator.quarantine"
        " (sample_id, field, release_id, sample_updated_at, code, reason)"
        " select sample_id, 'tissue', %s, updated_at"
        "     - case sample_id when 's5' then interval '1 day' else interval '0' end, 'x', 'why'"
        " from atlas.sample where sample_id in ('s4', 's5')",
        release_id,
    )
    before = service.snapshot(daemon).fields[0]
    assert (before.waiting, before.leased) == (4, 0)
    assert work.queue_pending(daemon, "tissue", release_id) == 4
    assert len(work.claim(daemon, "w1", "tissue", release_id, 3, 600)) == 3
    run(connection, "insert into annotator.annotation_run (worker, host) values ('w1', 'here')")
    for number in range(7):
        service.record_event(daemon, "failure", "sex", {"number": number})
    service.record_event(daemon, "greeting", None, {})

    found = service.snapshot(daemon)
    assert (found.samples, found.datasets) == (8, 2)
    tissue = found.fields[0]
    assert (tissue.release_id, tissue.preset, tissue.accuracy) == (release_id, "paper", 0.81)
    assert (tissue.last_run_status, tissue.last_run_reason) == ("failed", "out of memory")
    assert (tissue.waiting, tissue.leased) == (1, 3)
    assert (tissue.suggested, tissue.abstained, tissue.quarantined) == (2, 1, 1)
    assert found.last_annotation_run is not None
    assert found.last_annotation_run.worker == "w1"
    assert [event.detail.get("number") for event in found.failures] == [6, 5, 4, 3, 2]
    assert {event.subject for event in found.failures} == {"sex"}


def test_a_field_whose_newest_release_was_refused_has_no_reliable_model(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    def release(status: str) -> int:
        made = run(
            connection,
            "with t as (insert into annotator.training_run"
            " (field, preset, status, seed, host, finished_at)"
            " values ('sex', 'default', 'succeeded', 1, 'here', now()) returning run_id)"
            " insert into annotator.release (field, run_id, status, classes, features, promoted_at)"
            " select 'sex', run_id, %s, '{female,male}', 5, now() from t returning release_id",
            status,
        )
        return int(made[0][0])

    def refused() -> int | None:
        return service.snapshot(daemon).fields[1].refused_release_id

    release("rejected")
    second = release("rejected")
    release("candidate")
    assert refused() == second
    release("live")
    assert refused() is None
    release("rejected")
    assert refused() is None


def test_reading_leaves_no_transaction_open(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    service.snapshot(daemon)
    work.pending_counts(daemon)
    registry.live_releases(daemon)
    assert daemon.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_what_the_status_needs_imports_no_arrays() -> None:
    code = (
        "import sys; import annotator.store.watch.daemons, annotator.store.answers.work,"
        " annotator.store.releases.registry, annotator.store.releases.lifecycle;"
        " print(sorted({name.split('.')[0] for name in sys.modules}"
        " & {'numpy', 'scipy', 'pandas', 'sqlalchemy', 'alembic', 'tensorflow', 'sklearn'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_due_time_that_a_dead_daemon_took_can_be_taken_again(connection) -> None:
    due = datetime(2026, 3, 1, 2, tzinfo=UTC)
    assert service.take_tick(connection, "retrain", due, "first")
    assert not service.take_tick(connection, "retrain", due, "second")
    connection.execute(
        "update annotator.tick set taken_at = clock_timestamp() - make_interval(secs => %s)",
        (2 * service.ABANDONED_AFTER_SECONDS,),
    )
    connection.commit()
    service.beat(connection, "first", "here", 1, "0", "retraining")
    assert not service.take_tick(connection, "retrain", due, "second")  # the first still lives
    service.forget(connection, "first")
    assert service.take_tick(connection, "retrain", due, "second")
    service.finish_tick(connection, "retrain", due, "done")
    connection.execute("update annotator.tick set taken_at = taken_at - interval '1 day'")
    connection.commit()
    assert not service.take_tick(connection, "retrain", due, "third")  # it is done
