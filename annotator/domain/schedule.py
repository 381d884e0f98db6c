"""Schedules as in crontab(5), in UTC.

APScheduler's own reader of such lines counts Monday as 0 and never runs on either of two
given days, so lines are read here. UTC has no summer time, so a schedule is five sets of numbers.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIVE = "minute, hour, day of the month, month and day of the week"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# Dates and days of the week repeat after 400 years: a time that is not found by then is never.
_CYCLE_MONTHS = 400 * 12


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the five parts of a line: its name, limits and names of numbers."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()


_PARTS = (
    _Part("minute", 0, 59),
    _Part("hour", 0, 23),
    _Part("day of the month", 1, 31),
    _Part("month", 1, 12, _MONTHS),
    _Part("day of the week", 0, 7, _DAYS),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Times that recur, in UTC; made by :func:`parse_schedule`.

    Attributes
    ----------
    minutes, hours, days, months
        Numbers of the calendar, in ascending order; months and their days count from 1.
    weekdays
        Days of the week; 0 is Sunday.
    either
        Whether a day has to be in ``days`` or in ``weekdays``, not in both.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either: bool

    def last(self, now: datetime) -> datetime:
        """Return the latest time of the schedule that is not after ``now``.

        Parameters
        ----------
        now
            Any time with a time zone.

        Examples
        --------
        >>> parse_schedule("0 2 * * 0").last(datetime(2026, 11, 30, tzinfo=UTC)).isoformat()
        '2026-11-29T02:00:00+00:00'
        """
        now = now.astimezone(UTC)
        for day in self._dates(now.date(), -1):
            for each in reversed(self._times()):
                found = datetime.combine(day, each)
                if found <= now:
                    return found
        raise AssertionError(f"{self} has no time before {now}")

    def following(self, now: datetime) -> datetime:
        """Return the earliest time of the schedule that is after ``now``.

        Parameters
        ----------
        now
            Any time with a time zone.
        """
        now = now.astimezone(UTC)
        for day in self._dates(now.date(), 1):
            for each in self._times():
                found = datetime.combine(day, each)
                if found > now:
                    return found
        raise AssertionError(f"{self} has no time after {now}")

    def upcoming(self, now: datetime, number: int) -> tuple[datetime, ...]:
        """Return the next times of the schedule after ``now``, in ascending order."""
        found: list[datetime] = []
        for _ in range(number):
            now = self.following(now)
            found.append(now)
        return tuple(found)

    def _times(self) -> list[time]:
        return [time(hour, minute, tzinfo=UTC) for hour in self.hours for minute in self.minutes]

    def _dates(self, start: date, step: int) -> Iterator[date]:
        """Iterate over days of the schedule from a day on, forwards (1) or backwards (-1)."""
        month = start.year * 12 + start.month - 1
        for number in range(month, month + step * (_CYCLE_MONTHS + 1), step):
            year, index = divmod(number, 12)
            for day in self._days_of(year, index + 1)[::step]:
                found = date(year, index + 1, day)
                if (found - start).days * step >= 0:
                    yield found

    def _days_of(self, year: int, month: int) -> list[int]:
        """Return the days of a month, in ascending order."""
        if month not in self.months:
            return []
        monday_based, length = calendar.monthrange(year, month)
        days = range(1, length + 1)
        return [d for d in days if self._runs_on(d in self.days, (monday_based + d) % 7)]

    def _runs_on(self, is_day_of_month: bool, weekday: int) -> bool:
        is_weekday = weekday in self.weekdays
        return is_day_of_month or is_weekday if self.either else is_day_of_month and is_weekday


def parse_schedule(line: str) -> Schedule:
    """Read a line with the five time fields of crontab(5), or one of :data:`MACROS`.

    Sunday is 0 or 7. Months and days of the week also have names, in any letter case. If day of
    the month and day of the week are both restricted, either is enough; a field that begins
    with ``*`` is not restricted in this sense, as in cron itself.

    Parameters
    ----------
    line
        Such as ``0 2 * * mon-fri`` or ``@weekly``.

    Raises
    ------
    ValueError
        It is no such line, or its date never comes. The message explains what is allowed.

    Examples
    --------
    >>> parse_schedule("0 2 * * MON-FRI").weekdays
    (1, 2, 3, 4, 5)
    """
    words = MACROS.get(line.strip().lower(), line).split()
    if len(words) == 1 and words[0].startswith("@"):
        raise ValueError(f"{words[0]!r} is not known; allowed are {', '.join(MACROS)}")
    if len(words) != len(_PARTS):
        raise ValueError(
            f"expected five fields ({_FIVE}), such as '0 2 * * 1-5', or one of {', '.join(MACROS)}"
        )
    found = [_numbers(word, part) for word, part in zip(words, _PARTS, strict=True)]
    found[4] = {day % 7 for day in found[4]}
    minutes, hours, days, months, weekdays = (tuple(sorted(numbers)) for numbers in found)
    either = not words[2].startswith("*") and not words[4].startswith("*")
    if not either and not any(days[0] <= _LONGEST[month - 1] for month in months):
        raise ValueError(f"no month of field {words[3]!r} has a day {days[0]}")
    return Schedule(minutes, hours, days, months, weekdays, either)


def _numbers(word: str, part: _Part) -> set[int]:
    """Return the numbers of one field, a list of ranges and single numbers."""
    found: set[int] = set()
    for item in word.split(","):
        found |= set(_range(item, part))
    return found


def _range(item: str, part: _Part) -> range:
    span, slash, step = item.partition("/")
    start, dash, end = span.partition("-")
    first, last = part.first, part.last
    if span != "*":
        first = _number(start, part, item)
        last = _number(end, part, item) if dash else first
        if end.lower() == "sun" and first > 0:
            last = 7  # as in fri-sun
    if last < first:
        raise ValueError(f"{part.name} {item!r}: the range ends before it starts")
    if not slash:
        return range(first, last + 1)
    if span != "*" and not dash:
        raise ValueError(
            f"{part.name} {item!r}: a step needs a range, such as {span}-{part.last}/2"
        )
    if not _is_number(step) or not 1 <= int(step) <= part.last:
        raise ValueError(f"{part.name} {item!r}: a step is a number from 1 to {part.last}")
    return range(first, last + 1, int(step))


def _number(text: str, part: _Part, item: str) -> int:
    if text.lower() in part.names:
        return part.names.index(text.lower()) + part.first
    if _is_number(text) and part.first <= int(text) <= part.last:
        return int(text)
    names = f" or {part.names[0]} to {part.names[-1]}" if part.names else ""
    sunday = ", where 0 and 7 are Sunday," if part.names == _DAYS else ""
    raise ValueError(
        f"{part.name} {item!r}: expected *, numbers from {part.first} to {part.last}{sunday}"
        f"{names}, ranges (1-5), steps (*/2) or lists of these (1,15)"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 2
