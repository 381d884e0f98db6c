"""A field, a model kind and a layout, each defined in one place, work wherever they are used."""

from __future__ import annotations

from annotator.atlas.simulate import SimulationOptions, simulate_atlas
from annotator.domain.fields import declared_fields
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.explain import explain_sample
from annotator.jobs.import_files import import_files
from annotator.jobs.retrain.retrain import retrain
from annotator.learn.models.registry import KINDS
from annotator.reading.counts import registry
from annotator.settings import Settings
from tests.support.atlas import load_atlas
from tests.support.made_up_kind import MEANS
from tests.support.made_up_layout import SENTENCES
from tests.support.store import execute, rows

MEANS_ONLY = """
network = false
forest = false
boosting = false
linear = false

[means]
sharpness = 0.02
"""
LIBRARY_KIT = {"scheme": "categories", "vocabulary": ["kit A", "kit B"]}
ATLAS = simulate_atlas(
    SimulationOptions(samples=120, datasets=12, srnas=120, contaminants=10, seed=5)
)


def test_a_made_up_kind_answers_for_a_made_up_field(database, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(KINDS, MEANS.name, MEANS)
    preset = tmp_path / "means.toml"
    preset.write_text(MEANS_ONLY)
    settings = Settings(
        fields=declared_fields({"library kit": LIBRARY_KIT}),
        preset=str(preset),
        folds=2,
        cross_validation_folds=0,
        workers=1,
        marker_count=10,
        similarity_samples=5,
        baseline_margin=-1.0,
        target_precision=0.5,
    )
    load_atlas(database, ATLAS)
    for place, sample in enumerate(ATLAS.samples):
        if place % 4:  # the others are to be annotated
            value = "kit A" if str(ATLAS.truth["tissue"][sample.sample_id]) < "h" else "kit B"
            execute(
                database,
                "insert into atlas.annotation (sample_id, field, value, source)"
                " values (%s, 'library kit', %s, 'import')",
                sample.sample_id,
                value,
            )

    outcome = retrain(database, settings, "library kit")
    assert outcome.status == "promoted", outcome
    assert {metric.model_kind for metric in outcome.metrics} >= {"means", "combined"}

    summary = annotate(database, settings, worker="one")
    assert summary.predicted["library kit"] > 0
    ((prediction, sample_id),) = rows(
        database,
        "select prediction_id, sample_id from annotator.suggestion"
        " where field = 'library kit' limit 1",
    )
    found = rows(
        database,
        "select distinct model_kind, method from annotator.contribution"
        " where prediction_id = %s order by 1",
        prediction,
    )
    assert found == [("combined", "weighted_sum"), ("means", "distance")]
    explained = explain_sample(database, settings, sample_id, "library kit", 3)
    assert set(explained.kinds) == {"combined", "means"}


def test_a_made_up_layout_is_one_file_and_one_entry(database, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(registry, "LAYOUTS", (SENTENCES, *registry.LAYOUTS))
    counts, samples = tmp_path / "counts.sentences", tmp_path / "samples.tsv"
    counts.write_text("S1 has 3 of hsa-let-7a-5p\nS2 has 5 of hsa-miR-21-5p\n")
    samples.write_text("sample_id\tdataset_id\nS1\tD1\nS2\tD1\n")
    summary = import_files(database, counts, samples)
    assert summary.files[0].detected.startswith("sentences")
    assert rows(
        database, "select sample_id, feature, count from atlas.expression_long order by 1"
    ) == [("S1", "hsa-let-7a-5p", 3), ("S2", "hsa-miR-21-5p", 5)]
