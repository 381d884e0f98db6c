"""Matrix Market files (``.mtx``) with the names of rows and columns in files beside them."""

from __future__ import annotations

import math
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.io import mminfo, mmread
from scipy.sparse import csr_matrix

from annotator.errors import InputError
from annotator.reading.counts.layout import CountsLayout, MemoryTable
from annotator.reading.text.head import read_head
from annotator.reading.text.rows import numbered_rows
from annotator.reading.text.text_file import open_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.text.head import Head

_FEATURES = ("features", "genes", "rows", "rownames", "mirnas", "var")
_SAMPLES = ("barcodes", "samples", "cells", "cols", "columns", "colnames", "obs")
_ENDINGS = ("tsv", "txt", "csv", "tsv.gz", "txt.gz", "csv.gz")


def _matrix_of(path: Path) -> Path | None:
    """Return the matrix that a path means: itself, or the only one in a folder."""
    if path.is_dir():
        found = [*path.glob("*.mtx"), *path.glob("*.mtx.gz")]
        return found[0] if len(found) == 1 else None
    return path if path.name.endswith((".mtx", ".mtx.gz")) else None


@contextmanager
def _read(head: Head) -> Iterator[CountsTable]:
    path = _matrix_of(head.path)
    assert path is not None
    features, samples = _names(path, _FEATURES), _names(path, _SAMPLES)
    matrix = _read_matrix(path, max(len(features), len(samples)))
    notes = []
    if matrix.shape in (
        (len(features) - 1, len(samples) - 1),
        (len(samples) - 1, len(features) - 1),
    ):
        notes.append(f"headers of the names left out: {features[0]!r}, {samples[0]!r}")
        features, samples = features[1:], samples[1:]
    if matrix.shape == (len(features), len(samples)):
        matrix = csr_matrix(matrix.T)
    elif matrix.shape != (len(samples), len(features)):
        raise InputError(
            f"the matrix has shape {matrix.shape[0]} x {matrix.shape[1]}, but there are names of"
            f" {len(features)} features and {len(samples)} samples beside it",
            source=str(path),
        )
    yield MemoryTable(samples, features, matrix.astype(np.float32), tuple(notes))


def _read_matrix(path: Path, most: int) -> csr_matrix:
    """Read a matrix with at most so many rows and columns."""
    # SciPy gets a plain file of its own: an error while it reads from an open gzip file ends
    # the process.
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "matrix.mtx"
        with open_blocks(path) as blocks, plain.open("wb") as file:
            for _, block in blocks:
                blocks.check_expansion(math.inf)
                file.write(block)
        try:
            rows, columns, entries, *_ = mminfo(plain)
            if max(rows, columns) > most or entries > plain.stat().st_size:
                raise ValueError(
                    f"{rows} x {columns} values with {entries} entries are more than there are"
                    " names beside it, or lines in it"
                )
            return csr_matrix(mmread(plain))
        except (OSError, EOFError, ValueError, TypeError, OverflowError, MemoryError) as error:
            raise InputError(
                f"cannot be read as Matrix Market: {error}", source=str(path)
            ) from error


def _names(matrix: Path, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """Read the names in the first column of the file beside the matrix."""
    stem = matrix.name.removesuffix(".gz").removesuffix(".mtx")
    prefix = stem.removesuffix("matrix")
    starts = dict.fromkeys((prefix, f"{stem}_", f"{stem}.", f"{stem}-", ""))
    for start in starts:
        for kind in kinds:
            for ending in _ENDINGS:
                path = matrix.parent / f"{start}{kind}.{ending}"
                if path.exists():
                    return _first_column(path)
    raise InputError(
        f"there is no file with the names of its {kinds[0]} beside it, such as {kinds[0]}.tsv",
        source=str(matrix),
    )


def _first_column(path: Path) -> tuple[str, ...]:
    names: dict[str, int] = {}
    for line, cells in numbered_rows(read_head(path), with_header=True):
        before = names.setdefault(cells[0], line)
        if before != line:
            raise InputError(
                f"{cells[0]!r} is already in line {before}", source=str(path), line=line
            )
    return tuple(names)


TRIPLETS = CountsLayout("Matrix Market", lambda head: _matrix_of(head.path) is not None, _read)
