"""Check that there is space to write."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.jobs.watch.doctor.findings import Finding, good, warning, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.settings import Settings

SUBJECT = "disk"
LOW = 2 * 1024**3
TOO_LOW = 256 * 1024**2


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Check the folders of temporary files and, if it is used, of the embedded database.

    The disk of another server cannot be checked from here.
    """
    folders = {"temporary files": Path(tempfile.gettempdir())}
    if settings.database_url is None:
        folders = {"the embedded database": settings.home_folder()} | folders
    for name, folder in folders.items():
        yield from _folder(name, folder)


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent  # the folder will be created in it
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        yield wrong(
            SUBJECT,
            f"{folder}, for {name}, cannot be written to: {error.strerror or error}",
            "free some space or give this user the right to write there",
        )
        return
    found = f"{free / 1024**3:.1f} GiB are free in {folder}, for {name}"
    fix = f"free some space; at least {LOW // 1024**3} GiB should be free"
    if free < TOO_LOW:
        yield wrong(SUBJECT, found, fix)
    elif free < LOW:
        yield warning(SUBJECT, found, fix)
    else:
        yield good(SUBJECT, found)
