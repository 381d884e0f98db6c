"""Explanations of a release come back as they were stored, with it or not at all."""

from __future__ import annotations

from dataclasses import replace

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
from annotator.domain.held_out import HeldOutPredictions, Metric
from annotator.domain.releases import Artefact, CandidateRelease
from annotator.errors import NeedsPersonError
from annotator.store.releases import registry, runs
from annotator.store.releases.explanations import read_explanations, training_classes
from annotator.store.releases.runs import RunStart

CLASSES = ("skin", "brain", "liver")  # intervals of age are not in the order of their names

MARKERS = (
    ClassMarker("skin", 1, "hsa-miR-205-5p", 1.5, 2, 3, 0.75, (100.0, 0.5, 0.0)),
    ClassMarker("skin", 2, "hsa-miR-203a-3p", 1.25, None, None, None, (8.0, 0.25, 2.0)),
    ClassMarker("brain", 1, "hsa-miR-124-3p", 2.5, 4, 1, 1.0, (0.0, 512.0, 0.0)),
)
SIMILARITIES = (
    ClassSimilarity("skin", "brain", 9, 9, 1.5),
    ClassSimilarity("skin", "liver", 9, 0, None),
    ClassSimilarity("skin", None, 9, 9, 1.25),
    ClassSimilarity("brain", "skin", 0, 0, None),
    ClassSimilarity("skin", "brain", 8, 7, 2.5, "network"),
    ClassSimilarity("skin", None, 8, 8, 2.0, "network"),
)
ENRICHMENTS = (
    ClassEnrichment("sets.gmt", "a set", "skin", 12, 2, 2, 0, 1.0, 1.0, ()),
    ClassEnrichment(
        "table4", "skin", "skin", 12, 2, 2, 2, 0.015, 0.03, ("hsa-miR-205-5p", "hsa-miR-203a-3p")
    ),
    ClassEnrichment("table4", "Muscle", "brain", 12, 0, 1, 0, 1.0, 1.0, ()),
)
MAP = SampleMap(
    sample_ids=np.array(["S10", "S2", "s1"], dtype=object),
    dataset_ids=np.array(["D1", "D1", "D\t2"], dtype=object),
    classes=np.array(["skin", "brain", "liver"], dtype=object),
    positions=np.array([[0.1, -2.5], [3.25, 1e-6], [12.0, 0.0]], dtype=np.float32),
)
EXPLANATIONS = ReleaseExplanations(MARKERS, SIMILARITIES, ENRICHMENTS, MAP)


def save(conn: psycopg.Connection, explanations: ReleaseExplanations | None) -> int:
    run_id = runs.start_run(
        conn,
        RunStart(
            field="tissue",
            preset="default",
            seed=7,
            configuration={},
            configuration_hash="c1",
            versions={},
            host="here",
        ),
    )
    members = [
        ("s1", "D1", "cortex", "brain"),
        ("S2", "D1", "odd", None),
        ("S10", "D2", "x", "skin"),
    ]
    runs.save_cohort(conn, run_id, "tissue", "a" * 64, members)
    nothing = np.array([], dtype=object)
    return registry.save_candidate(
        conn,
        run_id,
        CandidateRelease(
            "tissue",
            CLASSES,
            12,
            (Artefact("configuration.json", "application/json", b"{}"),),
            HeldOutPredictions(nothing, nothing, nothing, np.zeros(0, np.int64), CLASSES, {}),
            {
                "one-dataset-out": (Metric("combined", "accuracy", None, 0.5, 6, 3),),
                "cv": (Metric("combined", "accuracy", None, 0.75, 6, 3),),
            },
            explanations=explanations,
        ),
    )


def test_explanations_come_back_as_they_were_stored(daemon) -> None:
    release_id = save(daemon, EXPLANATIONS)
    found = read_explanations(daemon, release_id)
    assert found.markers == MARKERS
    assert found.similarities == SIMILARITIES
    assert found.answer_similarities == SIMILARITIES[:4]
    assert found.enrichments == ENRICHMENTS
    assert found.sample_map is not None
    for name in ("sample_ids", "dataset_ids", "classes"):
        assert getattr(found.sample_map, name).tolist() == getattr(MAP, name).tolist()
    assert found.sample_map.positions.dtype == np.float32
    np.testing.assert_array_equal(found.sample_map.positions, MAP.positions)


def test_the_mean_expression_is_that_of_the_markers_own_class(daemon) -> None:
    save(daemon, EXPLANATIONS)
    rows = daemon.execute(
        "select class, feature, mean_expression from annotator.class_marker where rank = 1"
    ).fetchall()
    assert sorted(rows) == [("brain", "hsa-miR-124-3p", 512.0), ("skin", "hsa-miR-205-5p", 100.0)]


@pytest.mark.parametrize("stored", [None, ReleaseExplanations()])
def test_a_release_without_explanations_has_empty_ones(daemon, stored) -> None:
    found = read_explanations(daemon, save(daemon, stored))
    assert vars(found) == vars(ReleaseExplanations())


@pytest.mark.parametrize(
    "strange",
    [
        replace(EXPLANATIONS, markers=(replace(MARKERS[0], class_name="lung"),)),
        replace(EXPLANATIONS, markers=(replace(MARKERS[0], expression=(1.0,)),)),
        replace(EXPLANATIONS, similarities=(ClassSimilarity("skin", "lung", 1, 0, None),)),
        replace(EXPLANATIONS, enrichments=(replace(ENRICHMENTS[0], class_name="lung"),)),
        replace(
            EXPLANATIONS, sample_map=replace(MAP, classes=np.array(["lung"] * 3, dtype=object))
        ),
    ],
)
def test_explanations_of_other_classes_leave_no_release(daemon, strange) -> None:
    with pytest.raises(NeedsPersonError, match="retrain"):
        save(daemon, strange)
    daemon.rollback()
    assert daemon.execute("select count(*) from annotator.release").fetchone() == (0,)


def test_a_card_shows_the_figures_of_held_out_datasets(daemon) -> None:
    save(daemon, EXPLANATIONS)
    assert daemon.execute("select accuracy from annotator.model_card").fetchone() == (0.5,)


def test_what_a_release_was_trained_on(daemon) -> None:
    release_id = save(daemon, None)
    assert list(training_classes(daemon, release_id).items()) == [("S10", "skin"), ("s1", "brain")]
    assert training_classes(daemon, release_id + 1) == {}
