"""AnnData files (``.h5ad``, zarr): counts, and the table of samples ``obs``.

The library is imported when such a file is read; it belongs to the extra ``formats``.
"""

from __future__ import annotations

import json
import math
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.errors import AnnotatorError, InputError
from annotator.reading.text.expansion import check_expansion, check_zip
from annotator.reading.text.text_file import HDF5_MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

_ZARR_FILES = (".zgroup", "zarr.json", ".zattrs")
_VALUE_BYTES = 8


def is_anndata(path: Path) -> bool:
    """Return whether a file or folder seems to be AnnData, by its content."""
    if path.is_dir():
        return any((path / name).exists() for name in _ZARR_FILES)
    try:
        with path.open("rb") as file:
            start = file.read(len(HDF5_MAGIC))
        if start == HDF5_MAGIC:
            return True
        return start.startswith(b"PK\x03\x04") and _zarr_folder_in(path) is not None
    except OSError:
        return False


def _zarr_folder_in(path: Path) -> str | None:
    """Return the folder of a zarr store in a ZIP file, ``None`` if there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return None
    roots = [name.rsplit("/", 1) for name in names if name.rsplit("/", 1)[-1] in _ZARR_FILES]
    return min((root[0] if len(root) == 2 else "" for root in roots), key=len, default=None)


@contextmanager
def open_anndata(path: Path) -> Iterator[Any]:
    """Open an AnnData file; matrices of ``.h5ad`` stay in the file until they are read.

    Raises
    ------
    InputError
        The library is not installed, or the file cannot be read.
    """
    try:
        import anndata
    except ImportError as error:
        raise InputError(
            "this is an AnnData file; reading one needs the extra 'formats':"
            " pip install 'srna-annotator[formats]'",
            source=str(path),
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        with readable(path):
            data = _open(anndata, path, folder)
        try:
            yield data
        finally:
            if data.isbacked:
                data.file.close()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn errors of the libraries into one of this file, whose parts are read when needed.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        yield
    except AnnotatorError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"is no readable AnnData file: {reason}", source=str(path)) from error


def _open(anndata: Any, path: Path, folder: str) -> Any:
    if path.is_dir():
        _check_arrays_of_zarr(path, path)
        return anndata.read_zarr(path)
    if zipfile.is_zipfile(path):
        root = _zarr_folder_in(path) or ""
        with zipfile.ZipFile(path) as archive:
            check_zip(path, archive, math.inf)
            archive.extractall(folder)
        _check_arrays_of_zarr(path, Path(folder))
        return anndata.read_zarr(Path(folder) / root)
    _check_arrays_of_h5ad(path)
    return anndata.read_h5ad(path, backed="r")


def _check_arrays_of_h5ad(path: Path) -> None:
    """Refuse a file whose arrays are far larger than it, but for X, which stays in the file."""
    import h5py

    sizes: list[int] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                sizes.append(int(item.nbytes))
                if isinstance(item, h5py.Dataset) and name.split("/")[0] != "X"
                else None
            )
        )
    check_expansion(path, sum(sizes), path.stat().st_size, math.inf)


def _check_arrays_of_zarr(path: Path, folder: Path) -> None:
    """Refuse a store whose arrays are far larger than its files, by the shapes that it states."""
    stated = (
        json.loads(file.read_bytes()).get("shape", ())
        for name in (".zarray", "zarr.json")
        for file in folder.rglob(name)
    )
    expanded = sum(_VALUE_BYTES * math.prod(shape or (0,)) for shape in stated)
    packed = sum(file.stat().st_size for file in folder.rglob("*"))
    check_expansion(path, expanded, packed, math.inf)


def read_obs(path: Path) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Read the table of samples of an AnnData file.

    Returns
    -------
    columns
        ``sample_id``, the index, and the columns of ``obs``.
    rows
        Their cells as text, empty where a value is missing.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    with open_anndata(path) as data, readable(path):
        obs: pd.DataFrame = data.obs
        index = [str(name) for name in data.obs_names]
        columns = [str(name) for name in obs.columns]
        texts = [
            ["" if empty else str(value) for value, empty in zip(cells, cells.isna(), strict=True)]
            for cells in (obs[name] for name in obs.columns)
        ]
    return ("sample_id", *columns), list(zip(index, *texts, strict=True))
