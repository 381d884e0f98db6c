"""Check that the clocks of this machine and the database agree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from annotator.jobs.watch.doctor.findings import Finding, good, warning, wrong
from annotator.store.server.health import clock_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

SUBJECT = "clock"
SMALL = timedelta(seconds=5)
LARGE = timedelta(minutes=5)
_FIX = "synchronise both machines with a time server (chrony or systemd-timesyncd)"


def check_clock(connection: psycopg.Connection) -> Iterator[Finding]:
    """Compare the clocks: due times follow the database's clock, log lines this machine's."""
    before = datetime.now(UTC)
    facts = clock_facts(connection)
    after = datetime.now(UTC)
    # The clocks agree if the database's time lies between the query and its result.
    early, late = facts.now - after, facts.now - before
    offset = early if early > timedelta(0) else min(late, timedelta(0))
    if abs(offset) > SMALL:
        found = (
            f"the database's clock is {abs(offset).total_seconds():.0f} s"
            f" {'ahead of' if offset > timedelta(0) else 'behind'} this machine's"
        )
        yield (wrong if abs(offset) > LARGE else warning)(SUBJECT, found, _FIX)
    else:
        yield good(SUBJECT, f"the database and this machine agree within {_seconds(SMALL)} s")
    if facts.latest_event is not None and facts.latest_event > facts.now + SMALL:
        ahead = facts.latest_event - facts.now
        yield wrong(
            SUBJECT,
            f"the database's clock was set back: its event log reaches {_seconds(ahead)} s into"
            " the future, and so do leases and due times",
            f"{_FIX}; nothing is lost, but work waits until that time",
        )


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f}"
