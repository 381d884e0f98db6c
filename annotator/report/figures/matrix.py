"""Matrices of coloured cells with labels on two sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.cm import ScalarMappable

from annotator.report.figures.drawing import (
    LETTER,
    LINE,
    NARROW,
    below,
    canvas_of,
    most_lines,
    note,
    place,
    widest,
    wrapped,
)
from annotator.report.figures.theme import readable_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

    from annotator.report.figures.theme import Theme

LETTERS: Final = 34
MANY: Final = 25  # columns from which on cells are small, without texts, and drawn as a bitmap
LETTERS_OF_MANY: Final = 60
SMALLEST_CELL, LARGEST_CELL = 17.0, 56.0
DOT_CELL: Final = 22.0
SMALLEST_TEXT: Final = 7.0
BAR_WIDTH, BAR_HEIGHT = 150.0, 9.0


@dataclass(frozen=True, eq=False)
class Matrix:
    """The content of a matrix.

    Attributes
    ----------
    rows, columns
        Labels.
    shares
        Place of each cell in the colours, from 0 to 1, shape ``(rows, columns)``;
        NaN for a cell that stays empty.
    texts
        Text of each cell, shown if the cell is large enough; the same shape.
    ramp
        ``sequential`` or ``diverging``.
    row_title, column_title
        Titles of the rows and of the columns.
    bar
        Places from 0 to 1 and labels beneath the scale of colours.
    bar_title
        Title of the colours.
    notes, notes_title
        Text to the right of each row, and its heading.
    breaks
        Numbers of rows (and columns, where ``square``) that a new group starts at.
    square
        Whether rows and columns are the same things.
    areas
        Share of a cell that a dot takes, where dots are drawn for cells.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    shares: NDArray[np.float64]
    texts: NDArray[np.object_]
    ramp: str
    row_title: str
    column_title: str
    bar: Sequence[tuple[float, str]]
    bar_title: str
    notes: Sequence[str] = ()
    notes_title: str = ""
    breaks: Sequence[int] = ()
    square: bool = True
    areas: NDArray[np.float64] | None = None


def draw_matrix(matrix: Matrix, theme: Theme) -> Canvas:
    """Draw a matrix on a canvas of its own; labels and the scale of colours stick out of it."""
    letters = letters_for(len(matrix.columns))
    rows = [wrapped(name, letters) for name in matrix.rows]
    columns = [wrapped(name, letters) for name in matrix.columns]
    cell = (NARROW - LETTER * widest(rows)) / max(len(columns), 1)
    cell = min(max(cell, SMALLEST_CELL), LARGEST_CELL)
    upright = LETTER * widest(columns) > cell
    if upright:
        cell = max(cell, LINE * most_lines(columns) + 2)
    row = cell if matrix.square else SMALLEST_CELL if matrix.areas is None else DOT_CELL
    row = max(row, LINE * most_lines(rows) + 2)
    canvas = canvas_of(cell * len(columns), row * len(rows))
    axes = place(canvas, 0, 0, cell * len(columns), row * len(rows))
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(len(columns)), columns, rotation=90 if upright else 0, color=theme.text)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xlabel(f"{matrix.column_title} →", loc="left")
    note(axes, f"↓ {matrix.row_title}", (0, 1), (-6, 5), theme.muted, up="bottom")
    note(axes, matrix.notes_title, (1, 1), (6, 5), theme.muted, across="left", up="bottom")
    for number, text in enumerate(matrix.notes):
        height = 1 - (number + 0.5) / len(rows)
        note(axes, text, (1, height), (6, 0), theme.muted, across="left")
    colours = theme.sequential if matrix.ramp == "sequential" else theme.diverging
    if matrix.areas is None:
        _cells(axes, matrix, colours, theme, cell)
    else:
        y, x = np.nonzero(~np.isnan(matrix.shares) & (matrix.areas > 0))
        areas = np.maximum(matrix.areas[y, x] * (min(cell, row) - 2) ** 2, 4.0)
        shares = matrix.shares[y, x]
        axes.scatter(x, y, areas, c=shares, cmap=colours, vmin=0, vmax=1, linewidths=0)
    for number in matrix.breaks:
        axes.axhline(number - 0.5, color=theme.rest, linewidth=1.2)
        if matrix.square:
            axes.axvline(number - 0.5, color=theme.rest, linewidth=1.2)
    colour_bar(canvas, colours, matrix.bar, matrix.bar_title)
    return canvas


def letters_for(columns: int) -> int:
    """Return after how many letters names are broken beside so many columns."""
    return LETTERS if columns < MANY else LETTERS_OF_MANY


def _cells(axes: Axes, matrix: Matrix, colours: Colormap, theme: Theme, cell: float) -> None:
    """Fill the cells and write in those that are large enough."""
    height, width = matrix.shares.shape
    axes.grid(visible=False)
    axes.pcolormesh(
        np.arange(width + 1) - 0.5,
        np.arange(height + 1) - 0.5,
        np.ma.masked_invalid(matrix.shares),
        cmap=colours,
        vmin=0,
        vmax=1,
        edgecolors=theme.surface,
        linewidth=1,
        rasterized=width >= MANY,
    )
    if width >= MANY:
        return
    for row, column in np.argwhere(~np.isnan(matrix.shares)):
        text = str(matrix.texts[row, column])
        size = min(10.0, (cell - 3) / (0.65 * max(len(text), 2)))
        if text and size >= SMALLEST_TEXT:
            axes.text(
                column,
                row,
                text,
                fontsize=size,
                color=readable_on(colours(matrix.shares[row, column])),
                horizontalalignment="center",
                verticalalignment="center_baseline",
                in_layout=False,
            )


def colour_bar(
    canvas: Canvas, colours: Colormap, labels: Sequence[tuple[float, str]], title: str
) -> None:
    """Draw a scale of colours below all that is drawn, its title above and labels below it."""
    axes = place(canvas, 14, below(canvas) + 26, BAR_WIDTH, BAR_HEIGHT)
    bar = canvas.colorbar(ScalarMappable(cmap=colours), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.set_ticks([place for place, _ in labels], labels=[text for _, text in labels])
    axes.grid(visible=False)
    axes.set_title(title, fontsize=11, fontweight="normal")
