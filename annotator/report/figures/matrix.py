"""Matrices of coloured cells with labels on two sides."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from annotator.report.figures.parts import LINE_HEIGHT, label_lines, label_width, row_label
from annotator.report.figures.sheet import NARROW, SMALL_TEXT, Sheet, text_width, wrapped
from annotator.report.figures.theme import LEVELS, level_of, on

if TYPE_CHECKING:
    from annotator.report.figures.svg import Figure

LETTERS: Final = 24
MANY: Final = 15  # from here on columns are narrow, and names are broken late
LETTERS_OF_MANY: Final = 40
SMALLEST_CELL: Final = 17.0
LARGEST_CELL: Final = 56.0
DOT_CELL: Final = 22.0
HEADING_LINE: Final = 18.0
HEADING_LETTERS: Final = 42
CELL_TEXT: Final = 10.0
FEWEST_FOR_TEXT: Final = 22.0
BAR: Final = (130.0, 10.0)


@dataclass(frozen=True, eq=False)
class Matrix:
    """What a matrix shows.

    Attributes
    ----------
    rows, columns
        Labels.
    shares
        Place of each cell in the colours, from 0 to 1, shape ``(rows, columns)``;
        NaN for a cell that stays empty.
    texts
        What stands in each cell where it is large enough, the same shape.
    ramp
        ``sequential`` or ``diverging``.
    row_title, column_title
        What rows and columns are.
    bar
        Places from 0 to 1 and labels beneath the scale of colours.
    bar_title
        What the colours show.
    notes, notes_title
        What stands right of each row, and its heading.
    breaks
        Numbers of rows (and columns, where ``square``) that a new group starts at.
    square
        Whether rows and columns are the same things.
    sizes
        Share of a cell's width that a dot takes, where dots are drawn for cells.
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
    sizes: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class _Layout:
    left: float
    top: float
    cell_width: float
    heights: tuple[float, ...]
    right: float
    letters: int  # labels are broken after so many
    upright: bool  # column labels are read from below

    def width(self, columns: int) -> float:
        return self.left + columns * self.cell_width + self.right

    def row_tops(self) -> NDArray[np.float64]:
        return self.top + np.concatenate([[0.0], np.cumsum(self.heights)])


def matrix_figure(
    matrix: Matrix, name: str, title: str, description: str, *, heading: str = ""
) -> Figure:
    """Draw a matrix on a sheet of its own; ``heading`` is written above it."""
    lines = wrapped(heading, HEADING_LETTERS) if heading else []
    above = HEADING_LINE * len(lines) + (4.0 if lines else 0.0)
    layout = _layout(matrix, above)
    width = max(NARROW, layout.width(len(matrix.columns)))
    sheet = Sheet(width, float(layout.row_tops()[-1]) + 10)
    for number, line in enumerate(lines):
        sheet.text(2, 10 + number * HEADING_LINE, line, size=13, bold=True)
    draw_matrix(sheet, matrix, layout, above)
    return sheet.figure(name, title, description)


def _layout(matrix: Matrix, above: float) -> _Layout:
    letters = LETTERS if len(matrix.columns) < MANY else LETTERS_OF_MANY
    left = 10 + max(
        label_width(matrix.rows, letters), text_width(f"↓ {matrix.row_title}", SMALL_TEXT)
    )
    notes = (*matrix.notes, matrix.notes_title) if matrix.notes else ()
    right = 4 + max((8 + text_width(note, SMALL_TEXT) for note in notes), default=0.0)
    columns = max(len(matrix.columns), 1)
    cell = min(max((NARROW - left - right) / columns, SMALLEST_CELL), LARGEST_CELL)
    widest = label_width(matrix.columns, letters)
    lines = max((label_lines(label, letters) for label in matrix.columns), default=1)
    upright = widest > cell - 4
    if upright:
        cell = max(cell, LINE_HEIGHT * lines + 2)
    row = cell if matrix.square else SMALLEST_CELL if matrix.sizes is None else DOT_CELL
    heights = tuple(
        max(row, LINE_HEIGHT * label_lines(label, letters) + 2) for label in matrix.rows
    )
    labels = widest if upright else LINE_HEIGHT * lines
    return _Layout(left, above + 86 + labels, cell, heights, right, letters, upright)


def draw_matrix(sheet: Sheet, matrix: Matrix, layout: _Layout, above: float) -> None:
    """Draw scale, labels and cells."""
    colour_bar(sheet, 2, above, matrix.ramp, matrix.bar, matrix.bar_title)
    tops = layout.row_tops()
    end = layout.left + len(matrix.columns) * layout.cell_width
    sheet.text(layout.left, above + 66, f"{matrix.column_title} →", size=SMALL_TEXT, colour="muted")
    title = f"↓ {matrix.row_title}"
    sheet.text(
        layout.left - 8, layout.top - 12, title, size=SMALL_TEXT, colour="muted", align="right"
    )
    if matrix.notes_title:
        sheet.text(
            end + layout.right,
            layout.top - 12,
            matrix.notes_title,
            size=SMALL_TEXT,
            colour="muted",
            align="right",
        )
    for number, label in enumerate(matrix.columns):
        _column_label(sheet, layout, layout.left + (number + 0.5) * layout.cell_width, label)
    for number, label in enumerate(matrix.rows):
        middle = float(tops[number] + tops[number + 1]) / 2
        row_label(sheet, layout.left - 8, middle, label, letters=layout.letters)
        if matrix.notes:
            sheet.text(
                end + layout.right,
                middle,
                matrix.notes[number],
                size=SMALL_TEXT,
                colour="muted",
                align="right",
            )
    _cells(sheet, matrix, layout, tops)
    for number in matrix.breaks:
        y, x = float(tops[number]), layout.left + number * layout.cell_width
        sheet.lines([[(layout.left, y), (end, y)]], "rest", 1.2)
        if matrix.square:
            sheet.lines([[(x, layout.top), (x, float(tops[-1]))]], "rest", 1.2)


def _column_label(sheet: Sheet, layout: _Layout, middle: float, label: str) -> None:
    lines = wrapped(label, layout.letters)
    for number, line in enumerate(lines):
        shift = LINE_HEIGHT * (number - (len(lines) - 1) / 2)
        if layout.upright:
            sheet.text(middle + shift, layout.top - 5, line, size=SMALL_TEXT, upwards=True)
        else:
            y = layout.top - 10 - LINE_HEIGHT * (len(lines) - 1 - number)
            sheet.text(middle, y, line, size=SMALL_TEXT, align="center")


def _cells(sheet: Sheet, matrix: Matrix, layout: _Layout, tops: NDArray[np.float64]) -> None:
    """Fill the cells, one path a colour, and write in them."""
    if matrix.sizes is not None:
        _dots(sheet, matrix, matrix.sizes, layout, tops)
        return
    boxes: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    written = []
    for row, column in np.argwhere(~np.isnan(matrix.shares)):
        left = layout.left + column * layout.cell_width
        colour = level_of(matrix.ramp, float(matrix.shares[row, column]))
        height = layout.heights[row]
        boxes[colour].append((left + 0.5, tops[row] + 0.5, layout.cell_width - 1, height - 1))
        text = str(matrix.texts[row, column])
        if text and layout.cell_width >= FEWEST_FOR_TEXT:
            written.append((left + layout.cell_width / 2, tops[row] + height / 2, text, colour))
    for colour in sorted(boxes):
        sheet.rectangles(boxes[colour], colour)
    for x, y, text, colour in written:
        size = min(SMALL_TEXT, CELL_TEXT * (layout.cell_width - 3) / text_width(text, CELL_TEXT))
        if size >= 7:
            sheet.text(x, y, text, size=size, colour=on(colour), align="center")


def _dots(
    sheet: Sheet,
    matrix: Matrix,
    sizes: NDArray[np.float64],
    layout: _Layout,
    tops: NDArray[np.float64],
) -> None:
    """Draw a dot for each cell on a grid of lines."""
    across = layout.left + (np.arange(len(matrix.columns)) + 0.5) * layout.cell_width
    down = (tops[1:] + tops[:-1]) / 2
    end = layout.left + len(matrix.columns) * layout.cell_width
    sheet.lines([[(layout.left, y), (end, y)] for y in down], "grid")
    sheet.lines([[(x, layout.top), (x, tops[-1])] for x in across], "grid")
    most = min(layout.cell_width, min(layout.heights, default=0.0)) - 2
    for row, column in np.argwhere(~np.isnan(matrix.shares) & (sizes > 0)):
        colour = level_of(matrix.ramp, float(matrix.shares[row, column]))
        place = [(across[column], down[row])]
        sheet.points(place, colour, max(float(sizes[row, column]) * most, 2.0))


def colour_bar(
    sheet: Sheet,
    left: float,
    top: float,
    ramp: str,
    labels: Sequence[tuple[float, str]],
    title: str,
) -> None:
    """Draw a scale of colours with its title above and labels below."""
    width, height = BAR
    sheet.text(left, top + 8, title, size=SMALL_TEXT)
    step = width / LEVELS
    start = left + 14
    for level in range(LEVELS):
        sheet.rectangles([(start + level * step, top + 20, step + 0.3, height)], f"{ramp}-{level}")
    for place, text in labels:
        x = start + place * width
        sheet.lines([[(x, top + 20 + height), (x, top + 33)]], "muted")
        sheet.text(x, top + 42, text, size=SMALL_TEXT, colour="muted", align="center")
