"""What may not be annotated is not learned from, and tissues are grouped as asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from annotator.domain.fields import FeatureKind, declared_fields
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.report import read_contents
from annotator.jobs.retrain.ablation import ablate
from annotator.jobs.retrain.evaluate import as_json, evaluate
from annotator.jobs.retrain.plan import plan_of, read_labelled
from annotator.jobs.retrain.retrain import retrain
from tests.support.atlas import load_atlas, small_atlas
from tests.support.store import execute, rows

ATLAS = small_atlas()
# A root above all, as BTO has it, and two terms between.
ROOT = "tissues and cell types"
ONE_ROOT = {term: above or ("whole body",) for term, above in ATLAS.terms.items()} | {
    "whole body": ("animal",),
    "animal": (ROOT,),
    ROOT: (),
}
LABELLED = [sample.sample_id for sample in ATLAS.samples if "tissue" in sample.values]
IS_SRNA = ATLAS.profiles.kinds == FeatureKind.SRNA.value
READS = dict(
    zip(
        ATLAS.profiles.sample_ids,
        np.asarray(ATLAS.profiles.counts[:, np.flatnonzero(IS_SRNA)].sum(axis=1)).ravel(),
        strict=True,
    )
)
POOR = [sample_id for sample_id in LABELLED if READS[sample_id] < 1000]
"""The simulation has some poor libraries too."""
LEFT_OUT = {"poor": "too_few_reads", "narrow": "too_few_known_features", "broken": "no_counts"}


SPOIL = {
    "poor": "update atlas.expression set counts = array_fill((39.0 / nnz)::real, array[nnz])"
    " where sample_id = %s",
    "narrow": "update atlas.expression set nnz = 1, feature_ids = feature_ids[1:1],"
    " counts = array[50000] where sample_id = %s",
    "broken": "delete from atlas.expression where sample_id = %s",
}


@pytest.fixture
def spoilt(database):
    """A loaded atlas with three more samples that cannot be used: kind of damage to sample."""
    load_atlas(database)
    rich = [sample_id for sample_id in LABELLED if sample_id not in POOR]
    chosen = dict(zip(SPOIL, rich, strict=False))
    for name, sample_id in chosen.items():
        execute(database, SPOIL[name], sample_id)
    return chosen


def quarantined(database):
    return rows(
        database,
        "select q.sample_id, q.code, q.release_id is null,"
        " q.sample_updated_at is not distinct from s.updated_at"
        " from annotator.quarantine q join atlas.sample s using (sample_id)"
        " where q.field = 'tissue' and q.sample_id = any (%s) order by q.quarantine_id",
        LABELLED,
    )


def test_a_retraining_quarantines_labelled_samples_and_does_not_learn_from_them(
    database, job_settings, spoilt
):
    outcome = retrain(database, job_settings, "tissue")
    assert outcome.status == "promoted"
    left_out = {spoilt[name]: code for name, code in LEFT_OUT.items()}
    left_out |= dict.fromkeys(POOR, "too_few_reads")
    assert sorted(quarantined(database)) == sorted(
        (sample_id, code, True, True) for sample_id, code in left_out.items()
    )
    assert rows(
        database, "select reason from annotator.quarantine where sample_id = %s", spoilt["poor"]
    ) == [("34 mapped reads; at least 1000 are needed",)]  # of 39, the others contaminants
    for table in ("cohort_sample", "validation_prediction", "label_suspicion", "sample_map"):
        query = f"select sample_id from annotator.{table}"
        assert not {name for (name,) in rows(database, query)} & left_out.keys(), table

    (note,) = [reason for reason in outcome.reasons if "labelled samples are left out" in reason]
    assert f"{1 + len(POOR)} with fewer than 1000 mapped reads" in note
    (card,) = rows(
        database,
        "select reasons, configuration -> 'cohort', samples from annotator.model_card"
        " where status = 'live'",
    )
    assert note in card[0]
    assert card[1] == {
        "classes": 6,
        "fitted": 85,
        "minimum_reads": 1000,
        "minimum_known_features": 0.2,
        "too_general": [],
        "left_out": {"no_counts": 1, "too_few_known_features": 1, "too_few_reads": 1 + len(POOR)},
    }

    # Neither another retraining nor annotating puts them there again.
    assert retrain(database, job_settings, "tissue").status == "skipped"
    annotate(database, job_settings, worker="one")
    assert len(quarantined(database)) == len(left_out)


def test_a_further_sample_that_is_left_out_is_no_reason_to_retrain(database, job_settings, spoilt):
    assert retrain(database, job_settings, "tissue").status == "promoted"
    unlabelled = next(one.sample_id for one in ATLAS.samples if "tissue" not in one.values)
    execute(database, SPOIL["poor"], unlabelled)
    execute(
        database,
        "insert into atlas.annotation (sample_id, field, value) values (%s, 'tissue', 'skin')",
        unlabelled,
    )
    assert retrain(database, job_settings, "tissue").status == "skipped"
    assert rows(
        database, "select code from annotator.quarantine where sample_id = %s", unlabelled
    ) == [("too_few_reads",)]
    # With a lower limit it is another cohort.
    lenient = replace(job_settings, minimum_reads=30)
    read, _ = read_labelled(database, plan_of(lenient, "tissue"))
    assert {unlabelled, spoilt["poor"]} <= set(read.cohort.profiles.sample_ids)
    assert read.hash != read_labelled(database, plan_of(job_settings, "tissue"))[0].hash


def test_a_reviewed_label_of_a_poor_library_is_not_learned_from(database, job_settings):
    load_atlas(database)
    assert retrain(database, job_settings, "tissue").status == "promoted"
    annotate(database, job_settings, worker="one")
    ((prediction_id, sample_id),) = rows(
        database, "select prediction_id, sample_id from annotator.suggestion limit 1"
    )
    execute(database, "select annotator.correct_suggestion(%s, 'skin', 'seen')", prediction_id)
    plan = plan_of(job_settings, "tissue")
    assert sample_id in read_labelled(database, plan)[0].cohort.profiles.sample_ids
    execute(database, SPOIL["poor"], sample_id)
    read, _ = read_labelled(database, plan, quarantine=True)
    assert sample_id not in read.cohort.profiles.sample_ids
    assert read.left_out[sample_id].code == "too_few_reads"
    assert rows(
        database, "select code from annotator.quarantine where sample_id = %s", sample_id
    ) == [("too_few_reads",)]


def test_a_sample_that_changed_after_it_was_read_is_pending_again(database, job_settings, spoilt):
    plan = plan_of(job_settings, "tissue")
    read_labelled(database, plan, quarantine=True)
    execute(
        database,
        "update atlas.sample set updated_at = updated_at + interval '1 second'"
        " where sample_id = %s",
        spoilt["poor"],
    )
    as_it_is = {sample_id: current for sample_id, _, _, current in quarantined(database)}
    assert as_it_is[spoilt["poor"]] is False
    read_labelled(database, plan, quarantine=True)
    assert [each[3] for each in quarantined(database) if each[0] == spoilt["poor"]] == [False, True]


def test_validations_leave_the_same_samples_out_and_only_say_so(database, job_settings, spoilt):
    validation = evaluate(database, job_settings, "tissue", "one-dataset-out")
    assert not set(validation.predictions.sample_ids) & set(spoilt.values())
    (note,) = as_json("tissue", "default", validation)["notes"]
    assert note.startswith(f"{3 + len(POOR)} of {len(LABELLED)} labelled samples are left out")
    compared = ablate(database, job_settings, "tissue", "one-dataset-out")
    assert compared.notes[0] == note
    assert rows(database, "select count(*) from annotator.quarantine") == [(0,)]


def test_a_field_whose_labelled_samples_are_all_left_out_says_why(database, job_settings):
    load_atlas(database)
    outcome = retrain(database, replace(job_settings, minimum_reads=10**9), "tissue")
    assert outcome.status == "unlabelled"
    assert "no usable sample has a tissue label" in outcome.reasons[0]
    assert "with fewer than 1000000000 mapped reads" in outcome.reasons[0]
    assert rows(
        database, "select distinct code from annotator.quarantine where field = 'tissue'"
    ) == [("too_few_reads",)]


def test_groups_of_an_ontology_with_one_root_and_of_table_2(database, job_settings):
    load_atlas(database, terms=ONE_ROOT)
    by_group = replace(job_settings, fields=declared_fields({"tissue": {"level": "group"}}))
    of_ontology = evaluate(database, by_group, "tissue", "one-dataset-out").label_set
    assert set(of_ontology.classes) == {
        "blood",
        "brain",
        "intestine",
        "muscle",
        "skin",
    }
    by_table_2 = declared_fields({"tissue": {"level": "group", "groups": "table2"}})
    outcome = retrain(database, replace(by_group, fields=by_table_2), "tissue")
    assert outcome.status == "promoted"
    (card,) = rows(
        database,
        "select release_id, classes, configuration -> 'field' ->> 'groups'"
        " from annotator.model_card where status = 'live'",
    )
    assert card[1:] == (
        [
            "blood_group",
            "brain_group",
            "epithelium_group",
            "intestine_group",
            "muscle",
        ],
        "table2",
    )
    with database.connect() as connection:
        assert read_contents(connection, card[0]).groups == {name: name for name in card[1]}
    annotate(database, replace(by_group, target_precision=0.5), worker="one")
    lineages = rows(database, "select distinct unnest(lineage) from annotator.prediction")
    assert {name for (name,) in lineages} <= set(card[1])
    again = retrain(database, by_group, "tissue")
    assert again.status != "skipped"
