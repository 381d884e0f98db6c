"""What benchmarks/unseen_types.py holds out and counts, on a small simulated atlas."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotator.learn.presets import PRESETS

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # as for a script of that folder

import robustness
import unseen_types

LIGHT = replace(
    PRESETS["default"],
    network=None,
    forest=None,
    boosting=None,
    neighbours=None,
    leaf_kinds=("linear",),
)


@pytest.fixture(scope="module")
def given():
    return unseen_types.labelled(*robustness.simulated_cohort(samples=200, datasets=24))


def silent(done: int, total: int) -> None:
    """Say nothing."""


@pytest.mark.parametrize("kept_whole", ["dataset_ids", "values"])
def test_what_is_held_out_together_is_in_one_fold(given, kept_whole):
    groups = getattr(given.cohort, kept_whole)
    predictions = unseen_types.predict(given, groups, LIGHT, 4, 1, silent)
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


def test_only_samples_that_both_could_score_are_counted(given):
    samples = len(given.labels)
    by_dataset, by_type = np.ones(samples), np.zeros(samples)
    by_dataset[:10], by_type[5:20] = np.nan, np.nan
    right = {
        unseen_types.DATASET: {"default combined": by_dataset},
        unseen_types.TYPE: {"default combined": by_type},
    }
    rows = unseen_types.rows_of(given, right)
    numbers = {row["samples"]: row["number"] for row in rows}
    assert numbers["all"] == samples - 20
    assert numbers["type elsewhere, too"] + numbers["type only here"] == samples - 20
    assert 0 < numbers["type only here"] < samples - 20
    for row in rows:
        expected = 1.0 if row["held_out"] == unseen_types.DATASET else 0.0
        assert row["accuracy"]["default combined"]["value"] == expected
