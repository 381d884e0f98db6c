"""Private folders for the arrays that processes of one machine share, locked by their users.

The kernel releases the lock of a process, however that ends, so folders that were left by
killed processes can be told from those in use.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from numpy.typing import NDArray

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folders made in it are private
SHARED_BYTES = 2 * 10**9
"""Free bytes below which shared arrays are files in the temporary folder, as with joblib."""

FOLDER_PREFIX = "annotator-arrays-"
COHORT_PREFIX = "annotator-cohort-"
COMPLETE = "complete"


@cache  # joblib's workers keep the folder that they were started with
def array_folder() -> str:
    """Make a folder for the arrays of this process's workers; it goes with the process."""
    root = _root(os.environ.get("JOBLIB_TEMP_FOLDER"), FOLDER_PREFIX)
    made = Path(tempfile.mkdtemp(dir=root))
    _locked(made)  # before it has a name by which others find it
    folder = made.rename(made.with_name(FOLDER_PREFIX + made.name))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(folder)


@dataclass(frozen=True, eq=False)
class HeldArrays:
    """Arrays that are mapped from files, and the lock that keeps these files.

    Attributes
    ----------
    arrays
        The arrays by name, read-only.
    folder
        The folder of the files.
    """

    arrays: Mapping[str, NDArray[Any]]
    folder: Path
    _handle: int

    def release(self) -> None:
        """Give the files up; the last one to do so removes them."""
        with suppress(BlockingIOError):
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(self.folder, self._handle):
                shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._handle)


def hold_arrays(key: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> HeldArrays:
    """Map arrays that all processes of this account on this machine share.

    The first process makes them and writes them to files, others wait for it. Files that
    killed processes left behind are removed.

    Parameters
    ----------
    key
        A name of the contents, such as a digest of them: letters and digits.
    make
        Function that makes the arrays, if no process has them yet.
    """
    root = _root(os.environ.get("DASK_TEMPORARY_DIRECTORY"), COHORT_PREFIX)
    folder = root / f"{COHORT_PREFIX}{os.geteuid()}-{key}"
    while (handle := _opened(folder)) is not None:
        fcntl.flock(handle, fcntl.LOCK_SH)
        if not (folder / COMPLETE).exists():
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _is_still(folder, handle) and not (folder / COMPLETE).exists():
                try:
                    _write(folder, make())
                except BaseException:
                    HeldArrays({}, folder, handle).release()
                    raise
            fcntl.flock(handle, fcntl.LOCK_SH)
        # Between two locks another process may have removed the folder.
        if _is_still(folder, handle) and (folder / COMPLETE).exists():
            return HeldArrays(_mapped(folder), folder, handle)
        os.close(handle)
    # Another account has taken the name: a folder of this process's own.
    folder = Path(tempfile.mkdtemp(prefix=COHORT_PREFIX, dir=root))
    own = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(own, fcntl.LOCK_SH)
    _write(folder, make())
    return HeldArrays(_mapped(folder), folder, own)


def _root(chosen: str | None, prefix: str) -> Path:
    """Return where to make a folder, and remove the folders of killed processes."""
    root = Path(chosen or tempfile.gettempdir())
    for left in (*SHARED_MEMORY.glob(f"{prefix}*"), *root.glob(f"{prefix}*")):
        if (handle := _locked(left)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)
    usable = not chosen and os.access(SHARED_MEMORY, os.W_OK)
    if usable and shutil.disk_usage(SHARED_MEMORY).free > SHARED_BYTES:
        return SHARED_MEMORY
    return root


def _locked(folder: Path) -> int | None:
    """Lock a folder of this account until the returned handle is closed; None if it is in use."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        with suppress(OSError):
            if os.fstat(handle).st_uid == os.geteuid():
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return handle
        os.close(handle)
    return None


def _opened(folder: Path) -> int | None:
    """Open a private folder of this account, made if it is missing; None if it is another's."""
    while True:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # it was removed in between
        except OSError:
            return None
        found = os.fstat(handle)
        if found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077:
            return handle
        os.close(handle)
        return None


def _is_still(folder: Path, handle: int) -> bool:
    """Return whether an open folder still has its name."""
    with suppress(OSError):
        return os.path.samestat(folder.lstat(), os.fstat(handle))
    return False


def _write(folder: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / COMPLETE).touch()


def _mapped(folder: Path) -> dict[str, NDArray[Any]]:
    return {
        path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
        for path in sorted(folder.glob("*.npy"))
    }
