"""The embedded server: who starts it, who stops it, and what a kill leaves behind."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from annotator.errors import DatabaseUnavailableError, InputError, NeedsPersonError
from annotator.settings import Settings
from annotator.store.server import binaries, embedded
from annotator.store.server.connection import open_database
from annotator.store.server.embedded import running_server
from annotator.store.server.home import has_cluster, is_demo, mark_demo
from tests.support.faults.limits import WHOLE_DISK, can_make_disks, small_disk

ROOT = Path(embedded.__file__).parents[2]
_HOLD = """
import sys
from pathlib import Path
from annotator.store.server.embedded import running_server
with running_server(Path(sys.argv[1])) as conninfo:
    print(conninfo, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was used once; copies of it spare the tests the making of a cluster."""
    home = tmp_path_factory.mktemp("seed") / "home"
    with running_server(home) as conninfo, psycopg.connect(conninfo) as connection:
        connection.execute("create table kept as select 42 as answer")
    return home


@pytest.fixture
def home(seed: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "home"
    # As somebody else than root a copy is one's own anyway.
    subprocess.run(["cp", "-a", seed, copied], check=True)
    return copied


@contextmanager
def holder(home: Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() != ""
        yield process
    finally:
        process.communicate()


def server_pid(home: Path) -> int | None:
    try:
        return int((home / "cluster" / "postmaster.pid").read_text().split()[0])
    except FileNotFoundError:
        return None


def answer(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("select answer from kept").fetchone()
    assert row is not None
    return int(row[0])


def test_it_is_there_in_the_block_and_gone_after_it(home: Path) -> None:
    with running_server(home) as conninfo:
        assert answer(conninfo) == 42
        assert server_pid(home) is not None
    assert server_pid(home) is None
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(conninfo)


def test_only_its_own_user_gets_in(home: Path) -> None:
    with running_server(home) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
        folder = Path(str(connection.info.host))
        assert folder.stat().st_mode & 0o777 == 0o700
        rules = connection.execute("select type, auth_method from pg_hba_file_rules").fetchall()
        assert rules == [("local", "peer")]


def test_the_last_of_two_users_stops_it(home: Path) -> None:
    with holder(home) as first:
        pid = server_pid(home)
        with running_server(home) as conninfo:
            assert server_pid(home) == pid
            first.communicate("")
            assert answer(conninfo) == 42
            assert server_pid(home) == pid
    assert server_pid(home) is None


def test_a_user_who_leaves_does_not_stop_the_others(home: Path) -> None:
    with holder(home):
        with running_server(home) as conninfo, running_server(home):
            pass
        assert answer(conninfo) == 42
    assert server_pid(home) is None


def test_starting_at_once_gives_one_server(home: Path) -> None:
    with holder(home), holder(home), holder(home):
        pid = server_pid(home)
        with running_server(home) as conninfo:
            assert answer(conninfo) == 42
            assert server_pid(home) == pid
    assert server_pid(home) is None


def test_a_killed_user_leaves_a_server_that_the_next_one_uses(home: Path) -> None:
    with holder(home) as process:
        pid = server_pid(home)
        process.send_signal(signal.SIGKILL)
    assert server_pid(home) == pid
    with running_server(home) as conninfo:
        assert server_pid(home) == pid
        assert answer(conninfo) == 42
    assert server_pid(home) is None


def test_a_killed_server_is_started_again(home: Path) -> None:
    with holder(home) as process:
        pid = server_pid(home)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        process.send_signal(signal.SIGKILL)
    with running_server(home) as conninfo:
        assert answer(conninfo) == 42
        assert server_pid(home) != pid


def test_a_server_that_dies_in_use_is_started_for_the_next_user(home: Path) -> None:
    with running_server(home) as conninfo:
        pid = server_pid(home)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with running_server(home):
            assert answer(conninfo) == 42
        assert answer(conninfo) == 42
    assert server_pid(home) is None


def test_a_process_id_that_was_given_to_another_program(home: Path) -> None:
    """As after the machine was switched off: the pid file stays, the pid is anybody's."""
    record = home / "cluster" / "postmaster.pid"
    # A sleeper of the account that the server runs under is what stops PostgreSQL itself.
    account = binaries.server_account(home / "cluster")
    sleeper = subprocess.Popen(["sleep", "60"], user=None if account is None else account.uid)
    try:
        record.write_text(f"{sleeper.pid}\n/nowhere\n1\n5432\n/nowhere\n\n0 0\n")
        if account is not None:
            os.chown(record, account.uid, account.gid)
        with running_server(home) as conninfo:
            assert answer(conninfo) == 42
    finally:
        sleeper.kill()
        sleeper.wait()


def test_an_interrupted_making_is_done_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "cluster.new").mkdir(parents=True)
    (home / "cluster.new" / "PG_VERSION").write_text("half of it")
    assert not has_cluster(home)
    with running_server(home) as conninfo, psycopg.connect(conninfo) as connection:
        assert connection.execute("show server_encoding").fetchone() == ("UTF8",)
    assert has_cluster(home)


def test_a_moved_home_still_works(home: Path, tmp_path: Path) -> None:
    with running_server(home):
        pass
    deep = tmp_path / ("a rather long folder's name " * 4).strip()
    deep.mkdir()
    moved = home.rename(deep / "home")
    with running_server(moved) as conninfo:
        assert answer(conninfo) == 42


def test_a_copy_does_not_use_the_server_of_the_original(home: Path, tmp_path: Path) -> None:
    with running_server(home) as original:
        # Not a way to make a backup, but the socket's place must not be believed.
        copied = tmp_path / "copy"
        copied.mkdir()
        shutil.copy(home / "socket.path", copied)
        with running_server(copied) as conninfo:
            assert conninfo != original


def test_the_password_and_host_of_the_environment_are_not_used(home: Path, monkeypatch) -> None:
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
    monkeypatch.setenv("PGOPTIONS", "-c default_transaction_read_only=on")
    monkeypatch.setenv("PGSERVICE", "nowhere")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGUSER", "stranger")
    monkeypatch.setenv("PGDATA", "/nowhere")
    with running_server(home) as conninfo:
        assert answer(conninfo) == 42


def test_settings_without_a_url_open_it(home: Path) -> None:
    with open_database(Settings(home=home, statement_timeout=7)) as database:
        assert database.embedded
        with database.connect() as connection:
            assert connection.execute("show statement_timeout").fetchone() == ("7s",)
            assert connection.execute("show timezone").fetchone() == ("UTC",)


# -- folders that cannot be one ----------------------------------------------------------


def test_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "home"
    file.write_text("")
    for wrong in (file, file / "below"):
        with pytest.raises(InputError, match="not a folder"), running_server(wrong):
            pass


def test_a_folder_that_holds_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt"), running_server(tmp_path):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_cluster_folder_that_is_none_is_kept(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "galaxies.txt").write_text("years of work")
    with pytest.raises(NeedsPersonError, match="not a PostgreSQL"), running_server(tmp_path):
        pass
    assert (tmp_path / "cluster" / "galaxies.txt").exists()


def test_a_cluster_of_another_version_is_refused(home: Path) -> None:
    (home / "cluster" / "PG_VERSION").write_text("11\n")
    with pytest.raises(NeedsPersonError, match="made by PostgreSQL 11"), running_server(home):
        pass


def test_a_server_that_cannot_start_says_why(home: Path, monkeypatch) -> None:
    monkeypatch.setattr(embedded, "_TRIES", 0.0)
    (home / "cluster" / "postgresql.auto.conf").write_text("shared_buffers = 'much'\n")
    with (
        pytest.raises(NeedsPersonError, match=r"postgresql\.auto\.conf"),
        running_server(home),
    ):
        pass


@pytest.mark.parametrize("name", ["cluster/postgresql.conf", "cluster/pg_hba.conf", "socket.path"])
def test_a_file_that_cannot_be_written_at_the_start_is_named(home: Path, name: str) -> None:
    path = home / name
    path.unlink(missing_ok=True)
    path.mkdir()  # so that not even root can write it
    with (
        pytest.raises(NeedsPersonError, match=rf"{path.name}: .*cannot be started \(Is a dir"),
        running_server(home),
    ):
        pass
    run = subprocess.run(
        [sys.executable, "-m", "annotator", "serve"],
        cwd=ROOT,
        env=os.environ | {"ANNOTATOR_HOME": str(home), "ANNOTATOR_DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (run.returncode, run.stdout) == (3, "")
    assert len(run.stderr.splitlines()) == 1
    assert str(path) in run.stderr
    path.rmdir()
    with running_server(home) as conninfo:  # as soon as it can be written
        assert answer(conninfo) == 42


@pytest.mark.skipif(not can_make_disks(), reason="this process may not mount a disk")
@pytest.mark.parametrize("left", [0, 4096])  # for the record of the folder, or not even for that
def test_a_full_disk_leaves_no_folder_elsewhere(seed: Path, monkeypatch, left: int) -> None:
    made: list[Path] = []

    def noted(**options: str) -> str:
        made.append(Path(tempfile.mkdtemp(**options)))
        return str(made[-1])

    monkeypatch.setattr(embedded, "mkdtemp", noted)
    with small_disk(WHOLE_DISK) as disk:
        home = disk / ("too long for the path of a socket " * 3).strip() / "home"
        home.parent.mkdir()
        subprocess.run(["cp", "-a", seed, home], check=True)
        room = os.statvfs(disk)
        with (disk / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, room.f_bavail * room.f_frsize - left)
        with pytest.raises(NeedsPersonError, match="free space"), running_server(home):
            pass
        assert len(made) == 1
        assert not made[0].exists()


def test_a_missing_wheel_names_the_extra(home: Path, monkeypatch) -> None:
    monkeypatch.setattr(binaries, "_PACKAGE", "no_such_package")
    with (
        pytest.raises(NeedsPersonError, match=r"embedded.*ANNOTATOR_DATABASE_URL"),
        running_server(home),
    ):
        pass


def test_waiting_for_a_start_that_hangs_ends(home: Path, monkeypatch) -> None:
    monkeypatch.setattr(embedded, "_PATIENCE", 0.1)
    with (
        embedded._starting(home),
        pytest.raises(DatabaseUnavailableError, match="another process"),
        running_server(home),
    ):
        pass


def test_a_demo_is_marked(tmp_path: Path) -> None:
    assert not is_demo(tmp_path)
    mark_demo(tmp_path)
    assert is_demo(tmp_path)
    assert not has_cluster(tmp_path)


# -- accounts ------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for others")


@needs_root
def test_root_hands_the_server_to_an_account_without_rights(home: Path) -> None:
    os.chmod(home, 0o700)
    with running_server(home):
        pid = server_pid(home)
        owner = os.stat(f"/proc/{pid}").st_uid
    assert pwd.getpwuid(owner).pw_name == "postgres"
    assert home.stat().st_mode & 0o777 == 0o700


@needs_root
def test_programs_out_of_reach_are_copied_once(tmp_path: Path, monkeypatch) -> None:
    hidden = tmp_path / "site-packages"
    hidden.mkdir(mode=0o700)
    source = binaries.folder()
    package = source.parents[1]
    (hidden / package.name).mkdir()
    shutil.copytree(source.parent, hidden / package.name / source.parent.name, symlinks=True)
    libraries = package.parent / f"{package.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, hidden / libraries.name)
    monkeypatch.setattr(binaries, "can_reach", lambda path: hidden not in path.parents)
    monkeypatch.setattr(binaries, "_CACHE", tmp_path / "cache")

    programs = hidden / package.name / source.parent.name / "bin"
    copied = binaries.reachable(programs)
    assert copied.is_relative_to(tmp_path / "cache")
    assert binaries.major_version(copied) == binaries.major_version(source)
    assert subprocess.run([copied / "initdb", "--version"], check=False).returncode == 0
    made = copied.stat().st_ino
    assert binaries.reachable(programs) == copied
    assert copied.stat().st_ino == made
    assert [entry.name[:10] for entry in (tmp_path / "cache").iterdir()] == ["postgresql"]
