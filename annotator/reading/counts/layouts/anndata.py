"""Counts of AnnData files: a layer of counts, the raw matrix or the matrix itself."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import InputError
from annotator.reading.anndata_file import is_anndata, open_anndata, readable
from annotator.reading.counts.layout import SAMPLES_AT_ONCE, CountsLayout, MemoryTable, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scipy.sparse import csr_matrix

    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.text.head import Head

_LAYERS = ("counts", "raw_counts", "raw", "count")
_ROWS_TRIED = 100


@dataclass(frozen=True, eq=False)
class _OpenTable(MemoryTable):
    """A table in an open file, whose damage may show only when rows are read."""

    path: Path = Path()

    def batches(
        self, samples_at_once: int = SAMPLES_AT_ONCE
    ) -> Iterator[tuple[Sequence[str], csr_matrix]]:
        with readable(self.path):
            yield from super().batches(samples_at_once)


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
            samples, names = (tuple(map(str, each)) for each in (data.obs_names, features))
        yield _OpenTable(samples, names, matrix, (f"counts are taken from {name}",), head.path)


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
    values = rows_of(matrix, 0, _ROWS_TRIED).data
    return bool((values == np.floor(values)).all() and (values >= 0).all())


ANNDATA = CountsLayout("AnnData", lambda head: is_anndata(head.path), _read)
