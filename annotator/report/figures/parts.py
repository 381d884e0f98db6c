"""What several figures have in common: scales, grids, legends, row labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from annotator.report.figures.sheet import SMALL_TEXT, Sheet, text_width, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

LINE_HEIGHT: Final = 13.5
LEGEND_LINE: Final = 18.0
KIND_COLOURS: Final = {
    "combined": "category-0",
    "boosting": "category-1",
    "linear": "category-2",
    "network": "category-3",
    "forest": "category-4",
}
"""The colour of each model kind, the same in every figure."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight scale: values ``low`` to ``high`` at pixels ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; beyond the ends, that of the end."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend; ``mark`` is a shape, ``line``, ``dashes`` or ``box``."""

    text: str
    colour: str
    mark: str = "circle"
    hollow: bool = False


def mark(sheet: Sheet, x: float, y: float, key: Key, size: float = 7.5) -> None:
    """Draw the sign of a legend's entry, its middle at x and y."""
    if key.mark in ("line", "dashes"):
        dashes = (4.0, 3.0) if key.mark == "dashes" else None
        sheet.lines([[(x - 8, y), (x + 8, y)]], key.colour, 2.0, dashes=dashes)
    elif key.mark == "box":
        sheet.rectangles([(x - 5, y - 5, 10, 10)], key.colour)
    else:
        sheet.points([(x, y)], key.colour, size, key.mark, hollow=key.hollow)


def legend_height(keys: Sequence[Key], width: float) -> float:
    """Return how much room a legend takes."""
    return LEGEND_LINE * (1 + max((row for row, _ in _placed(keys, width)), default=-1))


def legend(sheet: Sheet, x: float, y: float, keys: Sequence[Key], width: float) -> None:
    """Write a legend from its top left corner on, in as many lines as it needs."""
    for key, (row, shift) in zip(keys, _placed(keys, width), strict=True):
        middle = y + LEGEND_LINE * (row + 0.5)
        half = 8.0 if key.mark in ("line", "dashes") else 5.0
        mark(sheet, x + shift + half, middle, key)
        sheet.text(x + shift + 2 * half + 5, middle, key.text, size=SMALL_TEXT)


def _placed(keys: Sequence[Key], width: float) -> list[tuple[int, float]]:
    """Return line and shift of each entry."""
    places: list[tuple[int, float]] = []
    row, shift = 0, 0.0
    for key in keys:
        own = text_width(key.text, SMALL_TEXT) + (37 if key.mark in ("line", "dashes") else 31)
        if shift and shift + own - 12 > width:
            row, shift = row + 1, 0.0
        places.append((row, shift))
        shift += own
    return places


def label_width(labels: Sequence[str], letters: int = 30, size: float = SMALL_TEXT) -> float:
    """Return the width of the widest line of labels that are broken after so many letters."""
    lines = (line for label in labels for line in wrapped(label, letters))
    return max((text_width(line, size) for line in lines), default=0.0)


def label_lines(label: str, letters: int = 30) -> int:
    """Return how many lines a label has."""
    return len(wrapped(label, letters))


def row_label(
    sheet: Sheet,
    right: float,
    middle: float,
    label: str,
    *,
    letters: int = 30,
    size: float = SMALL_TEXT,
    bold: bool = False,
) -> None:
    """Write a label that ends at ``right``, in as many lines as it needs."""
    lines = wrapped(label, letters)
    top = middle - LINE_HEIGHT * (len(lines) - 1) / 2
    for number, line in enumerate(lines):
        y = top + number * LINE_HEIGHT
        sheet.text(right, y, line, size=size, align="right", bold=bold)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values within the limits, at most so many."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(
        power * factor for factor in (1, 2, 2.5, 5, 10, 20) if span / (power * factor) <= most - 1
    )
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [round(number * step, 10) + 0.0 for number in range(first, last + 1)]


def upright_grid(
    sheet: Sheet,
    scale: Scale,
    top: float,
    bottom: float,
    labels: Sequence[tuple[float, str]],
    title: str = "",
) -> None:
    """Draw upright lines at values, their labels below them, and what they are."""
    sheet.lines([[(scale(x), top), (scale(x), bottom)] for x, _ in labels], "grid")
    for x, text in labels:
        sheet.text(scale(x), bottom + 10, text, size=SMALL_TEXT, colour="muted", align="center")
    if title:
        middle = (scale.start + scale.end) / 2
        sheet.text(middle, bottom + 26, title, size=SMALL_TEXT, colour="muted", align="center")


def level_grid(
    sheet: Sheet, scale: Scale, left: float, right: float, labels: Sequence[tuple[float, str]]
) -> None:
    """Draw level lines at values, their labels left of them."""
    sheet.lines([[(left, scale(y)), (right, scale(y))] for y, _ in labels], "grid")
    for y, text in labels:
        sheet.text(left - 6, scale(y), text, size=SMALL_TEXT, colour="muted", align="right")


def percent_labels(values: Sequence[float]) -> list[tuple[float, str]]:
    """Return shares with their labels in whole per cent."""
    return [(value, f"{100 * value:.3g}\N{NO-BREAK SPACE}%") for value in values]
