"""Markers and kin of a release, and why it says what it says of one sample."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from annotator.cli.explain_text import explanation_plot, explanation_text, plot_file_name
from annotator.errors import InputError, NeedsPersonError
from annotator.explain import deep_lift_library
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.annotate.live_models import LiveModels
from annotator.jobs.explain import explain_sample
from annotator.jobs.retrain import explanations as explanations_module
from annotator.jobs.retrain.explanations import explanation_options
from annotator.jobs.retrain.retrain import RetrainOutcome, retrain
from annotator.settings import Settings
from annotator.store.releases.explanations import read_explanations
from annotator.store.releases.registry import live_release
from annotator.store.server.connection import Database
from tests.support.atlas import load_atlas, small_atlas
from tests.support.databases import new_database
from tests.support.presets import LIGHT_DEFAULT
from tests.support.store import execute, rows
from tests.support.strange_text import HOSTILE, is_seen

ATLAS = small_atlas()
NETWORK = """
forest = false
boosting = false
linear = false

[network]
hidden_units = [24]
dropout = [0.2]
epochs = 25
wide = false
"""
TREES = """
network = false
forest = false
linear = false

[boosting]
rounds = 15
"""
GROUP, PLANTED = max(ATLAS.markers.items(), key=lambda item: len(item[1]))
GMT = "planted\tof the simulation\t{markers}\nnothing known\t\tno-such-feature\n"
FAST = {
    "folds": 2,
    "cross_validation_folds": 0,
    "workers": 1,
    "marker_count": 40,
    "similarity_samples": 5,
    "baseline_margin": -1.0,
    "gate_margin": 1.0,
}


@dataclass(frozen=True)
class Trained:
    """A database with a live release, and how it was made."""

    database: Database
    settings: Settings
    sets: Path
    outcome: RetrainOutcome
    steps: list[tuple[int, int]]


def with_preset(settings, folder, text):
    """Return the settings with a preset of their own, which is written into a folder."""
    path = folder / "small.toml"
    path.write_text(text)
    return replace(settings, preset=str(path))


@pytest.fixture
def job_settings(settings):
    return replace(settings, preset=str(LIGHT_DEFAULT), **FAST)


@pytest.fixture
def loaded(database):
    load_atlas(database)
    return database


@pytest.fixture(scope="module")
def trained(server, tmp_path_factory):
    """One release for all tests that only look at one; each annotates other samples."""
    sets = tmp_path_factory.mktemp("sets") / "sets.gmt"
    sets.write_text(GMT.format(markers="\t".join(PLANTED)))
    settings = Settings(
        **{**FAST, "cross_validation_folds": 2}, preset=str(LIGHT_DEFAULT), feature_sets=(sets,)
    )
    steps = []
    with new_database(server) as database:
        load_atlas(database)
        outcome = retrain(database, settings, "tissue", progress=lambda *step: steps.append(step))
        annotate(database, settings, worker="one")
        yield Trained(database, settings, sets, outcome, steps)


def missing(field):
    return [sample.sample_id for sample in ATLAS.samples if field not in sample.values]


def stored_explanations(database, field="tissue"):
    with database.connect() as connection:
        release = live_release(connection, field)
        return release, read_explanations(connection, release.release_id)


def test_a_release_is_stored_with_its_explanations(trained):
    loaded = trained.database
    assert trained.outcome.status == "promoted"
    assert trained.steps == [(0, 4), (1, 4), (2, 4), (2, 4), (3, 4), (4, 4)]
    shown = {(m.model_kind, m.name): m.value for m in trained.outcome.metrics if not m.class_name}
    stored_accuracy = rows(
        loaded,
        "select value from annotator.metric"
        " where scheme = 'one-dataset-out' and model_kind = 'combined' and name = 'accuracy'",
    )
    assert stored_accuracy == [(shown["combined", "accuracy"],)]
    release, found = stored_explanations(loaded)

    by_class = {
        name: [m for m in found.markers if m.class_name == name] for name in release.classes
    }
    for markers in by_class.values():
        assert [marker.rank for marker in markers] == list(range(1, len(markers) + 1))
        assert 0 < len(markers) <= 40
        assert sorted((m.score for m in markers), reverse=True) == [m.score for m in markers]
    # Both folds made a model that knew most classes; the better a marker the more stable it is.
    stability = [m.stability for m in found.markers if m.stability is not None]
    assert set(stability) <= {0.0, 0.5, 1.0}
    assert np.mean([m.stability for m in found.markers if m.rank <= 5 and m.stability]) > 0.7
    assert any(marker.tree_rank for marker in found.markers)
    assert any(marker.network_rank for marker in found.markers)
    profiles = ATLAS.profiles
    marker = found.markers[0]
    labels = dict(
        rows(loaded, "select sample_id, class from annotator.cohort_sample where class <> ''")
    )
    reads = np.asarray(profiles.counts[:, profiles.kinds == "srna"].sum(axis=1)).ravel()
    column = profiles.counts[:, profiles.features == marker.feature].toarray().ravel()
    own = [labels.get(name) == marker.class_name for name in profiles.sample_ids]
    expected = (column / reads * 1e6)[own].mean()
    assert marker.expression[release.classes.index(marker.class_name)] == pytest.approx(
        expected, rel=1e-4
    )

    pairs = len(release.classes) * (len(release.classes) - 1)
    of_network = [item for item in found.similarities if item.model_kind == "network"]
    assert len(found.similarities) == len(of_network) + len(found.answer_similarities)
    for similarities in (of_network, found.answer_similarities):
        assert sum(item.rival is not None for item in similarities) == pairs
        assert sum(item.rival is None for item in similarities) == len(release.classes)
    assert max(item.samples for item in found.similarities) == 5
    enriched = {(e.source, e.set_name, e.class_name): e for e in found.enrichments}
    assert {source for source, _, _ in enriched} == {"table4", "sets.gmt"}
    assert enriched["sets.gmt", "nothing known", release.classes[0]].set_size == 0
    of_group = [
        name for name in release.classes if GROUP in ATLAS.terms.get(name, ()) or name == GROUP
    ]
    assert of_group
    for name in of_group:
        place, planted = release.classes.index(name), enriched["sets.gmt", "planted", name]
        has = [m for m in by_class[name] if m.expression[place] > np.median(m.expression)]
        assert planted.markers == len(has)
        assert list(planted.features) == [m.feature for m in has if m.feature in PLANTED]
        # More of them among the markers than among all that the class expresses.
        assert planted.overlap / planted.markers > planted.set_size / planted.background
    assert set(found.sample_map.sample_ids) == set(labels)
    assert [labels[name] for name in found.sample_map.sample_ids] == list(found.sample_map.classes)

    schemes = rows(
        loaded, "select scheme, count(*) > 20 from annotator.metric group by 1 order by 1"
    )
    assert schemes == [("cv", True), ("one-dataset-out", True)]
    assert rows(loaded, "select distinct scheme from annotator.validation_curve") == [
        ("one-dataset-out",)
    ]


def test_sets_and_settings_of_explanations_are_part_of_the_configuration(trained):
    def described(**options):
        changed = replace(trained.settings, **options)
        return explanation_options(changed, "tissue").as_configuration()

    database, settings = trained.database, trained.settings
    assert retrain(database, settings, "tissue").status == "skipped"
    configured, folds = rows(
        database,
        "select configuration -> 'explanations', configuration -> 'cross_validation_folds'"
        " from annotator.model_card where status = 'live'",
    )[0]
    assert (configured, folds) == (described(), 2)
    assert described(marker_count=41) != described() != described(similarity_samples=6)
    content = trained.sets.read_text()
    trained.sets.write_text("no tabs")
    refused = retrain(database, settings, "tissue")
    assert refused.failed
    assert "sets.gmt, line 1" in refused.reasons[0]
    with database.connect() as connection:
        run = connection.execute(
            "select status::text, reason from annotator.training_run order by run_id desc limit 1"
        ).fetchone()
    assert run == ("failed", refused.reasons[0])  # so that the status shows it
    trained.sets.write_text(GMT.format(markers=PLANTED[0]))
    assert described() != {name: configured[name] for name in described()}
    trained.sets.write_text(content)
    assert list(explanation_options(settings, "sex").feature_sets) == ["sets.gmt"]


def test_explanations_do_not_depend_on_where_they_are_made(loaded, job_settings, trained):
    retrain(loaded, replace(job_settings, workers=2), "tissue")
    _, one = stored_explanations(trained.database)
    _, two = stored_explanations(loaded)
    assert one.markers == two.markers
    assert one.similarities == two.similarities
    np.testing.assert_array_equal(one.sample_map.positions, two.sample_map.positions)


def test_names_neither_add_lines_to_an_explanation_nor_hide_in_it(trained):
    sample = missing("tissue")[0]
    found = explain_sample(trained.database, trained.settings, sample, "tissue", 3)
    strange = replace(
        found,
        sample_id=HOSTILE,
        learned_as=HOSTILE,
        classes=tuple(HOSTILE + name for name in found.classes),
        features=tuple(HOSTILE + name for name in found.features),
    )
    usual = explanation_text(replace(found, learned_as="liver")).split("\n")
    lines = explanation_text(strange).split("\n")
    assert len(lines) == len(usual)
    assert all(map(is_seen, lines))


def test_a_preset_without_a_network_has_the_markers_of_its_answer(loaded, job_settings, tmp_path):
    job_settings = with_preset(job_settings, tmp_path, TREES)
    retrain(loaded, job_settings, "tissue")
    _, found = stored_explanations(loaded)
    assert found.markers
    assert {marker.network_rank for marker in found.markers} == {None}
    assert {item.model_kind for item in found.similarities} == {"combined"}
    explained = explain_sample(loaded, job_settings, missing("tissue")[0], "tissue", 3)
    assert list(explained.kinds) == ["combined", "boosting"]


def test_a_preset_without_a_network_and_a_common_answer_has_a_map_only(
    loaded, job_settings, tmp_path
):
    job_settings = with_preset(job_settings, tmp_path, "calibrate = false" + TREES)
    retrain(loaded, job_settings, "tissue")
    _, found = stored_explanations(loaded)
    assert found.markers == found.similarities == found.enrichments == ()
    assert len(found.sample_map.sample_ids) > 50
    explained = explain_sample(loaded, job_settings, missing("tissue")[0], "tissue", 3)
    assert list(explained.kinds) == ["boosting"]
    assert "boosting: scores for each class" in explanation_text(explained)


def test_scores_that_are_not_the_packages_make_no_release(
    loaded, job_settings, monkeypatch, tmp_path
):
    job_settings = with_preset(job_settings, tmp_path, NETWORK)
    monkeypatch.setattr(deep_lift_library, "package_difference", lambda layers, inputs: 0.5)
    outcome = retrain(loaded, job_settings, "tissue")
    assert outcome.failed
    assert "deeplift package" in outcome.reasons[0]
    assert rows(loaded, "select count(*) from annotator.release") == [(0,)]


def test_a_failing_explanation_fails_the_run(loaded, job_settings, monkeypatch, tmp_path):
    def fail(*arguments, **options):
        raise ZeroDivisionError("no classes")

    job_settings = with_preset(job_settings, tmp_path, TREES)
    monkeypatch.setattr(explanations_module, "sample_map", fail)
    assert retrain(loaded, job_settings, "tissue").failed
    assert rows(loaded, "select status::text, reason from annotator.training_run") == [
        ("failed", "ZeroDivisionError('no classes')")
    ]


def test_winner_and_runner_up_are_stored_and_the_rest_on_demand(trained):
    loaded, job_settings = trained.database, trained.settings
    sample = missing("tissue")[0]
    ((prediction, best, top_features),) = rows(
        loaded,
        "select prediction_id, models -> 'combined' ->> 'value', top_features"
        " from annotator.prediction where is_current and sample_id = %s and field = 'tissue'",
        sample,
    )
    stored = (
        "select class_rank, class, model_kind, count(*), max(rank) from annotator.contribution"
        " where prediction_id = %s group by 1, 2, 3 order by 1, 3"
    )
    first = rows(loaded, stored, prediction)
    assert [row[0] for row in first] == [1] * 5 + [2] * 5
    assert {row[1] for row in first if row[0] == 1} == {best}
    assert len({row[1] for row in first}) == 2
    assert all(row[3] == row[4] <= 20 for row in first)
    of_winner = rows(
        loaded,
        "select feature from annotator.contribution where prediction_id = %s and class_rank = 1"
        " and model_kind = 'combined' and score > 0 order by rank limit 5",
        prediction,
    )
    assert top_features == [row[0] for row in of_winner]

    found = explain_sample(loaded, job_settings, sample, "tissue", 4, store=True)
    assert found.classes[0] == best
    assert list(found.probabilities) == sorted(found.probabilities, reverse=True)
    every = rows(loaded, stored, prediction)
    assert every[:10] == first
    assert {row[1] for row in every} == set(found.classes)
    for rank, name, kind, *_ in every:
        assert found.classes[rank - 1] == name
        assert kind in found.kinds
    assert found.stored == sum(row[3] for row in every[10:])
    assert explain_sample(loaded, job_settings, sample, "tissue", 4, store=True).stored == 0

    network = found.kinds["network"]
    told = rows(
        loaded,
        "select feature, score, expression from annotator.contribution where prediction_id = %s"
        " and model_kind = 'network' and class = %s order by rank",
        prediction,
        found.classes[-1],
    )
    for feature, score, expression in told:
        column = found.features.index(feature)
        assert network.scores[-1, column] == pytest.approx(score, rel=1e-6)
        assert found.expression[column] == pytest.approx(expression, rel=1e-6)


def test_an_explanation_says_where_expression_lies_among_training_samples(trained):
    loaded, job_settings = trained.database, trained.settings
    learned = dict(
        rows(loaded, "select sample_id, class from annotator.cohort_sample where class <> ''")
    )
    sample = sorted(learned)[3]
    found = explain_sample(loaded, job_settings, sample, "tissue", 6)
    assert found.learned_as == learned[sample]
    with loaded.connect() as connection:
        live = LiveModels().load(connection, live_release(connection, "tissue"))
    ids = ATLAS.profiles.sample_ids.tolist()
    expression = live.model.expression(ATLAS.profiles)
    for kind in found.kinds.values():
        assert 0 < len(kind.supporting) <= 6
        assert (kind.scores[0, list(kind.supporting)] > 0).all()
        assert (kind.scores[0, list(kind.opposing)] < 0).all()
        for column in kind.leading:
            own = expression[ids.index(sample), column]
            for place, name in enumerate(found.classes):
                of_class = [
                    expression[ids.index(one), column]
                    for one, label in learned.items()
                    if label == name and one != sample
                ]
                below = np.mean([(value < own) + (value == own) / 2 for value in of_class])
                assert found.percentiles[column][place] == pytest.approx(100 * below)

    text = explanation_text(found)
    assert f"learned this sample as {learned[sample]}" in text
    assert "Weights in the combination: " in text
    for name in (*found.classes, "combined", "deeplift", "tree_shap", "coefficient"):
        assert name in text
    assert re.search(r" [+-]9\b", text.split("scores for each class")[1])
    figure = explanation_plot(found)
    assert figure.svg.startswith("<svg")
    assert found.classes[-1] in figure.svg
    assert plot_file_name(replace(found, sample_id="../a b/c")) == "_a_b_c-tissue.svg"


def test_what_cannot_be_explained_is_said_in_one_sentence(trained):
    loaded, settings, sample = trained.database, trained.settings, missing("tissue")[1]

    def explain(sample_id=sample, settings=settings, field="tissue", on=loaded):
        return explain_sample(on, settings, sample_id, field, 3, store=True)

    with pytest.raises(InputError, match="no sample 'nobody'"):
        explain("nobody")
    with pytest.raises(InputError, match="no field 'colour'"):
        explain(field="colour")
    with pytest.raises(NeedsPersonError, match="no release of sex is live"):
        explain(field="sex")
    labelled = next(one.sample_id for one in ATLAS.samples if "tissue" in one.values)
    with pytest.raises(NeedsPersonError, match="has no prediction of tissue"):
        explain(labelled)
    with pytest.raises(
        InputError, match=r"cannot be explained or annotated: .* mapped reads; at least"
    ):
        explain(settings=replace(settings, minimum_reads=10**9))
    changed = "update atlas.expression set counts[1] = counts[1] + 1 where sample_id = %s"
    execute(loaded, changed, sample)
    with pytest.raises(NeedsPersonError, match="expression that has changed"):
        explain()
    execute(loaded, "delete from atlas.expression where sample_id = %s", sample)
    with pytest.raises(InputError, match="cannot be explained"):
        explain()
