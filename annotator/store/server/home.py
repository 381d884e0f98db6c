"""The folder of an embedded database: who may change it, its locks, and the mark of a demo."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.errors import InputError, NeedsPersonError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS = {"cluster", "cluster.new", "socket", "socket.path", "start.lock", "users.lock"} | {
    *("demo", "initdb.log", "pg_ctl.log", "logs", "annotator.toml"),
}


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


@contextmanager
def only_demo(home: Path) -> Iterator[None]:
    """Keep every other demo away from the folder's database.

    Raises
    ------
    InputError
        The database is not a demo.
    RetryableError
        Another demo is running.
    """
    if not is_demo(home):
        raise InputError(
            f"{home} contains a database that is not a demo; set ANNOTATOR_HOME to another folder"
        )
    with opened(home / "demo") as marker:
        if not lock(marker, exclusive=True, wait=False):
            raise RetryableError(
                f"another demo is running in {home}; wait until it has ended, or set ANNOTATOR_HOME"
                " to another folder"
            )
        yield


def has_cluster(home: Path) -> bool:
    """Return whether the folder contains an embedded database already."""
    return (home / "cluster" / "PG_VERSION").exists()


def prepare(home: Path) -> None:
    """Create the folder, or raise a one-line error if it cannot be used."""
    try:
        refuse_others(home)
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


def refuse_others(folder: Path) -> None:
    """Raise an error if other users could replace files of a folder by links.

    Links could lead root to any file of the system, so for root the folders above are checked
    as well.

    Raises
    ------
    NeedsPersonError
        Others own the folder, or may write to it although we are root.
    """
    root = os.geteuid() == 0
    above = (*folder.parents, *Path(os.path.realpath(folder)).parents) if root else ()
    for place in (folder, *above):
        if not place.exists():
            continue
        found = place.stat()
        in_reach = 0o022 if place == folder or not found.st_mode & stat.S_ISVTX else 0
        if found.st_uid not in (0, os.geteuid()) or (root and found.st_mode & in_reach):
            raise NeedsPersonError(
                f"{place}: other users can change this folder, so the embedded database is not safe"
                " from them; change its owner and mode, start this as its owner, or set"
                " ANNOTATOR_HOME to another folder"
            )


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a lock file; the lock ends when it is closed or the process ends."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise NeedsPersonError(
            f"{path}: cannot be opened ({error.strerror}); does the folder belong to another user?"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """Raise a one-line error if files of the folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise NeedsPersonError(
            f"{error.filename2 or error.filename or home}: the embedded database cannot be started"
            f" ({error.strerror}); check the free space and the permissions of its disk"
        ) from error


def lock(descriptor: int, *, exclusive: bool, wait: bool = True) -> bool:
    """Lock an open file; return false if another process holds the lock and ``wait`` is false."""
    import fcntl

    mode = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, mode if wait else mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
