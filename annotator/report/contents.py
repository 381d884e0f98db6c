"""All that a report is made from, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from annotator.domain.explanations import ExplainedSample, ReleaseExplanations

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from annotator.domain.answers import LiveAccuracy
    from annotator.domain.held_out import Curve, HeldOutPredictions, Metric
    from annotator.domain.releases import Comparison


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """What a release is and what became of it.

    ``versions`` are those of the libraries, ``host`` where it was trained, ``folds``
    how samples were held out, in words. ``trained_for`` is in seconds. ``weights`` are the
    shares of the model kinds in the answer, ``None`` where they were not stored.
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


@dataclass(frozen=True, slots=True)
class CohortPart:
    """How many labelled samples of one class one dataset gave; class "" for left-out ones."""

    dataset_id: str
    dataset_title: str
    class_name: str
    samples: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """One label that probably is wrong."""

    rank: int
    sample_id: str
    dataset_id: str
    label: str
    predicted: str
    suspicion: float
    evidence: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ReportContents:
    """All that a report is made from.

    Attributes
    ----------
    release
        What the release is.
    cohort
        The labelled samples it was learned from, by dataset and class.
    metrics
        Validation scheme (``one-dataset-out``, ``cv``) to its figures.
    held_out
        Predictions on whole datasets held out; ``None`` where they are not kept.
    curves
        Reliability, and risk against coverage.
    explanations
        Markers, similarities, enrichments and the map of samples.
    groups
        Class to the top term of the ontology above it (itself where there is none).
    suspects
        Labels that probably are wrong, worst first.
    live_accuracy
        What became of its suggestions; ``None`` while none of them was judged.
    comparisons
        What the gate compared; empty for releases made before that was kept.
    explained_samples
        Up to two annotated samples per predicted class, with their contributions.
    """

    release: ReleaseSummary
    cohort: tuple[CohortPart, ...]
    metrics: Mapping[str, tuple[Metric, ...]]
    held_out: HeldOutPredictions | None
    curves: tuple[Curve, ...]
    explanations: ReleaseExplanations = field(default_factory=ReleaseExplanations)
    groups: Mapping[str, str] = field(default_factory=dict)
    suspects: tuple[Suspect, ...] = ()
    live_accuracy: LiveAccuracy | None = None
    comparisons: tuple[Comparison, ...] = ()
    explained_samples: tuple[ExplainedSample, ...] = ()
