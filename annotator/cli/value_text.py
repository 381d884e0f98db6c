"""How many values of the fields are used, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.values import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from annotator.domain.values import UnusedValues, ValueUse

LONGEST_VALUE = 40


def value_line(use: ValueUse) -> str:
    """Return one line: how many values are used, and why the others are not, with examples."""
    line = f"{use.field}: {use.used} of {use.given} values are used"
    if not use.not_used:
        return line
    are = "is" if use.not_used == 1 else "are"
    return f"{line}, {use.not_used} {are} not: {reasons_text(use)}"


def reasons_text(use: ValueUse) -> str:
    """Return the reasons why values are not used, the most frequent one first."""
    return "; ".join(map(_reason, use.unused))


def _reason(of: UnusedValues) -> str:
    shown = ", ".join(f"{_shortened(value)} {count}" for value, count in of.examples)
    further = f" and {of.further} others" if of.further else ""
    is_missing = of.problem is Problem.MISSING
    reason = ("missing" if of.count > 1 else "means missing") if is_missing else of.reason
    return f"{shown}{further} ({reason})"


def _shortened(value: str) -> str:
    one_line = " ".join(value.split())
    too_long = len(one_line) > LONGEST_VALUE
    return repr(f"{one_line[: LONGEST_VALUE - 1]}…" if too_long else one_line)


def value_lines(uses: Iterable[ValueUse]) -> list[str]:
    """Return one line per field that has values."""
    return [value_line(use) for use in uses if use.given]
