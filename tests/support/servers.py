"""PostgreSQL servers of other versions than the embedded one, if their programs are installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from annotator.store.server import binaries

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    folder = Path(tempfile.mkdtemp(prefix="annotator-", dir="/tmp"))  # a short path, for the socket
    folder.chmod(0o755)
    cluster, log = folder / "cluster", folder / "log"
    account = binaries.server_account(cluster)
    if account is not None:
        programs = binaries.reachable(programs)
    for each in (cluster, folder / "socket"):
        each.mkdir(mode=0o700)
        if account is not None:
            shutil.chown(each, account.uid, account.gid)
    try:
        made = ("--username", "annotator", "--encoding", "UTF8", "--locale", "C")
        asked = ("--auth-local", "trust", "--auth-host", "scram-sha-256")
        code = binaries.call(programs / "initdb", (*made, *asked), cluster, account, log)
        assert code == 0, log.read_text()
        with (cluster / "postgresql.conf").open("a") as configuration:
            configuration.write(
                _CONFIGURATION.format(socket=folder / "socket", addresses=addresses, port=port)
            )
        start = ("--wait", "--silent", "--log", "server.log", "start")
        code = binaries.call(programs / "pg_ctl", start, cluster, account, log)
        assert code == 0, log.read_text()
        place = {"host": str(folder / "socket"), "port": port, "user": "annotator"}
        try:
            with psycopg.connect(
                make_conninfo(**place, dbname="postgres"), autocommit=True
            ) as owner:
                owner.execute("create database annotator")
            yield make_conninfo(**place, dbname="annotator")
        finally:
            stop = ("--wait", "--silent", "--mode", "immediate", "stop")
            binaries.call(programs / "pg_ctl", stop, cluster, account, log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
