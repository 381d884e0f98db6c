"""How numbers and lists are put into words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def percent(share: float) -> str:
    """Return a share as ``83.1 %``; ``100 %`` and ``0 %`` only for all and none."""
    if share in (0.0, 1.0):
        return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
    text = f"{100 * share:.1f}\N{NO-BREAK SPACE}%"
    return {
        "0.0\N{NO-BREAK SPACE}%": "under 0.1\N{NO-BREAK SPACE}%",
        "100.0\N{NO-BREAK SPACE}%": "over 99.9\N{NO-BREAK SPACE}%",
    }.get(text, text)


def listed(things: Sequence[str], joint: str = "and") -> str:
    """Return ``a, b and c``."""
    if len(things) < 2:
        return "".join(things)
    return f"{', '.join(things[:-1])} {joint} {things[-1]}"


def significant(value: float, digits: int = 3) -> str:
    """Return a number in so many digits, without needless zeros: ``1,234``, ``0.012``."""
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
