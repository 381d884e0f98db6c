"""The figures that are watched: what waits, what was answered, and how far it drifts.

They come from the database alone, so that every daemon and ``annotator status``
say the same. Two of them say whether models still see what they learned from:

``novelty_drift``
    How much more unlike training recent samples are than samples of held-out
    datasets were. A prediction holds its novelty as the share of held-out samples
    that are less novel, which without drift is uniform on [0, 1]; the figure is the
    one-sided Kolmogorov-Smirnov distance from that, 0 for no drift, 1 at most.
``label_drift``
    Total variation distance between the shares of the most probable classes of
    recent samples and the shares of the classes in training: the part of the
    answers that would have to change. 0 to 1.

Such tests on single figures of the model are the ones that Rabanser, Günnemann and
Lipton (2019), "Failing loudly", arXiv:1810.11953, found to detect shifts best.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.domain.fields import FIELDS
from annotator.store.answers.work import pending_and_oldest
from annotator.store.releases.live_accuracy import live_accuracy_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

FEWEST_RECENT = 30
"""Recent predictions of a field below which drift is not told from chance."""

MOST_RECENT = 10_000
"""Recent predictions of a field that drift is measured on, the newest: more tell no more."""

FAILURE_HOURS = 24


@dataclass(frozen=True, slots=True)
class FieldFigures:
    """What is watched of one field. Ages are in seconds by the database's clock.

    Attributes
    ----------
    pending
        Samples that wait for an answer, also those that a worker has in hand.
    oldest_pending_seconds
        Since when the first of them has been waiting; ``None`` where none is.
    annotated, abstained, quarantined
        Current suggestions, samples left open, and samples that cannot be used.
    release_id, release_age_seconds, release_accuracy
        Of the live release: its number, since when it is live, and the accuracy of
        the combined models on held-out datasets. ``None`` where none is live.
    judged, accuracy_in_use
        Suggestions of the live release whose sample got a label later, and the share of
        them that were right; ``None`` where there are none.
    retrainings
        How many retrainings ended in each way: ``promoted``, ``rejected``,
        ``skipped`` (nothing was new), ``failed``, ``interrupted``.
    retrained_seconds_ago
        Since the last retraining that was promoted, rejected or skipped.
    recent
        Predictions of the live release for samples that came or changed lately, the
        newest :data:`MOST_RECENT` at most.
    novelty_drift, label_drift
        See the module; ``None`` below :data:`FEWEST_RECENT` recent predictions.
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


@dataclass(frozen=True, slots=True)
class Figures:
    """What is watched of the whole.

    Attributes
    ----------
    fields
        One for each field.
    daemons
        Living daemons by their state.
    recent_failures
        Failures in the event log within the last :data:`FAILURE_HOURS` hours.
    """

    fields: tuple[FieldFigures, ...]
    daemons: Mapping[str, int]
    recent_failures: int


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


def read_figures(
    conn: psycopg.Connection,
    *,
    fields: Iterable[str] = FIELDS,
    drift_days: int = 30,
    alive_seconds: float = 30.0,
) -> Figures:
    """Read every figure that is watched, as of one moment.

    Parameters
    ----------
    conn
        Connection; any role that may read the schema.
    fields
        Their names.
    drift_days
        How many days back samples count as recent.
    alive_seconds
        A daemon lives that was heard of so recently, by the database's clock.

    Returns
    -------
    Figures
    """
    names = {"fields": list(fields), "days": drift_days}
    names |= {"fewest": FEWEST_RECENT, "most": MOST_RECENT}
    with conn.transaction():
        rows = conn.execute(_FIELDS, names).fetchall()
        found = []
        for row in rows:
            field, release_id = row[0], row[4]
            # Without a release there is nobody to wait for.
            pending, oldest = (
                (0, None) if release_id is None else pending_and_oldest(conn, field, release_id)
            )
            # One release at a time: the view need not look at those that are retired.
            became = live_accuracy_of(conn, release_id) if release_id is not None else None
            in_use = (became.judged, became.confirmed / became.judged) if became else (0, None)
            outcomes = dict(zip(_OUTCOMES, row[7:12], strict=True))
            values: list[Any] = [field, pending, oldest, *row[1:7], *in_use, outcomes, *row[12:]]
            found.append(FieldFigures(*values))
        daemons: dict[str, int] = dict(conn.execute(_DAEMONS, (float(alive_seconds),)).fetchall())
        failures = conn.execute(_FAILURES, (FAILURE_HOURS,)).fetchone()
    assert failures is not None
    return Figures(tuple(found), daemons, int(failures[0]))
