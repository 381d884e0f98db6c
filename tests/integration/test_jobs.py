"""Jobs on a real database: retraining, its gate, annotation, quarantine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annotator.domain.fields import FIELDS
from annotator.errors import ArtefactError
from annotator.jobs.annotate import predict as predict_module
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.annotate.live_models import LiveModels
from annotator.jobs.annotate.predict import other_samples
from annotator.jobs.retrain import candidate as candidate_module
from annotator.jobs.retrain.retrain import retrain
from annotator.jobs.watch.status import read_status
from annotator.learn.labels.ontology import Ontology
from annotator.learn.release.files import read_model
from annotator.learn.selective.pooling import Pooling
from annotator.learn.validation import cross_calibration
from annotator.settings import Settings
from annotator.store.releases.comparisons import read_comparisons
from annotator.store.releases.registry import live_release, load_artefacts
from annotator.store.server.schema import migrate
from tests.support.atlas import load_atlas, small_atlas
from tests.support.databases import name_of, new_database
from tests.support.explained import centred_log_odds
from tests.support.store import execute, rows

ATLAS = small_atlas()
SMALL_TREES = """
[tissue.forest]
first_trees = 10
trees = 30

[tissue.boosting]
rounds = 15
"""
LIGHT = f"""
[tissue.network]
hidden_units = [24]
dropout = [0.2]
epochs = 25
{SMALL_TREES}"""
FAST = {"folds": 2, "cross_validation_folds": 0, "workers": 1, "batch_size": 16}


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """A preset of small models of tissue: what is tested here is what jobs do with them."""
    preset = tmp_path_factory.mktemp("presets") / "light.toml"
    preset.write_text(LIGHT)
    return str(preset)


@pytest.fixture
def job_settings(settings, light):
    return replace(settings, preset=light, **FAST)


@pytest.fixture(scope="module")
def released(server, light):
    """The name of a database with a live tissue release, made once: tests clone it."""
    with new_database(server) as made:
        load_atlas(made)
        assert retrain(made, Settings(preset=light, **FAST), "tissue").status == "promoted"
        yield name_of(made)


@pytest.fixture
def trained(server, released):
    """A database with that release."""
    with new_database(server, released) as made:
        yield made


def probabilities(database):
    with database.connect() as connection:
        release = live_release(connection, "tissue")
        model = read_model(load_artefacts(connection, release.release_id))
    return model.predict(ATLAS.profiles)


def test_a_release_is_made_skipped_refused_and_kept_through_failure(
    database, job_settings, monkeypatch
):
    load_atlas(database)
    first = retrain(database, job_settings, "tissue")
    assert first.status == "promoted"
    assert "Nothing is live yet" in first.reasons[0]
    (card,) = rows(
        database,
        "select preset, samples, datasets, seed, versions, folds, accuracy, mean_over_classes,"
        " cohort_hash, configuration -> 'preset' -> 'network' ->> 'epochs'"
        " from annotator.model_card where status = 'live'",
    )
    assert card[0] == "light"
    assert card[3] == job_settings.seed
    assert "scikit-learn" in card[4]
    assert "2 folds" in card[5]
    assert 0.3 < card[6] <= 1
    assert card[9] == "25"
    ((weights,),) = rows(database, "select weights from annotator.model_card")
    assert set(weights) == {kind for kind in probabilities(database) if kind != "combined"}
    assert sum(weights.values()) == pytest.approx(1)

    again = retrain(database, job_settings, "tissue")
    assert again.status == "skipped"
    assert "neither the cohort nor the configuration" in again.reasons[0]

    # Labels that say nothing: every sample gets the label of another.
    labels = rows(
        database,
        "select sample_id, value, term_id from atlas.annotation where field = 'tissue' order by 1",
    )
    shuffled = np.random.default_rng(1).permutation(len(labels))
    for (sample_id, _, _), other in zip(labels, shuffled, strict=True):
        execute(
            database,
            "update atlas.annotation set value = %s, term_id = %s"
            " where sample_id = %s and field = 'tissue'",
            *labels[other][1:],
            sample_id,
        )
    worse = retrain(database, job_settings, "tissue")
    assert worse.status == "rejected"
    assert any(
        reason.startswith("Refused: ") and "live release" in reason for reason in worse.reasons
    )
    for outcome in (first, worse):
        with database.connect() as connection:
            stored = read_comparisons(connection, outcome.release_id)
        assert [each.sentence for each in stored] == [
            reason for reason in outcome.reasons if "held-out dataset" in reason
        ]
        assert [each.passed for each in stored] == [
            not reason.startswith("Refused")
            for reason in outcome.reasons
            if "held-out dataset" in reason
        ]
    # Both figures are where everybody looks for them, under the same name.
    ((ours, theirs),) = rows(
        database,
        "select max(value) filter (where model_kind = 'combined'),"
        " max(value) filter (where model_kind = 'majority') from annotator.metric m"
        " join annotator.release r using (run_id) where r.release_id = %s"
        " and m.scheme = 'one-dataset-out' and m.name = 'balanced_accuracy'",
        worse.release_id,
    )
    compared = next(each for each in stored if each.compared_with == "majority")
    assert compared.name == "balanced_accuracy"  # classes were balanced in training
    assert (compared.ours, compared.theirs) == pytest.approx((ours, theirs))
    assert rows(
        database,
        "select status::text, cardinality(reasons) > 0 from annotator.release order by release_id",
    ) == [("live", True), ("rejected", True)]

    def fail(*arguments, **options):
        raise ArtefactError("the disk is full")

    monkeypatch.setattr(candidate_module, "fit_field_model", fail)
    failed = retrain(database, replace(job_settings, seed=9), "tissue")
    assert failed.failed
    assert rows(database, "select release_id from annotator.release where status = 'live'") == [
        (first.release_id,)
    ]
    last = rows(
        database,
        "select status::text, reason from annotator.training_run order by run_id desc limit 1",
    )
    assert last == [("failed", "the disk is full")]

    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(candidate_module, "fit_field_model", stop)
    with pytest.raises(KeyboardInterrupt):
        retrain(database, replace(job_settings, seed=10), "tissue")
    query = "select status::text, reason from annotator.training_run order by run_id desc limit 1"
    assert rows(database, query) == [("interrupted", None)]
    assert read_status(database, job_settings).problems == ()


def test_the_same_data_configuration_and_seed_give_the_same_release(trained, job_settings):
    first = probabilities(trained)
    # Another configuration in between, so that nothing is skipped.
    retrain(trained, replace(job_settings, seed=1, gate_margin=1.0), "tissue")
    other = probabilities(trained)
    retrain(trained, replace(job_settings, gate_margin=1.0), "tissue")
    second = probabilities(trained)
    assert set(first) == {
        "network",
        "forest",
        "boosting",
        "linear",
        "combined",
    }
    for kind, table in first.items():
        np.testing.assert_array_equal(table, second[kind])
    assert not np.array_equal(first["combined"], other["combined"])


def test_samples_that_cannot_be_used_are_quarantined_once(trained, job_settings):
    missing = [sample.sample_id for sample in ATLAS.samples if "tissue" not in sample.values]
    few, broken, gone, alien = missing[:4]
    execute(
        trained,
        "update atlas.expression set counts = array_fill(0.01::real, array[nnz])"
        " where sample_id = %s",
        few,
    )
    execute(
        trained,
        "update atlas.expression set counts[1] = 'NaN' where sample_id = %s",
        broken,
    )
    execute(trained, "delete from atlas.expression where sample_id = %s", gone)
    execute(
        trained,
        "update atlas.expression set nnz = 1, feature_ids = feature_ids[1:1],"
        " counts = array[50000] where sample_id = %s",
        alien,
    )
    summary = annotate(trained, job_settings, worker="one")
    found = dict(
        rows(trained, "select sample_id, code from annotator.quarantine where field = 'tissue'")
    )
    assert found[few] == "too_few_reads"
    assert found[broken] == "non_finite_counts"
    assert found[gone] == "no_counts"
    assert found[alien] == "too_few_known_features"
    assert summary.predicted["tissue"] + summary.quarantined["tissue"] == len(missing)
    again = annotate(trained, job_settings, worker="two")
    assert again.predicted == again.quarantined == {}

    execute(trained, "update atlas.expression set counts[1] = 7 where sample_id = %s", broken)
    execute(
        trained,
        "update atlas.sample set updated_at = clock_timestamp() where sample_id = %s",
        broken,
    )
    healed = annotate(trained, job_settings, worker="three")
    assert healed.predicted == {"tissue": 1}


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
    lenient = replace(job_settings, baseline_margin=-1.0)
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
            assert np.abs(others).max() > 0.1
            found += others
        wanted = centred_log_odds(answers.probabilities["combined"])
        wanted -= reference - reference.mean()
        np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max())


def test_a_damaged_release_stops_its_own_field_only(database, job_settings):
    load_atlas(database)
    lenient = replace(job_settings, baseline_margin=-1.0)
    for field in ("age", "sex"):
        assert retrain(database, lenient, field).status == "promoted"
    execute(database, "alter table annotator.artefact drop constraint content_is_what_it_was")
    execute(
        database,
        "update annotator.artefact set content = set_byte(content, 0, 255 - get_byte(content, 0))"
        " where release_id = (select release_id from annotator.release where field = 'age')",
    )
    with pytest.raises(ArtefactError, match="release"):
        annotate(database, job_settings, worker="one")
    answered = rows(database, "select distinct field from annotator.prediction")
    assert answered == [("sex",)]


@pytest.mark.parametrize("field", list(FIELDS))
def test_an_empty_mirror_is_said_to_be_unlabelled(database, job_settings, field):
    outcome = retrain(database, job_settings, field)
    assert outcome.status == "unlabelled"
    assert f"no usable sample has a {field} label" in outcome.reasons[0]


def test_answers_and_reasons_do_not_depend_on_how_many_are_explained_at_a_time(
    trained, job_settings, monkeypatch
):
    stored = (
        "select p.sample_id, p.top_features, c.model_kind, c.class, c.class_rank, c.features,"
        " c.scores, c.expression, p.models, p.known_features, p.novelty"
        " from annotator.prediction p join annotator.class_contribution c using (prediction_id)"
        " order by 1, 3, 4"
    )
    annotate(trained, job_settings, worker="one")
    together = rows(trained, stored)
    execute(trained, "truncate annotator.prediction cascade")
    monkeypatch.setattr(predict_module, "VALUES_AT_ONCE", 1)
    annotate(trained, job_settings, worker="two")
    apart = rows(trained, stored)
    assert [row[:6] for row in apart] == [row[:6] for row in together]
    for one, other in zip(apart, together, strict=True):
        for position in (6, 7):
            assert one[position] == pytest.approx(other[position], rel=1e-4, abs=1e-6)
        assert one[8:] == other[8:]


def test_what_may_end_a_worker_is_predicted_when_everything_before_is_written(
    trained, job_settings, monkeypatch
):
    ((suspect,),) = rows(
        trained,
        "select max(dataset_id) from atlas.sample s where not exists (select from"
        " atlas.annotation a where a.sample_id = s.sample_id and a.field = 'tissue')",
    )
    execute(
        trained,
        "insert into annotator.work"
        " (sample_id, dataset_id, field, release_id, sample_updated_at, attempts)"
        " select s.sample_id, s.dataset_id, 'tissue', r.release_id, s.updated_at, 1"
        " from atlas.sample s, annotator.release r where s.dataset_id = %s and not exists (select"
        " from atlas.annotation a where a.sample_id = s.sample_id and a.field = 'tissue')",
        suspect,
    )
    predict, before, seen = predict_module.predict_samples, [], []

    def watched(live, claimed, *arguments):
        if any(sample.attempts > 1 for sample in claimed):
            seen.append(sum(before))
            ((written,),) = rows(trained, "select count(*) from annotator.prediction")
            assert written == sum(before)
        before.append(len(claimed))
        return predict(live, claimed, *arguments)

    monkeypatch.setattr(predict_module, "predict_samples", watched)
    annotate(trained, job_settings, worker="w1")
    assert seen
    assert seen[0] > 0


WITH_BAD_ROWS = """
create schema source;
alter table atlas.sample rename to own;
create table source.sample as select * from atlas.own;
create view atlas.sample as select * from source.sample;
update source.sample set dataset_id = null, updated_at = now() where sample_id = %(first)s;
insert into source.sample (sample_id, dataset_id, updated_at)
values (%(second)s, 'SUPERSERIES', now()), (null, 'SUPERSERIES', now());
"""


def test_bad_rows_of_a_view_do_not_stop_the_others(trained, job_settings):
    pending = sorted(row.sample_id for row in ATLAS.samples if "tissue" not in row.values)
    statements = WITH_BAD_ROWS.replace("%(first)s", repr(pending[0]))
    execute(trained, statements.replace("%(second)s", repr(pending[1])))
    migrate(trained)
    done = annotate(trained, job_settings, worker="w1")
    answered = rows(trained, "select sample_id from annotator.prediction where is_current")
    refused = dict(rows(trained, "select sample_id, code from annotator.quarantine"))
    assert (refused[pending[0]], refused[pending[1]]) == ("no_dataset", "repeated_sample")
    assert not {(name,) for name in pending[:2]} & set(answered)
    assert done.predicted["tissue"] == len(answered) > len(pending) / 2
    assert done.quarantined["tissue"] == len(refused.keys() & set(pending))
    again = annotate(trained, job_settings, worker="w1")
    assert (again.predicted, again.quarantined) == ({}, {})
