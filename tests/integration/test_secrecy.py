"""A password is shown nowhere: not in what is said, not in ``ps``, not in what is stored."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from annotator.settings import Settings, load_settings
from annotator.store.server import binaries
from annotator.store.server.connection import Database
from tests.support import ROOT
from tests.support.faults.earlier_schemas import rows
from tests.support.faults.processes import Launcher, launcher, wait_for

OWNER = "secretive_owner"
SECRET = "hunter2@s3cret/" + secrets.token_hex(8)
ENCODED = SECRET.replace("@", "%40").replace("/", "%2F")
WRONG = "wr0ng-" + secrets.token_hex(8)


def told(text: str) -> list[str]:
    """Return the passwords that a text gives away, in whatever form."""
    return [form for form in (SECRET, ENCODED, SECRET[10:], WRONG) if form in text]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# A sample that waits for a release whose only file is no model: to annotate fails, which is noted.
_DAMAGED = """
insert into atlas.dataset (dataset_id) values ('D1');
insert into atlas.sample (sample_id, dataset_id) values ('a', 'D1');
insert into annotator.training_run (field, preset, seed, host, status, finished_at)
values ('tissue', 'default', 1, 'here', 'succeeded', now());
insert into annotator.release (field, run_id, status, classes, features, promoted_at)
select 'tissue', run_id, 'live', '{liver,lung}', 10, now() from annotator.training_run;
insert into annotator.artefact (release_id, name, media_type, sha256, size, content)
select release_id, 'model.json', 'application/json', encode(sha256('{}'), 'hex'), 2, '{}'
from annotator.release;
"""


@dataclass(frozen=True)
class Guarded:
    """A server that asks for a password over TCP, and logs every statement."""

    port: int
    log: Path

    def url(self, password: str = ENCODED, host: str = "127.0.0.1", name: str = "atlas") -> str:
        return f"postgresql://{OWNER}:{password}@{host}:{self.port}/{name}"

    def query(self, password: str = ENCODED, name: str = "atlas") -> str:
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{name}?password={password}"

    def pairs(self, password: str = SECRET, name: str = "atlas") -> str:
        return f"host=127.0.0.1 port={self.port} dbname={name} user={OWNER} password='{password}'"

    def database(self) -> Database:
        return Database(self.url())


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="guarded-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        cluster, password = folder / "cluster", folder / "password"
        account = binaries.server_account(cluster)
        programs = binaries.folder() if account is None else binaries.reachable(binaries.folder())
        cluster.mkdir(mode=0o700)
        password.write_text(SECRET, encoding="utf-8")
        if account is not None:
            os.chown(cluster, account.uid, account.gid)
            os.chown(password, account.uid, account.gid)

        def call(program: str, *arguments: str) -> None:
            log = folder / f"{program}.log"
            code = binaries.call(programs / program, arguments, cluster, account, log)
            assert code == 0, log.read_text()

        call(
            "initdb", "-U", OWNER, "-A", "scram-sha-256", f"--pwfile={password}", "-N", "-E", "UTF8"
        )
        password.unlink()
        port = free_port()
        options = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
            " -c log_statement=all -c log_connections=on -c log_min_error_statement=debug5"
        )
        call("pg_ctl", "--wait", "--silent", "--log", "server.log", "-o", options, "start")
        try:
            one = Guarded(port, cluster / "server.log")
            with psycopg.connect(one.url(name="postgres"), autocommit=True) as connection:
                connection.execute("create database atlas")
            yield one
        finally:
            call("pg_ctl", "--wait", "--silent", "--mode", "immediate", "stop")


@pytest.fixture(scope="module")
def start(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Starts commands; each is given its database in its own way."""
    folder = tmp_path_factory.mktemp("commands")
    with launcher(folder, guarded.database(), models=False) as one:
        done = one.run("migrate", ANNOTATOR_DATABASE_URL=guarded.url())
        assert done.code() == 0, done.output()
        assert told(done.output()) == []
        with psycopg.connect(guarded.url()) as connection:
            connection.execute(_DAMAGED)
        yield one


# -- every way to give it, and to get it wrong ---------------------------------------------


def ways(guarded: Guarded, folder: Path) -> dict[str, tuple[bool, tuple[str, ...], dict[str, str]]]:
    """Name each way: if it leads to the database, arguments before the command, settings."""
    file, config, other = (folder / name for name in ("url", "right.toml", "wrong.toml"))
    file.write_text(guarded.query() + "\n", encoding="utf-8")
    config.write_text(f'database_url = "{guarded.url()}"\n', encoding="utf-8")
    other.write_text(f"database_url = {guarded.url()}\n", encoding="utf-8")
    listed = folder / "listed.toml"
    listed.write_text(f'database_url = ["{guarded.url()}"]\n', encoding="utf-8")

    def variable(url: str) -> tuple[tuple[str, ...], dict[str, str]]:
        return (), {"ANNOTATOR_DATABASE_URL": url}

    def config_file(path: Path) -> tuple[tuple[str, ...], dict[str, str]]:
        return ("--config", str(path)), {"ANNOTATOR_DATABASE_URL": ""}

    def url_file(path: str) -> tuple[tuple[str, ...], dict[str, str]]:
        return (), {"ANNOTATOR_DATABASE_URL": "", "ANNOTATOR_DATABASE_URL_FILE": path}

    return {
        "URL": (True, *variable(guarded.url())),
        "URL of SQLAlchemy": (True, *variable(guarded.url().replace("://", "+psycopg://", 1))),
        "query": (True, *variable(guarded.query())),
        "pairs": (True, *variable(guarded.pairs())),
        "settings file": (True, *config_file(config)),
        "file of the URL": (True, *url_file(str(file))),
        "wrong password": (False, *variable(guarded.url(WRONG))),
        "wrong password, query": (False, *variable(guarded.query(WRONG))),
        "wrong password, pairs": (False, *variable(guarded.pairs(WRONG))),
        "wrong role": (False, *variable(guarded.url().replace(OWNER, "nobody_of_that_name"))),
        "wrong database": (False, *variable(guarded.url(name="no_such_database"))),
        "nobody there": (False, *variable(guarded.url().replace(f":{guarded.port}", ":1"))),
        "no such host": (False, *variable(guarded.url(host="no-such-host.invalid"))),
        "not encoded": (False, *variable(guarded.url(SECRET))),
        "not encoded, query": (False, *variable(guarded.query(SECRET[:7] + "&" + SECRET))),
        "unfinished pairs": (False, *variable(guarded.pairs()[:-1])),
        "no scheme": (False, *variable(guarded.url().partition("://")[2])),
        "settings file without quotes": (False, *config_file(other)),
        "settings file with a list": (False, *config_file(listed)),
        "the URL instead of its file": (False, *url_file(guarded.url())),
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_command_says_it_however_it_is_given(
    guarded: Guarded, start: Launcher, tmp_path: Path, log_format: str
) -> None:
    for name, (leads, before, settings) in ways(guarded, tmp_path).items():
        settings = settings | {"ANNOTATOR_LOG_FORMAT": log_format}
        # What does not lead there fails alike for every command: one look at it is enough.
        commands = [["status"], ["doctor", "--quick"]]
        if leads:
            commands += [["status", "--json"], ["migrate"], ["sql", "select 1 / 0"]]
            if name == "query":  # these import models, which takes seconds
                commands += [["doctor", "--json"], ["annotate"], ["retrain", "--field", "tissue"]]
        elif log_format == "json":
            commands += [["migrate"], ["serve"]]
        for command in commands:
            process = start.start(*before, *command, **settings)
            if command == ["serve"] and name in ("nobody there", "no such host"):
                # It waits for the server.
                wait_for(
                    lambda of=process: "trying again" in of.output() or None, 60, "a word of it"
                )
                process.send(signal.SIGTERM)
            code = process.wait(60)
            said = process.output()
            assert said.strip() != "", (name, command)
            assert told(said) == [], (name, command, said)
            assert "Traceback" not in said, (name, command, said)
            if not leads and command != ["serve"]:
                assert code != 0, (name, command)
            if leads and command == ["status"]:
                assert "1 samples" in said, (name, said)
            if not leads and command == ["serve"]:
                assert "is up" not in said, (name, said)
    assert told(guarded.log.read_text(errors="replace")) == []
    kept = rows(guarded.database())
    assert any(event["kind"] == "failure" for event in kept["annotator.event"])
    assert any(run["status"] == "failed" for run in kept["annotator.training_run"])
    assert told(str(kept)) == []


# -- a daemon at work ----------------------------------------------------------------------


def command_lines() -> dict[int, str]:
    """Return the command lines that a list of processes shows to everybody."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                shown = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue  # ended meanwhile
            found[int(folder.name)] = shown.decode(errors="replace")
    return found


@contextmanager
def daemon(url: str, home: Path, log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    given = {
        "PYTHONPATH": str(ROOT),
        "ANNOTATOR_DATABASE_URL": url,
        "ANNOTATOR_HOME": str(home),
        "ANNOTATOR_POLL_SECONDS": "1",
        "ANNOTATOR_HEARTBEAT_SECONDS": "1",
        **settings,
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "annotator", "serve"],
            cwd=home.parent,
            env=os.environ | given,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc to look at")
def test_a_daemon_and_its_retraining_show_it_nowhere(
    guarded: Guarded, start: Launcher, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "daemon.log"
    seen: set[str] = set()
    with psycopg.connect(guarded.url(), autocommit=True) as watch:
        # A due time that nobody took: the daemon begins with a retraining, a process of its own.
        watch.execute(
            "insert into annotator.tick (job, due_at, worker, outcome)"
            " values ('retrain', now() - interval '5 days', 'w', 'done')"
        )
        with daemon(
            guarded.query(),
            tmp_path / "home",
            log,
            ANNOTATOR_METRICS_PORT=str(port),
            ANNOTATOR_LOG_FORMAT="json",
        ):

            def retraining() -> bool | None:
                lines = command_lines().values()
                seen.update(line for line in lines if "annotator" in line)
                return any("annotator retrain" in line for line in seen) or None

            wait_for(retraining, 60, "a retraining")

            def over() -> bool | None:
                activity = watch.execute("select * from pg_stat_activity").fetchall()
                assert told(str(activity)) == []
                seen.update(line for line in command_lines().values() if "annotator" in line)
                return "retraining ended" in log.read_text() or None

            wait_for(over, 60, "its end")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as page:
                figures = page.read().decode()
            beats = watch.execute("select * from annotator.heartbeat").fetchall()
    assert "annotator_" in figures
    assert beats != []
    assert any("annotator serve" in line for line in seen)
    for text in (figures, str(beats), *seen, log.read_text(), str(rows(guarded.database()))):
        assert told(text) == []
    assert told(guarded.log.read_text(errors="replace")) == []


# -- inside --------------------------------------------------------------------------------


def test_neither_settings_nor_a_database_show_it_when_they_are_printed() -> None:
    url = f"postgresql://me:{ENCODED}@db/atlas"
    for thing in (Settings(database_url=url), load_settings({"ANNOTATOR_DATABASE_URL": url})):
        assert thing.database_url == url
        assert told(repr(thing) + str(thing)) == []
    assert told(repr(Database(url))) == []


def test_what_looks_for_it_would_find_it(guarded: Guarded, start: Launcher) -> None:
    for form in (SECRET, ENCODED, WRONG):
        assert form in told(f"x{form}y")
    process = start.run("forget", WRONG, ANNOTATOR_DATABASE_URL=guarded.url())
    assert told(process.output()) == [WRONG]
    assert told(guarded.log.read_text(errors="replace")) == [WRONG]
