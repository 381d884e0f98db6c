"""Bad input gets one line, exit code 2, and changes nothing."""

from __future__ import annotations

import pytest

GOOD_COUNTS = "feature\ts1\ts2\nhsa-miR-1-3p\t5\t0\nhsa-miR-2\t1\t7\n"
GOOD_SAMPLES = "sample_id\tdataset_id\ttissue\ns1\td1\tskin\ns2\td1\t\n"
LOGARITHMS = "feature\ts1\ts2\nmiR-1\t2.32\t4.91\nmiR-2\t11.2\t7.13\nmiR-3\t0.77\t1.23\n"


def one_line(ended, *words):
    lines = ended.err.strip().splitlines()
    assert len(lines) == 1, ended.err
    assert "Traceback" not in ended.err
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("retrain", "--field", "colour"),
        ("retrain", "--preset", "best"),
        ("evaluate", "--field", "tissue"),
        ("evaluate", "--field", "tissue", "--scheme", "magic"),
        ("import",),
        ("sql",),
        ("sql", "select 1", "--format", "xml"),
        ("annotate", "--force"),
        ("--config", "nowhere.toml", "status"),
        ("--config", "\udcff.toml", "status"),  # bytes that are no UTF-8, as a shell may pass
        ("sql", "select '\udcff'"),
        ("explain", "\udcff", "--field", "tissue"),
    ],
)
def test_wrong_arguments(program, arguments):
    one_line(program.run(*arguments, code=2))
    assert not program.home.exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANNOTATOR_BATCH_SIZE", "many"),
        ("ANNOTATOR_BATCH_SIZE", "0"),
        ("ANNOTATOR_PRESET", "best"),
        ("ANNOTATOR_FIELDS", "age.limits = [0, 65, 0]"),
        ("ANNOTATOR_DATABASE_URL", "not a url"),
        ("ANNOTATOR_DATABASE_URL", "postgresql://127.0.0.1:1/x?connect_timeout=abc"),
        ("ANNOTATOR_DATABASE_URL", "postgresql://127.0.0.1:1/x?keepalives_idle=abc"),
        ("ANNOTATOR_HOME", "postgresql://me:secret@127.0.0.1/x"),
        ("ANNOTATOR_REPORT_FOLDER", "https://127.0.0.1/x"),
    ],
)
def test_wrong_settings(program, variable, value):
    ended = program.run("status", code=2, **{variable: value})
    one_line(ended, variable)
    assert "secret" not in ended.err
    assert list(program.home.parent.iterdir()) == []


def test_variables_of_libpq_do_not_reach_the_embedded_database(migrated):
    variables = {
        "PGHOSTADDR": "127.0.0.1",
        "PGOPTIONS": "-c default_transaction_read_only=on",
        "PGSERVICE": "nowhere",
        "PGSSLMODE": "banana",
    }
    migrated.run("migrate", **variables)


def test_wrong_files_change_nothing(migrated, tmp_path):
    counts, samples = tmp_path / "counts.tsv", tmp_path / "samples.tsv"
    samples.write_text(GOOD_SAMPLES)
    for content, words in (
        ("", ("counts.tsv",)),
        (GOOD_COUNTS.replace("\t5", "\t-5"), ("line 2", "column 2")),
        (GOOD_COUNTS.replace("\t7", "\tnan"), ("line 3", "column 3")),
        (GOOD_COUNTS.replace("\t7", ""), ("line 3",)),
        (GOOD_COUNTS.replace("s2", "s1"), ("line 1", "s1")),
        (LOGARITHMS, ("logarithms",)),
    ):
        counts.write_text(content)
        one_line(migrated.run("import", str(counts), str(samples), code=2), *words)
    counts.write_text(GOOD_COUNTS.replace("\t5", "\t-5").replace("\t7", "\tseven"))
    lines = migrated.run("import", str(counts), str(samples), code=2).err.splitlines()
    assert ["line 2" in lines[0], "line 3" in lines[1], "2 errors" in lines[2]] == [True] * 3
    counts.write_text(GOOD_COUNTS)
    ontology = tmp_path / "ontology.tsv"
    ontology.write_text("term\tparent\na\tb\nb\ta\n")
    one_line(
        migrated.run("import", str(counts), str(samples), "--ontology", str(ontology), code=2),
        "ontology.tsv",
    )
    assert migrated.rows("select count(*) as n from atlas.sample") == [{"n": 0}]
    one_line(migrated.run("import", str(tmp_path / "no.tsv"), str(samples), code=2), "no.tsv")
    one_line(migrated.run("sql", "select * from nowhere", code=2), "nowhere")
    one_line(migrated.run("retrain", "--field", "tissue", "--folds", "1", code=2))


def test_samples_of_one_file_only_are_refused_or_left_out(migrated, tmp_path):
    counts, samples = tmp_path / "counts.tsv", tmp_path / "samples.tsv"
    samples.write_text(GOOD_SAMPLES)
    counts.write_text(GOOD_COUNTS.replace("s1", "Xs1").replace("s2", "Xs2"))
    one_line(migrated.run("import", str(counts), str(samples), code=2), "Xs1", "one rule")
    arguments = ("import", str(counts), str(samples), "--samples", "common")
    dry = migrated.run(*arguments, "--dry-run").out
    assert all(word in dry for word in ("by a rule", "2 added", "nothing was changed"))
    assert migrated.rows("select count(*) as n from atlas.sample") == [{"n": 0}]
    assert "2 added" in migrated.run(*arguments).out
    assert migrated.rows("select count(*) as n from atlas.expression") == [{"n": 2}]


def test_an_empty_database(program):
    one_line(program.run("status", code=3), "annotator migrate")
    program.run("migrate")
    assert "0 samples" in program.run("status").out
    assert "retrain" in program.run("annotate").out
    ended = program.run("retrain", "--field", "tissue", code=1)
    assert "Traceback" not in ended.err
    assert "no usable sample has a tissue label" in ended.out


def test_a_database_that_is_away(program):
    ended = program.run(
        "status", code=4, ANNOTATOR_DATABASE_URL="postgresql://me:secret@127.0.0.1:9/atlas"
    )
    one_line(ended)
    assert "secret" not in ended.err


def test_demo_refuses_a_home_that_is_not_a_demo(migrated):
    one_line(migrated.run("demo", code=2), "not a demo")
    one_line(migrated.run("demo", code=2, ANNOTATOR_DATABASE_URL="postgresql://127.0.0.1/x"))
