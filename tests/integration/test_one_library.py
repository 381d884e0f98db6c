"""Libraries under several ids count once, and molecules under several names are one feature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from annotator.domain.imports import ImportedCounts
from annotator.domain.profiles import Profiles
from annotator.jobs.retrain.ablation import ablate
from annotator.jobs.retrain.evaluate import evaluate
from annotator.jobs.retrain.plan import notes_of, plan_of, read_labelled
from annotator.jobs.retrain.retrain import retrain
from annotator.jobs.watch.doctor.examine import examine
from annotator.learn.features.mirbase import MATURE, name_table, written
from annotator.store.mirror.importing import apply_import
from tests.support.atlas import load_atlas, small_atlas
from tests.support.databases import new_database
from tests.support.store import rows

ATLAS = small_atlas()
SRNAS = ATLAS.profiles.kinds == "srna"


def deposit(database, rows_of_atlas, *, prefix="again-", change=lambda sample: sample):
    """Import samples of the atlas again, under other ids of samples and datasets."""
    samples = [
        change(
            replace(
                ATLAS.samples[row],
                sample_id=prefix + ATLAS.samples[row].sample_id,
                dataset_id=prefix + ATLAS.samples[row].dataset_id,
            )
        )
        for row in rows_of_atlas
    ]
    counts = ATLAS.profiles.counts[list(rows_of_atlas)][:, np.flatnonzero(SRNAS)]
    with database.connect() as connection:
        summary = apply_import(
            connection,
            samples=samples,
            counts=ImportedCounts(
                ATLAS.profiles.features[SRNAS].tolist(),
                "srna",
                [([one.sample_id for one in samples], counts)],
            ),
        )
        connection.commit()
    return summary


def test_held_out_accuracy_does_not_depend_on_copies(database, job_settings):
    load_atlas(database)
    plan = plan_of(job_settings, "tissue")
    before = read_labelled(database, plan)[0]
    alone = evaluate(database, job_settings, "tissue", "one-dataset-out")
    deposit(database, range(0, 140, 2))
    after = read_labelled(database, plan)[0]
    assert after.hash == before.hash
    assert after.copies
    assert {error.code for error in after.copies.values()} == {"copy"}
    again = evaluate(database, job_settings, "tissue", "one-dataset-out")
    assert again.metrics == alone.metrics
    assert any("each library counts once" in note for note in again.notes)


def test_copies_without_contaminants_count_once_too(database, job_settings):
    load_atlas(database)
    plan = plan_of(job_settings, "sex")
    before = read_labelled(database, plan)[0].hash
    deposit(database, range(0, 140, 2))
    assert read_labelled(database, plan)[0].hash == before


def test_copies_with_different_labels_are_all_left_out(database, job_settings):
    load_atlas(database)
    row = next(n for n, one in enumerate(ATLAS.samples) if "tissue" in one.values)
    deposit(database, [row], change=lambda one: replace(one, values={"tissue": "elsewhere"}))
    plan = plan_of(job_settings, "tissue")
    read, _ = read_labelled(database, plan)
    name = ATLAS.samples[row].sample_id
    assert {key: error.code for key, error in read.copies.items()} == dict.fromkeys(
        (name, f"again-{name}"), "copy_with_another_label"
    )
    assert any("different labels" in note for note in notes_of(read, plan))


def test_an_import_names_samples_that_are_in_other_datasets(database):
    load_atlas(database)
    summary = deposit(database, [3, 5])
    assert [(one.sample_id, one.copy_of) for one in summary.copies] == sorted(
        (f"again-{ATLAS.samples[row].sample_id}", ATLAS.samples[row].sample_id) for row in (3, 5)
    )
    assert deposit(database, [3, 5]).copies == ()  # nothing was written


def test_the_doctor_finds_copies_and_names(database, settings):
    load_atlas(database)
    deposit(database, [3])
    found = {
        finding.subject: finding
        for finding in examine(settings)
        if finding.subject in {"copies", "names"}
    }
    assert found["copies"].level == "warning"
    assert f"again-{ATLAS.samples[3].sample_id}" in found["copies"].found
    assert "miRBase" in found["names"].found


ACCESSIONS = {
    written(mirna): accession.upper()
    for accession, mirna in name_table().current.items()
    if mirna.kind == MATURE
}


def renamed_atlas(datasets):
    """Return the atlas with accessions for names in some datasets."""
    profiles = ATLAS.profiles
    columns = [c for c, name in enumerate(profiles.features) if name.lower() in ACCESSIONS]
    other = np.array([one.dataset_id in datasets for one in ATLAS.samples])[:, None]
    table = profiles.counts.toarray()
    moved = np.where(other, table[:, columns], 0)
    table[:, columns] = np.where(other, 0, table[:, columns])
    names = [ACCESSIONS[profiles.features[column].lower()] for column in columns]
    counts = type(profiles.counts)(np.hstack([table, moved]))
    return replace(
        ATLAS,
        profiles=Profiles(
            profiles.sample_ids,
            np.array([*profiles.features, *names], dtype=object),
            np.array([*profiles.kinds, *["srna"] * len(names)], dtype=object),
            counts,
        ),
    )


def test_the_effect_of_contaminants_does_not_depend_on_names(server, database, job_settings):
    load_atlas(database)
    before = ablate(database, job_settings, "sex", "one-dataset-out")
    with new_database(server) as other:
        load_atlas(other, renamed_atlas(sorted({one.dataset_id for one in ATLAS.samples})[::4]))
        after = ablate(other, job_settings, "sex", "one-dataset-out")
    assert any("names of features" in note for note in after.notes)
    assert after.metrics == before.metrics


def test_datasets_with_other_names_are_learned_from_alike(database, job_settings):
    chosen = sorted({one.dataset_id for one in ATLAS.samples})[::4]
    load_atlas(database, renamed_atlas(chosen))
    outcome = retrain(database, job_settings, "tissue")
    assert any("names of features" in reason for reason in outcome.reasons)
    named = {
        row[0]: row[1:]
        for row in rows(
            database, "select dataset_id, naming, renamed > 0 from annotator.dataset_naming"
        )
    }
    assert {dataset for dataset, (_, renamed) in named.items() if renamed} == {
        dataset for dataset in chosen if dataset in named
    }
    assert {named[dataset][0] for dataset in named if dataset in chosen} == {"miRBase accessions"}
    assert rows(database, "select copies_left_out from annotator.model_card") == [(0,)]
    read, _ = read_labelled(database, plan_of(job_settings, "tissue"))
    expressed = read.cohort.profiles.features[np.unique(read.cohort.profiles.counts.indices)]
    assert not [name for name in expressed if name.startswith("MIMAT")]
