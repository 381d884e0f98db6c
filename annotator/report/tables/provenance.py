"""Where a release comes from, and what became of it, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from annotator.domain.organisms import DEFAULT_ORGANISM, of_organism
from annotator.report.tables.cells import KIND_WORDS
from annotator.report.words import percent

if TYPE_CHECKING:
    from datetime import datetime

    from annotator.domain.reports import ReleaseSummary
    from annotator.report.contents import ReportContents

REFUSED = "Refused: "
"""The start of the gate's sentences against a release."""

STANDINGS = {
    "live": "Live",
    "retired": "Retired",
    "rejected": "Refused",
    "candidate": "Not decided on",
}


def named_field(release: ReleaseSummary) -> str:
    """Return the field of a release, with the organism unless it is the usual one."""
    return of_organism(release.field, release.organism, [DEFAULT_ORGANISM])


def standing(release: ReleaseSummary) -> str:
    """Return in a sentence what became of a release."""
    field = named_field(release)
    if release.status == "live":
        return f"It answers for {field} since {day(release.promoted_at)}."
    if release.status == "retired":
        return (
            f"It answered for {field} from {day(release.promoted_at)} to"
            f" {day(release.retired_at)}, when a newer release replaced it."
        )
    if release.status == "rejected" and release.promoted_at is not None:
        return (
            f"It answered for {field} from {day(release.promoted_at)} to"
            f" {day(release.retired_at)}, when its files were found damaged and the release"
            " before it took over."
        )
    if release.status == "rejected":
        return "It never answered for a sample: the gate refused it."
    return "The gate has not decided on it yet."


def reasons(contents: ReportContents) -> tuple[tuple[str, bool], ...]:
    """Return the gate's reasons and whether each went against the release, those first.

    The comparisons decide about their own sentences, the mark about all others.
    """
    failed = {each.sentence: not each.passed for each in contents.comparisons}
    judged = [
        (_without_mark(sentence), failed.get(sentence, sentence.startswith(REFUSED)))
        for sentence in contents.release.reasons
    ]
    return tuple(sorted(judged, key=lambda item: not item[1]))


def _without_mark(sentence: str) -> str:
    found = sentence.removeprefix(REFUSED)
    return found[:1].upper() + found[1:]


def facts(release: ReleaseSummary) -> tuple[tuple[str, str], ...]:
    """Return what has to be known to make the release again, as pairs of term and value."""
    found = (
        ("Release", f"{release.release_id} ({STANDINGS.get(release.status, release.status)})"),
        ("Field", release.field),
        ("Organism", release.organism),
        ("Preset", release.preset),
        ("Shares of the answer", _shares(release)),
        ("Seed", str(release.seed)),
        ("Features that the models see", f"{release.features:,}"),
        ("Validation", release.folds or ""),
        ("Cohort (SHA-256)", release.cohort_hash or ""),
        ("Configuration (SHA-256)", release.configuration_hash or ""),
        ("Trained on host", release.host),
        ("Training took", duration(release.trained_for)),
        ("Made", moment(release.created_at)),
        ("Went live", moment(release.promoted_at)),
        ("Stopped serving", moment(release.retired_at)),
    )
    return tuple((term, value) for term, value in found if value)


def _shares(release: ReleaseSummary) -> str:
    """Return the share of each model kind in the answer, the largest first."""
    ordered = sorted((release.weights or {}).items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{KIND_WORDS.get(kind, kind)} {percent(share)}" for kind, share in ordered)


def configuration_text(release: ReleaseSummary) -> str:
    """Return the configuration as JSON for people."""
    return json.dumps(dict(release.configuration), indent=2, sort_keys=True, default=str)


def moment(when: datetime | None) -> str:
    """Return a time to the minute, with its time zone."""
    return "" if when is None else when.strftime("%Y-%m-%d %H:%M %Z").strip()


def day(when: datetime | None) -> str:
    """Return the day of a time."""
    return "an unknown day" if when is None else when.strftime("%Y-%m-%d")


def duration(seconds: float | None) -> str:
    """Return a duration in the unit that fits."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
