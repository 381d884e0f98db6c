"""The embedded server lets in its own user alone: tried as other users of the system.

A process that becomes another user keeps what it has imported, so these tests need no
interpreter, checkout or environment that others may read.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from annotator.errors import NeedsPersonError
from annotator.store.server import binaries, embedded
from annotator.store.server.embedded import running_server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for other users")

ROOT = Path(__file__).parents[2]
UNNAMED = 54321  # a user id that no account has
USERS = ("postgres", "annotator", "annotator_daemon", "annotator_curator", "root", "nobody")
_BECOME = """
import encodings.ascii, encodings.idna, fcntl, json, os, pwd, socket, subprocess, sys, tempfile
from pathlib import Path
import psycopg
from annotator.store.server import binaries, embedded

uid, given = int(sys.argv[1]), json.loads(sys.argv[2])
try:
    psycopg.connect("host=/nowhere", connect_timeout=1)  # imports what it needs later
except psycopg.OperationalError:
    pass
os.chdir("/")
os.setgroups([])
os.setgid(given.get("gid", uid))
os.setuid(uid)
"""
_TRY = """
def tried(family, address):
    with socket.socket(family) as one:
        one.settimeout(10)
        try:
            one.connect(address)
        except OSError as error:
            return type(error).__name__
    return "connected"

def logged_in(**place):
    try:
        psycopg.connect(connect_timeout=10, **place).close()
    except psycopg.OperationalError as error:
        return " ".join(str(error).split())
    return "logged in"

path = os.path.join(given["host"], ".s.PGSQL." + given["port"])
logins = {}
for name in given["users"]:
    place = {"user": name, "dbname": "annotator", "port": given["port"]}
    logins[name + " by the socket"] = logged_in(host=given["host"], **place)
    logins[name + " by TCP"] = logged_in(host=given["address"], password="x", **place)
print(json.dumps({
    "socket": tried(socket.AF_UNIX, path),
    "tcp": tried(socket.AF_INET, (given["address"], int(given["port"]))),
    "logins": logins,
}))
"""
_HOLD = """
binaries.folder = lambda: Path(given["programs"])
with embedded.running_server(Path(given["home"])) as conninfo:
    print(json.dumps(conninfo), flush=True)
    sys.stdin.read()
"""
_PLANT = """
if "pid" in given:
    os.chdir("/proc/%d/cwd" % given["pid"])
else:
    os.chdir(given["folder"])
print(json.dumps("inside"), flush=True)
sys.stdin.read()
for name in given["names"]:
    if os.path.lexists(name):
        os.unlink(name)
    os.symlink(given["target"], name)
"""


def become(uid: int, script: str, given: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a script that runs as another user."""
    return subprocess.Popen(
        [sys.executable, "-c", _BECOME + script, str(uid), json.dumps(given)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answers(process: subprocess.Popen[str]) -> Any:
    said, errors = process.communicate("", timeout=120)
    assert process.returncode == 0, errors
    return json.loads(said)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that everybody can pass through: what keeps strangers out is the server's own."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="strangers-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "home"


def strangers() -> list[int]:
    """Another account, one without a name, and the one that the server runs under."""
    account = binaries.server_account(Path("/nowhere"))
    assert account is not None
    return [pwd.getpwnam("daemon").pw_uid, UNNAMED, account.uid]


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


def server_pid(home: Path) -> int:
    return int((home / "cluster" / "postmaster.pid").read_text().split()[0])


def a_loopback_address() -> str:
    """An address of this machine that no other server is likely to listen on."""
    return f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}.1"


def test_strangers_get_in_neither_by_the_socket_nor_by_tcp(home: Path) -> None:
    with running_server(home) as conninfo:
        place = conninfo_to_dict(conninfo)
        with suppress(PermissionError):  # not every container lets root look there
            assert _listening_sockets(server_pid(home)) == set()
        given = {"host": place["host"], "port": place["port"], "address": a_loopback_address()}
        for uid in strangers()[:2]:
            found = answers(become(uid, _TRY, given | {"users": USERS[:2]}))
            assert found["socket"] == "PermissionError"
            assert found["tcp"] == "ConnectionRefusedError"
            assert "logged in" not in found["logins"].values()


def test_with_open_doors_the_server_asks_the_system_who_it_is(home: Path) -> None:
    """Somebody opened the folder of the socket, and switched TCP on."""
    address = a_loopback_address()
    with running_server(home) as conninfo, psycopg.connect(conninfo, autocommit=True) as owner:
        owner.execute("create role annotator_daemon login")
        owner.execute("create role root login superuser")
        owner.execute(f"alter system set listen_addresses = '{address}'")
    with running_server(home) as conninfo:
        place = conninfo_to_dict(conninfo)
        folder = Path(str(place["host"]))
        folder.chmod(0o755)
        (folder / f".s.PGSQL.{place['port']}").chmod(0o777)
        given = {"host": place["host"], "port": place["port"], "address": address}
        for uid in strangers():
            found = answers(become(uid, _TRY, given | {"users": USERS}))
            assert (found["socket"], found["tcp"]) == ("connected", "connected")
            for way, said in found["logins"].items():
                wanted = "Peer authentication failed" if "socket" in way else "no pg_hba.conf entry"
                assert wanted in said, (uid, way)
        with psycopg.connect(conninfo) as owner:  # and its own user does get in
            assert owner.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(conninfo, host=address)


def test_another_user_has_a_server_of_their_own(home: Path) -> None:
    programs = binaries.reachable(binaries.folder())
    nobody = pwd.getpwnam("nobody").pw_uid
    home.mkdir()
    os.chown(home, nobody, nobody)
    process = become(nobody, _HOLD, {"home": str(home), "programs": str(programs)})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        assert (home / "socket").is_dir()
        assert os.stat(f"/proc/{server_pid(home)}").st_uid == nobody
        pid = server_pid(home)
        with pytest.raises(NeedsPersonError, match="other users can change"), running_server(home):
            pass
        assert server_pid(home) == pid
    finally:
        _, errors = process.communicate("", timeout=120)
    assert process.returncode == 0, errors
    assert not (home / "cluster" / "postmaster.pid").exists()
    assert (home / "cluster").stat().st_uid == nobody


# -- links that others put into folders where root reads and writes ---------------------------


@pytest.fixture
def treasure(tmp_path: Path) -> Iterator[Path]:
    """A file of root, which nobody else may read or change."""
    file = tmp_path / "treasure"
    file.write_text("2147483640\nFATAL: the secret of root\n")
    file.chmod(0o600)
    before = (file.read_text(), file.stat())
    yield file
    after = file.stat()
    assert file.read_text() == before[0]
    assert (after.st_uid, after.st_mode, after.st_ino) == (0, before[1].st_mode, before[1].st_ino)


def plant(home: Path, target: Path, *names: str) -> None:
    """Put links into the data directory as its account, once the server has been stopped."""
    account = binaries.server_account(home / "cluster")
    assert account is not None
    with running_server(home):
        home.chmod(0o700)  # /proc leads there anyway
        given = {"pid": server_pid(home), "target": str(target), "names": names}
        process = become(account.uid, _PLANT, given | {"gid": account.gid})
        assert process.stdout is not None
        assert process.stdout.readline(), process.communicate()[1]
    process.communicate("", timeout=60)
    assert process.returncode == 0
    assert all((home / "cluster" / name).is_symlink() for name in names)


def test_root_writes_the_configuration_beside_links_and_not_through_them(
    home: Path, treasure: Path
) -> None:
    names = ("postgresql.conf", "pg_hba.conf", "pg_ident.conf")
    plant(home, treasure, *names, "postgresql.conf.new")
    with running_server(home) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
    owner = (home / "cluster").stat().st_uid
    assert {(home / "cluster" / name).lstat().st_uid for name in names} == {owner}


@pytest.mark.parametrize("name", ["postmaster.pid", "PG_VERSION"])
def test_root_reads_nothing_through_links(
    home: Path, treasure: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_TRIES", 0.0)
    plant(home, treasure, name)
    with pytest.raises(NeedsPersonError) as caught, running_server(home):
        pass
    assert "secret" not in str(caught.value)


def test_root_makes_no_lock_files_in_a_folder_of_another_user(home: Path, tmp_path: Path) -> None:
    user = pwd.getpwnam("daemon").pw_uid
    home.mkdir()
    os.chown(home, user, user)
    target = tmp_path / "made"
    names = ["start.lock", "users.lock"]
    given = {"folder": str(home), "target": str(target), "names": names}
    process = become(user, _PLANT, given)
    process.communicate("", timeout=60)
    assert (home / "start.lock").is_symlink()
    with pytest.raises(NeedsPersonError, match="other users can change"), running_server(home):
        pass
    assert not target.exists()


@pytest.mark.parametrize(
    ("place", "owner", "mode"),
    [("home", "root", 0o777), (".", "root", 0o777), (".", "daemon", 0o755)],
)
def test_root_refuses_a_folder_that_others_can_replace(
    home: Path, place: str, owner: str, mode: int
) -> None:
    home.mkdir()
    folder = home.parent / place
    os.chown(folder, pwd.getpwnam(owner).pw_uid, 0)
    folder.chmod(mode)
    with pytest.raises(NeedsPersonError, match=f"{folder}: other users"), running_server(home):
        pass
    assert list(home.iterdir()) == []


def test_root_copies_no_programs_to_a_folder_of_another_user(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(home.parent, pwd.getpwnam("daemon").pw_uid, 0)
    monkeypatch.setattr(binaries, "_CACHE", home.parent)
    monkeypatch.setattr(binaries, "can_reach", lambda _: False)
    with pytest.raises(NeedsPersonError, match="other users can change"):
        binaries.reachable(binaries.folder())
    assert list(home.parent.iterdir()) == []


def test_root_refuses_a_database_of_another_account(home: Path) -> None:
    with running_server(home):
        pass
    nobody = pwd.getpwnam("nobody")
    subprocess.run(["chown", "-R", f"{nobody.pw_uid}", home / "cluster"], check=True)
    with pytest.raises(NeedsPersonError, match="belongs to user id"), running_server(home):
        pass
