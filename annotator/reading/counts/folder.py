"""A folder of counts files, read as one table.

Files may be of any layout, with one or several samples each. Files of the same sample,
such as those of different classes of RNA, have to have different features.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.wording import counted, some
from annotator.errors import InputError
from annotator.reading.counts.layout import MemoryTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from annotator.reading.counts.layout import CountsTable

_NO_COUNTS = ("readme", "license", "samples", "sample", "metadata", "manifest", "md5")
_OTHER_ENDINGS = (".log", ".pdf", ".png", ".svg", ".html", ".md", ".json", ".bam", ".fa", ".fastq")


def counts_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of a folder and its subfolders, and those that are left out.

    Left out are files named like a README, a list of samples or a log, and counts of the
    antisense strand. Hidden files are not looked at.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    kept = [path for path in files if not _is_other(path)]
    return kept, [path for path in files if _is_other(path)]


def _is_other(path: Path) -> bool:
    name = path.name.casefold()
    return (
        name.split(".")[0] in _NO_COUNTS
        or name.removesuffix(".gz").endswith(_OTHER_ENDINGS)
        or "antisense" in name
    )


def read_folder(
    folder: Path, read_one: Callable[[Path], AbstractContextManager[CountsTable]]
) -> CountsTable:
    """Read every file of a folder and combine them.

    Parameters
    ----------
    folder
        The folder.
    read_one
        Reads one file.

    Returns
    -------
    CountsTable
        All samples with the features of all files.

    Raises
    ------
    InputError
        There is no file, or one of them has an error, or two files have counts of the same
        feature for the same sample.
    """
    files, left_out = counts_files(folder)
    if not files:
        raise InputError("there is no file in this folder", source=str(folder))
    rows: dict[str, int] = {}
    columns: dict[str, int] = {}
    parts: list[tuple[csr_matrix, Sequence[int], Sequence[int]]] = []
    notes: dict[str, int] = {}
    with ExitStack() as stack:
        for path in files:
            table = stack.enter_context(read_one(path))
            at = [columns.setdefault(name, len(columns)) for name in table.feature_names]
            for note in table.notes[1:]:  # the first has the size
                notes[note] = notes.get(note, 0) + 1
            for ids, counts in table.batches():
                parts.append((counts, [rows.setdefault(one, len(rows)) for one in ids], at))
    counts, files_with = _combined(parts, (len(rows), len(columns)))
    _refuse_repeats(files_with, tuple(rows), tuple(columns), folder)
    return MemoryTable(
        tuple(rows),
        tuple(columns),
        counts,
        (
            f"folder of {counted(len(files), 'file')}: {counted(len(rows), 'sample')} ×"
            f" {counted(len(columns), 'feature')}",
            *_left_out(left_out),
            *(f"{note} ({counted(number, 'file')})" for note, number in notes.items()),
        ),
    )


def _left_out(files: Sequence[Path]) -> list[str]:
    if not files:
        return []
    holds = counted(len(files), "file that holds", "files that hold")
    are = "is" if len(files) == 1 else "are"
    return [f"{holds} no counts to add {are} left out: {some(files, lambda path: path.name)}"]


def _combined(
    parts: Sequence[tuple[csr_matrix, Sequence[int], Sequence[int]]], shape: tuple[int, int]
) -> tuple[csr_matrix, csr_matrix]:
    """Return the counts, and in how many files each of them is."""
    rows, columns, values = [], [], []
    for counts, row_of, column_of in parts:
        triplets = counts.tocoo()
        rows.append(np.asarray(row_of)[triplets.row])
        columns.append(np.asarray(column_of)[triplets.col])
        values.append(triplets.data)
    place = (np.concatenate(rows), np.concatenate(columns))
    data = np.concatenate(values)
    return (
        csr_matrix((data, place), shape=shape, dtype=np.float32),
        csr_matrix((np.ones(len(data), dtype=np.float32), place), shape=shape),
    )


def _refuse_repeats(
    files_with: csr_matrix,
    samples: Sequence[str],
    features: Sequence[str],
    folder: Path,
) -> None:
    several = csr_matrix(files_with > 1)
    if several.nnz == 0:
        return
    row, column = (int(place[0]) for place in several.nonzero())
    raise InputError(
        f"{several.nnz} counts are in more than one file; the first is of feature"
        f" {features[column]!r} in sample {samples[row]!r}; keep one file per sample, or files"
        " with different features",
        source=str(folder),
    )
