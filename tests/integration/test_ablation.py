"""What contaminants add, on a real database and a simulated atlas that has some."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from annotator.atlas.simulate import SimulationOptions, simulate_atlas
from annotator.cli.commands import command_line
from annotator.cli.tables import ablation_table
from annotator.domain.fields import FeatureKind
from annotator.errors import InputError
from annotator.jobs.retrain import evaluate as evaluate_job
from annotator.jobs.retrain.ablation import ablate, as_json
from tests.support.atlas import load_atlas

ATLAS = simulate_atlas(
    SimulationOptions(samples=120, datasets=12, srnas=120, contaminants=30, seed=5)
)
FOREST_ONLY = """
base = "paper"
network = false
boosting = false

[forest]
first_trees = 4
trees = 10
top_features = 40
down_sample = false
"""


@pytest.fixture
def job_settings(settings, tmp_path):
    """With a forest only: what is tested here is what the comparison does with it."""
    preset = tmp_path / "forest.toml"
    preset.write_text(FOREST_ONLY)
    return replace(settings, preset=str(preset), folds=3, workers=1)


def figures(ablation, name):
    """Of the combination; of the set without features, of the majority."""
    return {
        metric.name: metric
        for metric in ablation.metrics[name]
        if not metric.class_name and metric.model_kind in ("combined", "majority")
    }


@pytest.mark.parametrize("scheme", ["cv", "one-dataset-out"])
def test_the_three_see_the_same_samples_and_other_features(
    database, job_settings, scheme, monkeypatch
):
    load_atlas(database, ATLAS)
    seen = {}
    for name in ("cross_validate", "one_dataset_out"):
        original = getattr(evaluate_job, name)

        def watched(cohort, *arguments, original=original, **options):
            found = original(cohort, *arguments, **options)
            seen[cohort.definition.feature_kinds] = found.predictions
            return found

        monkeypatch.setattr(evaluate_job, name, watched)
    progress = []
    found = ablate(
        database,
        job_settings,
        "sex",
        scheme,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert found.scheme == scheme
    assert list(found.metrics) == ["sRNAs", "contaminants", "both", "none"]
    srnas, contaminants, both = seen.values()
    assert srnas.sample_ids.tolist() == both.sample_ids.tolist() == contaminants.sample_ids.tolist()
    assert srnas.folds.tolist() == both.folds.tolist() == contaminants.folds.tolist()
    said = [one.probabilities["forest"] for one in (srnas, contaminants, both)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert not np.array_equal(said[first], said[second])
    assert progress[0] == (0, 9)
    assert progress[-1] == (9, 9)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)
    assert {"accuracy", "balanced_accuracy", "auc"} <= set(figures(found, "both"))


def test_tissues_show_in_srnas_and_the_table_says_so(database, job_settings):
    load_atlas(database, ATLAS)
    found = ablate(database, job_settings, "tissue", "one-dataset-out")
    accuracy = {name: figures(found, name)["accuracy"].value for name in found.metrics}
    # A tissue's release sees no contaminants, yet the comparison does.
    assert accuracy["sRNAs"] > accuracy["contaminants"] + 0.1
    assert accuracy["both"] > accuracy["contaminants"] + 0.1
    lines = ablation_table(found).splitlines()
    assert lines[0].split()[:3] == ["features", "model", "accuracy"]
    assert "mean over datasets" in lines[0]
    assert "AUC" not in lines[0]
    assert [tuple(line.split()[:2]) for line in lines[2:]] == [
        *(
            (features, model)
            for features in ("sRNAs", "contaminants", "both")
            for model in ("forest", "combined", "logistic_regression")
        ),
        ("none", "majority"),
    ]
    assert f"{accuracy['sRNAs']:.3f}" in next(line for line in lines if "combined" in line)
    assert json.loads(json.dumps(as_json(found)))["metrics"][0]["features"] == "sRNAs"


def test_a_cohort_without_contaminants_is_said_to_have_none(database, job_settings):
    load_atlas(database, ATLAS, kinds=[FeatureKind.SRNA])
    found = ablate(database, job_settings, "sex", "cv")
    assert list(found.metrics) == ["sRNAs", "none"]
    assert "mean over datasets" not in ablation_table(found)  # none was held out
    assert found.notes[-1] == (
        "the cohort has no contaminants: there is nothing to compare, only sRNAs are shown"
    )


def test_samples_without_contaminants_are_counted(database, job_settings):
    labelled = [row for row, one in enumerate(ATLAS.samples) if "sex" in one.values]
    load_atlas(database, ATLAS, without_contaminants=labelled[:4])
    found = ablate(database, job_settings, "sex", "cv")
    assert any("have no reads of any contaminant" in note for note in found.notes)
    assert any(note.startswith("4 of ") for note in found.notes)
    assert {figures(found, name)["accuracy"].samples for name in found.metrics} == {
        figures(found, "both")["accuracy"].samples
    }


def test_contaminants_too_rare_for_models_are_named(database, job_settings):
    labelled = [row for row, one in enumerate(ATLAS.samples) if "sex" in one.values]
    load_atlas(database, ATLAS, without_contaminants=labelled[: len(labelled) // 2])
    found = ablate(database, job_settings, "sex", "cv")
    assert "contaminants" not in found.metrics
    assert {"sRNAs", "both"} <= set(found.metrics)
    assert any(note.startswith("contaminants: no models, because none of") for note in found.notes)


def test_the_command(database, job_settings, tmp_path, monkeypatch):
    load_atlas(database, ATLAS, kinds=[FeatureKind.SRNA])
    monkeypatch.setenv("ANNOTATOR_DATABASE_URL", job_settings.database_url)
    monkeypatch.setenv("ANNOTATOR_WORKERS", "1")
    monkeypatch.setenv("ANNOTATOR_PRESET", job_settings.preset)

    def run(*arguments):
        return CliRunner().invoke(command_line, ["ablation", *arguments])

    target = tmp_path / "figures.json"
    figure = tmp_path / "figure.svg"
    files = ("--json", str(target), "--figure", str(figure))
    ended = run("--field", "sex", "--folds", "2", *files)
    assert ended.exit_code == 0, ended.output
    assert "the cohort has no contaminants" in ended.output
    assert "one dataset out" in ended.output
    assert json.loads(target.read_text())["preset"] == job_settings.preset
    assert f"drawn in {figure}" in ended.output
    assert ">sRNAs<" in figure.read_text(encoding="utf-8")
    nowhere = run("--field", "sex", "--json", str(tmp_path / "no" / "figures.json"))
    assert isinstance(nowhere.exception, InputError)
    assert run("--field", "colour").exit_code == 2
    assert run().exit_code == 2
