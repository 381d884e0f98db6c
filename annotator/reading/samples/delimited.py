"""Tables of text: TSV and CSV of any origin, SRA run tables, BioSample and GEOquery tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.errors import InputError
from annotator.reading.samples.cells import table_of
from annotator.reading.samples.layout import SamplesLayout, SampleTable
from annotator.reading.text_file import open_blocks

if TYPE_CHECKING:
    from annotator.reading.head import Head


def whole_text(head: Head) -> str:
    """Return the text of a small file.

    Raises
    ------
    InputError
        The file cannot be read or is damaged.
    """
    with open_blocks(head.path) as blocks:
        data = b"".join(block for _, block in blocks)
    try:
        return data.decode(head.dialect.encoding)
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _read(head: Head) -> SampleTable:
    lines = whole_text(head).splitlines(keepends=True)[head.header_line - 1 :]
    if not "".join(lines).strip():
        raise InputError("the file is empty", source=str(head.path))
    # A cell in quotation marks can span lines; the others then still have the right number.
    rows, before = [], 0
    reader = head.dialect.reader(lines)
    for cells in reader:
        rows.append((head.header_line + before, tuple(" ".join(cell.split()) for cell in cells)))
        before = reader.line_num
    return table_of(head.path, rows[0][1], rows[1:])


DELIMITED = SamplesLayout("table", lambda _head: True, _read)
