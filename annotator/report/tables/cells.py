"""Tables of a report: columns, cells, and values as text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from annotator.report.words import percent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence, Sized

Thing = TypeVar("Thing")

NOT_KNOWN = "–"
KIND_WORDS = {
    "combined": "all models combined",
    "network": "neural network",
    "forest": "random forest",
    "boosting": "boosted trees",
    "linear": "linear model",
    "majority": "always the largest class",
    "known_fields": "already known fields alone",
    "logistic_regression": "plain logistic regression",
}
"""Model kinds and baselines as people call them."""

BASELINES = ("majority", "known_fields", "logistic_regression")


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column.

    ``is_number`` aligns it and sorts it by value; ``is_long`` gives it room for sentences.
    """

    title: str
    is_number: bool = True
    is_long: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One value.

    Attributes
    ----------
    text
        As it is read.
    order
        The value that is sorted by; ``None`` comes last in either direction.
    share
        Between 0 and 1 where a bar is drawn under the text.
    items
        The parts of a text that is a list; each stays on one line if it fits.
    """

    text: str
    order: float | str | None
    share: float | None = None
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """One table; the first cell of a row is its heading.

    Attributes
    ----------
    name
        Unique within the report; the anchor is ``table-`` and the name.
    caption
        One sentence about its content.
    columns, rows
        Every row has a cell for each column.
    sorted_by
        Number of the column that the rows are in the order of, and ``ascending`` or
        ``descending``; ``None`` for an order that no column shows.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sorted_by: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.rows} - {len(self.columns)}
        if widths:
            raise ValueError(f"table {self.name}: a row has {widths.pop()} cells")


def kind_words(kind: str) -> str:
    """Return what people call a model kind."""
    return KIND_WORDS.get(kind, kind.replace("_", " "))


def text(value: str | None) -> Cell:
    """Return a cell of plain text."""
    return Cell(value, value) if value else Cell(NOT_KNOWN, None)


def names(values: Iterable[str]) -> Cell:
    """Return a cell that lists names."""
    items = tuple(values)
    joined = ", ".join(items)
    return Cell(joined, joined, items=items) if items else text(None)


def count(value: int | None) -> Cell:
    """Return a cell with a whole number."""
    return Cell(NOT_KNOWN, None) if value is None else Cell(f"{value:,}", value)


def number(value: float | None, digits: int = 2) -> Cell:
    """Return a cell with a number; ``digits`` after the point."""
    if value is None or not math.isfinite(value):
        return Cell(NOT_KNOWN, None)
    return Cell(f"{value:,.{digits}f}", value)


def share(value: float | None, *, bar: bool = False) -> Cell:
    """Return a cell with a share as per cent."""
    if value is None or not math.isfinite(value):
        return Cell(NOT_KNOWN, None)
    return Cell(percent(value), value, min(max(value, 0.0), 1.0) if bar else None)


def probability(value: float) -> Cell:
    """Return a cell with a p- or q-value."""
    return Cell(small_number(value), value)


def small_number(value: float) -> str:
    """Return a value between 0 and 1 that may be very small, as people write it."""
    if value >= 0.001 or value == 0:
        return f"{value:.3f}" if value else "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}10{superscript}"


def table(
    name: str,
    caption: str,
    columns: Sequence[Column | str],
    rows: Iterable[Sequence[Cell]],
    sorted_by: tuple[int, str] | None = None,
) -> Table | None:
    """Return a table, or ``None`` where it has no rows; a plain title is a column of numbers."""
    made = tuple(tuple(row) for row in rows)
    if not made:
        return None
    heads = tuple(Column(each) if isinstance(each, str) else each for each in columns)
    return Table(name, caption, heads, made, sorted_by)


def table_of(
    name: str,
    caption: str,
    things: Iterable[Thing],
    columns: Sequence[tuple[Column | str, Callable[[Thing], Cell]]],
    sorted_by: tuple[int, str] | None = None,
) -> Table | None:
    """Return a table with a row per thing, each column given by its head and its cells."""
    rows = [[cell(thing) for _, cell in columns] for thing in things]
    return table(name, caption, [head for head, _ in columns], rows, sorted_by)


def first_of(found: Sized, most: int) -> str:
    """Return what a caption adds where only so many of the rows are shown."""
    return f" (the first {most} of {len(found):,})" if len(found) > most else ""


def words(title: str, *, long: bool = False) -> Column:
    """Return a column of text."""
    return Column(title, is_number=False, is_long=long)
