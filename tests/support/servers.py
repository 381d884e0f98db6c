"""PostgreSQL servers of other versions than the embedded one, if their programs are installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from annotator.store.server import binaries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.store.server.binaries import Account

_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_CONFIGURATION = """\
listen_addresses = '{addresses}'
unix_socket_directories = '{socket}'
port = {port}
timezone = 'UTC'
lc_messages = 'C'
fsync = off
full_page_writes = off
"""


def version_of(programs: Path) -> str:
    """Return the version of the server in a folder of programs, such as ``15.18``."""
    words = subprocess.run(
        [programs / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    return words[2]


def installed() -> dict[int, Path]:
    """Return the folders of programs on this machine by major version, with the embedded one's."""
    embedded = binaries.folder()
    folders = [*embedded.parent.parent.glob("pginstall*/bin")]
    folders += [found for place in _PLACES for found in Path("/").glob(place.lstrip("/"))]
    if shutil.which("pg_config"):
        told = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        folders.append(Path(told.stdout.strip()))
    complete = [
        each
        for each in (*folders, embedded)
        if all((each / n).exists() for n in ("postgres", "initdb"))
    ]
    return {int(version_of(each).split(".")[0]): each for each in complete}


@dataclass(frozen=True)
class ServerFolder:
    """A new folder for a server, and the programs and the account that it runs with."""

    folder: Path
    programs: Path
    account: Account | None

    @property
    def cluster(self) -> Path:
        """The data directory."""
        return self.folder / "cluster"

    @property
    def socket(self) -> Path:
        """The folder of the socket."""
        return self.folder / "socket"

    def call(self, program: str, *options: str) -> None:
        """Run a program on the data directory; a failure shows what it printed."""
        log = self.folder / "log"
        code = binaries.call(self.programs / program, options, self.cluster, self.account, log)
        server_log = self.cluster / "server.log"
        printed = binaries.read_file(server_log) if server_log.exists() else ""
        assert code == 0, log.read_text() + printed

    def configure(self, settings: str) -> None:
        """Add lines to the configuration."""
        with (self.cluster / "postgresql.conf").open("a") as configuration:
            configuration.write(settings)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the server for the block."""
        self.call("pg_ctl", "--wait", "--silent", "--log", "server.log", "start")
        try:
            yield
        finally:
            stop = ("--wait", "--silent", "--mode", "immediate", "stop")
            log = self.folder / "log"
            binaries.call(self.programs / "pg_ctl", stop, self.cluster, self.account, log)


@contextmanager
def server_folder(programs: Path) -> Iterator[ServerFolder]:
    """Make a folder for a server, and remove it after the block."""
    folder = Path(tempfile.mkdtemp(prefix="annotator-", dir="/tmp"))  # a short path, for the socket
    try:
        folder.chmod(0o755)
        account = binaries.server_account(folder / "cluster")
        if account is not None:
            programs = binaries.reachable(programs)
        made = ServerFolder(folder, programs, account)
        for each in (made.cluster, made.socket):
            each.mkdir(mode=0o700)
            if account is not None:
                shutil.chown(each, account.uid, account.gid)
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server_of(programs: Path, *, addresses: str = "", port: int = 5432) -> Iterator[str]:
    """Run a new server of some version for the block.

    Parameters
    ----------
    programs
        Folder with ``initdb`` and ``pg_ctl``.
    addresses, port
        Where it listens beside its socket; there it asks for passwords.

    Yields
    ------
    str
        Connection string of the superuser ``annotator`` to a database of this name.
    """
    with server_folder(programs) as made:
        made.call(
            "initdb",
            *("--username", "annotator", "--encoding", "UTF8", "--locale", "C"),
            *("--auth-local", "trust", "--auth-host", "scram-sha-256"),
        )
        made.configure(_CONFIGURATION.format(socket=made.socket, addresses=addresses, port=port))
        with made.running():
            place = {"host": str(made.socket), "port": port, "user": "annotator"}
            with psycopg.connect(
                make_conninfo(**place, dbname="postgres"), autocommit=True
            ) as owner:
                owner.execute("create database annotator")
            yield make_conninfo(**place, dbname="annotator")
