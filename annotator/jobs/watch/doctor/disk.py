"""Whether there is room to write."""

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
    """Look at the folder of the embedded database, where it is used, and that of temporary files.

    What disk another server writes to cannot be seen from here.
    """
    folders = {"temporary files": Path(tempfile.gettempdir())}
    if settings.database_url is None:
        folders = {"the embedded database": settings.home_folder()} | folders
    for name, folder in folders.items():
        yield from _folder(name, folder)


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent  # it will be made in there
    try:
        free = shutil.disk_usage(folder).free
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        yield wrong(
            SUBJECT,
            f"{folder}, for {name}, cannot be written: {error.strerror or error}",
            "make room or give this user the right to write there",
        )
        return
    found = f"{free / 1024**3:.1f} GiB are free in {folder}, for {name}"
    mend = f"make room; {LOW // 1024**3} GiB should be free"
    if free < TOO_LOW:
        yield wrong(SUBJECT, found, mend)
    elif free < LOW:
        yield warning(SUBJECT, found, mend)
    else:
        yield good(SUBJECT, found)
