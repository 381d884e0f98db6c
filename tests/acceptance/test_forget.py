"""Datasets are removed only if somebody says so."""

from __future__ import annotations

import os
import pty
import subprocess

import pytest

from tests.acceptance.conftest import PROGRAM, Ended

COUNTS = "feature\ts1\ts2\nhsa-miR-1-3p\t5\t0\nhsa-miR-2\t1\t7\n"
SAMPLES = "sample_id\tdataset_id\ttissue\ns1\td1\tskin\ns2\td2\t\n"


def forget(program, *arguments: str, answer: str | None = None) -> Ended:
    """Run the command without a terminal, or at one where somebody types the answer."""
    ours, theirs = pty.openpty()
    if answer is not None:
        os.write(ours, f"{answer}\n".encode())
    ended = subprocess.run(
        [str(PROGRAM), "forget", *arguments],
        env=program.environment(),
        cwd=program.home.parent,
        stdin=subprocess.DEVNULL if answer is None else theirs,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for end in (ours, theirs):
        os.close(end)
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def imported(migrated, tmp_path):
    (tmp_path / "counts.tsv").write_text(COUNTS)
    (tmp_path / "samples.tsv").write_text(SAMPLES)
    migrated.run("import", str(tmp_path / "counts.tsv"), str(tmp_path / "samples.tsv"))
    return migrated


def datasets(program) -> list[str]:
    return [row["dataset_id"] for row in program.rows("select dataset_id from atlas.dataset")]


def test_datasets_go_when_somebody_says_so(imported):
    ended = forget(imported, "d1")
    assert ended.code == 2
    assert "1 sample, 2 counts, 1 annotation" in ended.out
    assert "--yes" in ended.err
    assert len(ended.err.splitlines()) == 1

    ended = forget(imported, "d1", answer="n")
    assert (ended.code, datasets(imported)) == (0, ["d1", "d2"])
    assert "nothing was removed" in ended.out

    ended = forget(imported, "d1", answer="y")
    assert (ended.code, datasets(imported)) == (0, ["d2"])

    ended = forget(imported, "d2", "d1", "--yes")
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "'d1'" in ended.err

    assert forget(imported, "d2", "--yes").code == 0
    assert datasets(imported) == []
