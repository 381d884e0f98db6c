"""GEO: series matrix files (samples across) and SOFT family files (one block per sample)."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from annotator.errors import InputError
from annotator.reading.samples.layout import SamplesLayout, SampleTable
from annotator.reading.text.expansion import check_cells
from annotator.reading.text.text_file import whole_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from annotator.reading.text.head import Head

_SAMPLE, _SERIES = "!sample_", "!series_geo_accession"


def _first_cells(head: Head) -> list[str]:
    return [row[0].casefold() for row in (head.header, *head.rows) if row]


def _is_matrix(head: Head) -> bool:
    cells = _first_cells(head)
    return any(cell.startswith(("!series_", _SAMPLE)) and "=" not in cell for cell in cells)


def _read_matrix(head: Head) -> SampleTable:
    columns: list[str] = []
    values: list[list[str]] = []
    dataset = ""
    for cells in csv.reader(whole_text(head.path).splitlines(), delimiter=head.dialect.delimiter):
        name = cells[0].strip() if cells else ""
        if name.casefold().startswith(_SAMPLE):
            columns.append(name[len(_SAMPLE) :])
            values.append([cell.strip() for cell in cells[1:]])
        elif name.casefold() == _SERIES and len(cells) > 1:
            dataset = cells[1].strip()
        elif name.casefold() == "!series_matrix_table_begin":
            break
    if not columns:
        raise InputError("there is no line '!Sample_…'", source=str(head.path))
    samples = max(map(len, values))
    check_cells(head.path, samples, len(columns))
    rows = [
        (number + 1, tuple(each[number] if number < len(each) else "" for each in values))
        for number in range(samples)
    ]
    return SampleTable(head.path, tuple(columns), tuple(rows), dataset_id=dataset)


def _is_soft(head: Head) -> bool:
    cells = _first_cells(head)
    return any(cell.startswith(("^sample", "^series", "^database", "^platform")) for cell in cells)


def _read_soft(head: Head) -> SampleTable:
    samples: list[list[tuple[str, str]]] = []
    dataset = ""
    inside = False
    for key, value in _soft_lines(whole_text(head.path).splitlines()):
        if key.startswith("^"):
            inside = key.casefold() == "^sample"
            if inside:
                samples.append([("geo_accession", value)])
        elif inside and key.casefold().startswith(_SAMPLE):
            name = key[len(_SAMPLE) :]
            if name not in ("geo_accession", "table_begin", "table_end"):
                samples[-1].append((name, value))
        elif key.casefold() == _SERIES:
            dataset = value
    if not samples:
        raise InputError("there is no block '^SAMPLE = …'", source=str(head.path))
    return _from_pairs(head, samples, dataset)


def _soft_lines(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        if line.startswith(("^", "!")):
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _from_pairs(head: Head, samples: list[list[tuple[str, str]]], dataset: str) -> SampleTable:
    """Return a table with as many columns of a name as a sample has values of it."""
    most: dict[str, int] = {}
    for pairs in samples:
        for name in {name for name, _ in pairs}:
            most[name] = max(most.get(name, 0), sum(each == name for each, _ in pairs))
    columns = [name for name, count in most.items() for _ in range(count)]
    check_cells(head.path, len(samples), len(columns))
    rows = []
    for number, pairs in enumerate(samples, start=1):
        cells: list[str] = []
        for name, count in most.items():
            values = [value for each, value in pairs if each == name]
            cells += [*values, *[""] * (count - len(values))]
        rows.append((number, tuple(cells)))
    return SampleTable(head.path, tuple(columns), tuple(rows), dataset_id=dataset)


SERIES_MATRIX = SamplesLayout("GEO series matrix", _is_matrix, _read_matrix)
SOFT = SamplesLayout("GEO SOFT", _is_soft, _read_soft, has_columns=False)
