"""What benchmarks/accuracy/unseen_types.py holds out and counts, on a small simulated atlas."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from annotator.domain.held_out import HeldOutPredictions
from annotator.learn.models.presets import PRESETS
from annotator.learn.validation.splits import dataset_folds
from annotator.logs import silent
from benchmarks.accuracy import robustness, unseen_types

LIGHT = PRESETS["default"].changed({"network": None, "forest": None, "boosting": None})


@pytest.fixture(scope="module")
def given():
    return unseen_types.labelled(*robustness.simulated_cohort(samples=200, datasets=24))


@pytest.mark.parametrize("kept_whole", ["dataset_ids", "values"])
def test_what_is_held_out_together_is_in_one_fold(given, kept_whole):
    groups = getattr(given.cohort, kept_whole)
    fold_of = dataset_folds(groups, given.labels, 4, 1)
    predictions = unseen_types.predict(given, fold_of, LIGHT, 1, silent)
    assert len(predictions.truth) > 100
    assert len(np.unique(predictions.folds)) == 4
    group_of = dict(zip(given.cohort.profiles.sample_ids, groups, strict=True))
    pairs = {
        (group_of[name], fold)
        for name, fold in zip(predictions.sample_ids, predictions.folds, strict=True)
    }
    assert len(pairs) == len({group for group, _ in pairs})
    right = unseen_types.right_answers(given, predictions, ["combined"])["combined"]
    assert np.isfinite(right).sum() == len(predictions.truth)
    assert np.nanmean(right) > 2 / len(given.classes)


def test_types_that_no_other_dataset_holds():
    types = np.array(["neuron", "neuron", "neuron", "astrocyte", "astrocyte"], dtype=object)
    datasets = np.array(["D1", "D1", "D2", "D2", "D2"], dtype=object)
    assert unseen_types.only_here(types, datasets).tolist() == [False, False, False, True, True]


def test_datasets_that_are_learned_from_while_a_type_is_held_out():
    datasets = np.array(["D1", "D1", "D2", "D2", "D3"], dtype=object)
    learned = unseen_types.others_learned(datasets, np.array([0, 1, 0, 0, 1]))
    assert learned.tolist() == [True, True, False, False, False]


def test_only_samples_that_both_could_score_are_counted(given):
    samples = len(given.labels)
    by_dataset, by_type = np.ones(samples), np.zeros(samples)
    by_dataset[:10], by_type[5:20] = np.nan, np.nan
    counted = np.arange(samples) < samples - 30
    right = {
        unseen_types.DATASET: {"default combined": by_dataset},
        unseen_types.TYPE: {"default combined": by_type},
    }
    rows = unseen_types.rows_of(given, right, counted)
    numbers = {row["samples"]: row["number"] for row in rows}
    assert numbers["all"] == samples - 50
    assert numbers["type elsewhere, too"] + numbers["type only here"] == samples - 50
    assert 0 < numbers["type only here"] < samples - 50
    values = {unseen_types.DATASET: 1.0, unseen_types.TYPE: 0.0, unseen_types.DIFFERENCE: -1.0}
    for row in rows:
        assert row["accuracy"]["default combined"]["value"] == values[row["held_out"]]


def test_the_command_prints_what_it_writes(given, tmp_path, monkeypatch, capsys):
    """Models that are always right with a dataset held out, never with a type."""

    def predict(given, fold_of, preset, workers, said):
        by_dataset = len(np.unique(fold_of)) == 5
        said(1, 1)
        column = np.array([given.classes.index(label) for label in given.labels])
        right = np.eye(len(given.classes))[column]
        return HeldOutPredictions(
            given.cohort.profiles.sample_ids,
            given.cohort.dataset_ids,
            given.labels,
            fold_of,
            given.classes,
            {"combined": right if by_dataset else 1 - right},
        )

    (tmp_path / unseen_types.ATLAS).mkdir()
    monkeypatch.setattr(unseen_types, "predict", predict)
    monkeypatch.setattr(unseen_types, "labelled", lambda *read: given)
    monkeypatch.setattr(unseen_types, "read_cohort", lambda folder: (None, None))
    file = tmp_path / "unseen.json"
    arguments = ["--data", str(tmp_path), "--presets", "default", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", ["", *arguments, "--folds", "5", "--type-folds", "4"])
    unseen_types.main()
    lines = capsys.readouterr().out.splitlines()
    assert "1.000 [1.00; 1.00]" in lines[2]
    assert "0.000 [0.00; 0.00]" in lines[3]
    assert "-1.000 [-1.00; -1.00]" in lines[4]
    assert [row["held_out"] for row in json.loads(file.read_text())[:3]] == [
        "dataset",
        "type",
        "difference",
    ]
