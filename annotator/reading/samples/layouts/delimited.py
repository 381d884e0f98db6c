"""Tables of text: TSV and CSV of any origin, SRA run tables, BioSample and GEOquery tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.reading.samples.layout import SamplesLayout, SampleTable
from annotator.reading.text.tables import read_cells, table_of

if TYPE_CHECKING:
    from annotator.reading.text.head import Head


def _read(head: Head) -> SampleTable:
    cells = read_cells(head)
    table = table_of(head.path, cells.header, cells.rows)
    return SampleTable(head.path, table.columns, table.rows, (*cells.notes, *table.notes))


DELIMITED = SamplesLayout("table", lambda _head: True, _read)
