"""A stored candidate is read back unchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import psycopg
import pytest

from annotator.domain.held_out import Curve, CurvePoint, HeldOutPredictions, LabelSuspicion
from annotator.domain.releases import CandidateRelease
from annotator.errors import NeedsPersonError
from annotator.store.releases import artefacts, registry
from annotator.store.releases import held_out as validation
from tests.support.candidates import (
    ARTEFACTS,
    CLASSES,
    METRICS,
    candidate,
    held_out,
    start,
    statuses,
)
from tests.support.store import run


def test_a_candidate_comes_back_as_it_was_stored(
    connection: psycopg.Connection, daemon: psycopg.Connection
) -> None:
    release_id = candidate(daemon)
    loaded = artefacts.load_artefacts(daemon, release_id)
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
