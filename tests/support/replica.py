"""A streaming replica of a server: a base backup that goes on replaying what the server writes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from annotator.store.server import binaries
from tests.support.servers import server_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.servers import ServerFolder

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
    """

    primary: str
    conninfo: str
    _server: ServerFolder

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
        self._server.call("pg_ctl", "--wait", "--silent", "promote")


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
    with server_folder(programs) as made:
        # With standby.signal and primary_conninfo.
        backup = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname", primary)
        made.call("pg_basebackup", *backup)
        port = str(conninfo_to_dict(primary).get("port", 5432))
        made.configure(_CONFIGURATION.format(socket=made.socket, port=port))
        with made.running():
            yield Replica(primary, make_conninfo(primary, host=str(made.socket)), made)
