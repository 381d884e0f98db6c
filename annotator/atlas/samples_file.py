"""SAMPLES files: what is known of each sample."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from annotator.atlas.tables import Table, read_table
from annotator.domain.fields import FIELDS
from annotator.domain.imports import SampleRecord
from annotator.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

OLDEST_YEARS = 130
_REQUIRED = ("sample_id", "dataset_id")
_OPTIONAL = ("tissue", "sex", "age", "organism", "is_cell_line")
_SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
_YES_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_YEARS = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def read_samples(path: Path) -> tuple[SampleRecord, ...]:
    """Read and check a SAMPLES file.

    Tab-separated text in UTF-8, plain or gzip, with the columns ``sample_id``
    and ``dataset_id`` and any of ``tissue``, ``sex`` (female or male, also F or
    M), ``age`` (years, 0 to 130), ``organism`` and ``is_cell_line`` (true,
    false, yes, no, 1 or 0). Further columns become attributes. An empty cell is
    a missing value; a column that is left out says nothing; spaces around a value do not count.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    tuple of SampleRecord
        In the order of the file: record 0 stands in line 2.

    Raises
    ------
    InputError
        Anything is wrong with the file; says in which line and column.
    """
    table = read_table(path, _REQUIRED, _OPTIONAL)
    if not table.rows:
        raise InputError("there is a header but no sample", source=str(path), line=2)
    line_of: dict[str, int] = {}
    records = []
    for line, row in table.numbered_rows():
        record = _record(table, line, dict(zip(table.columns, row, strict=True)))
        before = line_of.setdefault(record.sample_id, line)
        if before != line:
            table.refuse(
                f"sample {record.sample_id!r} stands in line {before} already", line, "sample_id"
            )
        records.append(record)
    return tuple(records)


def _record(table: Table, line: int, cells: dict[str, str]) -> SampleRecord:
    sample_id, dataset_id = cells.pop("sample_id"), cells.pop("dataset_id")
    said_fields = frozenset(name for name in FIELDS if name in cells)
    if not sample_id:
        table.refuse("the sample id is empty", line, "sample_id")
    if not dataset_id:
        table.refuse(f"sample {sample_id!r} has no dataset", line, "dataset_id")
    tissue, sex, age = (cells.pop(name, "") for name in ("tissue", "sex", "age"))
    organism, cell_line = (cells.pop(name, "") for name in ("organism", "is_cell_line"))
    values, numbers = {}, {}
    if tissue:
        values["tissue"] = tissue
    if sex:
        values["sex"] = _sex(table, line, sex)
    if age:
        numbers["age"] = _years(table, line, age)
        # 58 and 58.0 are one value, so that importing either again changes nothing.
        values["age"] = repr(numbers["age"]).removesuffix(".0")
    return SampleRecord(
        sample_id,
        dataset_id,
        values,
        numbers,
        organism=organism or None,
        is_cell_line=_yes_or_no(table, line, cell_line) if cell_line else None,
        attributes={name: value for name, value in cells.items() if value},
        said_fields=said_fields,
    )


def _sex(table: Table, line: int, text: str) -> str:
    if text.lower() not in _SEXES:
        table.refuse(f"{text!r} is neither female nor male; leave unknown ones empty", line, "sex")
    return _SEXES[text.lower()]


def _years(table: Table, line: int, text: str) -> float:
    if _YEARS.fullmatch(text) is None:
        table.refuse(f"{text!r} is not a number of years; leave unknown ones empty", line, "age")
    years = float(text)
    if years < 0:
        table.refuse(f"{text!r} years is negative", line, "age")
    if years > OLDEST_YEARS:
        table.refuse(
            f"{text!r} years is more than {OLDEST_YEARS}; give years, not days", line, "age"
        )
    return abs(years)  # -0 is 0


def _yes_or_no(table: Table, line: int, text: str) -> bool:
    if text.lower() not in _YES_NO:
        table.refuse(f"{text!r} is none of {', '.join(_YES_NO)}", line, "is_cell_line")
    return _YES_NO[text.lower()]
