"""Test full disks, read-only files, exhausted connections and statements that take too long."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import tempfile
import time
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg

from annotator.errors import AnnotatorError
from annotator.jobs.annotate.annotate import annotate
from annotator.jobs.annotate.live_models import LiveModels
from annotator.jobs.retrain import retrain as retrain_job
from annotator.learn.release.files import read_model
from annotator.settings import Settings
from annotator.store.releases.artefacts import load_artefacts
from annotator.store.releases.registry import live_release
from annotator.store.server.binaries import server_lives
from annotator.store.server.connection import Database, translating
from annotator.store.server.embedded import running_server
from annotator.store.server.schema import migrate
from tests.support.atlas import load_atlas
from tests.support.faults.atlas import Outcome, fault_settings
from tests.support.presets import LINEAR_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

FIELD = "tissue"
MEGABYTE = 1024**2
FILE_LIMIT = 20 * MEGABYTE  # larger than a WAL segment: only the file of the models is as large
FIRST_OWN = 16384  # PostgreSQL's own objects have lower numbers
WHOLE_DISK = 320 * MEGABYTE
NOTHING_WRITTEN = r"the database server cannot write: could not .+"


@dataclass(frozen=True)
class Fault:
    """A fault that prevents a release from being written, for the duration of a block.

    Attributes
    ----------
    name
        Name in the table.
    begin
        Causes the fault, given a random generator.
    message
        Regular expression that the error message must match.
    timeout
        Seconds that a statement may take; 0 for no limit.
    may_miss
        Whether there may be enough space by chance.
    """

    name: str
    begin: Callable[[np.random.Generator], AbstractContextManager[None]]
    message: str
    timeout: int = 0
    may_miss: bool = False


# -- faults ------------------------------------------------------------------------------


def _server_pid(home: Path) -> int:
    return int((home / "cluster" / "postmaster.pid").read_text().split()[0])


def _restart(home: Path) -> None:
    """Stop the server as an administrator would; its next user starts it."""
    pid = _server_pid(home)
    os.kill(pid, signal.SIGINT)
    while server_lives(home / "cluster"):
        time.sleep(0.05)
    with running_server(home):  # the server keeps running for its other users
        pass


@contextmanager
def file_limit(home: Path) -> Iterator[None]:
    """Limit every file of the server to :data:`FILE_LIMIT`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, before[1]))  # the server inherits it
    try:
        _restart(home)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        _restart(home)


def _number(path: Path) -> int:
    digits = re.match(r"\d+", path.name)
    return int(digits.group()) if digits else 0


@contextmanager
def read_only_files(home: Path, *, ours_only: bool) -> Iterator[None]:
    """Make the files of tables read-only for the server: those of the program, or all."""
    files = [
        path
        for path in (home / "cluster" / "base").rglob("*")
        if path.is_file() and (not ours_only or _number(path) >= FIRST_OWN)
    ]
    modes = {path: path.stat().st_mode for path in files}
    try:
        for path in files:
            path.chmod(0o400)
        yield
    finally:
        for path, mode in modes.items():
            if path.exists():
                path.chmod(mode)


@contextmanager
def no_connection_left(database: Database) -> Iterator[None]:
    """Use up every connection of the server, including those reserved for its superuser."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(psycopg.connect(database.conninfo))
            except psycopg.OperationalError:
                break
        yield


@contextmanager
def locked_models(database: Database) -> Iterator[None]:
    """Hold a lock that other statements wait for in vain."""
    with database.connect() as connection:
        connection.execute("lock table annotator.artefact, annotator.prediction in exclusive mode")
        yield


@contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """Mount a separate disk in memory, which only root can do."""
    with tempfile.TemporaryDirectory(prefix="disk-", dir="/tmp") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder]
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def can_make_disks() -> bool:
    """Return whether this process may mount a disk in memory."""
    try:
        with small_disk(MEGABYTE):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def full_disk(disk: Path, most_left: int, random: np.random.Generator) -> Iterator[None]:
    """Fill a disk except for a random amount of space."""
    filler = disk / "filler"
    left = int(random.integers(0, most_left))
    room = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_frsize - left))
    try:
        yield
    finally:
        filler.unlink()


# -- work under a fault ----------------------------------------------------------------------


@contextmanager
def one_candidate() -> Iterator[None]:
    """Train once; every later retraining writes that candidate, as only writing is tested."""
    make, made = retrain_job.make_candidate, []

    def once(*arguments: Any) -> Any:
        if not made:
            made.append(make(*arguments))
        return made[0]

    retrain_job.make_candidate = once
    try:
        yield
    finally:
        retrain_job.make_candidate = make


def _retrained(database: Database, settings: Settings, seed: int) -> str:
    """Retrain as the command does; return the outcome as text."""
    try:
        with translating():
            outcome = retrain_job.retrain(
                database, replace(settings, seed=seed, preset=str(LINEAR_ONLY)), FIELD
            )
    except AnnotatorError as error:
        return str(error)
    except psycopg.Error as error:
        return f"a traceback: {error!r}"
    return outcome.status if outcome.status == "promoted" else "; ".join(outcome.reasons)


def _first_release(database: Database, settings: Settings) -> None:
    ended = _retrained(database, settings, 1)
    assert ended == "promoted", ended


def _annotated(database: Database, settings: Settings, models: LiveModels) -> str:
    """Annotate as the daemon does; return the outcome as text."""
    try:
        with translating():
            annotate(database, settings, worker="one", models=models)
    except AnnotatorError as error:
        return str(error)
    except psycopg.Error as error:
        return f"a traceback: {error!r}"
    return "done"


def _serving(database: Database) -> int | None:
    """Return the live release, if it is the only one, complete and readable."""
    with database.connect(autocommit=True) as connection:
        live = live_release(connection, FIELD)
        try:
            assert live is not None
            read_model(load_artefacts(connection, live.release_id))
        except (AnnotatorError, AssertionError):
            return None
    return live.release_id


def _make_pending(database: Database) -> None:
    with database.connect(autocommit=True) as connection:
        connection.execute("update atlas.sample set updated_at = clock_timestamp()")


def _left_over(database: Database) -> int:
    """Count the remains of a refused release: candidates, files and runs that seem to be active."""
    with database.connect(autocommit=True) as connection:
        row = connection.execute(
            "select (select count(*) from annotator.release where status = 'candidate')"
            " + (select count(*) from annotator.training_run where status = 'running')"
            " + (select count(*) from annotator.work)"
        ).fetchone()
    assert row is not None
    return int(row[0])


def try_fault(
    database: Database, settings: Settings, fault: Fault, times: int, models: LiveModels
) -> list[Outcome]:
    """Retrain and annotate under a fault, and again without it.

    Parameters
    ----------
    database, settings
        A database with a live release.
    fault
        The fault.
    times
        Number of trials.
    models
        Loaded models.
    """
    random = np.random.default_rng(zlib.crc32(fault.name.encode()))
    hurt = replace(database, statement_timeout=fault.timeout)
    pattern = re.compile(fault.message)
    kept = resumed = annotated = unhurt = clear_ends = 0
    odd: list[str] = []
    for _ in range(times):
        before = _serving(database)
        _make_pending(database)
        with fault.begin(random):
            ends = [
                _retrained(hurt, settings, int(random.integers(2**31))),
                _annotated(hurt, settings, models),
            ]
        now = _serving(database)
        clear = [end for end in ends if pattern.search(end)]
        strange = [end for end in ends if end not in (*clear, "promoted", "done")]
        odd += strange
        unhurt += not clear and not strange and fault.may_miss
        clear_ends += bool(clear) and not strange
        kept += now is not None and (now == before) == ("promoted" not in ends)
        again = _retrained(database, settings, int(random.integers(2**31)))
        resumed += again == "promoted" and _serving(database) not in (None, now)
        annotated += _annotated(database, settings, models) == "done" and _left_over(database) == 0
    how = f"a clear error{f', not {odd[0]}' if odd else ''}"
    if fault.may_miss:
        how += f", or room enough ({unhurt})"
    return [
        Outcome(fault.name, times, clear_ends + unhurt, how),
        Outcome(fault.name, times, kept, "the live release lives, and is whole"),
        Outcome(fault.name, times, min(resumed, annotated), "work resumes without a hand"),
    ]


_FILLER = """
with run as (
    insert into annotator.training_run (field, preset, seed, host, status, finished_at)
    values (%(field)s, 'default', 1, 'here', 'succeeded', now()) returning run_id
), release as (
    insert into annotator.release (field, run_id, status, classes, features)
    select %(field)s, run_id, 'rejected', '{a,b}', 1 from run returning release_id
)
insert into annotator.artefact (release_id, name, media_type, sha256, size, content)
select release_id, 'filler', 'application/octet-stream', encode(sha256(%(content)s), 'hex'),
    length(%(content)s), %(content)s
from release
"""


def _fill_models_file(database: Database) -> None:
    """Make the file of the models larger than :data:`FILE_LIMIT`."""
    content = np.random.default_rng(1).bytes(FILE_LIMIT + 4 * MEGABYTE)
    with database.connect(autocommit=True) as connection:
        connection.execute(_FILLER, {"field": FIELD, "content": content})


def _own_disk(folder: Path, name: str, home: Path) -> Path:
    """Make a folder on a disk, writable for the account of the server."""
    owner = (home / "cluster").stat()
    made = folder / name
    made.mkdir()
    os.chown(made, owner.st_uid, owner.st_gid)
    folder.chmod(0o755)
    return made


def run_disk(
    database: Database, settings: Settings, times: int, models: LiveModels
) -> list[Outcome]:
    """Fill the disk of the models' table, then that of a whole data directory."""
    home = settings.home_folder()
    with small_disk(64 * MEGABYTE) as disk:
        place = _own_disk(disk, "models", home)
        with database.connect(autocommit=True) as connection:
            connection.execute(f"create tablespace small location '{place}'")
            connection.execute("delete from annotator.artefact where name = 'filler'")
            connection.execute("vacuum full annotator.artefact")
            connection.execute("alter table annotator.artefact set tablespace small")
        fault = Fault(
            "the disk of the models is full",
            lambda random: full_disk(disk, MEGABYTE // 4, random),
            f"{NOTHING_WRITTEN}No space left",
            may_miss=True,
        )
        outcomes = try_fault(database, settings, fault, times, models)
        with database.connect(autocommit=True) as connection:
            connection.execute("alter table annotator.artefact set tablespace pg_default")
            connection.execute("drop tablespace small")
    return outcomes


def run_whole_disk(times: int, models: LiveModels) -> list[Outcome]:
    """Fill the disk of a separate server, including its write-ahead log."""
    refused = kept = resumed = 0
    odd: list[str] = []
    clear = re.compile(f"{NOTHING_WRITTEN}|connection to the database was lost|cannot be started")
    random = np.random.default_rng(4)
    with small_disk(WHOLE_DISK) as disk:
        home = disk / "home"
        disk.chmod(0o755)
        settings = fault_settings(Settings(home=home))
        with running_server(home) as conninfo:
            database = Database(conninfo, embedded=True)
            migrate(database)
            load_atlas(database)
            _first_release(database, settings)
        for _ in range(times):
            with running_server(home) as conninfo:
                database = Database(conninfo, embedded=True)
                before = _serving(database)
                ends: list[str] = []
                # As many as necessary, because the write-ahead log has spare space.
                with full_disk(disk, MEGABYTE, random):
                    while len(ends) < 200 and (not ends or ends[-1] == "promoted"):
                        ends.append(_retrained(database, settings, int(random.integers(2**31))))
            good = clear.search(ends[-1]) is not None
            odd += [] if good else [ends[-1]]
            refused += good
            with running_server(home) as conninfo:  # started again if it went down
                database = Database(conninfo, embedded=True)
                now = _serving(database)
                kept += now is not None and (now == before) == ("promoted" not in ends)
                again = _retrained(database, settings, int(random.integers(2**31)))
                _make_pending(database)
                resumed += again == "promoted" and (
                    _annotated(database, settings, models) == "done" and _left_over(database) == 0
                )
    name = "the disk of the whole data directory is full"
    return [
        Outcome(name, times, refused, f"a clear error{f', not {odd[0]}' if odd else ''}"),
        Outcome(name, times, kept, "the live release lives, and is whole"),
        Outcome(name, times, resumed, "work resumes with room"),
    ]


def run_limits(
    database: Database, settings: Settings, times: int = 20, *, disks: bool = True
) -> list[Outcome]:
    """Retrain and annotate while the server cannot write, has no free connection, or waits.

    Parameters
    ----------
    database, settings
        A migrated embedded database that nothing else uses, in the home of the settings.
    times
        Number of trials per fault.
    disks
        Whether separate disks are mounted, if this process may do so.
    """
    home = settings.home_folder()
    settings = replace(settings, keep_releases=1000)
    faults = [
        Fault(
            "a file as large as the system allows",
            lambda _random: file_limit(home),
            f"{NOTHING_WRITTEN}File too large",
        ),
        Fault(
            "tables that are read only",
            lambda _random: read_only_files(home, ours_only=True),
            f"{NOTHING_WRITTEN}Permission denied",
        ),
        Fault(
            "a read-only data directory",
            lambda _random: read_only_files(home, ours_only=False),
            "cannot be reached: .*could not open file.*Permission denied",
        ),
        Fault(
            "no connection left",
            lambda _random: no_connection_left(database),
            "cannot be reached: .*(too many clients|connection slots)",
        ),
        Fault(
            "a statement that takes too long",
            lambda _random: locked_models(database),
            "statement timeout; raise ANNOTATOR_STATEMENT_TIMEOUT",
            timeout=1,
        ),
    ]
    load_atlas(database)
    outcomes, models = [], LiveModels()
    with one_candidate():
        _first_release(database, settings)
        _fill_models_file(database)
        for fault in faults:
            outcomes += try_fault(database, settings, fault, times, models)
        if disks and can_make_disks():
            outcomes += run_disk(database, settings, times, models)
            outcomes += run_whole_disk(max(1, times // 4), models)
    return outcomes
