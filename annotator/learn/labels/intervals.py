"""Intervals between limits, as the classes of a field of numbers (paper, Table 3)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def _number_text(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def interval_names(limits: Sequence[float]) -> tuple[str, ...]:
    """Name the intervals between limits as in the paper's Table 3: ``[0;65]``, ``(65;110]``."""
    return tuple(
        f"{'(' if position else '['}{_number_text(low)};{_number_text(high)}]"
        for position, (low, high) in enumerate(pairwise(limits))
    )


def interval_of(years: float, limits: Sequence[float]) -> str | None:
    """Return the interval that contains a number of years, ``None`` if none does.

    Every interval includes its upper limit, and the first one also its lower limit.
    """
    if not limits[0] <= years <= limits[-1]:
        return None
    position = max(int(np.searchsorted(np.asarray(limits, float), years, side="left")) - 1, 0)
    return interval_names(limits)[position]
