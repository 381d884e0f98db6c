"""The parts of a layout of sample tables, and the table that reading one returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from annotator.reading.text.head import Head


@dataclass(frozen=True)
class SampleTable:
    """The cells of a sample table, before the meaning of its columns is known.

    Attributes
    ----------
    path
        The file.
    columns
        Their names, not empty; names may repeat.
    rows
        The number of the line of each row, counted from 1 (of the sample where a file has
        no lines), and its cells, as many as there are columns.
    notes
        What was detected, converted or left out, each as one line.
    dataset_id
        The dataset of all samples, if the file has one; empty if not.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    notes: tuple[str, ...] = ()
    dataset_id: str = ""


@dataclass(frozen=True)
class SamplesLayout:
    """One way in which samples are described in files.

    Attributes
    ----------
    name
        For messages, such as ``GEO series matrix``.
    recognises
        Whether a file has this layout, from its first lines and its name.
    read
        Reads the file. Raises InputError for an error in it.
    has_columns
        Whether the lines of a text file have columns, whose delimiter is worth naming.
    """

    name: str
    recognises: Callable[[Head], bool]
    read: Callable[[Head], SampleTable]
    has_columns: bool = True
