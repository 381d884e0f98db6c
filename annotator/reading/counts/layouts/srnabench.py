"""The matrix of the sRNAbench toolbox, whose columns are named ``SAMPLE|group``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from annotator.reading.counts.layout import CountsLayout, renamed
from annotator.reading.counts.matrix.counts_file import MATRIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.text.head import Head


def _is_matrix(head: Head) -> bool:
    samples = head.header[1:]
    return bool(samples) and all(name.count("|") == 1 for name in samples)


@contextmanager
def _read(head: Head) -> Iterator[CountsTable]:
    with MATRIX.read(head) as table:
        ids = [name.partition("|")[0] for name in table.sample_ids]
        note = "the group after the bar is left out of the sample ids"
        yield renamed(table, ids, [note], head.path)


SRNABENCH_MATRIX = CountsLayout("sRNAbench matrix", _is_matrix, _read)
