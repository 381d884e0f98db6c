"""Check that daemons are running, and that their version is this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator import __version__
from annotator.jobs.watch.doctor.findings import Finding, good, warning, wrong
from annotator.jobs.watch.status import MISSED_BEATS, NEEDS_A_PERSON, STUCK
from annotator.store.watch.daemons import living_daemons

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from annotator.settings import Settings

SUBJECT = "daemons"


def check_daemons(connection: psycopg.Connection, settings: Settings) -> Iterator[Finding]:
    """Check the daemons with a recent heartbeat."""
    found = living_daemons(connection, MISSED_BEATS * settings.heartbeat_seconds)
    for daemon in found:
        if daemon.state == NEEDS_A_PERSON:
            yield wrong(
                SUBJECT,
                f"daemon {daemon.worker} on {daemon.host} needs a person",
                "read its log; it continues by itself once the cause is fixed",
            )
        if daemon.state == STUCK:
            yield wrong(
                SUBJECT,
                f"a job of daemon {daemon.worker} on {daemon.host} makes no progress",
                "read in its log which session is in its way, and end that; if none is named, a"
                " process of the server is stopped: end it, or restart the daemon",
            )
        if daemon.version != __version__:
            yield warning(
                SUBJECT,
                f"daemon {daemon.worker} on {daemon.host} is version {daemon.version},"
                f" this is {__version__}",
                "install the same version everywhere, then restart the daemon",
            )
    if not found:
        yield warning(SUBJECT, "no daemon is running", "start one with `annotator serve`")
    else:
        yield good(SUBJECT, f"{len(found)} running")
