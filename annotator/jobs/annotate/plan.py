"""The part of the settings that annotating and explaining need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.quality import Quality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotator.domain.fields import FeatureKind
    from annotator.settings import Settings


@dataclass(frozen=True, slots=True)
class AnnotatePlan:
    """How samples are claimed, checked and explained.

    Attributes
    ----------
    quality
        Requirements that a sample must meet.
    top_contributions
        Contributing features stored per prediction and model kind.
    batch_size, lease_seconds
        Maximum number of samples claimed at a time, and how long a claim holds.
    feature_kinds
        Kinds of features per field; only their reads count for the requirements.
    """

    quality: Quality
    top_contributions: int
    batch_size: int
    lease_seconds: int
    feature_kinds: Mapping[str, tuple[FeatureKind, ...]]


def annotate_plan(settings: Settings) -> AnnotatePlan:
    """Return the plan of a pass with these settings."""
    return AnnotatePlan(
        quality_of(settings),
        settings.top_contributions,
        settings.batch_size,
        settings.lease_seconds,
        {name: definition.feature_kinds for name, definition in settings.fields.items()},
    )


def quality_of(settings: Settings) -> Quality:
    """Return the requirements of the settings for samples."""
    return Quality(settings.minimum_reads, settings.minimum_known_features)
