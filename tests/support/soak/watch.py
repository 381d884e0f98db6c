"""Measure the daemon, its server and its tables from outside."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

MB = 1024**2
TABLES_EVERY = 3
"""Number of measurements between those of tables and folders."""

# Rows that are kept for good: predictions, decisions, events, and the releases that made
# them. A place in the queue is kept as long as its dataset has an open sample.
KEPT = (
    *("prediction", "class_contribution", "quarantine", "review", "undone_review", "event"),
    *("mirror_change", "annotation_run", "tick", "training_run", "release", "cohort"),
    *("cohort_sample", "validation_prediction", "validation_curve", "metric", "label_suspicion"),
    *("class_marker", "class_similarity", "class_enrichment", "sample_map", "queue_group"),
)

_TABLES = """
select t.schemaname || '.' || t.relname, pg_total_relation_size(t.relid), t.n_live_tup, t.n_dead_tup
from pg_stat_user_tables t where t.schemaname in ('annotator', 'atlas')
"""
_SESSIONS = """
select
    count(*) filter (where starts_with(application_name, 'annotator')),
    count(*) filter (where starts_with(application_name, 'annotator')
        and state like 'idle in transaction%'
        and state_change < clock_timestamp() - interval '10 seconds')
from pg_stat_activity where datname = current_database()
"""


def memory_of(pid: int) -> Counter[str]:
    """Return the memory of a process in bytes by kind; empty if the process has ended.

    Returns
    -------
    Counter
        ``Rss``, and the process's proportional shares: ``Pss_Anon`` of private memory,
        ``Pss_Shmem`` of memory shared between processes.
    """
    found: Counter[str] = Counter()
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return found
    for line in lines[1:]:
        name, value, *_unit = line.split()
        found[name.rstrip(":")] = int(value) * 1024
    return found


def children_of(pid: int) -> list[int]:
    """Return the child processes of a process that it has not reaped."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
        except OSError:
            continue
        if int(after_name.split()[1]) == pid:
            found.append(int(path.parent.name))
    return found


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder, without files that are deleted meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def _entries(path: str | Path) -> int:
    return len(os.listdir(path))


class Watch:
    """Takes measurements.

    Parameters
    ----------
    connection
        Connection of the owner, with another name than the daemon's.
    daemon
        Process of the daemon.
    home
        Folder of the embedded server, with its reports.
    temporary
        Folder for temporary files that only the daemon and its children use.
    """

    def __init__(
        self, connection: psycopg.Connection, daemon: int, home: Path, temporary: Path
    ) -> None:
        self._connection, self._daemon = connection, daemon
        self._home, self._temporary = home, temporary
        self._server = int((home / "cluster" / "postmaster.pid").read_text().split()[0])
        self._began = time.monotonic()
        self._sessions: list[tuple[int, int]] = []
        self._number = 0

    def glance(self) -> None:
        """Count connections, which come and go between measurements."""
        row = self._connection.execute(_SESSIONS).fetchone()
        assert row is not None
        self._sessions.append((row[0], row[1]))

    def measure(self) -> dict[str, float]:
        """Take one measurement: key to value; of connections, the maximum since the last one.

        Raises
        ------
        OSError
            The daemon has ended.
        """
        own = f"/proc/{self._daemon}"
        found = {
            "seconds": time.monotonic() - self._began,
            "daemon_mb": memory_of(self._daemon)["Rss"] / MB,
            "daemon_handles": _entries(f"{own}/fd"),
            "daemon_threads": _entries(f"{own}/task"),
            "daemon_children": len(children_of(self._daemon)),
        }
        found |= self._of_server()
        if self._number % TABLES_EVERY == 0:
            found |= self._of_tables()
            found["reports_mb"] = size_of(self._home / "reports") / MB
            found["wal_mb"] = size_of(self._home / "cluster" / "pg_wal") / MB
            found["temporary_files"] = _entries(self._temporary)
        self._number += 1
        return found

    def _of_server(self) -> dict[str, float]:
        memory: Counter[str] = Counter()
        processes = [self._server, *children_of(self._server)]
        for pid in processes:
            memory += memory_of(pid)
        self.glance()
        most = [max(counts) for counts in zip(*self._sessions, strict=True)]
        self._sessions = []
        return {
            "server_private_mb": memory["Pss_Anon"] / MB,
            "server_shared_mb": memory["Pss_Shmem"] / MB,
            "server_processes": len(processes),
            "connections": most[0],
            "forgotten_transactions": most[1],
        }

    def _of_tables(self) -> dict[str, float]:
        rows = self._connection.execute(_TABLES).fetchall()
        whole = self._connection.execute("select pg_database_size(current_database())").fetchone()
        assert whole is not None
        found = {}
        for name, size, live, dead in rows:
            found |= {f"{name}/bytes": size, f"{name}/rows": live, f"{name}/dead": dead}
        kept = [row for row in rows if row[0].partition(".")[2] in KEPT]
        passing = [row for row in rows if row not in kept]
        return found | {
            "kept_mb": _sum(kept, 1) / MB,
            "kept_rows": _sum(kept, 2),
            "kept_row_bytes": _sum(kept, 1) / max(1, _sum(kept, 2)),
            "kept_dead_percent": 100 * _sum(kept, 3) / max(1, _sum(kept, 2) + _sum(kept, 3)),
            "passing_mb": _sum(passing, 1) / MB,
            "passing_rows": _sum(passing, 2),
            "passing_dead": _sum(passing, 3),
            "catalogue_mb": (whole[0] - _sum(rows, 1)) / MB,
        }


def _sum(rows: Iterable[tuple[str, int, int, int]], column: int) -> int:
    return sum(int(row[column]) for row in rows)
