"""What is promised of answers and sets, counted on a simulated atlas whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from annotator.atlas.simulate import SimulationOptions, simulate_atlas
from annotator.domain.fields import FIELDS
from annotator.domain.profiles import Cohort
from annotator.learn.labels.classes import LabelOptions, class_index
from annotator.learn.labels.ontology import Ontology
from annotator.learn.models.presets import PRESETS
from annotator.learn.selective.policy import SelectiveOptions
from annotator.learn.selective.prediction_sets import fit_prediction_sets
from annotator.learn.validation.cross_calibration import cross_calibrated
from annotator.learn.validation.plan import ModelPlan
from annotator.learn.validation.validate import one_dataset_out

LIGHT = PRESETS["default"].changed({"network": None, "forest": None, "boosting": None})
COVERAGE = 0.9


@pytest.fixture(scope="module")
def validation():
    atlas = simulate_atlas(
        SimulationOptions(
            samples=700,
            datasets=90,
            missing_share=dict.fromkeys(("tissue", "sex", "age"), 0.0),
            seed=3,
        )
    )
    rows = {sample.sample_id: sample for sample in atlas.samples}
    values = [rows[name].values.get("tissue", "") for name in atlas.profiles.sample_ids]
    cohort = Cohort(
        definition=FIELDS["tissue"],
        profiles=atlas.profiles,
        dataset_ids=np.array(
            [rows[name].dataset_id for name in atlas.profiles.sample_ids], dtype=object
        ),
        values=np.array(values, dtype=object),
        numbers=np.full(len(values), np.nan),
        known={},
    )
    return one_dataset_out(
        cohort,
        Ontology(dict(atlas.terms)),
        ModelPlan(
            LIGHT,
            labels=LabelOptions(minimum_samples=9, minimum_datasets=3),
            seed=1,
            selective=SelectiveOptions(0.9, COVERAGE, 0.99),
        ),
        folds=6,
    )


def test_sets_hold_the_truth_in_new_datasets_as_often_as_they_say(validation):
    held_out, _ = cross_calibrated(validation.raw, LIGHT)
    truth = class_index(held_out.truth, held_out.classes)
    covered = np.zeros(len(truth), dtype=bool)
    for fold in np.unique(held_out.folds):
        own = held_out.folds == fold
        others = held_out.take(~own)
        sets = fit_prediction_sets(
            others.probabilities["combined"],
            class_index(others.truth, others.classes),
            others.dataset_ids,
            COVERAGE,
        )
        inside = sets.sets(held_out.probabilities["combined"][own])
        covered[own] = inside[np.arange(own.sum()), truth[own]]
    # One sample of each dataset: samples of different datasets are independent.
    draws = np.random.default_rng(0)
    names = sorted(set(held_out.dataset_ids))
    one_each = [draws.choice(np.flatnonzero(held_out.dataset_ids == name)) for name in names]
    hits = int(covered[one_each].sum())
    assert hits >= binom.ppf(0.001, len(names), COVERAGE)
    # They are no emptier promise either: most classes are outside of most sets.
    figures = {m.name: m.value for m in validation.metrics if m.model_kind == "combined"}
    assert figures["prediction_set_size"] < len(held_out.classes) / 2


def test_answers_are_as_right_as_was_asked_for(validation):
    figures = {m.name: m for m in validation.metrics if m.model_kind == "combined"}
    answers = figures["precision"].samples
    assert answers > 100
    assert figures["precision"].value * answers >= binom.ppf(0.001, answers, 0.9)
    assert figures["always_class_precision"].value < figures["precision"].value
