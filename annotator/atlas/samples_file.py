"""Read SAMPLES files, which list the known annotations of each sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.atlas.tables import Findings, read_table
from annotator.domain.fields import FIELDS, OTHER_COLUMNS, FieldDefinition, LabelScheme
from annotator.domain.imports import AS_GIVEN, SampleRecord
from annotator.domain.missing import is_missing
from annotator.domain.values import Problem, ReadValue, ValueReader
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_REQUIRED = ("sample_id", "dataset_id")

CELL_LINE = FieldDefinition(
    name="is_cell_line",
    scheme=LabelScheme.CATEGORIES,
    vocabulary=("true", "false"),
    synonyms={
        **dict.fromkeys(("yes", "y", "t", "1"), "true"),
        **dict.fromkeys(("no", "n", "f", "0"), "false"),
    },
)
"""The column ``is_cell_line``, which is read like a field of categories."""
ORGANISM = FieldDefinition(name="organism", scheme=LabelScheme.ONTOLOGY)
"""The column ``organism``, which is read like terms: anything but a missing value."""
_OTHERS = {each.name: ValueReader(each) for each in (CELL_LINE, ORGANISM)}


def read_samples(
    path: Path, fields: Mapping[str, FieldDefinition] = FIELDS
) -> tuple[SampleRecord, ...]:
    """Read and check a SAMPLES file.

    The format is tab-separated text in UTF-8, plain or gzip, with the columns
    ``sample_id`` and ``dataset_id`` and any of the fields, ``organism`` and
    ``is_cell_line`` (true, false, yes, no, 1 or 0). Other columns become attributes. An
    empty cell or a word such as NA (:mod:`annotator.domain.missing`) is a missing value;
    a missing column changes nothing; spaces around a value are ignored. A value of a
    field that is not understood (:mod:`annotator.domain.values`) is missing, too, and
    its text becomes an attribute, such as ``sex (as given)``.

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
        The file has an error; the message names the line and column. Errors in identifiers
        are collected.
    """
    table = read_table(path, _REQUIRED, (*fields, *OTHER_COLUMNS))
    if not table.rows:
        raise InputError("there is a header but no sample", source=str(path), line=2)
    line_of: dict[str, int] = {}
    readers = {name: ValueReader(each) for name, each in fields.items()}
    records, errors = [], Findings(table)
    for line, row in table.numbered_rows():
        cells = dict(zip(table.columns, row, strict=True))
        sample_id, dataset_id = cells.pop("sample_id"), cells.pop("dataset_id")
        _check_ids(errors, line, sample_id, dataset_id, line_of)
        records.append(_record(sample_id, dataset_id, cells, readers))
    errors.refuse()
    return tuple(records)


def _check_ids(
    errors: Findings, line: int, sample_id: str, dataset_id: str, line_of: dict[str, int]
) -> None:
    """Collect errors in the identifiers of a line, and remember its sample."""
    if not sample_id:
        errors.add("the sample id is empty", line, "sample_id")
    elif is_missing(sample_id):
        errors.add(f"{sample_id!r} is a word for a missing value", line, "sample_id")
    elif (before := line_of.setdefault(sample_id, line)) != line:
        errors.add(f"sample {sample_id!r} is already in line {before}", line, "sample_id")
    if is_missing(dataset_id):
        written = f": {dataset_id!r} is a word for a missing value" if dataset_id else ""
        errors.add(f"sample {sample_id!r} has no dataset{written}", line, "dataset_id")


def _record(
    sample_id: str, dataset_id: str, cells: dict[str, str], readers: Mapping[str, ValueReader]
) -> SampleRecord:
    given_fields = frozenset(name for name in readers if name in cells)
    written = {
        name: text for name in (*sorted(given_fields), *_OTHERS) if (text := cells.pop(name, ""))
    }
    found = {name: {**_OTHERS, **readers}[name].read(text) for name, text in written.items()}
    attributes = {name: value for name, value in cells.items() if value}
    attributes |= {
        f"{name}{AS_GIVEN}": text
        for name, text in written.items()
        if found[name].problem not in (None, Problem.MISSING)
    }
    cell_line, organism = (found.pop(name, ReadValue()).value or None for name in _OTHERS)
    return SampleRecord(
        sample_id,
        dataset_id,
        {name: each.value for name, each in found.items() if each.problem is None},
        {name: each.number for name, each in found.items() if each.number is not None},
        organism=organism,
        is_cell_line=None if cell_line is None else cell_line == "true",
        attributes=attributes,
        given_fields=given_fields,
        written=written,
    )
