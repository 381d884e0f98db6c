"""Commands of root where there is no account that could run the embedded database."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.acceptance.conftest import PROGRAM
from tests.support import ROOT


def _without_account(program, folder, script):
    """Run a script that sees a copy of /etc without the account, and may change that copy."""
    etc = folder / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        lines = (etc / name).read_text().splitlines(keepends=True)
        (etc / name).write_text("".join(x for x in lines if not x.startswith("postgres:")))
    return subprocess.run(
        ["unshare", "--mount", "sh", "-ec", f"mount --bind {etc} /etc; {script}"],
        cwd=ROOT,
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=280,
    )


def _can_bind():
    command = ["unshare", "--mount", "mount", "--bind", "/etc", "/etc"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not _can_bind(), reason="this process may not mount a folder"
)


def test_the_program_names_the_account_that_is_missing(program, tmp_path):
    ended = _without_account(program, tmp_path, f"exec {PROGRAM} migrate")
    assert ended.returncode == 3
    assert len(ended.stderr.splitlines()) == 1
    assert "useradd --system postgres" in ended.stderr


@pytest.mark.skipif(shutil.which("useradd") is None, reason="there is no useradd")
def test_make_creates_the_account(program, tmp_path):
    script = f"make --silent account; id -u postgres; exec {PROGRAM} migrate"
    ended = _without_account(program, tmp_path, script)
    assert ended.returncode == 0, ended.stderr
    assert "creating the system account 'postgres'" in ended.stderr
    assert (program.home / "cluster").stat().st_uid == int(ended.stdout.split()[0])
