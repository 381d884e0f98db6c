"""The plan of annotating and explaining: what the settings ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.quality import Quality

if TYPE_CHECKING:
    from annotator.settings import Settings


@dataclass(frozen=True, slots=True)
class AnnotatePlan:
    """How samples are claimed, checked and explained.

    Attributes
    ----------
    quality
        What a sample needs.
    top_contributions
        Contributing features stored per prediction and model kind.
    batch_size, lease_seconds
        Maximum number of samples claimed at a time, and how long a claim holds.
    """

    quality: Quality
    top_contributions: int
    batch_size: int
    lease_seconds: int


def annotate_plan(settings: Settings) -> AnnotatePlan:
    """Turn the settings into the plan of a pass."""
    return AnnotatePlan(
        quality_of(settings),
        settings.top_contributions,
        settings.batch_size,
        settings.lease_seconds,
    )


def quality_of(settings: Settings) -> Quality:
    """Return what the settings ask of a sample."""
    return Quality(settings.minimum_reads, settings.minimum_known_features)
