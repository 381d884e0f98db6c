"""From files to reviewed suggestions, command by command."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest

FIELDS = ("tissue", "sex", "age")


@pytest.fixture(scope="module")
def suggested(trained):
    """Run the first annotation pass and return what it wrote, as people read it."""
    assert "annotated" in trained.run("annotate").out
    return trained.rows("select * from suggestion")


@pytest.fixture(scope="module")
def tissue(suggested):
    """One suggested tissue."""
    return next(
        row for row in suggested if row["field"] == "tissue" and row["status"] == "suggested"
    )


def gaps(atlas, field):
    """Ids of the samples that have no value of a field."""
    return {
        sample.sample_id
        for sample in atlas.samples
        if field not in sample.values and field not in sample.numbers
    }


def test_every_gap_has_a_suggestion_or_is_in_quarantine(trained, suggested, atlas_files):
    _, atlas = atlas_files
    quarantined = trained.rows("select sample_id, field from quarantine")
    for field in FIELDS:
        answered = {row["sample_id"] for row in suggested if row["field"] == field}
        refused = {row["sample_id"] for row in quarantined if row["field"] == field}
        # Labelled samples that cannot be learned from are in quarantine too.
        assert answered | (refused & gaps(atlas, field)) == gaps(atlas, field)
        assert not answered & refused


def test_a_suggestion_has_a_value_or_a_reason(suggested):
    assert {row["status"] for row in suggested} <= {"suggested", "abstained"}
    for row in suggested:
        answered_here = row["status"] == "suggested"
        assert (row["value"] is not None) == answered_here == (row["reason"] is None)


def test_a_prediction_set_has_the_best_class_and_its_coverage(suggested):
    for row in suggested:
        assert row["models"]["combined"]["value"] in row["prediction_set"]
        assert row["set_coverage"] == 0.9


def test_a_suggestion_has_what_every_model_predicts(tissue):
    assert tissue["lineage"][0] == tissue["value"]
    assert 0 < tissue["confidence"] <= 1
    assert set(tissue["models"]) == {"network", "forest", "boosting", "linear", "combined"}
    assert tissue["top_features"]


def test_every_model_kind_has_contributions(trained, tissue):
    found = trained.rows(
        "select model_kind, method, count(*) as many, min(rank) as first, max(rank) as last"
        f" from contribution where prediction_id = {tissue['prediction_id']} and class_rank = 1"
        " group by 1, 2 order by 1"
    )
    assert [(row["model_kind"], row["method"]) for row in found] == [
        ("boosting", "tree_shap"),
        ("combined", "weighted_sum"),
        ("forest", "tree_shap"),
        ("linear", "coefficient"),
        ("network", "deeplift"),
    ]
    assert all(row["many"] == row["last"] <= 20 and row["first"] == 1 for row in found)


def test_retraining_is_skipped_where_nothing_changed(trained):
    skipped = trained.run("retrain", "--field", "sex")
    assert "skipped" in skipped.out
    assert "neither the cohort nor the configuration" in skipped.out


def test_an_accepted_label_counts_at_once_and_in_the_next_release(trained, tissue):
    accepted = trained.rows(f"select * from accept_suggestion({tissue['prediction_id']}, 'right')")
    assert accepted[0]["decision"] == "accepted"
    assert accepted[0]["note"] == "right"
    effective = trained.rows(
        "select value, source from effective_annotation"
        f" where sample_id = '{tissue['sample_id']}' and field = 'tissue'"
    )
    assert effective == [{"value": tissue["value"], "source": "accepted"}]
    queue = trained.rows("select prediction_id from review_queue")
    assert tissue["prediction_id"] not in {row["prediction_id"] for row in queue}
    assert "nothing is pending" in trained.run("annotate").out

    wider = trained.run("retrain", "--field", "tissue")
    assert "skipped" not in wider.out  # the accepted label joined the cohort
    samples = trained.rows(
        "select release_id, samples from model_card where field = 'tissue' order by release_id"
    )
    assert samples[-1]["samples"] == samples[0]["samples"] + 1


def import_srnas(program, folder, counts):
    """Import counts with the samples of the atlas; return what is printed."""
    samples = (str(folder / "samples.tsv"), "--ontology", str(folder / "ontology.tsv"))
    return program.run("import", str(counts), *samples).out


def test_importing_again_changes_nothing(trained, atlas_files):
    folder, _ = atlas_files
    before = trained.rows("select sample_id, updated_at from atlas.sample order by 1")
    assert "0 added, 0 changed" in import_srnas(trained, folder, folder / "counts_srna.tsv.gz")
    assert trained.rows("select sample_id, updated_at from atlas.sample order by 1") == before


def test_a_changed_sample_is_annotated_again(trained, atlas_files, tmp_path):
    folder, _ = atlas_files
    trained.run("annotate")
    changed = trained.rows(
        "select sample_id from suggestion where field = 'sex' order by 1 limit 1"
    )
    sample_id = changed[0]["sample_id"]
    lines = gzip.decompress((folder / "counts_srna.tsv.gz").read_bytes()).decode().splitlines()
    column = lines[0].split("\t").index(sample_id)
    cells = lines[1].split("\t")
    cells[column] = str(int(cells[column]) + 1000)
    lines[1] = "\t".join(cells)
    counts = tmp_path / "counts.tsv"
    counts.write_text("\n".join(lines) + "\n")
    assert "0 added, 1 changed" in import_srnas(trained, folder, counts)
    out = trained.run("annotate").out
    assert "sex: 1 annotated" in out
    history = trained.rows(
        f"select is_current from prediction where sample_id = '{sample_id}' and field = 'sex'"
    )
    assert sorted(row["is_current"] for row in history) == [False, True]


def test_status_counts_samples_and_fields(trained):
    status = json.loads(trained.run("status", "--json").out)
    assert status["samples"] == 130
    assert {field["field"] for field in status["fields"]} == set(FIELDS)
    assert status["problems"] == []
    assert "130 samples" in trained.run("status").out
    assert trained.run("status", "--daemon", code=1).code == 1


def test_sql_prints_json_csv_and_tables(trained):
    objects = json.loads(
        trained.run("sql", "select array['a','b'] as letters, null as none", "--format", "json").out
    )
    assert objects == [{"letters": ["a", "b"], "none": None}]
    printed = trained.run("sql", "select 1 as a, 'x,y' as b", "--format", "csv").out
    assert list(csv.reader(io.StringIO(printed))) == [["a", "b"], ["1", "x,y"]]
    assert "(1 row)" in trained.run("sql", "select 1 as one").out


def test_sql_cannot_write_past_the_review_functions(trained):
    for statement in (
        "delete from annotator.prediction",
        "update atlas.sample set dataset_id = 'x'",
        "insert into annotator.event (kind) values ('forged')",
        "create table annotator.mine (x int)",
        "do $$ begin reset role; delete from annotator.prediction; end $$",
        "select 1; select 2",
    ):
        ended = trained.run("sql", statement, code=2)
        assert "Traceback" not in ended.err
        assert len(ended.err.strip().splitlines()) == 1


def test_evaluate_prints_and_writes_figures(trained, tmp_path):
    file = tmp_path / "figures.json"
    before = trained.rows("select count(*) as releases from release")
    out = trained.run(
        "evaluate", "--field", "tissue", "--scheme", "cv", "--folds", "2", "--json", str(file)
    ).out
    assert "combined" in out
    figures = json.loads(file.read_text())
    named = {
        (metric["model_kind"], metric["name"])
        for metric in figures["metrics"]
        if metric["class"] is None
    }
    for kind in ("network", "forest", "boosting", "combined"):
        for name in ("accuracy", "balanced_accuracy", "mean_over_datasets", "mean_over_classes"):
            assert (kind, name) in named
    assert before == trained.rows("select count(*) as releases from release")
