"""The layouts of counts that are read, and the choice among them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotator.reading.counts.matrix import MATRIX
from annotator.reading.counts.screen import screened
from annotator.reading.head import read_head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from annotator.reading.counts.layout import CountsLayout, CountsTable

LAYOUTS: tuple[CountsLayout, ...] = (MATRIX,)
"""The first layout that recognises a file reads it; the plain matrix takes the rest."""


@contextmanager
def read_counts(path: Path) -> Iterator[CountsTable]:
    """Recognise the layout of a file or folder of counts, and read it.

    Parameters
    ----------
    path
        The file or folder.

    Yields
    ------
    CountsTable
        Checked to its end, without rows that are no RNA, in whole reads.

    Raises
    ------
    InputError
        The file has an error or holds no raw counts; the message names the place.
    NeedsPersonError
        A temporary file cannot be written, as when the disk is full.
    """
    head = read_head(path)
    layout = next(each for each in LAYOUTS if each.recognises(head))
    with layout.read(head) as table:
        yield screened(table, head.path)
