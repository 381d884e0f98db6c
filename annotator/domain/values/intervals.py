"""Intervals between limits, as the classes of a field of numbers (paper, Table 3)."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def _number_text(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(float(number))


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers between two ends, of which one may be infinite.

    Attributes
    ----------
    low, high
        The ends: ``low < high``.
    low_included, high_included
        Whether an end is part of the interval; infinite ones are not.
    """

    low: float
    high: float
    low_included: bool = True
    high_included: bool = True

    @property
    def name(self) -> str:
        """The interval as text: ``[20;30]``, ``(65;110]``, ``>89``, ``>=90`` or ``<1``."""
        if math.isinf(self.high):
            return f"{'>=' if self.low_included else '>'}{_number_text(self.low)}"
        if math.isinf(self.low):
            return f"{'<=' if self.high_included else '<'}{_number_text(self.high)}"
        opening, closing = "[" if self.low_included else "(", "]" if self.high_included else ")"
        return f"{opening}{_number_text(self.low)};{_number_text(self.high)}{closing}"


def interval_names(limits: Sequence[float]) -> tuple[str, ...]:
    """Name the intervals between limits as in the paper's Table 3: ``[0;65]``, ``(65;110]``."""
    return tuple(
        Interval(low, high, low_included=position == 0).name
        for position, (low, high) in enumerate(pairwise(limits))
    )


def interval_of(number: float, limits: Sequence[float]) -> str | None:
    """Return the interval between limits that contains a number, ``None`` if none does.

    Every interval includes its upper limit, and the first one also its lower limit.
    """
    if not limits[0] <= number <= limits[-1]:
        return None
    return interval_names(limits)[max(bisect_left(limits, number) - 1, 0)]


def interval_around(given: Interval, limits: Sequence[float]) -> str | None:
    """Return the interval between limits that contains all of another one, if one does.

    An open end, as of ``>89``, reaches to the last limit, or to the first one.

    Examples
    --------
    >>> interval_around(Interval(20, 30), (0, 65, 110))
    '[0;65]'
    >>> interval_around(Interval(89, math.inf), (0, 65, 110))
    '(65;110]'
    >>> interval_around(Interval(60, 70), (0, 65, 110)) is None
    True
    """
    low, high = given.low, given.high
    low_included, high_included = given.low_included, given.high_included
    if math.isinf(low):
        low, low_included = limits[0], True
    if math.isinf(high):
        high, high_included = limits[-1], True
    if low > high or (low == high and not (low_included and high_included)):
        return None
    for position, (lowest, highest) in enumerate(pairwise(limits)):
        starts = low > lowest or (low == lowest and (position == 0 or not low_included))
        if starts and high <= highest:
            return interval_names(limits)[position]
    return None
