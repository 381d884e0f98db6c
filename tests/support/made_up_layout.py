"""A layout of counts that the program does not have, in one file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from scipy.sparse import csr_matrix

from annotator.reading.counts.layout import CountsLayout, CountsTable, MemoryTable
from annotator.reading.text.head import Head


@contextmanager
def _read(head: Head) -> Iterator[CountsTable]:
    """Read lines such as ``S1 has 3 of hsa-let-7a-5p``, each of another sample."""
    cells = [line.split() for line in head.path.read_text().splitlines()]
    samples, _, counts, _, features = zip(*cells, strict=True)
    places = range(len(cells))
    matrix = csr_matrix((list(map(float, counts)), (places, places)))
    yield MemoryTable(samples, features, matrix)


SENTENCES = CountsLayout("sentences", lambda head: head.path.suffix == ".sentences", _read)
