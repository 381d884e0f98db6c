"""Numbers and intervals as people write them: ``35 years``, ``34,5``, ``>89``, ``20-30``."""

from __future__ import annotations

import math
import re

from annotator.domain.values.intervals import Interval

_DIGITS = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_NUMBER = r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?"
_DASH = r"(?:[-~\u2010-\u2014\u2212]|\.\.|\bto\b)"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII | re.DOTALL)


_SINGLE = _pattern(rf"({_NUMBER})\s*(.*)")
_RANGE = _pattern(rf"({_NUMBER})\s*(\D*?)\s*{_DASH}\s*({_NUMBER})\s*(.*)")
_BOUND = _pattern(rf"(>=|<=|[<>≤≥])\s*({_NUMBER})\s*(.*)")
_OR_MORE = _pattern(rf"({_NUMBER})\s*(?:\+\s*(.*)|(\D+?)\s*\+)")
_BRACKETS = (
    _pattern(rf"([\[(])\s*({_NUMBER})\s*;\s*({_NUMBER})\s*([\])])\s*(.*)"),
    _pattern(rf"([\[(])\s*({_DIGITS})\s*,\s*({_DIGITS})\s*([\])])\s*(.*)"),
)
_EITHER_COMMA = _pattern(r"[+-]?[1-9]\d{0,2},\d{3}")

_YEAR = dict.fromkeys(("y", "yr", "yrs", "year", "years", "yo", "years old", "year old"), 1.0)
_MONTH = dict.fromkeys(("mo", "mos", "mon", "month", "months", "months old"), 1 / 12)
_WEEK = dict.fromkeys(("w", "wk", "wks", "week", "weeks", "weeks old"), 7 / 365.25)
_DAY = dict.fromkeys(("d", "day", "days", "days old"), 1 / 365.25)
_YEARS: dict[str, float] = _YEAR | _MONTH | _WEEK | _DAY
_DURATION = _pattern(rf"P({_DIGITS})([YMWD])")
_OF_DURATION = {"Y": "y", "M": "mo", "W": "w", "D": "d"}


class AmbiguousNumberError(ValueError):
    """A comma may separate decimals or thousands."""


def read_number(text: str, unit: str) -> float | Interval:
    """Read a number or an interval, and convert it to the unit of the field.

    Accepted are a number with a decimal point or comma; ``20-30`` and ``[20;30]``; ``>89``,
    ``>= 90``, ``90+`` and ``<1``. Each may be followed by the unit. If it is years, months, weeks
    and days are converted (a year has 12 months or 365.25 days), also as durations such as
    ``P14D``.

    Parameters
    ----------
    text
        Without spaces around it.
    unit
        The unit of the field.

    Returns
    -------
    float or Interval
        Finite; an interval may have one open end.

    Raises
    ------
    OverflowError
        The number is too large for a floating-point number; the message has it.
    AmbiguousNumberError
        A comma may separate decimals or thousands.
    ValueError
        The text is neither a number nor an interval, or has another unit.

    Examples
    --------
    >>> read_number("34,5", "years"), read_number("6 months", "years")
    (34.5, 0.5)
    >>> read_number("90+", "years").name, read_number("20–30 years", "years").name
    ('>=90', '[20;30]')
    """
    units = _units_of(unit)
    for read in (_duration, _single, _range, _bound, _or_more, _brackets):
        found = read(text, units)
        if found is not None:
            return found
    raise ValueError(f"{text!r} is neither a number nor an interval")


def _units_of(unit: str) -> dict[str, float]:
    own = {"": 1.0, _plain(unit): 1.0}
    return own | _YEARS if _plain(unit) in _YEAR else own


def _plain(unit: str) -> str:
    return " ".join(unit.casefold().replace(".", "").replace("-", " ").split())


def _converted(text: str, unit: str, units: dict[str, float]) -> float:
    if _EITHER_COMMA.fullmatch(text):
        raise AmbiguousNumberError(text)
    number = float(text.replace(",", "."))
    if math.isinf(number):
        raise OverflowError(text)
    factor = units[_plain(unit)]
    # Six decimals of a year are half a minute.
    return (number if factor == 1 else round(number * factor, 6)) or 0.0  # -0 is 0


def _known(units: dict[str, float], *given: str) -> bool:
    return all(_plain(unit) in units for unit in given)


def _duration(text: str, units: dict[str, float]) -> float | None:
    found = _DURATION.fullmatch(text)
    if found is None or not _known(units, of := _OF_DURATION[found[2]]):
        return None
    return _converted(found[1], of, units)


def _single(text: str, units: dict[str, float]) -> float | None:
    found = _SINGLE.fullmatch(text)
    if found is None or not _known(units, found[2]):
        return None
    return _converted(found[1], found[2], units)


def _between(low: float, high: float, *, opens: str = "[", closes: str = "]") -> float | Interval:
    if low == high and (opens, closes) == ("[", "]"):
        return low
    if low >= high:
        raise ValueError("the interval is empty")
    return Interval(low, high, opens == "[", closes == "]")


def _range(text: str, units: dict[str, float]) -> float | Interval | None:
    found = _RANGE.fullmatch(text)
    if found is None or not _known(units, found[2], found[4]):
        return None
    of_low, of_high = found[2] or found[4], found[4] or found[2]
    return _between(_converted(found[1], of_low, units), _converted(found[3], of_high, units))


def _bound(text: str, units: dict[str, float]) -> Interval | None:
    found = _BOUND.fullmatch(text)
    if found is None or not _known(units, found[3]):
        return None
    number, included = _converted(found[2], found[3], units), found[1] not in "<>"
    if found[1] in ("<", "<=", "≤"):
        return Interval(-math.inf, number, low_included=False, high_included=included)
    return Interval(number, math.inf, low_included=included, high_included=False)


def _or_more(text: str, units: dict[str, float]) -> Interval | None:
    found = _OR_MORE.fullmatch(text)
    if found is None or not _known(units, of := found[2] or found[3] or ""):
        return None
    return Interval(_converted(found[1], of, units), math.inf, high_included=False)


def _brackets(text: str, units: dict[str, float]) -> float | Interval | None:
    found = next(filter(None, (pattern.fullmatch(text) for pattern in _BRACKETS)), None)
    if found is None or not _known(units, found[5]):
        return None
    low, high = (_converted(found[place], found[5], units) for place in (2, 3))
    return _between(low, high, opens=found[1], closes=found[4])
