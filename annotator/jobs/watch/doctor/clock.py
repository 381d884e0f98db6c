"""Whether this machine and the database agree on what time it is."""

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
_MEND = "let both machines follow a time server (chrony or systemd-timesyncd)"


def check_clock(connection: psycopg.Connection) -> Iterator[Finding]:
    """Compare the clocks. What is due goes by the database's, log lines by ours."""
    before = datetime.now(UTC)
    facts = clock_facts(connection)
    after = datetime.now(UTC)
    # Anywhere between the question and its answer is agreement.
    early, late = facts.now - after, facts.now - before
    offset = early if early > timedelta(0) else min(late, timedelta(0))
    if abs(offset) > SMALL:
        found = (
            f"the database's clock is {abs(offset).total_seconds():.0f} s"
            f" {'ahead of' if offset > timedelta(0) else 'behind'} this machine's"
        )
        yield (wrong if abs(offset) > LARGE else warning)(SUBJECT, found, _MEND)
    else:
        yield good(SUBJECT, f"the database and this machine agree within {_seconds(SMALL)} s")
    if facts.latest_event is not None and facts.latest_event > facts.now + SMALL:
        ahead = facts.latest_event - facts.now
        yield wrong(
            SUBJECT,
            f"the database's clock was set back: its log reaches {_seconds(ahead)} s into the"
            " future, and leases and due times with it",
            f"{_MEND}; nothing is lost, but work waits until that time has come",
        )


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.0f}"
