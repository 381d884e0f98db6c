"""Refuse compressed files that expand as no table does, before memory or time run out.

Only what is read as a whole is checked: tables of counts are streamed, and zeros compress well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import InputError

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

MOST_BYTES = 1 << 30
"""Maximum size of what is read as a whole, expanded."""
MOST_TIMES = 200
"""How many times its packed size it may have, beyond the first :data:`FREE_BYTES`."""
FREE_BYTES = 1 << 26
MOST_CELLS = 100_000_000
"""Maximum number of cells of such a table."""


def explodes(expanded: int, packed: int) -> bool:
    """Return whether so many bytes are too many for so many packed ones."""
    return expanded > FREE_BYTES and expanded > MOST_TIMES * packed


def check_expansion(path: Path, expanded: int, packed: int, most: float = MOST_BYTES) -> None:
    """Refuse a file that is read as a whole and is too large for that.

    Parameters
    ----------
    path
        The file.
    expanded, packed
        Sizes in bytes, of the part that has been read or of the whole file.
    most
        Maximum size in bytes when it is expanded.

    Raises
    ------
    InputError
        It is too large, or expands too much.
    """
    if explodes(expanded, packed):
        problem = f"expands to more than {MOST_TIMES} times its size"
    elif expanded > most:
        problem = f"has more than {most / (1 << 30):g} GiB when it is expanded"
    else:
        return
    raise InputError(
        f"{problem}, which is too much to be read as a whole; divide it, if it is the right file",
        source=str(path),
    )


def check_zip(path: Path, archive: zipfile.ZipFile, most: float = MOST_BYTES) -> None:
    """Refuse a ZIP archive by the sizes in its directory, beyond which nothing is unpacked."""
    expanded = sum(one.file_size for one in archive.infolist())
    check_expansion(path, expanded, path.stat().st_size, most)


def check_cells(path: Path, rows: int, columns: int) -> None:
    """Refuse a table with too many cells, also empty ones at the ends of short rows.

    Raises
    ------
    InputError
        It has more than :data:`MOST_CELLS`.
    """
    if rows * columns > MOST_CELLS:
        raise InputError(
            f"a table of {rows:,} rows and {columns:,} columns is too large to be read as a whole;"
            " divide it, or take out columns",
            source=str(path),
        )
