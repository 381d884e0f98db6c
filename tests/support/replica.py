"""A streaming replica of a server: a base backup that goes on replaying what the server writes."""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.store.server import binaries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.store.server.binaries import Account

_PATIENCE = 60.0  # seconds, so that a mistake in a test ends it
# Nothing is cancelled unless a test asks for it, and what is sent is replayed at once.
_CONFIGURATION = """\
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket}'
hot_standby = on
max_standby_streaming_delay = '30s'
autovacuum = off
"""
_LET_STREAM = "local replication all trust\n"


@dataclass(frozen=True)
class Replica:
    """A running replica.

    Attributes
    ----------
    primary, conninfo
        Connection strings of the superuser on the primary and on the replica.
    cluster
        Data directory of the replica.
    """

    primary: str
    conninfo: str
    cluster: Path
    _programs: Path
    _account: Account | None

    def url(self, **more: str) -> str:
        """Return the URL of the replica, as an operator would write it."""
        return url_of(self.conninfo, **more)

    def catch_up(self) -> None:
        """Wait until everything that the primary has written is replayed."""
        with psycopg.connect(self.primary, autocommit=True) as connection:
            (written,) = connection.execute("select pg_current_wal_flush_lsn()").fetchone() or ("",)
        deadline = time.monotonic() + _PATIENCE
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            query = "select pg_last_wal_replay_lsn() >= %s::pg_lsn"
            while connection.execute(query, (written,)).fetchone() != (True,):
                assert time.monotonic() < deadline, "the replica does not catch up"
                time.sleep(0.05)

    def promote(self) -> None:
        """Make it a primary of its own."""
        log = self.cluster.parent / "promote.log"
        options = ("--wait", "--silent", "promote")
        code = binaries.call(self._programs / "pg_ctl", options, self.cluster, self._account, log)
        assert code == 0, log.read_text()


def url_of(conninfo: str, **more: str) -> str:
    """Return a connection string as a URL."""
    given = {**conninfo_to_dict(conninfo), **more}
    place = "&".join(f"{key}={given[key]}" for key in ("host", *more))
    return f"postgresql://{given['user']}@:{given.get('port', 5432)}/{given['dbname']}?{place}"


@contextmanager
def replica_of(primary: str, programs: Path, primary_cluster: Path) -> Iterator[Replica]:
    """Run a streaming replica of a server for the block.

    Parameters
    ----------
    primary
        Connection string of the superuser, through a socket.
    programs
        Folder with ``pg_basebackup`` and ``pg_ctl`` of its version.
    primary_cluster
        Data directory of the primary, which is made to let replicas connect.
    """
    hba = primary_cluster / "pg_hba.conf"
    if _LET_STREAM not in (rules := binaries.read_file(hba)):
        binaries.replace_file(hba, rules + _LET_STREAM)
        with psycopg.connect(primary, autocommit=True) as connection:
            connection.execute("select pg_reload_conf()")
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
        # With standby.signal and primary_conninfo.
        backup = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname", primary)
        code = binaries.call(programs / "pg_basebackup", backup, cluster, account, log)
        assert code == 0, log.read_text()
        given = conninfo_to_dict(primary)
        port = str(given.get("port", 5432))
        with (cluster / "postgresql.conf").open("a") as configuration:
            configuration.write(_CONFIGURATION.format(socket=folder / "socket", port=port))
        start = ("--wait", "--silent", "--log", "server.log", "start")
        code = binaries.call(programs / "pg_ctl", start, cluster, account, log)
        assert code == 0, log.read_text() + binaries.read_file(cluster / "server.log")
        try:
            conninfo = make_conninfo(primary, host=str(folder / "socket"))
            yield Replica(primary, conninfo, cluster, programs, account)
        finally:
            stop = ("--wait", "--silent", "--mode", "immediate", "stop")
            binaries.call(programs / "pg_ctl", stop, cluster, account, log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
