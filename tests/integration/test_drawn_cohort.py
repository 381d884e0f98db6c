from __future__ import annotations

from dataclasses import replace

from annotator.jobs.retrain.retrain import retrain
from tests.support.atlas import load_atlas
from tests.support.presets import LINEAR_ONLY
from tests.support.store import rows

MOST = 60


def test_a_release_names_the_number_of_samples_that_it_is_fitted_on(
    database, job_settings, tmp_path
):
    load_atlas(database)
    preset = tmp_path / "few.toml"
    preset.write_text(f"training_samples = {MOST}\n{LINEAR_ONLY.read_text(encoding='utf-8')}")
    outcome = retrain(database, replace(job_settings, preset=str(preset)), "tissue")
    drawn = [reason for reason in outcome.reasons if "training_samples" in reason]
    ((fitted, samples, reasons, held_out),) = rows(
        database,
        "select fitted_samples, samples, reasons, held_out_samples from annotator.model_card",
    )
    assert fitted <= MOST < held_out <= samples
    assert len(drawn) == 1
    assert f" {fitted} of " in drawn[0]
    assert drawn[0] in reasons


def test_a_release_of_a_small_cohort_is_fitted_on_every_sample_with_a_class(database, job_settings):
    load_atlas(database)
    outcome = retrain(database, job_settings, "tissue")
    assert not [reason for reason in outcome.reasons if "training_samples" in reason]
    assert rows(
        database,
        "select fitted_samples = (select count(*) from annotator.cohort_sample c"
        " where c.cohort_id = t.cohort_id and c.class is not null)"
        " from annotator.model_card m join annotator.training_run t"
        " on t.configuration_hash = m.configuration_hash",
    ) == [(True,)]
