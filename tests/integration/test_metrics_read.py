"""The metrics that are watched: of the database, over HTTP, and in the status."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scipy.stats import kstest

from annotator.errors import NeedsPersonError
from annotator.jobs.watch.prometheus import GaugesCollector, Metrics, families
from annotator.jobs.watch.status import read_status
from annotator.settings import Settings
from annotator.store.answers import work
from annotator.store.server.schema import ROLES
from annotator.store.watch import daemons as service
from annotator.store.watch.monitoring import FEWEST_RECENT, FieldGauges, Gauges, read_gauges

CLASSES = ("blood", "brain", "liver")


def execute(conn: psycopg.Connection, statement: str, *values: Any) -> None:
    conn.execute(statement, values)
    conn.commit()


def tissue(conn: psycopg.Connection, **options: Any) -> FieldGauges:
    return read_gauges(conn, **options).fields[0]


@pytest.fixture
def live(connection: psycopg.Connection) -> int:
    """A live tissue release that learned 50 blood, 30 brain and 20 liver samples."""
    connection.execute(
        "with c as (insert into annotator.cohort (field, hash, samples, datasets)"
        " values ('tissue', repeat('a', 64), 100, 1) returning cohort_id),"
        " m as (insert into annotator.cohort_sample"
        " (cohort_id, sample_id, dataset_id, value, class)"
        " select cohort_id, 'c' || i, 'D0', 'x', case when i <= 50 then 'blood' when i <= 80"
        " then 'brain' when i <= 100 then 'liver' end from c, generate_series(1, 110) i),"
        " t as (insert into annotator.training_run"
        " (field, preset, cohort_id, status, seed, host, finished_at)"
        " select 'tissue', 'default', cohort_id, 'succeeded', 1, 'here', now() - interval '1 day'"
        " from c returning run_id)"
        " insert into annotator.release (field, run_id, status, classes, features, promoted_at)"
        " select 'tissue', run_id, 'live', '{blood,brain,liver}', 10, now() - interval '1 day'"
        " from t"
    )
    connection.execute("insert into atlas.dataset (dataset_id) values ('D1')")
    row = connection.execute("select release_id from annotator.release").fetchone()
    connection.commit()
    assert row is not None
    return int(row[0])


def answer(
    conn: psycopg.Connection,
    release_id: int,
    novelty: Any,
    classes: Any,
    *,
    age: str = "1 hour",
    prefix: str = "s",
) -> None:
    """Store current predictions for samples that changed ``age`` ago."""
    names = [f"{prefix}{i}" for i in range(len(novelty))]
    with conn.cursor() as cursor:
        cursor.executemany(
            "with s as (insert into atlas.sample (sample_id, dataset_id, updated_at)"
            " values (%s, 'D1', now() - %s::interval) returning sample_id, updated_at)"
            " insert into annotator.prediction (sample_id, dataset_id, field, release_id,"
            " input_hash, sample_updated_at, value, confidence, status, novelty, models)"
            " select sample_id, 'D1', 'tissue', %s, repeat('0', 64), updated_at, 'x', 0.9,"
            " 'suggested', %s,"
            " jsonb_build_object('combined', jsonb_build_object('value', %s::text))"
            " from s",
            [
                (name, age, release_id, value, said)
                for name, value, said in zip(names, novelty, classes, strict=True)
            ],
        )
    conn.commit()


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_drift_is_the_distance_from_held_out_and_from_training(
    connection: psycopg.Connection, live: int, shift: float
) -> None:
    random = np.random.default_rng(3)
    # Ties, as at the ends: what is more novel than all held-out samples is 1.
    novelty = np.round(np.clip(random.random(400) * (1 - shift) + shift, 0, 1), 2).tolist()
    novelty[:5] = [1.0] * 5
    said = random.choice(CLASSES, 400, p=(0.5, 0.3, 0.2) if not shift else (0.1, 0.1, 0.8)).tolist()
    answer(connection, live, novelty, said)
    found = tissue(connection)
    assert found.recent == 400
    expected = kstest(novelty, "uniform", alternative="less").statistic
    assert found.novelty_drift == pytest.approx(expected)
    shares = Counter(said)
    distance = sum(
        abs(shares[name] / 400 - share)
        for name, share in zip(CLASSES, (0.5, 0.3, 0.2), strict=True)
    )
    assert found.label_drift == pytest.approx(distance / 2)
    assert (found.novelty_drift > 0.3) == (found.label_drift > 0.3) == bool(shift)


def test_samples_that_look_more_usual_than_held_out_ones_are_no_drift(
    connection: psycopg.Connection, live: int
) -> None:
    answer(connection, live, [0.0] * 50, ["blood"] * 25 + ["brain"] * 15 + ["liver"] * 10)
    found = tissue(connection)
    assert (found.novelty_drift, found.label_drift) == (0, 0)


def test_drift_needs_enough_recent_predictions(connection: psycopg.Connection, live: int) -> None:
    answer(connection, live, [1.0] * 50, ["liver"] * 50, age="40 days", prefix="old")
    few = FEWEST_RECENT - 1
    answer(connection, live, [0.5] * few, ["brain"] * few)
    found = tissue(connection)
    assert (found.recent, found.novelty_drift, found.label_drift) == (few, None, None)
    assert found.annotated == few + 50
    everything = tissue(connection, drift_days=50)
    assert everything.recent == few + 50
    assert everything.novelty_drift is not None
    assert everything.label_drift is not None
    # A class that training never had counts whole.
    execute(connection, "update annotator.prediction set models = '{}'")
    assert tissue(connection, drift_days=50).label_drift == pytest.approx(1)


def test_what_became_of_the_live_release_s_suggestions(
    connection: psycopg.Connection, live: int
) -> None:
    answer(connection, live, [0.5] * 5, ["blood"] * 5)
    found = tissue(connection)
    assert (found.judged, found.accuracy_in_use) == (0, None)
    # Every suggestion of answer() says 'x'.
    execute(
        connection,
        "insert into atlas.annotation (sample_id, field, value)"
        " values ('s0', 'tissue', 'x'), ('s1', 'tissue', 'liver'), ('s2', 'tissue', 'X')",
    )
    found = tissue(connection)
    assert (found.judged, found.accuracy_in_use) == (3, pytest.approx(2 / 3))
    shown = {
        sample.name: sample.value
        for family in families(read_gauges(connection))
        for sample in family.samples
        if sample.labels.get("field") == "tissue"
    }
    assert shown["annotator_judged_suggestions"] == 3
    assert shown["annotator_accuracy_in_use"] == pytest.approx(2 / 3)


def test_the_oldest_pending_sample(connection: psycopg.Connection, live: int) -> None:
    assert (tissue(connection).pending, tissue(connection).oldest_pending_seconds) == (0, None)
    execute(
        connection,
        "insert into atlas.sample (sample_id, dataset_id, updated_at) values"
        " ('a', 'D1', now() - interval '3 hours'), ('b', 'D1', now() - interval '1 year')",
    )
    found = tissue(connection)
    assert found.pending == 2
    # The second waits only since there has been somebody to answer it.
    assert found.oldest_pending_seconds == pytest.approx(86400, abs=60)
    work.queue_pending(connection, "tissue", live)
    assert tissue(connection).oldest_pending_seconds == pytest.approx(0, abs=60)
    execute(connection, "update annotator.work set queued_at = now() - interval '2 hours'")
    work.claim(connection, "w1", "tissue", live, 1, 600)
    found = tissue(connection)
    assert found.pending == 2  # one is in hand
    assert found.oldest_pending_seconds == pytest.approx(7200, abs=60)


def test_retrainings_are_counted_by_how_they_ended(
    connection: psycopg.Connection, live: int
) -> None:
    execute(
        connection,
        "insert into annotator.training_run"
        " (field, preset, seed, host, status, reason, finished_at)"
        " values ('tissue', 'p', 1, 'h', 'skipped', 'why', now() - interval '1 hour'),"
        " ('tissue', 'p', 1, 'h', 'failed', 'why', now()),"
        " ('tissue', 'p', 1, 'h', 'interrupted', null, now()),"
        " ('sex', 'p', 1, 'h', 'succeeded', null, now()),"
        " ('sex', 'p', 1, 'h', 'running', null, null)",
    )
    execute(
        connection,
        "insert into annotator.release (field, run_id, status, classes, features)"
        " select field, run_id, 'rejected', '{a,b}', 1 from annotator.training_run"
        " where field = 'sex' and status = 'succeeded'",
    )
    of_tissue, of_sex, of_age = read_gauges(connection).fields
    assert of_tissue.retrainings == {
        "promoted": 1, "rejected": 0, "skipped": 1, "failed": 1, "interrupted": 1,
    }  # fmt: skip
    assert of_tissue.retrained_seconds_ago == pytest.approx(3600, abs=60)
    assert of_sex.retrainings["rejected"] == sum(of_sex.retrainings.values()) == 1
    assert of_age.retrained_seconds_ago is None
    assert of_tissue.release_id == live
    assert of_tissue.release_age_seconds == pytest.approx(86400, abs=60)
    assert (of_sex.release_id, of_sex.release_accuracy) == (None, None)


@pytest.mark.parametrize("role", ROLES)
def test_every_role_may_look(database: Any, connection: Any, live: int, role: str) -> None:
    service.record_event(connection, "failure", "tissue", {})
    service.beat(connection, "w1", "here", 1, "0", "idle")
    with database.connect(user=role) as conn:
        found = read_gauges(conn)
    assert (found.daemons, found.recent_failures) == ({"idle": 1}, 1)


TISSUE, SEX = "tissue,Homo sapiens", "sex,Homo sapiens"


def scraped(port: int) -> dict[tuple[str, str], float]:
    """Every sample that is served, by name and the values of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answered:
        text = answered.read().decode()
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def serving(settings: Settings) -> Settings:
    return replace(settings, metrics_port=free_port())


def test_prometheus_and_the_status_are_told_the_same(
    database: Any, connection: psycopg.Connection, live: int, serving: Settings
) -> None:
    answer(connection, live, [0.3, 0.9] * 20, ["blood", "liver"] * 20)
    execute(
        connection,
        "insert into atlas.sample (sample_id, dataset_id, updated_at)"
        " values ('waits', 'D1', now() - interval '1 hour')",
    )
    metrics = Metrics(database, serving)
    metrics.start()
    try:
        metrics.batch_done("tissue", 0.3)
        metrics.batch_done("tissue", 40)
        found = scraped(serving.metrics_port)
    finally:
        metrics.stop()
    metrics = read_status(database, serving, with_metrics=True).as_dict()["metrics"]
    of_tissue = metrics["fields"][0]
    same = {
        "annotator_pending_samples": "pending",
        "annotator_annotated_samples": "annotated",
        "annotator_abstained_samples": "abstained",
        "annotator_quarantined_samples": "quarantined",
        "annotator_live_release": "release_id",
        "annotator_recent_predictions": "recent",
        "annotator_novelty_drift": "novelty_drift",
        "annotator_label_drift": "label_drift",
    }
    for name, key in same.items():
        assert found[name, TISSUE] == of_tissue[key], name
    assert of_tissue["pending"] == 1
    assert found["annotator_oldest_pending_seconds", TISSUE] == pytest.approx(3600, abs=60)
    assert found["annotator_retrainings_total", f"{TISSUE},promoted"] == 1
    assert found["annotator_database_up", ""] == 1
    # Where there is no release, there is nothing to say of it.
    assert ("annotator_live_release", SEX) not in found
    assert found["annotator_pending_samples", SEX] == 0
    assert found["annotator_batch_seconds_count", "tissue"] == 2
    assert found["annotator_batch_seconds_bucket", "tissue,1.0"] == 1
    assert found["process_open_fds", ""] > 0
    assert read_status(database, serving).metrics is None
    with pytest.raises(OSError):
        scraped(serving.metrics_port)  # it stopped


def test_a_database_that_is_away_is_a_figure(settings: Settings, database: Any) -> None:
    away = replace(database, conninfo="host=127.0.0.1 port=1 user=nobody")
    values = {
        sample.name: sample.value
        for family in GaugesCollector(away, settings).collect()
        for sample in family.samples
    }
    assert values.pop("annotator_build") == 1
    assert values == {"annotator_database_up": 0}


def test_a_database_that_answers_with_an_error_is_not_away(
    settings: Settings, empty_database: Any
) -> None:
    values = {
        sample.name: sample.value
        for family in GaugesCollector(empty_database, settings).collect()
        for sample in family.samples
    }
    assert values.pop("annotator_build") == 1
    assert values == {"annotator_database_up": 1}  # it was never migrated


def test_scrapes_at_once_ask_the_database_once(
    database: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read(_connection: Any, **_options: Any) -> Gauges:
        asked.append(1)
        return Gauges((), {}, 0)

    monkeypatch.setattr("annotator.jobs.watch.prometheus.read_gauges", read)
    now = 100.0
    collector = GaugesCollector(database, settings, clock=lambda: now)
    threads = [threading.Thread(target=lambda: list(collector.collect())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    now = 104.9
    list(collector.collect())
    assert len(asked) == 1
    now = 105.1
    list(collector.collect())
    assert len(asked) == 2


def test_what_takes_long_to_read_is_read_seldom_and_its_age_is_told(
    database: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, asked = 100.0, []

    def read(_connection: Any, **_options: Any) -> Gauges:
        nonlocal now
        asked.append(now)
        now += seconds
        return Gauges((), {}, 0)

    def age() -> float:
        (found,) = (
            sample.value
            for family in collector.collect()
            for sample in family.samples
            if sample.name == "annotator_metrics_age_seconds"
        )
        return found

    monkeypatch.setattr("annotator.jobs.watch.prometheus.read_gauges", read)
    collector = GaugesCollector(database, settings, clock=lambda: now)
    seconds = 2.0
    assert age() == 0
    # 2 of 42 seconds are 5 %.
    for later in range(39):
        now = 103.0 + later
        assert age() == pytest.approx(1 + later)
    assert asked == [100.0]
    now, seconds = 142.0, 60.0
    assert age() == 0
    assert asked == [100.0, 142.0]
    now = 202.0 + 299.9  # never older than five minutes
    assert age() == pytest.approx(299.9)
    now = 202.0 + 300.1
    assert age() == 0
    assert len(asked) == 3


def test_pending_is_compared_by_hash_and_nothing_else(
    connection: psycopg.Connection, live: int
) -> None:
    """In the transaction that reads all figures, what follows is planned as usual."""
    with connection.transaction():
        work.pending_and_oldest(connection, "tissue", live)
        work.count_pending(connection, "tissue", live)
        assert connection.execute("show enable_nestloop").fetchone() == ("on",)


def test_drift_is_measured_on_the_newest(
    connection: psycopg.Connection, live: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotator.store.watch.monitoring.MOST_RECENT", 40)
    answer(connection, live, [0.5] * 50, ["blood"] * 50, age="3 days", prefix="old")
    answer(connection, live, [1.0] * 40, ["liver"] * 40)
    found = tissue(connection)
    assert (found.recent, found.annotated) == (40, 90)
    assert (found.novelty_drift, found.label_drift) == (pytest.approx(1), pytest.approx(0.8))


def test_a_port_that_is_taken_is_said_at_once(database: Any, serving: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", serving.metrics_port))
        taken.listen()
        with pytest.raises(NeedsPersonError, match=f"port {serving.metrics_port}.*metrics_port"):
            Metrics(database, serving).start()


def test_no_figure_names_a_sample(connection: psycopg.Connection, live: int) -> None:
    answer(connection, live, [0.5] * 40, ["blood"] * 40, prefix="patient")
    labels = {
        value
        for family in families(read_gauges(connection))
        for sample in family.samples
        for value in sample.labels.values()
    }
    assert not any("patient" in label or label == "D1" for label in labels)
