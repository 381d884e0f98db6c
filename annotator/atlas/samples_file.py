"""Read SAMPLES files, which list the known annotations of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.atlas.tables import Table, read_table
from annotator.domain.fields import FIELDS, OTHER_COLUMNS
from annotator.domain.imports import SampleRecord
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from annotator.domain.fields import FieldDefinition

_REQUIRED = ("sample_id", "dataset_id")
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_samples(
    path: Path, fields: Mapping[str, FieldDefinition] = FIELDS
) -> tuple[SampleRecord, ...]:
    """Read and check a SAMPLES file.

    The format is tab-separated text in UTF-8, plain or gzip, with the columns
    ``sample_id`` and ``dataset_id`` and any of the fields (``sex`` as female or male,
    also F or M; ``age`` in years, 0 to 130), ``organism`` and ``is_cell_line`` (true,
    false, yes, no, 1 or 0). Other columns become attributes. An empty cell is a missing
    value; a missing column changes nothing; spaces around a value are ignored.

    Parameters
    ----------
    path
        The file.
    fields
        Name to definition of the fields whose columns are read.

    Returns
    -------
    tuple of SampleRecord
        Records in the order of the file: record 0 is in line 2.

    Raises
    ------
    InputError
        The file has an error; the message names the line and column.
    """
    table = read_table(path, _REQUIRED, (*fields, *OTHER_COLUMNS))
    if not table.rows:
        raise InputError("there is a header but no sample", source=str(path), line=2)
    line_of: dict[str, int] = {}
    records = []
    for line, row in table.numbered_rows():
        record = _record(table, line, dict(zip(table.columns, row, strict=True)), fields)
        before = line_of.setdefault(record.sample_id, line)
        if before != line:
            table.refuse(
                f"sample {record.sample_id!r} is already in line {before}", line, "sample_id"
            )
        records.append(record)
    return tuple(records)


def _record(
    table: Table, line: int, cells: dict[str, str], fields: Mapping[str, FieldDefinition]
) -> SampleRecord:
    sample_id, dataset_id = cells.pop("sample_id"), cells.pop("dataset_id")
    given_fields = frozenset(name for name in fields if name in cells)
    given_columns = cells.keys() - given_fields - {"organism"}
    if not sample_id:
        table.refuse("the sample id is empty", line, "sample_id")
    if not dataset_id:
        table.refuse(f"sample {sample_id!r} has no dataset", line, "dataset_id")
    organism, cell_line = (cells.pop(name, "") for name in ("organism", "is_cell_line"))
    values, numbers = {}, {}
    for name in sorted(given_fields):
        if text := cells.pop(name):
            try:
                values[name], number = fields[name].read(text)
            except ValueError as error:
                table.refuse(str(error), line, name)
            if number is not None:
                numbers[name] = number
    return SampleRecord(
        sample_id,
        dataset_id,
        values,
        numbers,
        organism=organism or None,
        is_cell_line=_yes_or_no(table, line, cell_line) if cell_line else None,
        attributes={name: value for name, value in cells.items() if value},
        given_fields=given_fields,
        given_columns=frozenset(given_columns),
    )


def _yes_or_no(table: Table, line: int, text: str) -> bool:
    if text.lower() not in _YES_NO:
        table.refuse(f"{text!r} is none of {', '.join(_YES_NO)}", line, "is_cell_line")
    return _YES_NO[text.lower()]
