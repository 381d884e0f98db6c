"""What commands print: everything is visible on a terminal, and exact where programs read it."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess

import pytest

from annotator.domain.wording import visible
from tests.acceptance.conftest import PROGRAM, copied_program
from tests.support.strange_text import HOSTILE, is_seen

NAME = HOSTILE.translate(dict.fromkeys(map(ord, "\r\n\t")))  # as tables in files may have it
COUNTS = f"feature\t{NAME}\ts2\nhsa-miR-1-3p\t5\t0\nhsa-miR-2\t1\t7\n"
SAMPLES = f"sample_id\tdataset_id\ttissue\n{NAME}\tD{NAME}\tskin\ns2\td1\t\n"
IDS = f"select sample_id, dataset_id, '{HOSTILE}' as note from atlas.sample order by sample_id"


def on_a_terminal(program, *arguments, code=0):
    """Return the lines that a command writes to a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *arguments],
        env=program.environment(),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = bytearray()
    try:
        while block := os.read(ours, 65536):
            written += block
    except OSError:  # Linux reports the end of a terminal so
        pass
    os.close(ours)
    assert process.wait() == code, written
    return written.decode().replace("\r\n", "\n").split("\n")


def as_bytes(program, *arguments, **options):
    return subprocess.run([PROGRAM, *arguments], env=program.environment(), check=False, **options)


@pytest.fixture(scope="module")
def imported(tmp_path_factory, migrated_home):
    """The command with a sample and a dataset of strange names, and the files of both."""
    folder = tmp_path_factory.mktemp("files")
    files = [folder / f"counts{HOSTILE}.tsv", folder / f"samples{HOSTILE}.tsv"]
    for file, content in zip(files, (COUNTS, SAMPLES), strict=True):
        file.write_text(content)
    with copied_program(tmp_path_factory, migrated_home) as program:
        program.run("import", *map(str, files))
        yield program, files


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sql", IDS), 0),
        (("sql", IDS, "--format", "csv"), 0),
        (("sql", IDS, "--format", "json"), 0),
        (("sql", f'select 1 as "{NAME}"'), 0),
        (("sql", f"select '{HOSTILE}'::int"), 2),
        (("import", "COUNTS", "SAMPLES", "--dry-run"), 0),
        (("import", "SAMPLES", "COUNTS"), 2),
        (("forget", f"D{NAME}"), 2),
        (("forget", f"{HOSTILE}?", "--yes"), 2),
        (("explain", HOSTILE, "--field", "tissue"), 2),
        (("retrain", "--field", HOSTILE), 2),
        (("--config", HOSTILE, "status"), 2),
    ],
)
def test_a_terminal_shows_what_it_would_obey(imported, arguments, code):
    program, (counts, samples) = imported
    named = {"COUNTS": str(counts), "SAMPLES": str(samples)}
    lines = on_a_terminal(program, *(named.get(each, each) for each in arguments), code=code)
    assert all(map(is_seen, lines))
    assert any("x1b[31mb" in line or "u001b[31mb" in line for line in lines)


def test_a_name_does_not_split_a_line_of_a_table(imported):
    lines = on_a_terminal(imported[0], "sql", IDS)
    assert any(visible(NAME) in line and visible(HOSTILE) in line for line in lines)


@pytest.mark.parametrize("where", ["pipe", "file"])
@pytest.mark.parametrize("output", ["csv", "json"])
def test_programs_read_the_very_bytes(imported, tmp_path, where, output):
    arguments = ("sql", IDS, "--format", output)
    if where == "pipe":
        written = as_bytes(imported[0], *arguments, stdout=subprocess.PIPE).stdout
    else:
        with (tmp_path / "out").open("wb") as file:
            as_bytes(imported[0], *arguments, stdout=file)
        written = (tmp_path / "out").read_bytes()
    rows = [(NAME, f"D{NAME}", HOSTILE), ("s2", "d1", HOSTILE)]
    if output == "json":
        assert [tuple(row.values()) for row in json.loads(written)] == rows
    else:
        read = csv.reader(io.StringIO(written.decode(), newline=""))
        assert [tuple(row) for row in read][1:] == rows


@pytest.mark.parametrize("output", ["table", "csv", "json"])
def test_a_reader_that_goes_away_ends_the_command_quietly(imported, output):
    reads, writes = os.pipe()
    os.close(reads)
    query = "select repeat('x', 100) from generate_series(1, 5000)"
    ended = as_bytes(
        imported[0], "sql", query, "--format", output, stdout=writes, stderr=subprocess.PIPE
    )
    os.close(writes)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_a_failure_that_nobody_expected_shows_its_names():
    broken = (
        "from annotator.cli import commands\n"
        f"def fail(**_): raise ValueError({HOSTILE!r})\n"
        "commands.command_line.main = fail\n"
        "commands.main()\n"
    )
    ended = subprocess.run([PROGRAM.parent / "python", "-c", broken], capture_output=True)
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr.decode()
    assert all(map(is_seen, ended.stderr.decode().split("\n")))
