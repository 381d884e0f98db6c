"""Checks that hold for counts of every layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from annotator.reading.counts.layout import CountsTable


def screened(table: CountsTable, path: Path) -> CountsTable:  # noqa: ARG001
    """Return a table without the rows that are no RNA."""
    return table
