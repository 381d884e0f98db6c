"""All that a report is made from, as plain data."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from annotator.domain.explanations import ExplainedSample, ReleaseExplanations

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotator.domain.answers import LiveAccuracy
    from annotator.domain.explanations import ClassMarker
    from annotator.domain.held_out import Curve, HeldOutPredictions, Metric
    from annotator.domain.releases import Comparison
    from annotator.domain.reports import CohortPart, ReleaseSummary, Suspect


@dataclass(frozen=True, eq=False)
class ReportContents:
    """Everything that a report is made from.

    Attributes
    ----------
    release
        The release and its training run.
    cohort
        The labelled samples it was learned from, by dataset and class.
    metrics
        Validation scheme (``one-dataset-out``, ``cv``) to its metrics.
    held_out
        Predictions on whole datasets held out; ``None`` if they are not stored.
    curves
        Reliability, and risk against coverage.
    explanations
        Markers, similarities, enrichments and the map of samples.
    groups
        Class to the top term of the ontology above it (the class itself if there is none).
    suspects
        Labels that are probably wrong, in descending order of suspicion.
    live_accuracy
        Later judgements of its suggestions; ``None`` if none has been judged.
    comparisons
        The comparisons of the gate; empty for releases from before they were stored.
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

    @property
    def has_broader_terms(self) -> bool:
        """Whether an answer may be a broader term than a class."""
        return any(name != group for name, group in self.groups.items())

    def class_sizes(self) -> Counter[str]:
        """Count the labelled samples of each class that it was learned from."""
        sizes: Counter[str] = Counter()
        for part in self.cohort:
            if part.class_name:
                sizes[part.class_name] += part.samples
        return sizes

    def markers_by_class(self) -> dict[str, list[ClassMarker]]:
        """Return the markers of each class by rank."""
        found: defaultdict[str, list[ClassMarker]] = defaultdict(list)
        for marker in sorted(self.explanations.markers, key=lambda marker: marker.rank):
            found[marker.class_name].append(marker)
        return dict(found)
