"""From files to reviewed suggestions, command by command."""

from __future__ import annotations

import csv
import io
import json

FIELDS = ("tissue", "sex", "age")


def test_from_a_gap_to_a_reviewed_label(trained, atlas_files):
    _, atlas = atlas_files
    first = trained.run("annotate")
    assert "annotated" in first.out
    missing = {
        field: {sample.sample_id for sample in atlas.samples}
        - {
            sample.sample_id
            for sample in atlas.samples
            if field in sample.values or field in sample.numbers
        }
        for field in FIELDS
    }
    suggested = trained.rows("select * from suggestion")
    quarantined = trained.rows("select sample_id, field, code, reason from quarantine")
    for field in FIELDS:
        answered = {row["sample_id"] for row in suggested if row["field"] == field}
        refused = {row["sample_id"] for row in quarantined if row["field"] == field}
        # Labelled samples that cannot be learned from are in quarantine too.
        assert answered | (refused & missing[field]) == missing[field]
        assert not answered & refused
    assert {row["status"] for row in suggested} <= {"suggested", "abstained"}
    for row in suggested:
        answered_here = row["status"] == "suggested"
        assert (row["value"] is not None) == answered_here == (row["reason"] is None)
        assert row["models"]["combined"]["value"] in row["prediction_set"]
        assert row["set_coverage"] == 0.9
    one = next(
        row for row in suggested if row["field"] == "tissue" and row["status"] == "suggested"
    )
    assert one["lineage"][0] == one["value"]
    assert 0 < one["confidence"] <= 1
    kinds = {"network", "forest", "boosting", "linear", "combined"}
    assert set(one["models"]) == kinds
    assert one["top_features"]

    reasons = trained.rows(
        "select model_kind, method, count(*) as many, min(rank) as first, max(rank) as last"
        f" from contribution where prediction_id = {one['prediction_id']} and class_rank = 1"
        " group by 1, 2 order by 1"
    )
    assert [(row["model_kind"], row["method"]) for row in reasons] == [
        ("boosting", "tree_shap"),
        ("combined", "weighted_sum"),
        ("forest", "tree_shap"),
        ("linear", "coefficient"),
        ("network", "deeplift"),
    ]
    assert all(row["many"] == row["last"] <= 20 and row["first"] == 1 for row in reasons)

    skipped = trained.run("retrain", "--field", "sex")
    assert "skipped" in skipped.out
    assert "neither the cohort nor the configuration" in skipped.out

    accepted = trained.rows(f"select * from accept_suggestion({one['prediction_id']}, 'right')")
    assert accepted[0]["decision"] == "accepted"
    assert accepted[0]["note"] == "right"
    effective = trained.rows(
        "select value, source from effective_annotation"
        f" where sample_id = '{one['sample_id']}' and field = 'tissue'"
    )
    assert effective == [{"value": one["value"], "source": "accepted"}]
    queue = trained.rows("select prediction_id from review_queue")
    assert one["prediction_id"] not in {row["prediction_id"] for row in queue}

    again = trained.run("annotate")
    assert "nothing is pending" in again.out

    wider = trained.run("retrain", "--field", "tissue")
    assert "skipped" not in wider.out  # the accepted label joined the cohort
    samples = trained.rows(
        "select release_id, samples from model_card where field = 'tissue' order by release_id"
    )
    assert samples[-1]["samples"] == samples[0]["samples"] + 1


def test_importing_again_changes_nothing_and_a_change_makes_stale(trained, atlas_files, tmp_path):
    folder, _atlas = atlas_files
    trained.run("annotate")
    before = trained.rows("select sample_id, updated_at from atlas.sample order by 1")
    arguments = (str(folder / "samples.tsv"), "--ontology", str(folder / "ontology.tsv"))
    same = trained.run("import", str(folder / "counts_srna.tsv.gz"), *arguments)
    assert "0 added, 0 changed" in same.out
    assert trained.rows("select sample_id, updated_at from atlas.sample order by 1") == before

    changed = trained.rows(
        "select sample_id from suggestion where field = 'sex' order by 1 limit 1"
    )
    sample_id = changed[0]["sample_id"]
    import gzip

    lines = gzip.decompress((folder / "counts_srna.tsv.gz").read_bytes()).decode().splitlines()
    column = lines[0].split("\t").index(sample_id)
    cells = lines[1].split("\t")
    cells[column] = str(int(cells[column]) + 1000)
    lines[1] = "\t".join(cells)
    counts = tmp_path / "counts.tsv"
    counts.write_text("\n".join(lines) + "\n")
    one = trained.run("import", str(counts), *arguments)
    assert "0 added, 1 changed" in one.out
    out = trained.run("annotate").out
    assert "sex: 1 annotated" in out
    history = trained.rows(
        f"select is_current from prediction where sample_id = '{sample_id}' and field = 'sex'"
    )
    assert sorted(row["is_current"] for row in history) == [False, True]


def test_status_and_formats(trained):
    status = json.loads(trained.run("status", "--json").out)
    assert status["samples"] == 130
    assert {field["field"] for field in status["fields"]} == set(FIELDS)
    assert status["problems"] == []
    text = trained.run("status").out
    assert "130 samples" in text
    assert trained.run("status", "--daemon", code=1).code == 1

    objects = json.loads(
        trained.run("sql", "select array['a','b'] as letters, null as none", "--format", "json").out
    )
    assert objects == [{"letters": ["a", "b"], "none": None}]
    table = list(
        csv.reader(
            io.StringIO(trained.run("sql", "select 1 as a, 'x,y' as b", "--format", "csv").out)
        )
    )
    assert table == [["a", "b"], ["1", "x,y"]]
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
