"""When the daemon retrains: crontab(5), checked against its definition minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from annotator.daemon import _WhenDue, retrain_schedule
from annotator.domain.schedule import MACROS, parse_schedule
from annotator.errors import SettingsError
from annotator.settings import load_settings

MOMENTS = st.datetimes(
    min_value=datetime(2020, 1, 1), max_value=datetime(2035, 1, 1), timezones=st.just(UTC)
)
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAMES = {name: number for number, name in enumerate(WEEKDAYS)} | {
    name: number for number, name in enumerate(MONTHS, 1)
}


@st.composite
def items(draw, first, last, names=()):
    """One item of a list: everything, a number, a range; both perhaps in steps."""

    def written(number):
        if not names or number >= first + len(names):
            return str(number)
        return draw(st.sampled_from([str(number), names[number - first].upper()]))

    kind = draw(st.sampled_from(["*", "number", "range"]))
    low = draw(st.integers(first, last))
    high = draw(st.integers(low, last))
    step = draw(st.sampled_from(["", f"/{draw(st.integers(1, last))}"]))
    if kind == "number":
        return written(low)
    return ("*" if kind == "*" else f"{written(low)}-{written(high)}") + step


def fields(*limits):
    return st.lists(items(*limits), min_size=1, max_size=3).map(",".join)


LINES = st.tuples(
    fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12, MONTHS), fields(0, 7, WEEKDAYS)
)


def _value(text):
    return NAMES.get(text.lower(), int(text) if text.isdigit() else None)


def _has(field, *values, first, last):
    """Whether a field of a line has one of the numbers, by the definition of the manual page."""
    for item in field.split(","):
        span, _, step = item.partition("/")
        low, _, high = ("", "", "") if span == "*" else span.partition("-")
        start = first if span == "*" else _value(low)
        end = last if span == "*" else _value(high or low)
        numbers = [n for n in range(start, end + 1) if (n - start) % int(step or 1) == 0]
        if set(numbers) & set(values):
            return True
    return False


def _runs_on(fields, day):
    _, _, of_month, months, of_week = fields
    in_month = _has(of_month, day.day, first=1, last=31)
    sunday = (0, 7) if day.isoweekday() == 7 else (day.isoweekday(),)
    in_week = _has(of_week, *sunday, first=0, last=7)
    either = of_month[0] != "*" and of_week[0] != "*"
    fits = in_month or in_week if either else in_month and in_week
    return fits and _has(months, day.month, first=1, last=12)


def _runs_at(fields, moment):
    return (
        _runs_on(fields, moment)
        and _has(fields[0], moment.minute, first=0, last=59)
        and _has(fields[1], moment.hour, first=0, last=23)
    )


def _nothing_between(fields, earlier, later):
    """Whether no minute strictly between two times is one of the schedule."""
    moment = earlier.replace(second=0, microsecond=0) + timedelta(minutes=1)
    while moment < later:
        if not _runs_on(fields, moment):
            moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
            continue
        if _runs_at(fields, moment):
            return False
        moment += timedelta(minutes=1)
    return True


def _schedule(line):
    """Return the schedule of a line; skip the example if its date never comes."""
    try:
        return parse_schedule(line)
    except ValueError:
        fields = line.split()
        assume(any(_runs_on(fields, datetime(2000, 1, 1) + timedelta(n)) for n in range(366)))
        raise


@given(LINES, MOMENTS)
def test_the_next_and_the_last_time_are_those_of_the_manual_page(fields, now):
    schedule = _schedule(" ".join(fields))
    following, last = schedule.following(now), schedule.last(now)
    assume(following - last < timedelta(days=4000))
    assert last <= now < following
    assert _runs_at(fields, following)
    assert _runs_at(fields, last)
    assert (last.second, following.second) == (0, 0)
    assert _nothing_between(fields, last, following)


@given(MOMENTS, st.sampled_from(sorted(MACROS)))
def test_times_before_and_after_a_time_of_the_schedule_lead_back_to_it(now, line):
    schedule = parse_schedule(line)
    due = schedule.following(now)
    assert schedule.last(due) == due
    assert schedule.following(due - timedelta(microseconds=1)) == due
    assert schedule.last(due - timedelta(microseconds=1)) <= now


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 2 * * 0", "Sun"),
        ("0 2 * * 7", "Sun"),
        ("0 2 * * 1-5", "Mon Tue Wed Thu Fri"),
        ("0 2 * * MON-FRI", "Mon Tue Wed Thu Fri"),
        ("0 2 * * fri-sun", "Fri Sat Sun"),
        ("0 2 * * sun-sun", "Sun"),
        ("0 2 * * sun-tue", "Sun Mon Tue"),
        ("0 2 * * 6,0", "Sat Sun"),
        ("@weekly", "Sun"),
    ],
)
def test_days_of_the_week(line, days):
    upcoming = parse_schedule(line).upcoming(datetime(2026, 11, 30, 0, 0, tzinfo=UTC), 7)
    assert {f"{due:%a}" for due in upcoming} == set(days.split())


def test_day_of_the_month_or_of_the_week():
    upcoming = parse_schedule("0 0 13 * fri").upcoming(datetime(2026, 12, 5, tzinfo=UTC), 3)
    assert [due.day for due in upcoming] == [11, 13, 18]


@pytest.mark.parametrize(
    ("line", "now", "last"),
    [
        ("0 2 1 * *", datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 11, 1, 2, tzinfo=UTC)),
        ("@yearly", datetime(2026, 11, 30, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2103, 1, 1, tzinfo=UTC), datetime(2096, 2, 29, tzinfo=UTC)),
    ],
)
def test_however_long_ago_the_last_time_was_it_is_found(line, now, last):
    assert parse_schedule(line).last(now) == last


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("", "five fields"),
        ("at night", "five fields"),
        ("0 2 * *", "five fields"),
        ("0 0 2 * * *", "five fields"),
        ("@reboot", "@daily"),
        ("61 2 * * *", "0 to 59"),
        ("0 2 * * 8", "0 and 7 are Sunday"),
        ("0 2 * foo *", "jan to dec"),
        ("0 2 * * 5-1", "range"),
        ("5/15 * * * *", "range"),
        ("*/0 * * * *", "1 to 59"),
        ("*/61 * * * *", "1 to 59"),
        ("0 2 * * ?", "ranges"),
        ("0 2 * * 1,,2", "lists"),
        ("0 2 ٣ * *", "1 to 31"),
        ("0 2 30 2 *", "has a day 30"),
    ],
)
def test_a_wrong_line_is_refused_with_what_is_allowed(line, allowed):
    with pytest.raises(SettingsError, match="retrain_cron") as caught:
        retrain_schedule(line)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="0123456789*/,- @aesunmonjfd?L#", max_size=20))
def test_any_text_is_a_schedule_or_a_value_error(text):
    try:
        schedule = parse_schedule(text)
    except ValueError:
        return
    assert schedule.following(datetime(2026, 1, 1, tzinfo=UTC))


def test_a_wrong_line_in_the_settings_is_refused_when_they_are_read():
    with pytest.raises(SettingsError, match=r"ANNOTATOR_RETRAIN_CRON.*0 to 59"):
        load_settings({"ANNOTATOR_RETRAIN_CRON": "61 2 * * *"})


@given(MOMENTS, MOMENTS)
def test_the_scheduler_waits_for_the_next_time_only(previous, now):
    schedule = parse_schedule("0 2 * * 1-5")
    due = _WhenDue(schedule).get_next_fire_time(previous, now)
    assert due == schedule.following(max(previous, now))
