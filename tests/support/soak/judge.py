"""Judge whether a metric stays constant, however long the program runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import theilslopes

from tests.support.faults.atlas import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARM_UP = 1 / 3
"""Share of the time that is not judged, while caches fill and the first releases are made."""

STRETCHES = 15
"""Number of parts of the time whose minima are the values when no work is in progress."""


@dataclass(frozen=True)
class Metric:
    """A metric that should not grow with time.

    Attributes
    ----------
    name, unit
        Its name and unit.
    key
        Its key in a measurement.
    share
        Allowed growth, relative to the median after the warm-up.
    least
        Minimum allowed growth, in its unit.
    panel
        Panel of the plot that it is drawn in; empty for none.
    ceiling
        Maximum value, for a metric that fills up slowly to a limit in the server's
        configuration and is judged by its highest value instead.
    resting
        Whether work in progress adds to it: then only its minimum in each of
        :data:`STRETCHES` parts of the time is judged, which a leak raises.
    judged
        Whether it is judged at all; a metric that grows on purpose is only drawn.
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
    """The behaviour of a metric after the warm-up.

    Attributes
    ----------
    measurements
        Number of measurements.
    middle
        Their median.
    growth
        Growth in its unit: by the slope, or from the first quarter to the last one,
        whichever is larger.
    allowed
        Allowed growth.
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

    The slope is that of Theil and Sen, the median over all pairs, which is not affected by
    peaks or a few odd values. It would miss growth that starts late, which the medians of
    the first and the last quarter detect.

    Parameters
    ----------
    seconds, values
        Times in ascending order, and the measured values, each of shape
        ``(measurements,)``; NaN where there is no measurement.
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
    """Return the middle of each stretch of time, and the minimum in it."""
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
    """Judge a metric, and return its row of the table."""
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
