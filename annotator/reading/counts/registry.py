"""The layouts of counts that are read, and the choice among them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotator.reading.counts.folder import read_folder
from annotator.reading.counts.layouts import by_mirna, one_sample
from annotator.reading.counts.layouts.anndata import ANNDATA
from annotator.reading.counts.layouts.mirgff import MIRGFF
from annotator.reading.counts.layouts.srnabench import SRNABENCH_MATRIX
from annotator.reading.counts.layouts.triplets import TRIPLETS
from annotator.reading.counts.matrix.counts_file import MATRIX, CountsFile
from annotator.reading.counts.screen import ScreenedTable, screened
from annotator.reading.text.head import Hints, read_head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from annotator.reading.counts.layout import CountsLayout
    from annotator.reading.text.head import Head

LAYOUTS: tuple[CountsLayout, ...] = (
    ANNDATA,
    TRIPLETS,
    MIRGFF,
    by_mirna.MIRTOP,
    by_mirna.MIRDEEP,
    one_sample.EXCERPT,
    one_sample.SRNABENCH,
    one_sample.GDC_ISOFORMS,
    one_sample.GDC_MIRNAS,
    one_sample.SEQBUSTER,
    by_mirna.ISOMIRS,
    one_sample.STAR,
    one_sample.LIST,
    SRNABENCH_MATRIX,
    MATRIX,
)
"""The first layout that recognises a file reads it; the plain matrix takes the rest."""


@contextmanager
def read_counts(path: Path, hints: Hints = Hints()) -> Iterator[ScreenedTable]:  # noqa: B008
    """Recognise the layout of a file or folder of counts, and read it.

    Parameters
    ----------
    path
        The file or folder.
    hints
        What is known from elsewhere, such as the ids of samples.

    Yields
    ------
    ScreenedTable
        Checked to its end, without rows that are no RNA, in whole reads. The first note
        names the layout and the size of the table.

    Raises
    ------
    InputError
        The file has errors or holds no raw counts; the message names the place.
    NeedsPersonError
        A temporary file cannot be written, as when the disk is full.
    """
    head = read_head(path, hints)
    layout = _layout_of(head)
    if path.is_dir() and layout is MATRIX:
        yield read_folder(
            path,
            lambda file: _layout_of(read_head(file, hints)),
            lambda file: read_counts(file, hints),
        )
        return
    with layout.read(head) as table:
        words = [layout.name]
        if head.header:
            words.append(head.dialect.description())
        if isinstance(table, CountsFile):
            words.append(table.orientation.replace("-", " "))
        yield screened(table, path, ", ".join(words), has_reads=layout.has_reads)


def _layout_of(head: Head) -> CountsLayout:
    return next((each for each in LAYOUTS if each.recognises(head)), MATRIX)
