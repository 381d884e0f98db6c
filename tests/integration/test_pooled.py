"""What a dataset's other samples say reaches answers and explanations, whatever the batches."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest

from annotator.atlas.simulate import SimulationOptions, simulate_atlas
from annotator.domain.answers import ClaimedSample
from annotator.jobs.annotate import dataset_context as jobs_pooled
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.annotate.dataset_context import stands_alone
from annotator.jobs.explain import explain_sample
from annotator.jobs.retrain.retrain import retrain
from annotator.learn.release.field_model import FieldModel
from annotator.learn.release.files import read_model
from annotator.learn.selective.pooling import Pooling
from annotator.learn.validation import cross_calibration
from annotator.settings import Settings
from annotator.store.mirror import expression
from annotator.store.releases.artefacts import load_artefacts
from annotator.store.releases.registry import live_release
from tests.support.atlas import load_atlas
from tests.support.databases import name_of, new_database
from tests.support.presets import LINEAR_ONLY
from tests.support.store import execute

ATLAS = simulate_atlas(
    SimulationOptions(samples=140, datasets=12, srnas=120, contaminants=10, seed=5)
)
SETTINGS = Settings(
    preset=str(LINEAR_ONLY),
    folds=2,
    cross_validation_folds=0,
    workers=1,
    marker_count=10,
    similarity_samples=5,
    baseline_margin=-1.0,
    minimum_reads=1,
    minimum_known_features=0.0,
    batch_size=64,
)


@pytest.fixture(scope="module")
def released(server):
    """The name of a database with a release that pools, made once: tests clone it."""
    with new_database(server) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_calibration, "fit_pooling", lambda *_: Pooling(0.5, 1.1))
        load_atlas(made, ATLAS)
        assert retrain(made, SETTINGS, "tissue").status == "promoted"
        yield name_of(made)


@pytest.fixture
def pooled(server, released):
    """A database with a release that pools, and the settings it was made with."""
    with new_database(server, released) as made:
        yield made, SETTINGS


def said(database):
    """The combined probability of each sample's most probable class."""
    with database.connect() as connection:
        return dict(
            connection.execute(
                "select sample_id, (models -> 'combined' ->> 'probability')::float8"
                " from annotator.prediction where is_current and field = 'tissue'"
            ).fetchall()
        )


def missing():
    return {s.sample_id: s.dataset_id for s in ATLAS.samples if "tissue" not in s.values}


def expected(database):
    """Return the predictions for all samples without a label, together and each alone."""
    datasets = missing()
    rows = np.flatnonzero([name in datasets for name in ATLAS.profiles.sample_ids])
    profiles = ATLAS.profiles.take(rows)
    names = profiles.sample_ids.tolist()
    with database.connect() as connection:
        release = live_release(connection, "tissue")
        model = read_model(load_artefacts(connection, release.release_id))
    assert model.pools
    of_all = np.array([datasets[name] for name in names], dtype=object)
    return tuple(
        dict(zip(names, found["combined"].max(axis=1), strict=True))
        for found in (model.predict(profiles, of_all), model.predict(profiles))
    )


def test_answers_do_not_depend_on_the_batches(pooled):
    database, settings = pooled
    together, alone = expected(database)
    assert max(abs(together[name] - alone[name]) for name in together) > 0.01
    for size in (64, 3):
        annotate(database, replace(settings, batch_size=size), worker=f"w{size}")
        assert said(database) == pytest.approx(together, abs=1e-5)
        execute(database, "truncate annotator.prediction cascade")


def test_a_pass_predicts_each_sample_once_however_often_it_is_needed(pooled, monkeypatch):
    """The datasets are larger than the batches, so their samples are needed again and again."""
    database, settings = pooled
    together, _ = expected(database)
    predicted = []
    predict = FieldModel.predict_raw_inputs

    def counted(model, inputs):
        predicted.append(len(inputs))
        return predict(model, inputs)

    monkeypatch.setattr("annotator.learn.release.files.try_out", lambda _: None)
    monkeypatch.setattr(FieldModel, "predict_raw_inputs", counted)
    annotate(database, replace(settings, batch_size=3), worker="one")
    assert said(database) == pytest.approx(together, abs=1e-5)
    assert sum(predicted) == len(together)


def test_only_the_predictions_that_were_asked_for_last_are_remembered(monkeypatch):
    monkeypatch.setattr(jobs_pooled, "MOST_REMEMBERED", 2)
    remembered, raw = jobs_pooled.Remembered(), {"linear": np.ones(2)}
    for name in "ab":
        remembered.add(name, "hash", raw)
    assert remembered.find("a", "another hash") is None
    assert remembered.find("a", "hash") is raw
    remembered.add("c", "hash", raw)
    assert [remembered.find(name, "hash") is not None for name in "abc"] == [True, False, True]


def test_a_sample_that_comes_later_is_answered_with_those_that_were_there(pooled):
    database, settings = pooled
    together, _ = expected(database)
    of_dataset = [name for name, of in missing().items() if of == next(iter(missing().values()))]
    late = of_dataset[0]
    assert len(of_dataset) > 2
    execute(database, "create table public.kept as select * from atlas.sample where sample_id = %s",
            late)  # fmt: skip
    execute(database, "create table public.counts as select * from atlas.expression"
            " where sample_id = %s", late)  # fmt: skip
    execute(database, "delete from atlas.annotation where sample_id = %s", late)
    execute(database, "delete from atlas.expression where sample_id = %s", late)
    execute(database, "delete from atlas.sample where sample_id = %s", late)
    annotate(database, settings, worker="one")
    before = said(database)
    assert late not in before
    assert before[of_dataset[1]] != pytest.approx(together[of_dataset[1]], abs=1e-6)
    execute(database, "insert into atlas.sample select * from public.kept")
    execute(database, "insert into atlas.expression select * from public.counts")
    annotate(database, settings, worker="two")
    after = said(database)
    assert after.pop(late) == pytest.approx(together[late], abs=1e-5)
    assert after == before


def test_an_explanation_says_what_was_answered(pooled):
    database, settings = pooled
    annotate(database, settings, worker="one")
    together, alone = expected(database)
    name = max(together, key=lambda one: abs(together[one] - alone[one]))
    explained = explain_sample(database, settings, name, "tissue", 5, store=True)
    assert explained.probabilities[0] == pytest.approx(said(database)[name], abs=1e-5)


def test_a_sample_that_ended_its_worker_alone_is_tried_without_the_others():
    def batch(*attempts):
        return [ClaimedSample(str(a), "d", "tissue", None, a) for a in attempts]

    assert not stands_alone(batch(1, 2))
    assert not stands_alone(batch(3))
    assert stands_alone(batch(4))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_sample_that_ends_its_worker_takes_no_other_sample_with_it(pooled, monkeypatch):
    """It is tried again first, then alone: it ends no worker by speaking for its dataset."""
    database, settings = pooled
    names = sorted(missing())
    deadly = names[0]
    execute(database, "update atlas.sample set dataset_id = %s where sample_id = any (%s)",
            missing()[deadly], names)  # fmt: skip
    read = expression.read_profiles

    def end_at_the_deadly(connection, wanted):
        if deadly in wanted:
            os._exit(9)
        return read(connection, wanted)

    for module in (expression, jobs_pooled):
        monkeypatch.setattr(module, "read_profiles", end_at_the_deadly)
    patient = replace(settings, batch_size=6, lease_seconds=600)
    codes = []
    while codes[-1:] != [0] and len(codes) < 12:
        worker = f"w{len(codes)}"
        process = multiprocessing.get_context("fork").Process(
            target=lambda name=worker: annotate(database, patient, worker=name)
        )
        process.start()
        process.join()
        codes.append(process.exitcode)
    assert codes == [9, 9, 9, 9, 9, 0]
    assert said(database).keys() == set(names) - {deadly}
    with database.connect() as connection:
        resting = connection.execute("select sample_id, code from annotator.quarantine").fetchall()
    assert resting == [(deadly, "repeatedly_failed")]
