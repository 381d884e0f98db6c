"""Telling whether a metric stays what it is, however long the program runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import theilslopes

from tests.support.faults.atlas import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARM_UP = 1 / 3
"""Share of the time that is not judged: caches fill, the first releases come."""

STRETCHES = 15
"""Parts of the time whose least values are what is left when nothing is in progress."""


@dataclass(frozen=True)
class Metric:
    """A metric that should not grow with time.

    Attributes
    ----------
    name, unit
        What it is, and in what.
    key
        Where it stands in a measurement.
    share
        Growth that is allowed, relative to the median after the warm-up.
    least
        Growth that is allowed at least, in its unit.
    panel
        The part of the plot that it is drawn in; empty for none.
    ceiling
        What is set in the server's configuration and fills up slowly is judged by its
        highest value instead, which must not be above this.
    resting
        Whether work in progress adds to it: then only its least value in each of
        :data:`STRETCHES` parts of the time is judged. What leaks does not go back.
    judged
        Whether it is judged at all; what grows on purpose is only drawn.
    """

    name: str
    unit: str
    key: str
    share: float
    least: float
    panel: str
    ceiling: float | None = None
    resting: bool = False
    judged: bool = True


@dataclass(frozen=True)
class Judgement:
    """How a metric behaved after the warm-up.

    Attributes
    ----------
    measurements
        How many there are.
    middle
        Their median.
    growth
        What it grew by, in its unit: by its slope, or from the first quarter to the last
        one, whichever is more.
    allowed
        What it may have grown by.
    """

    measurements: int
    middle: float
    growth: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Whether it grew by no more than is allowed."""
        return self.measurements > 0 and self.growth <= self.allowed


def judge(
    seconds: NDArray[np.float64], values: NDArray[np.float64], share: float, least: float
) -> Judgement:
    """Judge a metric.

    The slope is that of Theil and Sen, the median over all pairs, which neither peaks nor
    a few odd values move. It would not see what starts late; the medians of the first
    and the last quarter do.

    Parameters
    ----------
    seconds, values
        When, ascending, and what was measured, each shape ``(measurements,)``; NaN where it
        was not.
    share, least
        As in :class:`Metric`.
    """
    begins = seconds[0] + WARM_UP * (seconds[-1] - seconds[0]) if len(seconds) else 0.0
    counted = (seconds >= begins) & ~np.isnan(values)
    at, measured = seconds[counted], values[counted]
    if len(measured) < 4:
        return Judgement(0, float("nan"), float("nan"), float("nan"))
    middle = float(np.median(measured))
    slope = float(theilslopes(measured, at).slope) * float(at[-1] - at[0])
    quarter = max(1, len(measured) // 4)
    step = float(np.median(measured[-quarter:]) - np.median(measured[:quarter]))
    return Judgement(len(measured), middle, max(slope, step), max(least, share * middle))


def at_rest(
    seconds: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle of each stretch of time, and the least value in it."""
    limits = np.linspace(seconds[0], seconds[-1], STRETCHES + 1)
    stretch = np.clip(np.searchsorted(limits, seconds, side="right") - 1, 0, STRETCHES - 1)
    least = np.full(STRETCHES, np.nan)
    for number in range(STRETCHES):
        within = values[(stretch == number) & ~np.isnan(values)]
        if len(within):
            least[number] = within.min()
    return (limits[:-1] + limits[1:]) / 2, least


def outcome_of(
    metric: Metric, seconds: NDArray[np.float64], values: NDArray[np.float64]
) -> Outcome:
    """Judge a metric, and say it in a row of the table."""
    if metric.resting and len(seconds):
        seconds, values = at_rest(seconds, values)
    judged = judge(seconds, values, metric.share, metric.least)
    unit = f" {metric.unit}" if metric.unit else ""
    if metric.ceiling is None:
        flat = judged.flat
        growth = f"growth {judged.growth:+.2g} ({judged.allowed:.2g} allowed)"
        remark = f"{judged.middle:,.4g}{unit}, {growth}"
    else:
        most = float(np.nanmax(values, initial=0))
        flat = judged.measurements > 0 and most <= metric.ceiling
        remark = f"{most:,.4g}{unit} at most ({metric.ceiling:,.4g} allowed)"
    withstood = judged.measurements if flat else 0
    return Outcome(metric.name, max(1, judged.measurements), withstood, remark)
