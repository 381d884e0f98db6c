"""Why a sample is said to be what it is, on a terminal, as a drawing, and from SQL."""

from __future__ import annotations

from dataclasses import replace


def one_line(ended, *words):
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err
    assert not ended.out
    for word in words:
        assert word in lines[0]


def guessed(program, field="tissue"):
    """A sample with a prediction and what the models think it is."""
    return program.rows(
        "select p.sample_id, p.prediction_id, p.models -> 'combined' ->> 'value' as best"
        f" from prediction p where is_current and field = '{field}' order by 1 limit 1"
    )[0]


def test_one_sample_on_a_terminal_as_a_drawing_and_in_sql(annotated, tmp_path):
    sample = guessed(annotated)
    here = replace(annotated, folder=tmp_path)
    explain = ("explain", sample["sample_id"], "--field", "tissue")
    out = here.run(*explain, "--top", "3").out
    classes = annotated.rows("select classes from release where field = 'tissue'")[0]["classes"]
    for name in (
        *classes,
        "RPM",
        "combined",
        "deeplift",
        "tree_shap",
        "coefficient",
        "scores for each class",
    ):
        assert name in out
    assert out.splitlines()[0].startswith(f"{sample['sample_id']}, tissue by release ")
    assert sample["best"] in out.split("probability")[1].splitlines()[2]
    drawing = tmp_path / f"{sample['sample_id']}-tissue.svg"
    assert drawing.read_text().lstrip().startswith("<svg")
    assert all(name in drawing.read_text() for name in classes)

    stored = (
        "select class, class_rank, count(distinct model_kind) as kinds from contribution"
        f" where prediction_id = {sample['prediction_id']} group by 1, 2 order by 2"
    )
    before = annotated.rows(stored)
    assert [row["class_rank"] for row in before] == [1, 2]
    assert before[0]["class"] == sample["best"]
    chosen = tmp_path / "chosen.svg"
    here.run(*explain, "--store", "--svg", str(chosen))
    assert chosen.exists()
    after = annotated.rows(stored)
    assert after[:2] == before
    assert {row["class"] for row in after} == set(classes)
    assert all(row["kinds"] == 5 for row in after)


def test_markers_similarities_and_sets_are_in_sql(annotated):
    live = (
        "release_id = (select release_id from release where field = 'tissue' and status = 'live')"
    )
    classes = annotated.rows("select classes from release where field = 'tissue'")[0]["classes"]
    markers = annotated.rows(
        f"select class, rank, network_rank, tree_rank from class_marker where {live}"
    )
    assert {row["class"] for row in markers} == set(classes)
    assert min(row["network_rank"] for row in markers if row["network_rank"]) == 1
    assert min(row["tree_rank"] for row in markers if row["tree_rank"]) == 1
    nearest = annotated.rows(f"select class, rival, model_kind from class_similarity where {live}")
    for kind in ("combined", "network"):  # every pair, and any other class
        assert sum(row["model_kind"] == kind for row in nearest) == len(classes) ** 2
    sets = annotated.rows(f"select distinct source from class_enrichment where {live}")
    assert sets == [{"source": "table4"}]
    mapped = annotated.rows("select field, count(*) as n from sample_map join release r"
                          " using (release_id) group by 1 order by 1")  # fmt: skip
    assert [row["field"] for row in mapped] == ["age", "sex", "tissue"]
    schemes = annotated.rows("select distinct scheme from metric order by 1")
    assert [row["scheme"] for row in schemes] == ["cv", "one-dataset-out"]


def test_what_cannot_be_explained_is_one_line(annotated, migrated, tmp_path):
    sample = guessed(annotated)["sample_id"]
    one_line(annotated.run("explain", "nobody", "--field", "tissue", code=2), "'nobody'")
    one_line(annotated.run("explain", sample, code=2), "--field")
    one_line(annotated.run("explain", sample, "--field", "tissue", "--top", "0", code=2), "--top")
    nowhere = str(tmp_path / "gone" / "x.svg")
    ended = annotated.run("explain", sample, "--field", "tissue", "--svg", nowhere, code=2)
    one_line(ended, "x.svg", "folder")
    strict = {"ANNOTATOR_MINIMUM_READS": "1000000000"}
    ended = annotated.run("explain", sample, "--field", "tissue", code=2, **strict)
    one_line(ended, sample, "mapped reads")
    known = annotated.rows("select sample_id from atlas.annotation where field = 'tissue' limit 1")
    ended = annotated.run("explain", known[0]["sample_id"], "--field", "tissue", "--store", code=3)
    one_line(ended, "has no prediction of tissue")
    one_line(migrated.run("explain", "nobody", "--field", "sex", code=2), "'nobody'")
