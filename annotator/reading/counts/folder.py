"""A folder of counts files, read as one table.

Files may be of any layout, with one or several samples each. Files of the same sample,
such as those of different classes of RNA, have to have different features. Programs put
other tables beside their counts: where some files have a layout of their own, plain tables
are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.wording import counted, some
from annotator.errors import InputError
from annotator.reading.counts.layout import MemoryTable
from annotator.reading.counts.normalised import name_evidence
from annotator.reading.counts.screen import ScreenedTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from annotator.reading.counts.layout import CountsLayout

_NO_COUNTS = (
    *("readme", "license", "samples", "sample", "metadata", "manifest", "md5", "annotations"),
    *("gdc_sample_sheet", "clinical", "sraruntable"),
)
_OTHER_ENDINGS = (
    *(".log", ".pdf", ".png", ".svg", ".html", ".md", ".json", ".bam", ".fa", ".fastq", ".parcel"),
    *(".summary", ".bai", ".fastq.gz", ".zip", ".yml", ".yaml", "log.final.out", "log.out"),
    *("log.progress.out", "sj.out.tab"),
)
# sRNAbench counts the reads of mature miRNAs twice more, in these.
_SAME_READS = re.compile(r"hairpin_\w+\.grouped|\w+_sa\.grouped")
_NUMBER = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?%?")


def counts_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of a folder and its subfolders, and those that are left out.

    Left out are files named like a README, a list of samples or a log, counts of the
    antisense strand, and further counts of the same reads. Hidden files are not looked at.
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
        or _SAME_READS.fullmatch(name) is not None
    )


def _chosen(layouts: Mapping[Path, CountsLayout]) -> tuple[list[Path], list[str]]:
    """Return the files to read, and a note on each group of others."""
    special = {one for one in layouts.values() if not one.is_general}
    if not special:
        return _without_normalised(list(layouts))
    notes = []
    plain = [path for path, one in layouts.items() if one.is_general]
    if plain:
        names = " and ".join(sorted(one.name for one in special))
        notes.append(f"{_left_out(plain)}, because others are {names}: {_named(plain)}")
    for better in sorted(special, key=lambda one: one.name):
        same = [path for path, one in layouts.items() if one.name == better.replaces]
        if same:
            notes.append(
                f"{_left_out(same)} ({better.replaces}), because {better.name} has the same"
                f" reads: {_named(same)}"
            )
    replaced = {one.replaces for one in special}
    kept = [path for path, one in layouts.items() if one in special and one.name not in replaced]
    return kept, notes


def _without_normalised(files: list[Path]) -> tuple[list[Path], list[str]]:
    normalised = [path for path in files if name_evidence(path.name, ())]
    if not normalised or len(normalised) == len(files):
        return files, []
    note = f"{_left_out(normalised)}, named like normalised values: {_named(normalised)}"
    return [path for path in files if path not in normalised], [note]


def read_folder(
    folder: Path,
    layout_of: Callable[[Path], CountsLayout],
    read_one: Callable[[Path], AbstractContextManager[ScreenedTable]],
) -> ScreenedTable:
    """Read every file of a folder and combine them.

    Parameters
    ----------
    folder
        The folder.
    layout_of
        Returns the layout of a file.
    read_one
        Reads one file.

    Returns
    -------
    ScreenedTable
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
    files, sorted_out = _chosen({path: layout_of(path) for path in files})
    rows: dict[str, int] = {}
    columns: dict[str, int] = {}
    parts: list[tuple[csr_matrix, Sequence[int], Sequence[int]]] = []
    notes: list[tuple[str, str]] = []
    spikes: Counter[str] = Counter()
    with ExitStack() as stack:
        for path in files:
            part = _opened(path, folder, read_one, stack)
            at = [columns.setdefault(name, len(columns)) for name in part.feature_names]
            notes += [(note, path.name) for note in part.notes[1:]]  # the first has the size
            spikes.update(part.spike_in_reads)
            for ids, counts in part.batches():
                parts.append((counts, [rows.setdefault(one, len(rows)) for one in ids], at))
    counts, files_with = _combined(parts, (len(rows), len(columns)))
    _refuse_repeats(files_with, tuple(rows), tuple(columns), folder)
    size = f"{counted(len(rows), 'sample')} × {counted(len(columns), 'feature')}"
    if left_out:
        sorted_out.insert(0, f"{_left_out(left_out)}, by their names: {_named(left_out)}")
    said = (f"folder of {counted(len(files), 'file')}: {size}", *sorted_out, *_joined(notes))
    table = MemoryTable(tuple(rows), tuple(columns), counts)
    return ScreenedTable(table, None, is_whole=True, notes=said, spike_in_reads=spikes)


def _opened(
    path: Path,
    folder: Path,
    read_one: Callable[[Path], AbstractContextManager[ScreenedTable]],
    stack: ExitStack,
) -> ScreenedTable:
    try:
        return stack.enter_context(read_one(path))
    except InputError as error:
        advice = InputError(f"{error}; if it holds no counts, take it out of the folder {folder}")
        advice.findings, advice.found = (str(advice), *error.findings[1:]), error.found
        raise advice from error


def _joined(notes: Iterable[tuple[str, str]]) -> list[str]:
    """Return notes of single files, one for all that differ in numbers alone."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for note, name in notes:
        alike.setdefault(_NUMBER.sub("#", note), []).append((note, name))
    found = []
    for same in alike.values():
        files = counted(len(same), "file")
        texts = Counter(note for note, _ in same)
        note, name = same[0]
        found.append(
            f"{note} ({files})"
            if len(texts) == 1
            else f"{note} (in {name}, and likewise in {counted(len(same) - 1, 'other file')})"
        )
    return found


def _left_out(files: Sequence[Path]) -> str:
    return counted(len(files), "file is left out", "files are left out")


def _named(files: Sequence[Path]) -> str:
    return some(list(dict.fromkeys(path.name for path in files)), most=3)


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
        f"{counted(several.nnz, 'count')} in more than one file; the first is of feature"
        f" {features[column]!r} in sample {samples[row]!r}; keep one file per sample, or files"
        " with different features",
        source=str(folder),
    )
