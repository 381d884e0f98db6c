"""Counts of AnnData files: a layer of counts, the raw matrix or the matrix itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix, issparse

from annotator.errors import InputError
from annotator.reading.anndata_file import is_anndata, open_anndata, readable
from annotator.reading.counts.layout import SAMPLES_AT_ONCE, CountsLayout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.text.head import Head

_LAYERS = ("counts", "raw_counts", "raw", "count")
_ROWS_TRIED = 100


class _AnnDataCounts:
    """A matrix of an open file, read some rows at a time."""

    def __init__(
        self, path: Path, sample_ids: Sequence[str], matrix: Any, names: Sequence[str], note: str
    ) -> None:
        self.sample_ids = tuple(sample_ids)
        self.feature_names = tuple(names)
        self.notes = (note,)
        self._path, self._matrix = path, matrix

    def batches(
        self, samples_at_once: int = SAMPLES_AT_ONCE
    ) -> Iterator[tuple[Sequence[str], csr_matrix]]:
        """Yield the counts, some samples at a time; see :class:`CountsTable`."""
        for first in range(0, len(self.sample_ids), samples_at_once):
            ids = self.sample_ids[first : first + samples_at_once]
            with readable(self._path):
                rows = _rows(self._matrix, first, first + len(ids))
            rows.sum_duplicates()
            rows.eliminate_zeros()
            yield ids, rows


def _rows(matrix: Any, first: int, last: int) -> csr_matrix:
    part: Any = matrix[first:last]
    rows: Any = part if issparse(part) else np.asarray(part)
    found = csr_matrix(rows, dtype=np.float32)
    found.check_format(full_check=True)  # indices outside of a damaged matrix end the process
    return found


@contextmanager
def _read(head: Head) -> Iterator[CountsTable]:
    with open_anndata(head.path) as data:
        with readable(head.path):
            name, matrix, features = _counts(data, head.path)
            for what, ids in (("sample", data.obs_names), ("feature", features)):
                if not ids.is_unique:
                    raise InputError(
                        f"{what} {ids[ids.duplicated()][0]!r} is there more than once",
                        source=str(head.path),
                    )
            samples, names = map(str, data.obs_names), list(map(str, features))
        yield _AnnDataCounts(
            head.path, tuple(samples), matrix, names, f"counts are taken from {name}"
        )


def _counts(data: Any, path: Path) -> tuple[str, Any, Any]:
    """Return the first matrix of whole numbers, else the first one there is."""
    layers = sorted(data.layers, key=lambda name: (name not in _LAYERS, name))
    found = [(f"layers[{name!r}]", data.layers[name], data.var_names) for name in layers]
    of_counts = sum(name in _LAYERS for name in layers)
    others = []
    if data.raw is not None:
        others.append(("raw.X", data.raw.X, data.raw.var_names))
    if _has_x(data):
        others.append(("X", data.X, data.var_names))
    found[of_counts:of_counts] = others
    if not found:
        raise InputError("there are no counts: neither X nor raw.X nor a layer", source=str(path))
    return next((one for one in found if _is_whole(one[1])), found[0])


def _has_x(data: Any) -> bool:
    try:
        return data.X is not None
    except KeyError:  # an opened file without X
        return False


def _is_whole(matrix: Any) -> bool:
    values = _rows(matrix, 0, _ROWS_TRIED).data
    return bool((values == np.floor(values)).all() and (values >= 0).all())


ANNDATA = CountsLayout("AnnData", lambda head: is_anndata(head.path), _read)
