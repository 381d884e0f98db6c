"""Excel workbooks (``.xlsx``), read with openpyxl, which belongs to the extra ``formats``."""

from __future__ import annotations

import datetime
import zipfile
from typing import TYPE_CHECKING, Any

from annotator.domain.wording import some
from annotator.errors import InputError
from annotator.reading.samples.layout import SamplesLayout, SampleTable
from annotator.reading.text.expansion import check_cells, check_zip
from annotator.reading.text.head import skipped_note, titles_above
from annotator.reading.text.tables import table_of

if TYPE_CHECKING:
    from pathlib import Path

    from annotator.reading.text.head import Head


def _is_workbook(head: Head) -> bool:
    if not head.path.is_file() or not zipfile.is_zipfile(head.path):
        return False
    try:
        with zipfile.ZipFile(head.path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _read(head: Head) -> SampleTable:
    sheets = _sheets(head.path)
    filled = [name for name, rows in sheets.items() if len(rows) > 1]
    if not filled:
        raise InputError("no sheet has a header and a sample", source=str(head.path))
    rows = sheets[filled[0]]
    titles = titles_above([cells for _, cells in rows])
    notes = (
        [skipped_note([" ".join(cells).strip() for _, cells in rows[:titles]])] if titles else []
    )
    rows = rows[titles:]
    table = table_of(head.path, rows[0][1], rows[1:])
    if len(sheets) > 1:
        others = [name for name in sheets if name != filled[0]]
        notes.append(f"the sheet {filled[0]!r} is read, and not {some(others, repr)}")
    return SampleTable(head.path, table.columns, table.rows, (*table.notes, *notes))


def _sheets(path: Path) -> dict[str, list[tuple[int, tuple[str, ...]]]]:
    """Return the rows that are not empty of each sheet, with their numbers."""
    try:
        import openpyxl
    except ImportError as error:
        raise InputError(
            "this is an Excel workbook; reading one needs the extra 'formats':"
            " pip install 'srna-annotator[formats]', or save the sheet as CSV",
            source=str(path),
        ) from error
    with zipfile.ZipFile(path) as archive:
        check_zip(path, archive)
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        try:
            return {sheet.title: _filled_rows(path, sheet) for sheet in book.worksheets}
        finally:
            book.close()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"is no readable workbook: {error}", source=str(path)) from error


def _filled_rows(path: Path, sheet: Any) -> list[tuple[int, tuple[str, ...]]]:
    rows: list[tuple[int, tuple[str, ...]]] = []
    for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
        if any(cell is not None for cell in cells):
            rows.append((number, tuple(map(_text, cells))))
            check_cells(path, len(rows), len(cells))
    return rows


def _text(cell: Any) -> str:
    """Return a cell as a person sees it: 35 and not 35.0, no time with a date."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat()
    return " ".join(str(cell).split())


SPREADSHEET = SamplesLayout("Excel workbook", _is_workbook, _read)
