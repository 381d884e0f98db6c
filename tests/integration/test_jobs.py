"""Jobs on a real database: retraining, its gate, annotation, quarantine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from annotator.domain.fields import FIELDS
from annotator.errors import ArtefactError
from annotator.jobs.annotate import predict as predict_module
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.retrain import candidate as candidate_module
from annotator.jobs.retrain import retrain as retrain_module
from annotator.jobs.retrain.retrain import RetrainOutcome, retrain
from annotator.jobs.watch.status import read_status
from annotator.learn.release.files import read_model
from annotator.settings import Settings
from annotator.store.releases.artefacts import load_artefacts
from annotator.store.releases.comparisons import read_comparisons
from annotator.store.releases.registry import live_release
from annotator.store.server.connection import Database
from annotator.store.server.schema import migrate
from tests.support.atlas import load_atlas, small_atlas
from tests.support.databases import name_of, new_database
from tests.support.presets import LIGHT_WITHOUT_NETWORK
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
FAST = {
    "folds": 2,
    "cross_validation_folds": 0,
    "workers": 1,
    "batch_size": 16,
    "marker_count": 10,
    "similarity_samples": 5,
}


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


@pytest.fixture
def without_network(job_settings):
    """Settings with a preset that does not load TensorFlow."""
    return replace(job_settings, preset=str(LIGHT_WITHOUT_NETWORK))


@dataclass(frozen=True)
class Refused:
    """A database where a candidate was refused, and the outcome; tests only read it."""

    database: Database
    outcome: RetrainOutcome


@pytest.fixture(scope="module")
def refused(server, released):
    """A retraining with labels that mean nothing: each is that of another sample."""
    with new_database(server, released) as made:
        labels = rows(
            made,
            "select sample_id, value, term_id from atlas.annotation where field = 'tissue'"
            " order by 1",
        )
        shuffled = np.random.default_rng(1).permutation(len(labels))
        for (sample_id, _, _), other in zip(labels, shuffled, strict=True):
            execute(
                made,
                "update atlas.annotation set value = %s, term_id = %s"
                " where sample_id = %s and field = 'tissue'",
                *labels[other][1:],
                sample_id,
            )
        settings = Settings(preset=str(LIGHT_WITHOUT_NETWORK), **FAST)
        yield Refused(made, retrain(made, settings, "tissue"))


def last_run(database):
    query = "select status::text, reason from annotator.training_run order by run_id desc limit 1"
    return rows(database, query)


def test_a_release_has_a_card(trained, job_settings):
    (card,) = rows(
        trained,
        "select preset, seed, versions, folds, accuracy, reasons,"
        " configuration -> 'preset' -> 'network' ->> 'epochs'"
        " from annotator.model_card where status = 'live'",
    )
    assert card[:2] == ("light", job_settings.seed)
    assert "scikit-learn" in card[2]
    assert "2 folds" in card[3]
    assert 0.3 < card[4] <= 1
    assert any("Nothing is live yet" in reason for reason in card[5])
    assert card[6] == "25"


def test_the_weights_of_the_model_kinds_sum_to_one(trained):
    ((weights,),) = rows(trained, "select weights from annotator.model_card")
    assert set(weights) == {kind for kind in probabilities(trained) if kind != "combined"}
    assert sum(weights.values()) == pytest.approx(1)


def test_nothing_new_is_skipped(trained, job_settings):
    again = retrain(trained, job_settings, "tissue")
    assert again.status == "skipped"
    assert "neither the cohort nor the configuration" in again.reasons[0]


def test_a_candidate_behind_the_live_release_is_refused(refused):
    assert refused.outcome.status == "rejected"
    assert any(
        reason.startswith("Refused: ") and "live release" in reason
        for reason in refused.outcome.reasons
    )
    assert rows(
        refused.database,
        "select status::text, cardinality(reasons) > 0 from annotator.release order by release_id",
    ) == [("live", True), ("rejected", True)]


def test_comparisons_are_stored_as_they_are_printed(refused):
    cards = rows(refused.database, "select release_id, reasons from annotator.model_card")
    assert len(cards) == 2
    for release_id, reasons in cards:
        with refused.database.connect() as connection:
            stored = read_comparisons(connection, release_id)
        printed = [reason for reason in reasons if "held-out dataset" in reason]
        assert [each.sentence for each in stored] == printed
        assert [each.passed for each in stored] == [
            not reason.startswith("Refused") for reason in printed
        ]


def test_a_comparison_has_the_metrics_that_are_stored(refused):
    ((ours, theirs),) = rows(
        refused.database,
        "select max(value) filter (where model_kind = 'combined'),"
        " max(value) filter (where model_kind = 'majority') from annotator.metric m"
        " join annotator.release r using (run_id) where r.release_id = %s"
        " and m.scheme = 'one-dataset-out' and m.name = 'balanced_accuracy'",
        refused.outcome.release_id,
    )
    with refused.database.connect() as connection:
        stored = read_comparisons(connection, refused.outcome.release_id)
    compared = next(each for each in stored if each.compared_with == "majority")
    assert compared.name == "balanced_accuracy"  # classes were balanced in training
    assert (compared.ours, compared.theirs) == pytest.approx((ours, theirs))


def test_a_failed_retraining_leaves_the_live_release(trained, job_settings, monkeypatch):
    def fail(*arguments, **options):
        raise ArtefactError("the disk is full")

    live = rows(trained, "select release_id from annotator.release where status = 'live'")
    monkeypatch.setattr(candidate_module, "fit_field_model", fail)
    assert retrain(trained, replace(job_settings, seed=9), "tissue").failed
    assert rows(trained, "select release_id from annotator.release where status = 'live'") == live
    assert last_run(trained) == [("failed", "the disk is full")]


def test_models_that_could_not_be_loaded_are_not_stored(trained, without_network, monkeypatch):
    written = retrain_module.write_model
    monkeypatch.setattr(retrain_module, "write_model", lambda model: written(model)[:-1])
    before = rows(trained, "select count(*) from annotator.release")
    assert retrain(trained, without_network, "tissue").failed
    assert rows(trained, "select count(*) from annotator.release") == before


def test_an_interrupted_retraining_is_no_problem(trained, job_settings, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(candidate_module, "fit_field_model", stop)
    with pytest.raises(KeyboardInterrupt):
        retrain(trained, replace(job_settings, seed=10), "tissue")
    assert last_run(trained) == [("interrupted", None)]
    assert read_status(trained, job_settings).problems == ()


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


def test_a_damaged_release_stops_its_own_field_only(database, without_network):
    load_atlas(database)
    lenient = replace(without_network, baseline_margin=-1.0)
    for field in ("age", "sex"):
        assert retrain(database, lenient, field).status == "promoted"
    execute(database, "alter table annotator.artefact drop constraint content_is_what_it_was")
    execute(
        database,
        "update annotator.artefact set content = set_byte(content, 0, 255 - get_byte(content, 0))"
        " where release_id = (select release_id from annotator.release where field = 'age')",
    )
    with pytest.raises(ArtefactError, match="release"):
        annotate(database, without_network, worker="one")
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
