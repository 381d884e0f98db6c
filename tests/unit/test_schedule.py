"""When the daemon retrains."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.daemon import last_due, retrain_trigger
from annotator.errors import SettingsError

MOMENTS = st.datetimes(
    min_value=datetime(2020, 1, 1), max_value=datetime(2035, 1, 1), timezones=st.just(UTC)
)


@given(MOMENTS)
def test_the_last_due_time_of_every_night(now):
    due = last_due(retrain_trigger("0 2 * * *"), now)
    assert due is not None
    assert (due.hour, due.minute, due.second) == (2, 0, 0)
    assert timedelta(0) <= now - due < timedelta(days=1)


def test_a_due_time_is_due_at_once_and_not_before():
    trigger = retrain_trigger("0 2 * * *")
    two = datetime(2026, 3, 29, 2, tzinfo=UTC)
    assert last_due(trigger, two) == two
    assert last_due(trigger, two - timedelta(seconds=1)) == two - timedelta(days=1)


def test_three_days_away_are_one_due_time():
    trigger = retrain_trigger("0 2 * * *")
    assert last_due(trigger, datetime(2026, 1, 4, 12, tzinfo=UTC)) == datetime(
        2026, 1, 4, 2, tzinfo=UTC
    )


def test_a_weekly_schedule_is_found_too():
    now = datetime(2026, 1, 8, 1, tzinfo=UTC)
    due = last_due(retrain_trigger("0 2 * * thu"), now)
    assert due == datetime(2026, 1, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("cron", ["", "at night", "0 2 * *", "61 2 * * *"])
def test_other_words_are_no_schedule(cron):
    with pytest.raises(SettingsError, match="retrain_cron"):
        retrain_trigger(cron)
