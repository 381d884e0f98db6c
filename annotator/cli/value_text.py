"""How many values of the fields are used, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.values.reading import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from annotator.domain.values.reading import UnusedValues, ValueUse

LONGEST_VALUE = 40


def value_line(use: ValueUse) -> str:
    """Return one line: how many values are used, and why the others are not, with examples."""
    return f"{use.field}: {use.used} of {use.given} values are used{not_used_text(use)}"


def not_used_text(use: ValueUse) -> str:
    """Return the end of the line: how many are not used and why, the main reason first."""
    if not use.not_used:
        return ""
    are = "is" if use.not_used == 1 else "are"
    return f", {use.not_used} {are} not: {'; '.join(map(_reason, use.unused))}"


def _reason(of: UnusedValues) -> str:
    shown = ", ".join(f"{_shortened(value)} {count}" for value, count in of.examples)
    further = f" and {of.further} others" if of.further else ""
    reason = "missing" if of.problem is Problem.MISSING else of.reason
    return f"{shown}{further} ({reason})"


def _shortened(value: str) -> str:
    one_line = " ".join(value.split())
    too_long = len(one_line) > LONGEST_VALUE
    return repr(f"{one_line[: LONGEST_VALUE - 1]}…" if too_long else one_line)


def value_lines(uses: Iterable[ValueUse]) -> list[str]:
    """Return one line per field that has values."""
    return [value_line(use) for use in uses if use.given]
