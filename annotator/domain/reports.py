"""Facts about a release, as they are read for its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotator.domain.organisms import DEFAULT_ORGANISM

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """A release and the training run that made it.

    ``versions`` are those of the libraries. ``folds`` describes in words how samples were held
    out. ``trained_for`` is in seconds. ``weights`` are the shares of the model kinds in the
    combination, ``None`` if they were not stored.
    """

    release_id: int
    field: str
    status: str
    preset: str
    classes: tuple[str, ...]
    features: int
    reasons: tuple[str, ...]
    created_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None
    seed: int
    folds: str | None
    host: str
    versions: Mapping[str, str]
    configuration: Mapping[str, Any]
    configuration_hash: str | None
    cohort_hash: str | None
    trained_for: float | None
    weights: Mapping[str, float] | None = None
    organism: str = DEFAULT_ORGANISM


@dataclass(frozen=True, slots=True)
class CohortPart:
    """Number of labelled samples per dataset and class; class "" for those left out."""

    dataset_id: str
    dataset_title: str
    class_name: str
    samples: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """A label that is probably wrong."""

    rank: int
    sample_id: str
    dataset_id: str
    label: str
    predicted: str
    suspicion: float
    evidence: Mapping[str, Any]
