"""Charts with a row for each name: its label, marks on a scale, and numbers beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from annotator.report.figures.drawing import (
    LINE,
    NARROW,
    place,
    strokes,
    text_width,
    widest,
    wrapped,
    write,
)
from annotator.report.figures.theme import LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH: Final = 210.0
"""Width of the scale in pixels."""
ROW: Final = 20.0
"""Height of a row in pixels."""
TITLE: Final = 12.0
"""Size of the title of a panel in pixels."""

_LETTERS: Final = 22  # that a name in a line has at most
_BESIDE: Final = 6.0  # pixels between axes and what is written beside them


def height_of_rows(names: Iterable[str]) -> float:
    """Return the pixels that rows take."""
    return sum(ROW + LINE * wrapped(name, _LETTERS).count("\n") for name in names)


def place_rows(
    canvas: Canvas,
    top: float,
    names: Sequence[str],
    *,
    left: float = 0.0,
    width: float = WIDTH,
    labelled: bool = True,
) -> tuple[Axes, list[float]]:
    """Return new axes with a labelled row for each name, and the middles of the rows."""
    middles, bottom = [], 0.0
    for name in names:
        height = height_of_rows([name])
        middles.append(bottom + height / 2)
        bottom += height
    axes = place(canvas, left, top, width, bottom)
    whole = axes.get_yaxis_transform()
    lines = [(0.0, y, 1.0, y) for y in middles]
    strokes(axes, lines, LIGHT.grid, linewidth=1, zorder=0, transform=whole)
    if labelled:
        labels = [wrapped(name, _LETTERS) for name in names]
        places = zip(middles, labels, strict=True)
        write(axes, [(-_BESIDE, y, label) for y, label in places], across="right")
    return axes, middles


def label_room(names: Iterable[str]) -> float:
    """Return how many pixels left of the axes the labels of rows start."""
    return _BESIDE + widest(wrapped(name, _LETTERS) for name in names)


def write_title(axes: Axes, title: str) -> None:
    """Write the title of a panel above its left end."""
    write(axes, [(0, -7, title)], up="above", size=TITLE, is_bold=True)


def write_column(
    axes: Axes,
    rows: Iterable[tuple[float, str | None]],
    shift: float,
    head: str = "",
    colour: str = LIGHT.muted,
) -> None:
    """Write a text for each row, its right end so many pixels beyond the scale, and a heading."""
    x = axes.bbox.width + shift
    write(axes, [(x, y, text) for y, text in rows if text], colour, across="right")
    write(axes, [(x, -5, head)], LIGHT.muted, across="right", up="above")


def low_end(values: Iterable[float]) -> float:
    """Return where a scale of shares starts: a multiple of ten per cent below all values."""
    return min(max(math.floor((min(values, default=0.0) - 0.02) * 10) / 10, 0.0), 0.9)


def in_per_cent(share: float) -> str:
    """Return a share as the label of a scale."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"


def scale(
    axes: Axes,
    low: float,
    high: float,
    label: Callable[[float], str] = in_per_cent,
    *,
    ticks: int = 5,
    upwards: bool = False,
) -> None:
    """Let a direction of axes run from one value to another, with lines at round values.

    Parameters
    ----------
    axes
        As :func:`annotator.report.figures.drawing.place` returns them.
    low, high
        Ends of the scale.
    label
        Words the values at the lines.
    ticks
        How many parts the lines make of the scale, at most.
    upwards
        Whether it is the vertical direction, else the horizontal one.
    """
    width, height = axes.bbox.width, axes.bbox.height
    found = MaxNLocator(ticks, steps=[1, 2, 5, 10]).tick_values(low, high)
    near = (high - low) * 1e-6
    values = [float(value) for value in found if low - near <= value <= high + near]
    shares = [(value - low) / (high - low) for value in values]
    if upwards:
        axes.set_ylim(low, high)
        lines = [(0.0, value, 1.0, value) for value in values]
        texts = [
            (-_BESIDE, height * (1 - x), label(y)) for x, y in zip(shares, values, strict=True)
        ]
        write(axes, texts, LIGHT.muted, across="right")
    else:
        axes.set_xlim(low, high)
        lines = [(value, 0.0, value, 1.0) for value in values]
        texts = [(width * x, height + 5, label(y)) for x, y in zip(shares, values, strict=True)]
        write(axes, texts, LIGHT.muted, across="center", up="below")
    whole = axes.get_yaxis_transform() if upwards else axes.get_xaxis_transform()
    strokes(axes, lines, LIGHT.grid, linewidth=1, zorder=0, transform=whole)


def key(
    label: str,
    colour: str,
    marker: str,
    *,
    hollow: bool = False,
    line: Literal["none", "--"] = "none",
) -> Line2D:
    """Return one entry of a legend, or the style of its marks."""
    return Line2D(
        [],
        [],
        color=colour,
        marker=marker,
        linestyle=line,
        markerfacecolor="none" if hollow else colour,
        markeredgewidth=1.4,
        label=label,
    )


def mark(
    axes: Axes, places: Iterable[tuple[float | None, float]], style: Line2D, size: float = 6
) -> None:
    """Draw marks in the style of a legend's entry at pairs of x and y, where x is known."""
    known = [place for place in places if place[0] is not None]
    if known:
        axes.plot(
            *zip(*known, strict=True),
            color=style.get_color(),
            marker=style.get_marker(),
            markerfacecolor=style.get_markerfacecolor(),
            markeredgewidth=style.get_markeredgewidth(),
            linestyle="none",
            markersize=size,
            clip_on=False,
            scalex=False,
            scaley=False,
        )


def legend_above(
    axes: Axes, keys: Sequence[Line2D], *, left: float = 0, lift: float = 8, **options: float
) -> None:
    """Write a legend above the axes, from so many pixels left of them on."""
    width, height = axes.bbox.width, axes.bbox.height
    entry = max(text_width(str(each.get_label())) for each in keys) + 34
    axes.legend(
        handles=list(keys),
        loc="lower left",
        bbox_to_anchor=(-left / width, 1 + lift / height),
        ncols=max(1, min(len(keys), int(NARROW // entry))),
        **options,
    )
