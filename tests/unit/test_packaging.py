"""What is installed holds everything that is needed."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile

import pytest

from tests.support import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_migrations_sql_and_data(wheel):
    for path in [*(ROOT / "migrations").rglob("*.sql"), *(ROOT / "migrations").rglob("*.py")]:
        assert f"annotator/_migrations/{path.relative_to(ROOT / 'migrations')}" in wheel
    for path in (ROOT / "annotator").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert str(path.relative_to(ROOT)) in wheel


def test_pins_have_hashes_and_name_no_host():
    for name in ("run.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text
        pins = re.findall(r"^[A-Za-z0-9_.-]+==", text, flags=re.M)
        assert len(pins) > 40
        assert len(re.findall(r"^[A-Za-z0-9_.-]+==[^\n]*\\\n\s+--hash=sha256:", text, re.M)) == len(
            pins
        )
