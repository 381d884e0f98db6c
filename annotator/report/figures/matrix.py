"""Matrices of coloured cells with labels on two sides."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.collections import PolyCollection

from annotator.report.figures.drawing import (
    LINE,
    NARROW,
    canvas_of,
    most_lines,
    place,
    strokes,
    widest,
    wrapped,
    write,
)
from annotator.report.figures.svg import theme_class
from annotator.report.figures.theme import LEVELS, LIGHT, THEMES, Ramp, ink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas
    from numpy.typing import NDArray

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
    ramp
        ``sequential`` or ``diverging``.
    row_title, column_title
        Titles of the rows and of the columns.
    bar
        Places from 0 to 1 and labels beneath the scale of colours.
    bar_title
        Title of the colours.
    texts
        Text of each cell, shown if the cell is large enough; the same shape as ``shares``.
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
    ramp: Ramp
    row_title: str
    column_title: str
    bar: Sequence[tuple[float, str]]
    bar_title: str
    texts: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    notes_title: str = ""
    breaks: Sequence[int] = ()
    square: bool = True
    areas: NDArray[np.float64] | None = None


def draw_matrix(matrix: Matrix) -> Canvas:
    """Draw a matrix on a canvas of its own; labels and the scale of colours stick out of it."""
    letters = letters_for(len(matrix.columns))
    rows = [wrapped(name, letters) for name in matrix.rows]
    columns = [wrapped(name, letters) for name in matrix.columns]
    cell = (NARROW - widest(rows)) / max(len(columns), 1)
    cell = min(max(cell, SMALLEST_CELL), LARGEST_CELL)
    if widest(columns) > cell:
        cell = max(cell, LINE * most_lines(columns) + 2)
    row = cell if matrix.square else SMALLEST_CELL if matrix.areas is None else DOT_CELL
    row = max(row, LINE * most_lines(rows) + 2)
    width, height = cell * len(columns), row * len(rows)
    canvas = canvas_of(width, height)
    axes = place(canvas, 0, 0, width, height)
    head_columns(axes, columns, f"{matrix.column_title} →")
    middles = [(number + 0.5) * row for number in range(len(rows))]
    write(axes, [(-6, y, name) for y, name in zip(middles, rows, strict=True)], across="right")
    notes = [(width + 6, y, text) for y, text in zip(middles, matrix.notes, strict=False)]
    write(axes, notes, LIGHT.muted)
    write(axes, [(-6, -5, f"↓ {matrix.row_title}")], LIGHT.muted, across="right", up="above")
    write(axes, [(width + 6, -5, matrix.notes_title)], LIGHT.muted, up="above")
    if matrix.areas is not None:
        _dots(axes, matrix, cell, row)
    elif len(columns) < MANY:
        _cells(axes, matrix, cell, row)
    else:
        bitmap(axes, matrix.shares, matrix.ramp)
        separate(axes, len(rows), len(columns))
    breaks = [(0.0, number * row, width, number * row) for number in matrix.breaks]
    if matrix.square:
        breaks += [(number * cell, 0.0, number * cell, height) for number in matrix.breaks]
    strokes(axes, breaks, LIGHT.rest, linewidth=1.2)
    colour_bar(axes, height, matrix.ramp, matrix.bar, matrix.bar_title)
    return canvas


def letters_for(columns: int) -> int:
    """Return after how many letters names are broken beside so many columns."""
    return LETTERS if columns < MANY else LETTERS_OF_MANY


def head_columns(axes: Axes, labels: Sequence[str], title: str) -> None:
    """Write labels above columns of one width, upwards where they are wider, and a title."""
    cell = axes.bbox.width / max(len(labels), 1)
    room = widest(labels)
    upright = room > cell
    places = [((number + 0.5) * cell, -5, name) for number, name in enumerate(labels)]
    if upright:
        write(axes, places, up="upright")
    else:
        write(axes, places, across="center", up="above")
        room = LINE * most_lines(labels)
    write(axes, [(0, -room - 9, title)], LIGHT.muted, up="above")


def bitmap(axes: Axes, shares: NDArray[np.float64], ramp: Ramp) -> None:
    """Fill axes with a pixel for each share: one bitmap for light and one for dark pages."""
    width, height = axes.bbox.width, axes.bbox.height
    for theme in THEMES:
        axes.imshow(
            shares,
            cmap=theme.ramp(ramp),
            vmin=0,
            vmax=1,
            extent=(0, width, height, 0),
            aspect="auto",
            interpolation="none",
            gid=theme_class(theme),
        )


def separate(axes: Axes, rows: int, columns: int) -> None:
    """Draw lines in the colour of the page between cells."""
    width, height = axes.bbox.width, axes.bbox.height
    lines = [(0.0, y, width, y) for y in np.linspace(0, height, rows + 1)[1:-1].tolist()]
    lines += [(x, 0.0, x, height) for x in np.linspace(0, width, columns + 1)[1:-1].tolist()]
    strokes(axes, lines, LIGHT.surface, linewidth=1)


def _dots(axes: Axes, matrix: Matrix, cell: float, row: float) -> None:
    """Draw a dot for each share on a grid of lines."""
    assert matrix.areas is not None
    height, width = matrix.shares.shape
    lines = [(0.0, (y + 0.5) * row, width * cell, (y + 0.5) * row) for y in range(height)]
    lines += [((x + 0.5) * cell, 0.0, (x + 0.5) * cell, height * row) for x in range(width)]
    strokes(axes, lines, LIGHT.grid, linewidth=1, zorder=0)
    y, x = np.nonzero(~np.isnan(matrix.shares) & (matrix.areas > 0))
    areas = np.maximum(matrix.areas[y, x] * (min(cell, row) - 2) ** 2, 4.0)
    axes.scatter(
        (x + 0.5) * cell,
        (y + 0.5) * row,
        areas,
        c=LIGHT.ramp(matrix.ramp)(matrix.shares[y, x]),
        linewidths=0,
    )


def _cells(axes: Axes, matrix: Matrix, cell: float, row: float) -> None:
    """Fill the cells and write in those that are large enough."""
    known = np.argwhere(~np.isnan(matrix.shares))
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
    colours = LIGHT.ramp(matrix.ramp)(matrix.shares[tuple(known.T)])
    outlines = (known[:, None, ::-1] + corners) * (cell, row)
    axes.add_collection(
        PolyCollection(outlines, facecolors=colours, edgecolors=LIGHT.surface, linewidths=1),
        autolim=False,
    )
    written = defaultdict(list)
    for y, x in known:
        text = matrix.texts[y][x] if len(matrix.texts) else ""
        size = round(min(10.0, (cell - 3) / (0.65 * max(len(text), 2))), 1)
        if text and size >= SMALLEST_TEXT:
            look = size, ink(matrix.ramp, matrix.shares[y, x])
            written[look].append(((x + 0.5) * cell, (y + 0.5) * row, text))
    for (size, colour), texts in written.items():
        write(axes, texts, colour, across="center", size=size)


def colour_bar(
    axes: Axes, top: float, ramp: Ramp, labels: Sequence[tuple[float, str]], title: str
) -> None:
    """Draw a scale of colours, a title above and labels below it, below a pixel of axes."""
    left, top = 14.0, top + 26
    colours = LIGHT.ramp(ramp)(np.linspace(0, 1, LEVELS))
    right, bottom = left + BAR_WIDTH, top + BAR_HEIGHT
    starts = left + BAR_WIDTH * np.arange(LEVELS) / LEVELS
    # Each colour reaches to the end, so that there are no gaps between them.
    outlines = [[(x, top), (right, top), (right, bottom), (x, bottom)] for x in starts]
    axes.add_collection(
        PolyCollection(outlines, facecolors=colours, linewidths=0, clip_on=False), autolim=False
    )
    write(axes, [(left, top - 6, title)], up="above")
    places = [(left + BAR_WIDTH * share, bottom + 5, text) for share, text in labels]
    write(axes, places, LIGHT.muted, across="center", up="below")
