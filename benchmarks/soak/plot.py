"""Plot the metrics of a soak test over time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Drawing

from tests.support.soak.judge import WARM_UP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.support.soak.judge import Metric

COLOURS = ("#0b5394", "#b45f06", "#38761d", "#741b47")
MOST_POINTS = 120
ROOM_FOR_LEGEND = 1.45
FURTHER_DIGITS = re.compile(r"(\d\.\d\d)\d+")
OWNERS = ("PostgreSQL, ", "the daemon's ", "tables whose rows come and go, ")
COLUMNS = 2


def _thinned(
    minutes: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reduce the points so that the plot stays small: median and extremes of each stretch."""
    known = ~np.isnan(values)
    minutes, values = minutes[known], values[known]
    if len(values) <= MOST_POINTS:
        return minutes, values
    chosen = []
    for part in np.array_split(np.arange(len(values)), MOST_POINTS // 2):
        chosen += sorted({int(part[values[part].argmin()]), int(part[values[part].argmax()])})
    return minutes[chosen], values[chosen]


def _short(name: str) -> str:
    """Remove words that are already in the panel's title."""
    for owner in OWNERS:
        name = name.removeprefix(owner)
    return name


def draw(
    path: Path,
    seconds: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
    panels: Mapping[str, Sequence[Metric]],
) -> None:
    """Plot metrics over time, with one panel per group.

    Parameters
    ----------
    path
        File to write, with the suffix of its format.
    seconds, values
        Times, and the measured values per key, each of shape ``(measurements,)``.
    panels
        Title of the panel to the metrics in it.
    """
    rows = -(-len(panels) // COLUMNS)
    settings = {"svg.fonttype": "none", "svg.hashsalt": "soak", "font.size": 9}
    with mpl.rc_context(settings):
        drawing = Drawing(figsize=(10, 2.1 * rows + 0.5), layout="constrained", facecolor="white")
        axes = list(drawing.subplots(rows, COLUMNS, sharex=True, squeeze=False).flat)
        for title, axis in zip(panels, axes, strict=False):
            for place, metric in enumerate(panels[title]):
                at, measured = _thinned(seconds / 60, values[metric.key])
                axis.plot(
                    at,
                    measured,
                    color=COLOURS[place % len(COLOURS)],
                    linewidth=1.1,
                    label=_short(metric.name),
                )
            axis.axvspan(0, WARM_UP * seconds[-1] / 60, color="#eeeeee", zorder=0, linewidth=0)
            axis.set_title(title, loc="left", fontsize=9.5)
            axis.margins(x=0)
            axis.grid(axis="y", color="#dddddd", linewidth=0.6)
            axis.spines[["top", "right"]].set_visible(False)
            several = len(panels[title]) > 1
            highest = max(float(np.nanmax(values[metric.key])) for metric in panels[title])
            axis.set_ylim(0, (ROOM_FOR_LEGEND if several else 1.08) * highest or 1)
            if several:
                axis.legend(fontsize=8, frameon=False, ncols=3, loc="upper left")
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis in drawing.axes[-COLUMNS:]:
            axis.set_xlabel("minutes (grey: warm-up, not judged)")
        drawing.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    if path.suffix == ".svg":  # a hundredth of a point is enough, and half as large
        path.write_text(FURTHER_DIGITS.sub(r"\1", path.read_text(encoding="utf-8")), "utf-8")
