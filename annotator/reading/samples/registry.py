"""The layouts of sample tables that are read, and the choice among them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS
from annotator.domain.other_rows import looks_like_rna
from annotator.domain.wording import counted, some
from annotator.errors import InputError
from annotator.reading.file_names import sample_of
from annotator.reading.samples.characteristics import named_columns
from annotator.reading.samples.layouts.anndata_obs import ANNDATA_OBS
from annotator.reading.samples.layouts.biosample import BIOSAMPLE
from annotator.reading.samples.layouts.delimited import DELIMITED
from annotator.reading.samples.layouts.geo import SERIES_MATRIX, SOFT
from annotator.reading.samples.layouts.spreadsheet import SPREADSHEET
from annotator.reading.samples.meanings import Column, column_meanings
from annotator.reading.samples.records import NamedCells, records_of
from annotator.reading.text.head import read_head

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.imports import SampleRecord
    from annotator.reading.samples.layout import SamplesLayout, SampleTable

LAYOUTS: tuple[SamplesLayout, ...] = (
    ANNDATA_OBS,
    SPREADSHEET,
    SOFT,
    SERIES_MATRIX,
    BIOSAMPLE,
    DELIMITED,
)
"""The first layout that recognises a file reads it; the table of text takes the rest."""

_SERIES = re.compile(r"(?<![A-Za-z0-9])(GSE\d+|PRJ[A-Z]+\d+|[SED]RP\d+)(?![0-9])")


@dataclass(frozen=True)
class SampleOptions:
    """Facts about a sample table that a person gives.

    Attributes
    ----------
    columns
        Column of the file to its meaning.
    dataset_id
        The dataset of samples without one; empty if not given.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    dataset_id: str = ""


@dataclass(frozen=True)
class Samples:
    """The samples of a file.

    Attributes
    ----------
    records
        In the order of the file.
    lines
        The number of the line of each record.
    notes
        What was detected, converted or left out, each as one line.
    """

    records: tuple[SampleRecord, ...]
    lines: tuple[int, ...]
    notes: tuple[str, ...]


def read_samples(
    path: Path,
    fields: Mapping[str, FieldDefinition] = FIELDS,
    options: SampleOptions | None = None,
    counts_ids: Collection[str] = (),
) -> Samples:
    """Recognise the layout of a sample table, and read it.

    A table needs the ids of samples and, in a column or from ``options``, of datasets, and
    may have columns for the fields, ``organism`` and ``is_cell_line``. Names of columns are
    recognised as :mod:`annotator.reading.samples.meanings` describes. Other columns become
    attributes. An empty cell or a word such as NA (:mod:`annotator.domain.values.missing`) is a
    missing value; a missing column changes nothing. A value of a field that is not
    understood (:mod:`annotator.domain.values.reading`) is missing, too, and its text becomes an
    attribute, such as ``sex (as given)``.

    Parameters
    ----------
    path
        The file.
    fields
        Name to definition of the fields whose columns are read.
    options
        What a person says about the file.
    counts_ids
        Ids of the samples that have counts. If none of them is among the ids of the file,
        but in another of its columns, that column has the ids.

    Returns
    -------
    Samples

    Raises
    ------
    InputError
        The file has an error; the message names the line and column. Errors in identifiers
        are collected.
    """
    options = options or SampleOptions()
    head = read_head(path)
    layout = next(each for each in LAYOUTS if each.recognises(head))
    table = layout.read(head)
    named = named_columns(table)
    found = column_meanings(tuple(named.values), fields, options.columns)
    notes = [*table.notes, *found.notes]
    columns = dict(found.columns)
    if "sample_id" not in options.columns.values():
        notes = _choose_ids(columns, named.values, counts_ids, notes)
    if "sample_id" not in columns:
        raise _without_ids(path, table)
    dataset_id = options.dataset_id or table.dataset_id
    if "dataset_id" not in columns and not dataset_id:
        dataset_id = _series_in(path)
        if not dataset_id:
            raise InputError(
                f"no column has the datasets; found: {some(named.values, most=10)}; name it with"
                " --map COLUMN=dataset_id, or give all samples one with --dataset ID",
                source=str(path),
            )
        notes.append(f"all samples belong to {dataset_id}, the series in the name of the file")
    notes += [
        f"{counted(number, 'sample')} with different values of {name!r}: the first is taken, the"
        f" other is kept as {name + ' 2'!r}"
        for name, number in named.conflicts.items()
        if name in {column.name for column in columns.values()}
    ]
    lines = tuple(line for line, _ in table.rows)
    cells = NamedCells(path, lines, named.values, columns, dataset_id)
    records = records_of(cells, fields)
    written = f", {head.dialect.description()}" if head.header and layout.has_columns else ""
    first = f"{layout.name}{written}: {counted(len(records), 'sample')}"
    return Samples(records, lines, (first, *notes, *_attributes(named.values, columns)))


def _without_ids(path: Path, table: SampleTable) -> InputError:
    first = [cells[0] for _, cells in table.rows]
    if sum(map(looks_like_rna, first)) * 2 > len(first):
        return InputError(
            "this is a table of counts, not of samples; COUNTS comes first, then SAMPLES",
            source=str(path),
        )
    return InputError(
        f"no column has the ids of samples; found: {some(table.columns, most=10)}; name it with"
        " --map COLUMN=sample_id",
        source=str(path),
    )


def _choose_ids(
    columns: dict[str, Column],
    values: dict[str, list[str]],
    counts_ids: Collection[str],
    notes: list[str],
) -> list[str]:
    """Take the ids from the column that has those of the counts, if the first choice has none.

    A column with the names of the files of counts has them, too, without their endings.
    """
    wanted = set(counts_ids)
    chosen = columns.get("sample_id")
    if not wanted or (chosen is not None and wanted & set(values[chosen.name])):
        return notes
    used = {column.name for column in columns.values()}
    for described, ids in (
        ("the ids of the counts", dict(values)),
        ("the names of the files of counts", _without_endings(values)),
    ):
        shared = {
            name: len(wanted & set(cells))
            for name, cells in ids.items()
            if name not in used and len(set(cells)) == len(cells)
        }
        best = max(shared, key=shared.__getitem__, default=None)
        if best is not None and shared[best]:
            columns["sample_id"], values[best] = Column(best), ids[best]
            before = "" if chosen is None else f"column {chosen.name!r} is read as sample_id"
            kept = [note for note in notes if not before or not note.startswith(before)]
            return [*kept, f"column {best!r} is read as sample_id, since it has {described}"]
    return notes


def _without_endings(values: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {
        name: [sample_of(Path(cell)) for cell in cells]
        for name, cells in values.items()
        if all("." in cell for cell in cells)
    }


def _series_in(path: Path) -> str:
    found = _SERIES.search(path.name)
    return found.group(1) if found else ""


def _attributes(values: Mapping[str, list[str]], columns: Mapping[str, Column]) -> list[str]:
    used = {column.name for column in columns.values()}
    others = [name for name in values if name not in used]
    if not others:
        return []
    return [f"kept as attributes: {some(others)}"]
