"""Every command and SQL statement of the README, and the commands that validate, run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from annotator.settings import Settings
from annotator.store.server.connection import open_database
from annotator.store.server.schema import REQUIRED_REVISION
from tests.support import ROOT
from tests.support.presets import LIGHT_WITHOUT_NETWORK
from tests.support.store import as_curator

README = "\n".join(
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/method/validation.md")
)
VARIABLE = re.compile(r":(prediction_id|dataset_id)\b")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.S)


def commands_with(name: str) -> list[list[str]]:
    """The annotator commands of the one block that has a command of this name, as arguments."""
    found = []
    for block in blocks("sh"):
        lines = [shlex.split(line, comments=True) for line in block.splitlines()]
        commands = [line[1:] for line in lines if line and line[0] == ".venv/bin/annotator"]
        if name in {command[0] for command in commands}:
            found.append(commands)
    (commands,) = found
    return commands


def statements(block: str) -> list[str]:
    """The SQL statements of a block, those in comments too."""
    text = re.sub(r"^-- (?=select)", "", block, flags=re.M)
    text = re.sub(r"^--.*$", "", text, flags=re.M)
    return [statement.strip() for statement in text.split(";") if statement.strip()]


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, flags=re.M))
def test_make_does_what_the_readme_says(target):
    ends_with = {"demo": "annotator demo", "test": "pytest"}
    # Not as a part of the make that runs the tests.
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    planned = subprocess.run(
        ["make", "--dry-run", target],
        cwd=ROOT,
        env=own,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ends_with[target] in planned.splitlines()[-1]


def test_the_demo(program):
    """With small models, no network, fewer folds and one process; the rest as `make demo`."""
    light = {"ANNOTATOR_PRESET": str(LIGHT_WITHOUT_NETWORK), "ANNOTATOR_BASELINE_MARGIN": "-1"}
    ended = program.run("demo", **light)
    for title in ("Validation on datasets", "Review queue", "against the simulation's truth"):
        assert title in ended.out
    tried = 0
    for line in ended.out[ended.out.index("What to try next") :].splitlines():
        arguments = shlex.split(line)
        if arguments[1:2] in (["sql"], ["status"], ["explain"]):
            assert Path(arguments[0]).name == "annotator"
            program.run(*arguments[1:])
            tried += 1
    assert tried == 8
    found = {
        row.split()[0]: row.split()
        for row in ended.out[ended.out.index("share right") :].splitlines()
        if row.split()[:1] in (["tissue"], ["sex"], ["age"])
    }
    assert set(found) == {"tissue", "sex", "age"}
    _, gaps, answered, right, share, best = found["tissue"]
    assert int(gaps) >= int(answered) >= int(right) > 0
    assert float(share) > 0.7
    assert float(best) > 0.6


def test_own_files(annotated, atlas_files, tmp_path):
    folder, _ = atlas_files
    here = replace(annotated, folder=tmp_path)
    shutil.copy(folder / "counts_srna.tsv.gz", tmp_path / "counts.tsv.gz")
    shutil.copy(folder / "counts_contaminant.tsv.gz", tmp_path / "contaminants.tsv.gz")
    for name in ("samples.tsv", "ontology.tsv"):
        shutil.copy(folder / name, tmp_path)
    outputs = [here.run(*command).out for command in commands_with("import")]
    assert "annotated" in outputs[-2] or "nothing is pending" in outputs[-2]


def test_own_postgresql(annotated):
    with open_database(Settings(home=annotated.home)) as database:
        with database.connect(autocommit=True) as connection:
            connection.execute("create database elsewhere")
            host = connection.info.host
        url = f"postgresql://{connection_user(database)}@/elsewhere?host={host}"
        migrate, serve = commands_with("serve")
        assert REQUIRED_REVISION in annotated.run(*migrate, ANNOTATOR_DATABASE_URL=url).out
        daemon = annotated.start(*serve, ANNOTATOR_DATABASE_URL=url)
        deadline = time.monotonic() + 60
        while annotated.end("status", "--daemon", ANNOTATOR_DATABASE_URL=url).code != 0:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        daemon.send_signal(signal.SIGTERM)
        _, errors = daemon.communicate(timeout=60)
        assert daemon.returncode == 0, errors


def connection_user(database):
    with database.connect() as connection:
        return connection.info.user


@pytest.mark.parametrize("command", commands_with("evaluate"), ids=" ".join)
def test_evaluating(annotated, command):
    """Where a command names no preset, without the network, which takes most of the time."""
    settings = {"ANNOTATOR_PRESET": str(LIGHT_WITHOUT_NETWORK)}
    assert "combined" in annotated.run(*command, **settings).out


def test_the_statements_of_the_picture(annotated):
    (sample,) = annotated.rows("select sample_id from suggestion where field = 'tissue' limit 1")
    (picture,) = blocks("text")
    shown = re.findall(r'^\$ annotator sql "(.*?)"\n(.*?)\n', picture, flags=re.S | re.M)
    assert shown
    for statement, header in shown:
        rows = annotated.rows(statement.replace("SIM-S274", sample["sample_id"]))
        assert list(rows[0]) == header.split()


def test_a_curators_statements(annotated):
    rows = annotated.rows(
        "select prediction_id, dataset_id from review_queue where field = 'tissue'"
        " order by prediction_id"
    )
    predictions = iter(rows[1:])
    with (
        open_database(Settings(home=annotated.home)) as database,
        as_curator(database) as connection,
    ):
        (block,) = blocks("sql")
        for statement in statements(block):
            row = next(predictions) if "_suggestion(" in statement else rows[0]
            ready = VARIABLE.sub(lambda found, row=row: quoted(row[found.group(1)]), statement)
            cursor = connection.execute(ready)
            assert cursor.description is not None
            if "_suggestion(" in statement or "effective" in statement:
                assert cursor.fetchall(), ready
        connection.commit()


def quoted(value) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"
