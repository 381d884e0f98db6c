"""From the columns of a sample table to one record per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.fields import FieldDefinition, LabelScheme
from annotator.domain.imports import AS_GIVEN, SampleRecord
from annotator.domain.values.lengths import length_problem
from annotator.domain.values.missing import is_missing
from annotator.domain.values.reading import Problem, ReadValue, ValueReader
from annotator.reading.text.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from annotator.reading.samples.meanings import Column

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


@dataclass(frozen=True)
class NamedCells:
    """A sample table whose columns have unique names and known meanings.

    Attributes
    ----------
    path
        The file.
    lines
        The number of the line of each sample.
    values
        Name of the column to one text per sample.
    columns
        Meaning to column.
    dataset_id
        The dataset of samples for which no column has one; empty if there is none.
    """

    path: Path
    lines: tuple[int, ...]
    values: Mapping[str, list[str]]
    columns: Mapping[str, Column]
    dataset_id: str

    def text(self, meaning: str, row: int) -> str:
        """Return the cell with a meaning, with the unit and codes of its column's name."""
        column = self.columns.get(meaning)
        if column is None:
            return ""
        text = self.values[column.name][row]
        text = column.codes.get(text.casefold(), text)
        return f"{text} {column.unit}" if column.unit and _is_bare(text) else text


def _is_bare(text: str) -> bool:
    return bool(text) and not any(each.isalpha() for each in text)


def records_of(
    table: NamedCells, fields: Mapping[str, FieldDefinition]
) -> tuple[SampleRecord, ...]:
    """Return one record per sample, in the order of the table.

    Raises
    ------
    InputError
        Ids are missing or repeated, or names are too long; the first 20 errors are named, and
        how many there are.
    """
    errors = Findings(table.path)
    line_of: dict[str, int] = {}
    readers = {name: ValueReader(each) for name, each in fields.items()}
    records = []
    for row, line in enumerate(table.lines):
        sample_id = table.text("sample_id", row)
        dataset_id = table.text("dataset_id", row)
        if is_missing(dataset_id) and table.dataset_id:
            dataset_id = table.dataset_id
        _check_ids(errors, line, sample_id, dataset_id, line_of)
        for name in ("sample_id", "dataset_id", *readers, *_OTHERS):
            if problem := length_problem(table.text(name, row)):
                errors.add(problem, line, name)
        records.append(_record(table, row, (sample_id, dataset_id), readers))
    errors.raise_all()
    return tuple(records)


def _check_ids(
    errors: Findings, line: int, sample_id: str, dataset_id: str, line_of: dict[str, int]
) -> None:
    """Collect errors in the ids of a line, and remember its sample."""
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
    table: NamedCells, row: int, ids: tuple[str, str], readers: Mapping[str, ValueReader]
) -> SampleRecord:
    given_fields = frozenset(name for name in readers if name in table.columns)
    written = {
        name: text for name in (*sorted(given_fields), *_OTHERS) if (text := table.text(name, row))
    }
    found = {name: {**_OTHERS, **readers}[name].read(text) for name, text in written.items()}
    used = {column.name for column in table.columns.values()}
    attributes = {
        name: cells[row] for name, cells in table.values.items() if name not in used and cells[row]
    }
    attributes |= {
        f"{name}{AS_GIVEN}": text
        for name, text in written.items()
        if found[name].problem not in (None, Problem.MISSING)
    }
    cell_line, organism = (found.pop(name, ReadValue()).value or None for name in _OTHERS)
    return SampleRecord(
        *ids,
        {name: each.value for name, each in found.items() if each.problem is None},
        {name: each.number for name, each in found.items() if each.number is not None},
        organism=organism,
        is_cell_line=None if cell_line is None else cell_line == "true",
        attributes=attributes,
        given_fields=given_fields,
        given_columns=_given_columns(table),
        written=written,
    )


def _given_columns(table: NamedCells) -> frozenset[str]:
    """Return the columns that are given apart from ids, organism and fields."""
    used = {column.name for column in table.columns.values()}
    cell_line = {CELL_LINE.name} & table.columns.keys()
    return frozenset((table.values.keys() - used) | cell_line)
