"""Values of the monitoring gauges: pending samples, predictions, releases and drift.

They come from the database alone, so that all daemons and ``annotator status``
report the same. Two of them measure whether recent samples resemble the training samples:

``novelty_drift``
    How much more unlike the training samples recent samples are than those of
    held-out datasets. The novelty of a prediction is the share of held-out samples
    that are less novel, which without drift is uniform on [0, 1]; the drift is the
    one-sided Kolmogorov-Smirnov distance from that distribution, from 0 (no drift) to 1.
``label_drift``
    Total variation distance, from 0 to 1, between the shares of the most probable
    classes of recent samples and the shares of the classes in training: the share of
    the predictions that would have to change.

Rabanser, Günnemann and Lipton (2019), "Failing loudly", arXiv:1810.11953, found that
such univariate tests on outputs of the model detect shifts best.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.domain.fields import FIELDS
from annotator.domain.organisms import DEFAULT_ORGANISM, WithoutRelease
from annotator.store.answers.work import pending_and_oldest
from annotator.store.mirror.organisms import samples_without_release
from annotator.store.releases.live_accuracy import live_accuracy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

FEWEST_RECENT = 30
"""Number of recent predictions of a field below which drift cannot be distinguished from chance."""

MOST_RECENT = 10_000
"""Maximum number of recent predictions of a field, the newest, on which drift is measured."""

FAILURE_HOURS = 24


@dataclass(frozen=True, slots=True)
class FieldGauges:
    """Values of the gauges of one field and organism. Ages are in seconds by the database's clock.

    Attributes
    ----------
    pending
        Number of pending samples, including those that a worker has claimed.
    oldest_pending_seconds
        How long the oldest of them has waited; ``None`` if none is pending.
    annotated, abstained, quarantined
        Numbers of current suggestions, of current abstentions and of quarantined samples.
    release_id, release_age_seconds, release_accuracy
        The live release, how long it has been live, and the accuracy of the
        combination on held-out datasets. ``None`` if no release is live.
    judged, accuracy_in_use
        Number of suggestions of the live release whose sample got a label later, and the
        share of them that were right; ``None`` if there are none.
    retrainings
        Number of retrainings by outcome: ``promoted``, ``rejected``,
        ``skipped`` (nothing was new), ``failed``, ``interrupted``.
    retrained_seconds_ago
        Time since the last retraining that was promoted, rejected or skipped.
    recent
        Number of predictions of the live release for samples that were added or changed
        recently, at most the newest :data:`MOST_RECENT`.
    novelty_drift, label_drift
        See the module; ``None`` below :data:`FEWEST_RECENT` recent predictions.
    organism
        The organism that the release is for.
    """

    field: str
    pending: int
    oldest_pending_seconds: float | None
    annotated: int
    abstained: int
    quarantined: int
    release_id: int | None
    release_age_seconds: float | None
    release_accuracy: float | None
    judged: int
    accuracy_in_use: float | None
    retrainings: Mapping[str, int]
    retrained_seconds_ago: float | None
    recent: int
    novelty_drift: float | None
    label_drift: float | None
    organism: str = DEFAULT_ORGANISM


@dataclass(frozen=True, slots=True)
class Gauges:
    """Values of all gauges.

    Attributes
    ----------
    fields
        The values of each field and organism.
    daemons
        Number of running daemons by state.
    recent_failures
        Number of failures in the event log within the last :data:`FAILURE_HOURS` hours.
    without_release
        Samples that wait because their organism has no release.
    """

    fields: tuple[FieldGauges, ...]
    daemons: Mapping[str, int]
    recent_failures: int
    without_release: tuple[WithoutRelease, ...] = ()


_FIELDS = Path(__file__).with_name("field_metrics.sql").read_bytes()

_DAEMONS = """
select state, count(*)
from annotator.heartbeat
where beat_at > clock_timestamp() - make_interval(secs => %s)
group by state order by state
"""

_FAILURES = """
select count(*)
from annotator.event
where kind = 'failure' and at > statement_timestamp() - make_interval(hours => %s)
"""

_OUTCOMES = ("promoted", "rejected", "skipped", "failed", "interrupted")


def read_gauges(
    conn: psycopg.Connection,
    *,
    fields: Iterable[str] = FIELDS,
    drift_days: int = 30,
    alive_seconds: float = 30.0,
    default_organism: str = DEFAULT_ORGANISM,
) -> Gauges:
    """Read the values of all gauges in one transaction.

    Parameters
    ----------
    conn
        Connection of any role that may read the schema.
    fields
        Names of the fields.
    drift_days
        Number of days for which added or changed samples count as recent.
    alive_seconds
        Maximum age of the heartbeat of a running daemon, in seconds by the database's clock.
    default_organism
        The organism of a field that was never trained.

    Returns
    -------
    Gauges
    """
    names = {"fields": list(fields), "days": drift_days}
    names |= {"fewest": FEWEST_RECENT, "most": MOST_RECENT, "organism": default_organism}
    with conn.transaction():
        rows = conn.execute(_FIELDS, names).fetchall()
        found = []
        for row in rows:
            field, release_id = row[0], row[4]
            # Without a live release no sample is pending.
            pending, oldest = (
                (0, None) if release_id is None else pending_and_oldest(conn, field, release_id)
            )
            # One release at a time, so that the view does not read retired ones.
            became = live_accuracy_of(conn, release_id) if release_id is not None else None
            in_use = (became.judged, became.confirmed / became.judged) if became else (0, None)
            outcomes = dict(zip(_OUTCOMES, row[7:12], strict=True))
            values: list[Any] = [field, pending, oldest, *row[1:7], *in_use, outcomes, *row[12:]]
            found.append(FieldGauges(*values))
        daemons: dict[str, int] = dict(conn.execute(_DAEMONS, (float(alive_seconds),)).fetchall())
        failures = conn.execute(_FAILURES, (FAILURE_HOURS,)).fetchone()
        without_release = samples_without_release(conn)
    assert failures is not None
    return Gauges(tuple(found), daemons, int(failures[0]), without_release)
