"""Training runs and releases: what is kept, and that one release of a field is live."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest

from annotator.domain.held_out import Curve, CurvePoint, HeldOutPredictions, LabelSuspicion, Metric
from annotator.domain.releases import Artefact, CandidateRelease, Comparison
from annotator.domain.statuses import RunStatus
from annotator.errors import ArtefactError, LeaseLostError, NeedsPersonError
from annotator.store.releases import held_out as validation
from annotator.store.releases import registry, runs
from annotator.store.releases.comparisons import read_comparisons
from annotator.store.releases.runs import RunStart

CLASSES = ("brain", "liver", "skin")
ARTEFACTS = (
    Artefact("forest.safetensors", "application/zip", bytes(range(256)) * 40),
    Artefact("configuration.json", "application/json", b"{}"),
)


def as_daemon(database: Any) -> psycopg.Connection:
    conn = database.connect()
    conn.execute("set role annotator_daemon")
    conn.commit()
    return conn


@pytest.fixture
def daemon(database: Any, connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    with as_daemon(database) as conn:
        yield conn


def run(conn: psycopg.Connection, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    cursor = conn.execute(statement, values)
    rows = cursor.fetchall() if cursor.description else []
    conn.commit()
    return rows


def start(conn: psycopg.Connection, field: str = "tissue") -> int:
    return runs.start_run(
        conn,
        RunStart(
            field=field,
            preset="default",
            seed=7,
            configuration={"network": {"epochs": 50}},
            configuration_hash="c1",
            versions={"numpy": "2"},
            host="here",
        ),
    )


def held_out(samples: int = 6, seed: int = 1) -> HeldOutPredictions:
    generator = np.random.default_rng(seed)

    def probabilities() -> np.ndarray:
        return generator.dirichlet(np.ones(len(CLASSES)), size=samples)

    return HeldOutPredictions(
        sample_ids=np.array([f"s{number:03}" for number in range(samples)], dtype=object),
        dataset_ids=np.array([f"D{number % 3}" for number in range(samples)], dtype=object),
        truth=np.array([CLASSES[number % 3] for number in range(samples)], dtype=object),
        folds=np.arange(samples, dtype=np.int64) % 3,
        classes=CLASSES,
        probabilities={"network": probabilities(), "combined": probabilities()},
    )


METRICS = {
    "one-dataset-out": (
        Metric("combined", "accuracy", None, 0.8125, 6, 3),
        Metric("combined", "class_accuracy", "liver", 0.5, 2, 1),
        Metric("network", "accuracy", None, 0.75, 6, 3),
    )
}


def candidate(
    conn: psycopg.Connection, field: str = "tissue", artefacts: tuple[Artefact, ...] = ARTEFACTS
) -> int:
    run_id = start(conn, field)
    return registry.save_candidate(
        conn, run_id, CandidateRelease(field, CLASSES, 12, artefacts, held_out(), METRICS)
    )


def finish(conn: psycopg.Connection, release_id: int) -> None:
    """Finish the run behind a release."""
    ((run_id,),) = run(
        conn, "select run_id from annotator.release where release_id = %s", release_id
    )
    runs.finish_run(conn, run_id, "succeeded", None)


def statuses(conn: psycopg.Connection) -> list[str]:
    return [
        row[0]
        for row in run(conn, "select status::text from annotator.release order by release_id")
    ]


RUN = (
    "select run_id, status::text, reason, seed, folds, finished_at >= started_at"
    " from annotator.training_run order by run_id desc limit 1"
)


def test_a_run_from_start_to_end(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    assert runs.last_attempt(daemon, "tissue") is None
    run_id = start(daemon)
    assert run(connection, RUN) == [(run_id, "running", None, 7, None, None)]
    assert runs.last_attempt(daemon, "tissue") is None
    runs.save_cohort(daemon, run_id, "tissue", "a" * 64, [("s1", "D1", "hepatocyte", "liver")])
    runs.finish_run(daemon, run_id, "succeeded", "fine", "every dataset by itself")
    assert run(connection, RUN) == [
        (run_id, "succeeded", "fine", 7, "every dataset by itself", True)
    ]
    assert runs.last_attempt(daemon, "tissue") == ("a" * 64, "c1", "succeeded", None)
    assert runs.last_attempt(daemon, "sex") is None


def test_the_last_attempt_is_the_last_that_succeeded(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    finish(daemon, candidate(daemon))
    runs.finish_run(daemon, start(daemon), "failed", "out of memory")
    runs.finish_run(daemon, start(daemon), "skipped", "nothing changed")
    assert runs.last_attempt(daemon, "tissue") == (None, "c1", "succeeded", "candidate")
    ((_, *last),) = run(connection, RUN)
    assert last[:2] == ["skipped", "nothing changed"]


def test_a_run_ends_once_and_a_failure_is_an_event(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    run_id = start(daemon)
    runs.finish_run(daemon, run_id, "failed", "no memory")
    with pytest.raises(LeaseLostError, match="no longer running"):
        runs.finish_run(daemon, run_id, "succeeded", None)
    assert run(connection, "select kind, subject, detail from annotator.event") == [
        ("failure", "tissue", {"run_id": run_id, "reason": "no memory"})
    ]


def test_a_run_that_was_told_to_stop_is_no_failure(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    runs.finish_run(daemon, start(daemon), RunStatus.INTERRUPTED, None)
    ((_, *last),) = run(connection, RUN)
    assert last[:2] == ["interrupted", None]
    assert run(connection, "select kind from annotator.event") == []


def test_runs_of_a_dead_process_are_closed(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    first, other = start(daemon), start(daemon, "sex")
    assert runs.fail_orphaned_runs(daemon, "tissue") == 1
    assert runs.fail_orphaned_runs(daemon, "tissue") == 0
    assert run(connection, "select run_id, status::text from annotator.training_run order by 1") \
        == [(first, "failed"), (other, "running")]  # fmt: skip
    assert run(connection, "select kind, subject from annotator.event") == [("failure", "tissue")]
    with pytest.raises(LeaseLostError):
        runs.save_cohort(daemon, first, "tissue", "a" * 64, [])
    with pytest.raises(LeaseLostError):
        registry.save_candidate(
            daemon, first, CandidateRelease("tissue", CLASSES, 12, ARTEFACTS, held_out(), METRICS)
        )
    assert statuses(connection) == []


def test_the_same_cohort_is_stored_once(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    rows = [("s1", "D1", "liver", "liver"), ("s2", "D1", 'odd\t"value"', None)]
    first, second = start(daemon), start(daemon)
    cohort_id = runs.save_cohort(daemon, first, "tissue", "a" * 64, iter(rows))
    assert runs.save_cohort(daemon, second, "tissue", "a" * 64, iter(rows)) == cohort_id
    assert runs.save_cohort(daemon, second, "tissue", "b" * 64, rows[:1]) != cohort_id
    assert run(connection, "select samples, datasets from annotator.cohort order by cohort_id") == [
        (2, 1),
        (1, 1),
    ]
    assert (
        run(
            connection,
            "select sample_id, dataset_id, value, class from annotator.cohort_sample"
            " where cohort_id = %s order by 1",
            cohort_id,
        )
        == rows
    )


def test_a_candidate_comes_back_as_it_was_stored(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    release_id = candidate(daemon)
    loaded = registry.load_artefacts(daemon, release_id)
    assert loaded == tuple(sorted(ARTEFACTS, key=lambda artefact: artefact.name))
    assert all(type(artefact.content) is bytes for artefact in loaded)
    ((run_id,),) = run(connection, "select run_id from annotator.release")
    given, found = held_out(), validation.held_out_of(daemon, run_id)
    assert found is not None
    assert found.classes == CLASSES
    for name in ("sample_ids", "dataset_ids", "truth", "folds"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    assert found.sample_ids.dtype == object
    assert found.folds.dtype == np.int64
    assert set(found.probabilities) == {"network", "combined"}
    for kind, probabilities in given.probabilities.items():
        assert found.probabilities[kind].dtype == np.float64
        np.testing.assert_array_equal(
            found.probabilities[kind], probabilities.astype(np.float32).astype(np.float64)
        )
    best = given.probabilities["combined"]
    assert run(
        connection,
        "select value, probability from annotator.validation_prediction"
        " where model_kind = 'combined' order by sample_id",
    ) == [(CLASSES[row.argmax()], row.max()) for row in best]
    assert run(
        connection, "select accuracy, held_out_samples, by_kind from annotator.model_card"
    ) == [(0.8125, 6, {"combined": 0.8125, "network": 0.75})]


def test_held_out_predictions_come_back_ordered_by_sample_in_every_kind(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    given = held_out(40)
    order = np.random.default_rng(3).permutation(40)
    shuffled = HeldOutPredictions(
        given.sample_ids[order], given.dataset_ids[order], given.truth[order], given.folds[order],
        CLASSES, {kind: values[order] for kind, values in given.probabilities.items()},
    )  # fmt: skip
    run_id = start(daemon)
    registry.save_candidate(
        daemon, run_id, CandidateRelease("tissue", CLASSES, 1, ARTEFACTS, shuffled, {})
    )
    found = validation.held_out_of(daemon, run_id)
    assert found is not None
    np.testing.assert_array_equal(found.sample_ids, given.sample_ids)
    np.testing.assert_array_equal(found.truth, given.truth)
    for kind, values in given.probabilities.items():
        np.testing.assert_allclose(found.probabilities[kind], values, atol=1e-7)


def test_novelty_comes_back_with_the_held_out_predictions(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    given = held_out()
    novelty = np.array([0.1, 2.5, 1.0 / 3.0, 0.0, 7.0, 1e-9])
    for stored, expected in ((novelty, novelty), (None, None)):
        run_id = start(daemon)
        kept = replace(given, novelty=stored)
        registry.save_candidate(
            daemon, run_id, CandidateRelease("tissue", CLASSES, 1, ARTEFACTS, kept, {})
        )
        found = validation.held_out_of(daemon, run_id)
        assert found is not None
        if expected is None:
            assert found.novelty is None
        else:
            assert found.novelty is not None
            assert found.novelty.dtype == np.float64
            np.testing.assert_array_equal(found.novelty, expected)
    assert run(
        connection,
        "select model_kind, count(novelty) from annotator.validation_prediction"
        " group by 1 order by 1",
    ) == [("combined", 6), ("network", 6)]


CURVES = (
    Curve("reliability", "combined", (CurvePoint(0.25, 0.5, 2), CurvePoint(0.75, 1.0, 4))),
    Curve("risk_coverage", "combined", (CurvePoint(1.0, 0.25, 6),)),
    Curve("risk_coverage", "network", ()),
)


def test_curves_and_suspect_labels_are_stored_with_a_candidate(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    suspicions = (
        LabelSuspicion("s004", "liver", "skin", np.float64(0.875), 1, {"same": np.int64(37)}),
        LabelSuspicion("s001", "liver", "brain", 0.5, 2, {}),
    )
    release_id = registry.save_candidate(
        daemon,
        start(daemon),
        CandidateRelease(
            "tissue",
            CLASSES,
            12,
            ARTEFACTS,
            held_out(),
            METRICS,
            curves=CURVES,
            suspicions=suspicions,
        ),
    )
    assert run(
        connection,
        "select release_id, field, status, scheme, model_kind, curve, position, x, y, samples"
        " from annotator.curve",
    ) == [
        (release_id, "tissue", "candidate", "one-dataset-out", "combined", *point)
        for point in (
            ("reliability", 1, 0.25, 0.5, 2),
            ("reliability", 2, 0.75, 1.0, 4),
            ("risk_coverage", 1, 1.0, 0.25, 6),
        )
    ]
    assert run(
        connection,
        "select sample_id, dataset_id, label, predicted, suspicion, rank, evidence"
        " from annotator.label_suspicion order by rank",
    ) == [
        ("s004", "D1", "liver", "skin", 0.875, 1, {"same": 37}),
        ("s001", "D1", "liver", "brain", 0.5, 2, {}),
    ]


def test_the_shares_of_the_kinds_are_on_the_model_card(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    weights = {"network": np.float64(0.25), "forest": 0.75}
    for given in (weights, None):
        registry.save_candidate(
            daemon,
            start(daemon),
            CandidateRelease("tissue", CLASSES, 12, ARTEFACTS, held_out(), METRICS, weights=given),
        )
    query = "select weights from annotator.model_card order by release_id"
    assert run(connection, query) == [({"network": 0.25, "forest": 0.75},), (None,)]
    with pytest.raises(psycopg.errors.CheckViolation, match="weights_are_an_object"):
        connection.execute("update annotator.release set weights = '[1]'")


def test_suspect_labels_of_samples_that_were_not_held_out_are_refused(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    stranger = LabelSuspicion("s999", "liver", "skin", 0.9, 1, {})
    with pytest.raises(NeedsPersonError, match=r"1 suspect labels .*s999"):
        registry.save_candidate(
            daemon,
            start(daemon),
            CandidateRelease(
                "tissue", CLASSES, 12, ARTEFACTS, held_out(), METRICS, CURVES, [stranger]
            ),
        )
    for table in ("release", "validation_prediction", "metric", "validation_curve"):
        assert run(connection, f"select count(*) from annotator.{table}") == [(0,)]


def test_there_are_no_held_out_predictions_without_a_release(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    assert validation.held_out_of(daemon, start(daemon)) is None
    run_id = start(daemon)
    nobody = held_out(0)
    registry.save_candidate(
        daemon, run_id, CandidateRelease("tissue", CLASSES, 1, ARTEFACTS, nobody, {})
    )
    assert validation.held_out_of(daemon, run_id) is None


def test_a_candidate_is_stored_whole_or_not_at_all(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    twice = {"cv": METRICS["one-dataset-out"] * 2}
    run_id = start(daemon)
    with pytest.raises(psycopg.errors.UniqueViolation):
        registry.save_candidate(
            daemon, run_id, CandidateRelease("tissue", CLASSES, 1, ARTEFACTS, held_out(), twice)
        )
    for table in ("release", "artefact", "validation_prediction", "metric"):
        assert run(connection, f"select count(*) from annotator.{table}") == [(0,)]
    registry.save_candidate(
        daemon, run_id, CandidateRelease("tissue", CLASSES, 1, ARTEFACTS, held_out(), METRICS)
    )


def test_an_artefact_too_large_for_postgresql_is_refused_by_name(
    connection: psycopg.Connection, daemon: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAXIMUM_ARTEFACT_BYTES", 10_000)
    with pytest.raises(NeedsPersonError, match=r"forest\.safetensors has 10,240 bytes"):
        candidate(daemon)
    assert statuses(connection) == []


def test_held_out_predictions_of_other_classes_are_refused(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    with pytest.raises(NeedsPersonError, match="brain, liver, skin"):
        registry.save_candidate(
            daemon,
            start(daemon),
            CandidateRelease("tissue", CLASSES[:2], 1, ARTEFACTS, held_out(), {}),
        )


def test_promotion_retires_the_release_before(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    assert registry.live_release(daemon, "tissue") is None
    first = candidate(daemon)
    registry.promote(daemon, first, ["it is the first"])
    second = candidate(daemon)
    live = registry.live_release(daemon, "tissue")
    assert live is not None
    assert (live.release_id, live.preset, live.classes, live.features) == (
        first, "default", CLASSES, 12,
    )  # fmt: skip
    registry.promote(daemon, second, ["better", "than before"])
    other = candidate(daemon, "sex")
    registry.promote(daemon, other, [])
    assert statuses(connection) == ["retired", "live", "live"]
    assert [r.release_id for r in registry.live_releases(daemon)] == [other, second]
    assert run(
        connection, "select reasons from annotator.release where release_id = %s", second
    ) == [(["better", "than before"],)]
    assert run(
        connection, "select subject, detail ->> 'release_id', detail ->> 'retired'"
        " from annotator.event where kind = 'promoted' order by event_id"
    ) == [("tissue", str(first), None), ("tissue", str(second), str(first)),
          ("sex", str(other), None)]  # fmt: skip


def test_only_a_candidate_is_promoted_or_rejected(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    live, refused = candidate(daemon), candidate(daemon)
    registry.promote(daemon, live, [])
    registry.reject(daemon, refused, ["worse than the majority class"])
    for decide in (registry.promote, registry.reject):
        with pytest.raises(NeedsPersonError, match="is live"):
            decide(daemon, live, [])
        with pytest.raises(NeedsPersonError, match="is rejected"):
            decide(daemon, refused, [])
        with pytest.raises(NeedsPersonError, match="no release 999"):
            decide(daemon, 999, [])
    assert statuses(connection) == ["live", "rejected"]
    assert run(
        connection, "select reasons from annotator.release where release_id = %s", refused
    ) == [(["worse than the majority class"],)]


def test_what_the_gate_compared_comes_back_as_it_was(daemon: psycopg.Connection) -> None:
    passed = Comparison("accuracy", "live", 0.8, 0.7, 0.01, True, 9, 3, "Accuracy.")
    failed = Comparison("auc", "majority", 0.4, 0.45, 0.0, False, 9, 3, "Refused: AUC.", 0.5)
    live, refused = candidate(daemon), candidate(daemon)
    assert read_comparisons(daemon, live) == ()
    registry.promote(daemon, live, ["Accuracy."], [passed])
    broken = replace(failed, ours=float("nan"))
    registry.reject(daemon, refused, ["Accuracy.", "Refused: AUC."], [passed, broken])
    assert read_comparisons(daemon, live) == (passed,)
    same, back = read_comparisons(daemon, refused)
    assert same == passed
    assert np.isnan(back.ours)
    assert replace(back, ours=0.4) == failed


def test_promotions_at_once_leave_one_live(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    registry.promote(daemon, candidate(daemon), [])
    candidates = [candidate(daemon) for _ in range(6)]
    barrier = threading.Barrier(len(candidates), timeout=60)

    def promote(release_id: int) -> None:
        with as_daemon(database) as conn:
            barrier.wait()
            registry.promote(conn, release_id, [])

    with ThreadPoolExecutor(len(candidates)) as pool:
        list(pool.map(promote, candidates))
    assert sorted(statuses(connection)) == ["live"] + ["retired"] * 6
    ((last,),) = run(
        connection, "select (detail ->> 'release_id')::int from annotator.event"
        " where kind = 'promoted' order by event_id desc limit 1"
    )  # fmt: skip
    live = registry.live_release(daemon, "tissue")
    assert live is not None
    assert live.release_id == last


def test_a_promotion_that_is_killed_leaves_the_live_release_live(
    database: Any, connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    first = candidate(daemon)
    registry.promote(daemon, first, [])
    second = candidate(daemon)
    run(
        connection,
        "create function pause() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(60); return null; end $$",
    )
    run(
        connection,
        "create trigger pause before insert on annotator.event"
        " for each statement execute function pause()",
    )
    errors: list[BaseException] = []

    def promote() -> None:
        try:
            registry.promote(daemon, second, [])
        except psycopg.Error as error:
            errors.append(error)

    thread = threading.Thread(target=promote)
    thread.start()
    pid, pause = daemon.info.backend_pid, threading.Event()
    asleep = "select 1 from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    while not run(connection, asleep, pid):
        pause.wait(0.01)
    run(connection, "select pg_terminate_backend(%s)", pid)
    thread.join()
    daemon.close()
    assert [type(error) for error in errors] == [psycopg.errors.AdminShutdown]
    assert statuses(connection) == ["live", "candidate"]
    run(connection, "drop function pause() cascade")
    with as_daemon(database) as other:
        registry.promote(other, second, [])
    assert statuses(connection) == ["retired", "live"]


@pytest.mark.parametrize(
    "damage",
    [
        "content = overlay(content placing '\\x00'::bytea from 5 for 1)",
        "content = substring(content from 1 for 100)",
        "content = content || '\\x00'::bytea",
        "content = ''",
        "size = size + 1",
        "sha256 = repeat('0', 64)",
    ],
)
def test_a_damaged_artefact_is_refused_before_it_is_returned(
    connection: psycopg.Connection, daemon: psycopg.Connection, damage: str
) -> None:
    release_id = candidate(daemon)
    with pytest.raises(psycopg.errors.CheckViolation):
        run(connection, f"update annotator.artefact set {damage} where name = 'forest.safetensors'")
    connection.rollback()
    run(connection, "alter table annotator.artefact drop constraint content_is_what_it_was")
    run(connection, f"update annotator.artefact set {damage} where name = 'forest.safetensors'")
    with pytest.raises(ArtefactError, match=rf"release {release_id}: artefact forest\.safetensors"):
        registry.load_artefacts(daemon, release_id)


def test_the_database_holds_the_digest_of_each_artefact(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    candidate(daemon)
    assert dict(run(connection, "select name, sha256 from annotator.artefact")) == {
        artefact.name: hashlib.sha256(artefact.content).hexdigest() for artefact in ARTEFACTS
    }


def test_a_release_without_artefacts_is_refused(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    with pytest.raises(ArtefactError, match="release 999 has no stored models"):
        registry.load_artefacts(daemon, 999)


def test_old_artefacts_go_and_those_of_the_live_release_stay(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    releases = []
    for _ in range(3):
        releases.append(candidate(daemon))
        registry.promote(daemon, releases[-1], [])
    releases.append(candidate(daemon))
    registry.reject(daemon, releases[-1], [])
    waiting, other = candidate(daemon), candidate(daemon, "sex")
    registry.reject(daemon, other, [])
    assert registry.retire_artefacts(daemon, keep=1) == 2 * len(ARTEFACTS)
    kept = run(connection, "select distinct release_id from annotator.artefact order by 1")
    assert [row[0] for row in kept] == [releases[2], releases[3], waiting, other]
    assert registry.retire_artefacts(daemon, keep=0) == 2 * len(ARTEFACTS)
    kept = run(connection, "select distinct release_id from annotator.artefact order by 1")
    assert [row[0] for row in kept] == [releases[2], waiting]
    assert len(statuses(connection)) == 6


def test_releases_without_files_take_no_place_of_those_that_have_some(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    before, live, orphan = candidate(daemon), candidate(daemon), candidate(daemon)
    registry.promote(daemon, before, [])
    registry.promote(daemon, live, [])
    finish(daemon, orphan)
    assert registry.sweep_orphans(daemon) == 1
    assert registry.retire_artefacts(daemon, keep=1) == 0
    assert [release.release_id for release in registry.earlier_releases(daemon, "tissue")] == [
        before
    ]


def test_candidates_that_nobody_decides_on_are_rejected(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    orphan, live, being_made = candidate(daemon), candidate(daemon), candidate(daemon)
    registry.promote(daemon, live, [])
    finish(daemon, orphan)
    finish(daemon, live)
    assert registry.sweep_orphans(daemon) == 1
    assert registry.sweep_orphans(daemon) == 0
    assert statuses(connection) == ["rejected", "live", "candidate"]
    ((reasons,),) = run(
        connection, "select reasons from annotator.release where release_id = %s", orphan
    )
    assert reasons == ["its training run ended before it was decided on"]
    kept = run(connection, "select distinct release_id from annotator.artefact order by 1")
    assert [row[0] for row in kept] == [live, being_made]  # nobody wants the files either
    registry.promote(daemon, being_made, [])
