"""Contributions of features to the answers of a release that a job made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.annotate.live_models import LiveModels
from annotator.jobs.annotate.predict import other_samples
from annotator.jobs.retrain.retrain import retrain
from annotator.learn.labels.ontology import Ontology
from annotator.learn.selective.pooling import Pooling
from annotator.learn.validation import cross_calibration
from annotator.store.releases.registry import live_release
from tests.support.atlas import load_atlas, small_atlas
from tests.support.explained import centred_log_odds
from tests.support.presets import LIGHT
from tests.support.store import rows

ATLAS = small_atlas()
SMALL_TREES = """
[tissue.forest]
first_trees = 10
trees = 30

[tissue.boosting]
rounds = 15
"""


@pytest.fixture
def job_settings(settings):
    return replace(
        settings,
        folds=2,
        cross_validation_folds=0,
        workers=1,
        batch_size=16,
        marker_count=10,
        similarity_samples=5,
    )


def test_planted_markers_lead_the_contributions(database, job_settings, tmp_path):
    """The paper's markers were planted for a group of tissues; its samples show them."""
    preset = tmp_path / "default_network.toml"
    preset.write_text(SMALL_TREES)
    job_settings = replace(job_settings, preset=str(preset))
    load_atlas(database)
    bold = replace(job_settings, target_precision=0.5)  # a small atlas is never 95 % right
    retrain(database, bold, "tissue")
    annotate(database, bold, worker="one")
    answers = rows(
        database,
        "select sum(c.probability), max(c.probability),"
        " (array_agg(c.class order by c.probability desc))[1],"
        " (p.models #>> '{combined,probability}')::float8, p.models #>> '{combined,value}'"
        " from annotator.prediction p join annotator.class_probability c using (prediction_id)"
        " group by p.prediction_id",
    )
    assert len(answers) == rows(database, "select count(*) from annotator.prediction")[0][0] > 0
    for whole, highest, best, probability, value in answers:
        assert (whole, highest) == pytest.approx((1, probability), abs=1e-5)
        assert best == value
    chance = np.mean([len(markers) for markers in ATLAS.markers.values()]) / 160
    kinds = ("combined", "network", "forest", "boosting", "linear")
    for kind in kinds:
        listed = []
        for group, markers in ATLAS.markers.items():
            listed += rows(
                database,
                "select c.feature = any (%s) from annotator.prediction p"
                " join annotator.contribution c using (prediction_id)"
                " where %s = any (p.lineage) and c.model_kind = %s and c.rank <= 10"
                " and c.score > 0",
                list(markers),
                group,
                kind,
            )
        assert np.mean([row[0] for row in listed]) > 2 * chance, kind

    ontology = Ontology(ATLAS.terms)
    tissues = [ontology.lineage(ATLAS.truth["tissue"][one]) for one in ATLAS.profiles.sample_ids]
    with database.connect() as connection:
        live = LiveModels().load(connection, live_release(connection, "tissue"))
        features = np.array(live.model.features, dtype=object)
        inputs = live.model.inputs(ATLAS.profiles)
        said = np.argmax(live.model.predict_inputs(inputs)["combined"], axis=1)
        places = {kind: [] for kind in kinds}
        for group, markers in ATLAS.markers.items():
            of_group = np.flatnonzero([group in lineage for lineage in tissues])
            explained = live.explainer.contributions(inputs[of_group], said[of_group, None])
            for kind, (_, scores) in explained.items():
                rank = np.argsort(np.argsort(-scores[0].mean(axis=0))) / len(features)
                places[kind].append(np.median(rank[np.isin(features, markers)]))
    for kind, of_groups in places.items():
        # 0.5 by chance; the median, since a rare group may have no class of its own.
        assert np.median(of_groups) < 0.25, (kind, of_groups)


@pytest.mark.parametrize("field", ["sex", "tissue"])
def test_contributions_to_the_answer_sum_to_its_difference_from_the_reference(
    database, job_settings, monkeypatch, field
):
    """Of two classes and of many, and with what the other samples of a dataset contribute."""
    monkeypatch.setattr(cross_calibration, "fit_pooling", lambda *_: Pooling(0.5, 1.1))
    load_atlas(database)
    lenient = replace(job_settings, baseline_margin=-1.0, preset=str(LIGHT))
    assert retrain(database, lenient, field).status == "promoted"
    with database.connect() as connection:
        live = LiveModels().load(connection, live_release(connection, field))
    model, profiles = live.model, ATLAS.profiles.take(np.arange(40))
    datasets = np.array([sample.dataset_id for sample in ATLAS.samples[:40]], dtype=object)
    classes = np.tile(np.arange(len(model.classes)), (40, 1))
    inputs, raw = model.inputs(profiles), model.predict_raw(profiles)
    reference = live.explainer.references(len(model.classes))
    for answers in (model.answers(raw), model.answers(raw, datasets)):
        explained = live.explainer.contributions(inputs, classes, answers.own_weights)
        found = explained["combined"][1].sum(axis=2).T
        found -= found.mean(axis=1, keepdims=True)
        others = other_samples(live, answers, classes)
        if answers.own_weights is not None:
            assert np.abs(others).max() > 0.01
            found += others
        wanted = centred_log_odds(answers.probabilities["combined"])
        wanted -= reference - reference.mean()
        np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max())
