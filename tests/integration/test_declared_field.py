"""A field that the settings declare: imported, learned, annotated, reviewed and reported."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from psycopg.types.json import Jsonb

from annotator.atlas.simulate import SimulationOptions, simulate_atlas, write_atlas
from annotator.cli.commands import command_line
from annotator.cli.watch_text import status_lines
from annotator.domain.fields import declared_fields
from annotator.domain.values.reading import Problem
from annotator.errors import CohortError
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.explain import explain_sample
from annotator.jobs.import_files import import_files
from annotator.jobs.report import report
from annotator.jobs.retrain.plan import dropped_notes, plan_of, read_labelled
from annotator.jobs.retrain.retrain import retrain
from annotator.jobs.watch.doctor.examine import examine
from annotator.jobs.watch.status import read_status
from annotator.learn.labels.ontology import Ontology
from annotator.reading.samples.meanings import column_meanings
from annotator.settings import load_settings
from annotator.store.mirror.label_values import read_value_use
from tests.support.store import add_release, run

DISEASE = {
    "scheme": "categories",
    "vocabulary": ["tumour", "healthy"],
    "synonyms": {"cancer": "tumour", "control": "healthy"},
    "feature_kinds": ["srna"],
    "known_fields": ["sex"],
}
DISEASE_TOML = """
[fields.disease]
scheme = "categories"
vocabulary = ["tumour", "healthy"]
synonyms = {cancer = "tumour", control = "healthy"}
feature_kinds = ["srna"]
known_fields = ["sex"]
"""
LINEAR_ONLY = "network = false\nforest = false\nboosting = false\n"
ATLAS = simulate_atlas(
    SimulationOptions(samples=120, datasets=12, srnas=120, contaminants=10, seed=5)
)


def truth() -> dict[str, str]:
    """The disease of each sample: something that its expression shows."""
    ontology = Ontology(ATLAS.terms)
    ill = next(iter(ATLAS.markers))
    return {
        name: "tumour" if ill in ontology.lineage(str(tissue)) else "healthy"
        for name, tissue in ATLAS.truth["tissue"].items()
    }


TRUTH = truth()
UNLABELLED = {name for place, name in enumerate(sorted(TRUTH)) if place % 5 == 0}
WRITTEN = {"tumour": "Cancer", "healthy": "healthy"}  # as the file has it


@dataclass(frozen=True)
class Files:
    """An atlas whose SAMPLES file has a column ``disease``."""

    counts: Path
    samples: Path
    ontology: Path

    def read_into(self, database, fields=None):
        declared = declared_fields({"disease": DISEASE}) if fields is None else fields
        return import_files(
            database, self.counts, self.samples, ontology=self.ontology, fields=declared
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    written = write_atlas(ATLAS, tmp_path_factory.mktemp("atlas"))
    with written.samples.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    samples = written.samples.with_name("with_disease.tsv")
    with samples.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "disease"], delimiter="\t", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            name = row["sample_id"]
            row["disease"] = "" if name in UNLABELLED else WRITTEN[TRUTH[name]]
            writer.writerow(row)
    return Files(written.counts_srna, samples, written.ontology)


@pytest.fixture
def declared(settings, tmp_path):
    """Settings with the field, as code gives it, and a preset that is fitted at once."""
    preset = tmp_path / "linear.toml"
    preset.write_text(LINEAR_ONLY)
    return replace(
        settings,
        fields=declared_fields({"disease": DISEASE}),
        preset=str(preset),
        folds=2,
        cross_validation_folds=0,
        workers=1,
        marker_count=10,
        similarity_samples=5,
        baseline_margin=-1.0,
        target_precision=0.6,
    )


def rows(database, query, *values):
    with database.connect() as connection:
        return connection.execute(query, values).fetchall()


def execute(database, statement, *values):
    with database.connect() as connection:
        connection.execute(statement, values)
        connection.commit()


STORED = "select sample_id, value from atlas.annotation where field = 'disease'"
ATTRIBUTES = "select count(*) from atlas.sample where attributes ? 'disease'"


def test_its_column_becomes_annotations_of_its_vocabulary(database, files):
    files.read_into(database)
    assert dict(rows(database, STORED)) == {
        name: value for name, value in TRUTH.items() if name not in UNLABELLED
    }
    assert rows(database, ATTRIBUTES) == [(0,)]
    again = files.read_into(database)
    assert (again.samples_unchanged, again.annotations_changed) == (len(TRUTH), 0)


def test_the_column_of_a_field_that_is_not_declared_is_an_attribute(database, files):
    files.read_into(database, declared_fields({}))
    assert rows(database, STORED) == []
    assert rows(database, ATTRIBUTES) == [(len(TRUTH) - len(UNLABELLED),)]


def test_values_outside_of_the_vocabulary_are_counted_and_kept_as_attributes(database, files):
    narrow = declared_fields({"disease": {**DISEASE, "synonyms": {}}})
    summary = files.read_into(database, narrow)
    (use,) = (each for each in summary.values if each.field == "disease")
    labelled = {name: value for name, value in TRUTH.items() if name not in UNLABELLED}
    healthy = {name: value for name, value in labelled.items() if value == "healthy"}
    assert dict(rows(database, STORED)) == healthy
    assert (use.used, use.not_understood) == (len(healthy), len(labelled) - len(healthy))
    kept = "select count(*) from atlas.sample where attributes ->> 'disease (as given)' = 'Cancer'"
    assert rows(database, kept) == [(use.not_understood,)]


def test_values_that_the_settings_explain_later_count_when_they_are_imported_again(database, files):
    narrow = declared_fields({"disease": {**DISEASE, "synonyms": {}}})
    wide = declared_fields({"disease": DISEASE})
    before = files.read_into(database, narrow)
    with database.connect() as connection:
        (use,) = read_value_use(connection, wide, ["disease"])
        assert {each.problem for each in use.unused} == {Problem.IMPORT_AGAIN}
        files.read_into(database, wide)
        (again,) = read_value_use(connection, wide, ["disease"])
    assert (again.used, again.not_used) == (use.given, 0)
    assert use.not_used == sum(each.not_used for each in before.values if each.field == "disease")


def test_a_field_declared_after_the_import_replaces_the_attribute(database, declared, files):
    files.read_into(database, declared_fields({}))
    execute(
        database,
        "update atlas.sample set attributes ="
        " attributes - 'disease' || jsonb_build_object('Disease', attributes -> 'disease')"
        " where attributes ? 'disease'",
    )
    with pytest.raises(CohortError, match=r"96 samples have an attribute 'Disease'"):
        read_labelled(database, plan_of(declared, "disease"))
    hints = [each for each in examine(declared, quick=True) if "'Disease'" in each.found]
    assert [each.level for each in hints] == ["warning"]
    files.read_into(database)
    assert rows(database, ATTRIBUTES) == [(0,)]


def test_a_column_that_may_be_a_declared_field_is_offered():
    columns = ["sample_id", "dataset_id", "disease state"]
    found = column_meanings(columns, declared_fields({"disease": DISEASE}), {})
    assert "disease" not in found.columns
    assert any("--map 'disease state'=disease" in note for note in found.notes)


def test_other_names_of_its_column_are_declared():
    fields = declared_fields({"disease": {**DISEASE, "columns": ["diagnosis"]}})
    found = column_meanings(["sample_id", "Diagnosis", "disease state"], fields, {})
    assert found.columns["disease"].name == "Diagnosis"


def test_an_ontology_field_is_one_without_a_live_release(connection):
    release = add_release(connection, "origin")
    kept = "select annotator.is_ontology_field('origin')"
    assert run(connection, kept) == [(False,)]
    run(
        connection,
        "update annotator.training_run set configuration = %s",
        Jsonb({"field": {"scheme": "ontology"}}),
    )
    run(
        connection,
        "update annotator.release set status = 'rejected' where release_id = %s",
        release,
    )
    assert run(connection, kept) == [(True,)]


def test_names_of_columns_make_no_other_configuration(settings):
    plans = [
        plan_of(
            replace(settings, fields=declared_fields({"disease": {**DISEASE, **further}})),
            "disease",
        )
        for further in ({}, {"columns": ["diagnosis"]})
    ]
    assert plans[0].configuration() == plans[1].configuration()


def test_values_that_belong_to_no_class_are_named():
    reason = "none of tumour, healthy"
    (note,) = dropped_notes({"AD": reason, "NSCLC": reason, "liver": "'liver' has 3 samples"})
    assert "'AD', 'NSCLC' (none" in note
    assert note.count("'liver'") == 1


def test_values_of_a_declared_ontology_field_are_found_among_the_terms(database, files):
    def with_origin(path):
        lines = files.samples.read_text().splitlines()
        tissues = [
            "origin",
            *(str(ATLAS.truth["tissue"][line.split("\t")[0]]) for line in lines[1:]),
        ]
        path.write_text("".join(f"{a}\t{b}\n" for a, b in zip(lines, tissues, strict=True)))
        return path

    samples = with_origin(files.samples.with_name("with_origin.tsv"))
    fields = declared_fields({"disease": DISEASE, "origin": {"scheme": "ontology"}})
    import_files(database, files.counts, samples, ontology=files.ontology, fields=fields)
    found = rows(database, "select value, term_id from atlas.annotation where field = 'origin'")
    assert len(found) == len(TRUTH)
    assert all(value == term for value, term in found)


def test_it_is_learned_annotated_reviewed_and_reported(database, declared, files, tmp_path):
    files.read_into(database)
    outcome = retrain(database, declared, "disease")
    assert outcome.status == "promoted", outcome
    ((classes, configured),) = rows(
        database,
        "select classes, configuration -> 'field' from annotator.model_card where status = 'live'",
    )
    assert classes == ["tumour", "healthy"]  # in the order of the vocabulary
    assert configured["known_fields"] == ["sex"]
    assert configured["feature_kinds"] == ["srna"]
    baselines = rows(
        database,
        "select distinct model_kind from annotator.metric where model_kind in"
        " ('majority', 'known_fields') order by 1",
    )
    assert baselines == [("known_fields",), ("majority",)]
    assert retrain(database, declared, "disease").status == "skipped"

    summary = annotate(database, declared, worker="one")
    assert summary.predicted["disease"] + summary.quarantined.get("disease", 0) == len(UNLABELLED)
    answered = rows(
        database,
        "select prediction_id, sample_id, value from annotator.suggestion where field = 'disease'"
        " and status = 'suggested' order by confidence desc",
    )
    assert len(answered) > len(UNLABELLED) / 2
    right = [value == TRUTH[name] for _, name, value in answered]
    assert sum(right) > 0.6 * len(right)
    explained = explain_sample(database, declared, answered[0][1], "disease", 3)
    assert set(explained.classes) == {"tumour", "healthy"}

    (first, first_sample, said), (second, second_sample, _) = answered[:2]
    execute(database, "select annotator.accept_suggestion(%s)", first)
    # A declared synonym, which stands for a value.
    execute(database, "select annotator.correct_suggestion(%s, 'Control', 'seen')", second)
    effective = dict(
        rows(
            database,
            "select sample_id, value from annotator.effective_annotation where field = 'disease'"
            " and sample_id = any (%s)",
            [first_sample, second_sample],
        )
    )
    assert effective == {first_sample: said, second_sample: "healthy"}
    # A term of the same name has nothing to do with it.
    execute(database, "insert into atlas.term values ('healthy', 'healthy'), ('state', 'state')")
    execute(database, "insert into atlas.term_parent values ('healthy', 'state')")
    for view in ("suggestion", "queue_member"):
        lineage = f"select lineage from annotator.{view} where prediction_id = %s"
        assert rows(database, lineage, second) == [(["healthy"],)]

    undeclared = replace(declared, fields=declared_fields({}))
    elsewhere = read_status(database, undeclared)
    assert any("disease is not declared" in problem for problem in elsewhere.problems)
    found = examine(undeclared, quick=True)
    assert any("disease is not declared" in each.found for each in found)
    changed = "update atlas.sample set updated_at = now() where sample_id = %s"
    execute(database, changed, answered[2][1])
    skipped = annotate(database, undeclared, worker="two")
    assert skipped.predicted == {}
    assert any("disease is not declared" in note for note in skipped.notes)
    assert rows(database, "select count(*) from annotator.work") == [(0,)]
    assert annotate(database, declared, worker="two").predicted == {"disease": 1}
    status = read_status(database, declared)
    assert status.problems == ()
    assert [each.field for each in status.snapshot.fields] == ["tissue", "sex", "age", "disease"]
    (line,) = [each for each in status_lines(status).splitlines() if each.startswith("disease ")]
    assert "linear" in line
    (written,) = report(database, None, tmp_path / "reports")
    text = written.path.read_text()
    assert written.field == "disease"
    assert "tumour" in text
    # What a curator decided will be learned from.
    cohort = read_labelled(database, plan_of(declared, "disease"))[0].cohort
    learned = dict(zip(cohort.profiles.sample_ids, cohort.values, strict=True))
    assert (learned[first_sample], learned[second_sample]) == (said, "healthy")


def test_a_changed_definition_leads_to_another_release(database, declared, files):
    files.read_into(database)
    assert retrain(database, declared, "disease").status == "promoted"
    without_known = declared_fields({"disease": {**DISEASE, "known_fields": []}})
    changed = replace(declared, fields=without_known, gate_margin=1.0)
    assert retrain(database, changed, "disease").status == "promoted"
    (stored,) = rows(
        database, "select configuration -> 'field' ->> 'known_fields' from annotator.model_card"
        " where status = 'live'",
    )  # fmt: skip
    assert json.loads(stored[0]) == []


def test_the_command_reads_it_from_annotator_toml(database, declared, files, tmp_path, monkeypatch):
    config = tmp_path / "annotator.toml"
    config.write_text(
        f'preset = "{declared.preset}"\nfolds = 2\ncross_validation_folds = 0\nworkers = 1\n'
        f'baseline_margin = -1.0\ntarget_precision = 0.6\nreport_folder = "{tmp_path}/reports"\n'
        + DISEASE_TOML
    )
    monkeypatch.setenv("ANNOTATOR_CONFIG", str(config))
    monkeypatch.setenv("ANNOTATOR_DATABASE_URL", declared.database_url)
    assert load_settings().fields == declared.fields

    def run(*arguments):
        ended = CliRunner().invoke(command_line, arguments)
        assert ended.exit_code == 0, (arguments, ended.output, ended.exception)
        return ended.output

    run("import", str(files.counts), str(files.samples), "--ontology", str(files.ontology))
    output = run("retrain", "--field", "disease")
    assert "disease: promoted release" in output
    assert "disease: report of release" in output
    assert "disease: " in run("annotate")
    assert "disease" in run("status")
    json_file = tmp_path / "figures.json"
    run("evaluate", "--field", "disease", "--scheme", "cv", "--json", str(json_file))
    assert json.loads(json_file.read_text())["classes"] == ["tumour", "healthy"]
    assert "disease: report of release" in run("report", "--out", str(tmp_path / "page"))
    sample = min(UNLABELLED)
    drawn = tmp_path / "explained.svg"
    assert "tumour" in run("explain", sample, "--field", "disease", "--svg", str(drawn))
    refused = CliRunner().invoke(command_line, ["retrain", "--field", "mood"])
    assert refused.exit_code == 2
    assert "'mood' is not one of tissue, sex, age, disease" in refused.output
