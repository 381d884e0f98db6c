"""Charts with a row for each name: its label, marks on a scale, and numbers beside it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from annotator.report.figures.drawing import LETTER, LINE, NARROW, note, place, widest, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

WIDTH: Final = 210.0
"""Width of the scale in pixels."""
ROW: Final = 20.0
"""Height of a row in pixels."""


def height_of_rows(names: Iterable[str], letters: int = 22) -> float:
    """Return the pixels that rows take, whose names are broken after so many letters."""
    return sum(ROW + LINE * wrapped(name, letters).count("\n") for name in names)


def place_rows(
    canvas: Canvas,
    top: float,
    names: Sequence[str],
    *,
    letters: int = 22,
    left: float = 0.0,
    width: float = WIDTH,
) -> tuple[Axes, list[float]]:
    """Return new axes with a labelled row for each name, and the middles of the rows."""
    labels = [wrapped(name, letters) for name in names]
    middles, bottom = [], 0.0
    for label in labels:
        height = ROW + LINE * label.count("\n")
        middles.append(bottom + height / 2)
        bottom += height
    axes = place(canvas, left, top, width, bottom)
    axes.set_ylim(bottom, 0)
    axes.set_yticks(middles, labels)
    return axes, middles


def label_room(names: Iterable[str], letters: int = 22) -> float:
    """Return how many pixels left of the axes the labels of rows start, at most."""
    return 6 + LETTER * widest([wrapped(name, letters) for name in names])


def write_beside(axes: Axes, y: float, text: str, shift: float, colour: str) -> None:
    """Write a number right of a row, its right end so many pixels beyond the scale."""
    bottom, top = axes.get_ylim()
    note(axes, text, (1, (y - bottom) / (top - bottom)), (shift, 0), colour)


def head_beside(axes: Axes, text: str, shift: float, colour: str) -> None:
    """Write what the numbers right of the rows are."""
    note(axes, text, (1, 1), (shift, 5), colour, up="bottom")


def low_end(values: Iterable[float]) -> float:
    """Return where a scale of shares starts: a multiple of ten per cent below all values."""
    return min(max(math.floor((min(values, default=0.0) - 0.02) * 10) / 10, 0.0), 0.9)


def scale_shares(axes: Axes, low: float, ticks: int = 5) -> None:
    """Let the scale run from a share to one, in per cent, with at most so many ticks."""
    axes.set_xlim(low, 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, 0, "\N{NO-BREAK SPACE}%"))


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


def mark(axes: Axes, places: Iterable[tuple[float, float]], style: Line2D, size: float = 6) -> None:
    """Draw marks at pairs of x and y in the style of a legend's entry."""
    axes.plot(
        *zip(*places, strict=True),
        color=style.get_color(),
        marker=style.get_marker(),
        markerfacecolor=style.get_markerfacecolor(),
        markeredgewidth=style.get_markeredgewidth(),
        linestyle="none",
        markersize=size,
        clip_on=False,
    )


def legend_above(
    axes: Axes, keys: Sequence[Line2D], *, left: float = 0, lift: float = 8, **options: float
) -> None:
    """Write a legend above the axes, from so many pixels left of them on."""
    width, height = axes.bbox.width, axes.bbox.height
    widest = max(len(str(each.get_label())) for each in keys) * 6.6 + 34
    axes.legend(
        handles=list(keys),
        loc="lower left",
        bbox_to_anchor=(-left / width, 1 + lift / height),
        ncols=max(1, min(len(keys), int(NARROW // widest))),
        **options,
    )
