"""The embedded server is its own user's alone; a password is shown nowhere."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from annotator.store.embedded import running_server

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-s3cret"
_PROBE = """
import socket, sys
ways = [(socket.AF_UNIX, sys.argv[1])] + [(socket.AF_INET, ("127.0.0.1", int(sys.argv[2])))]
for family, address in ways:
    try:
        socket.socket(family).connect(address)
    except OSError as error:
        print(type(error).__name__)
    else:
        print("in")
"""


def _listening_sockets(pid: int) -> set[str]:
    """Inodes of TCP sockets that a process listens on."""
    own = {
        os.readlink(link).removeprefix("socket:[").removesuffix("]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.is_symlink() and os.readlink(link).startswith("socket:")
    }
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        if (Path("/proc/net") / name).exists()
        for line in (Path("/proc/net") / name).read_text().splitlines()[1:]
    ]
    return {line[9] for line in lines if line[3] == "0A"} & own


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for others")
def test_another_user_gets_in_neither_by_the_socket_nor_by_tcp(tmp_path):
    stranger = pwd.getpwnam("daemon")
    python = next(
        (path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(path).exists()),
        None,
    )
    if python is None:
        pytest.skip("no Python that every user may run")
    with running_server(tmp_path / "home") as conninfo:
        parts = conninfo_to_dict(conninfo)
        pid = int((tmp_path / "home" / "cluster" / "postmaster.pid").read_text().split()[0])
        with suppress(PermissionError):  # not every container lets root look there
            assert _listening_sockets(pid) == set()
        path = Path(str(parts["host"])) / f".s.PGSQL.{parts['port']}"
        assert path.is_socket()
        probe = [python, "-I", "-c", _PROBE, str(path), str(parts["port"])]
        identity = {"user": stranger.pw_uid, "group": stranger.pw_gid, "extra_groups": []}
        run = subprocess.run(probe, capture_output=True, text=True, cwd="/", **identity)
        assert run.stdout.split() == ["PermissionError", "ConnectionRefusedError"], run.stderr
        # Even with the folder open, the server asks the system who it is.
        with psycopg.connect(conninfo) as connection:
            rules = connection.execute("select type, auth_method from pg_hba_file_rules").fetchall()
        assert rules == [("local", "peer")]


def _everything_said(command: list[str], url: str, home: Path) -> str:
    """Run a command; return its output and what the list of processes said of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "annotator", *command],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "ANNOTATOR_DATABASE_URL": url, "ANNOTATOR_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    shown = ""
    if Path("/proc/self/cmdline").exists():
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode(errors="replace")
    return shown + process.communicate(timeout=60)[0]


def test_a_password_is_nowhere_to_be_seen(database, tmp_path):
    parts = conninfo_to_dict(database.conninfo)
    right = (
        f"postgresql://{parts['user']}:{SECRET}@:{parts['port']}/{parts['dbname']}"
        f"?host={parts['host']}"
    )
    urls = {
        "right": right,
        "no such role": right.replace(f"{parts['user']}:", "nobody_of_that_name:"),
        "no such database": right.replace(f"/{parts['dbname']}", "/no_such_database"),
        "nobody there": f"postgresql://me:{SECRET}@127.0.0.1:1/atlas",
        "malformed": f"postgresql://me:{SECRET}@x@db/atlas",
    }
    for name, url in urls.items():
        commands = (
            [["status", "--json"], ["doctor", "--quick"]] if name == "right" else [["status"]]
        )
        for command in commands:
            said = _everything_said(command, url, tmp_path / "home")
            assert said.strip() != ""
            assert SECRET not in said, (name, command)
            assert "Traceback" not in said
    with database.connect() as connection:
        kept = connection.execute(
            "select string_agg(e::text, ' ') from annotator.event e"
        ).fetchone()
    assert SECRET not in str(kept)
