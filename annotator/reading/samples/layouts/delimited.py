"""Tables of text: TSV and CSV of any origin, SRA run tables, BioSample and GEOquery tables."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from annotator.errors import InputError
from annotator.reading.samples.cells import table_of
from annotator.reading.samples.layout import SamplesLayout, SampleTable
from annotator.reading.text.tables import read_cells
from annotator.reading.text.text_file import open_blocks

if TYPE_CHECKING:
    from annotator.reading.text.head import Head


def whole_text(head: Head) -> str:
    """Return the text of a small file.

    Raises
    ------
    InputError
        The file cannot be read or is damaged.
    """
    with open_blocks(head.path) as blocks:
        data = b"".join(block for _, block in blocks)
    return data.decode()


def _read(head: Head) -> SampleTable:
    cells = read_cells(head.path)
    if not cells.rows:
        raise InputError("the file is empty", source=str(head.path))
    table = table_of(head.path, cells.rows[0][1], cells.rows[1:])
    return replace(table, notes=(*cells.notes[1:], *table.notes))


DELIMITED = SamplesLayout("table", lambda _head: True, _read)
