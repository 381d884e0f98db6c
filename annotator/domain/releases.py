"""The files of a release, and the verdict of the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.organisms import DEFAULT_ORGANISM

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotator.domain.explanations import ReleaseExplanations
    from annotator.domain.held_out import Curve, HeldOutPredictions, LabelSuspicion, Metric


BUILT_IN_PRESETS = ("default", "paper")
"""Names of presets that are not files."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file of a release, as bytes in a format that cannot execute code."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of a candidate, compared with that of the live release or a baseline.

    Attributes
    ----------
    name
        The metric, named as in ``annotator.metric``.
    compared_with
        ``live`` for the live release, else the baseline.
    ours, theirs
        The values of the candidate and of the other, on the same held-out samples.
    margin
        For the live release, how far the candidate may fall behind; for a baseline, how
        far it must be ahead; for a baseline that uses expression, at most 0: how far it
        may fall behind by chance.
    passed
        Whether the candidate may go live by this metric.
    samples, datasets
        Numbers of held-out samples that both predicted, and of their datasets.
    sentence
        The comparison as a sentence, one of the verdict's reasons.
    chance
        The value expected from guessing; used instead of a baseline that is lower.
        ``None`` if guessing is not considered.
    """

    name: str
    compared_with: str
    ours: float
    theirs: float
    margin: float
    passed: bool
    samples: int = 0
    datasets: int = 0
    sentence: str = ""
    chance: float | None = None


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Whether a candidate may go live, and every reason for or against it.

    Attributes
    ----------
    promoted
        Whether it may go live.
    reasons
        The reasons as sentences. Those against it start with ``Refused:``.
    comparisons
        The metrics behind the reasons.
    """

    promoted: bool
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, eq=False)
class CandidateRelease:
    """Everything that is stored for a candidate.

    Attributes
    ----------
    field
        Name of the field.
    classes
        The classes, in the order of every array of probabilities.
    features
        Number of features that the models use.
    artefacts
        Its files; names are unique.
    held_out
        Predictions for held-out samples.
    metrics
        Metrics per validation scheme.
    curves
        Computed from ``held_out``; they belong to the first scheme of ``metrics``.
    suspicions
        Labels of held-out samples that are probably wrong.
    explanations
        Markers, similarities, enrichments and the sample map.
    weights
        Share of each model kind in the combination; the shares sum to one. ``None`` if
        they are not known.
    organism
        The organism whose samples it has learned from.
    """

    field: str
    classes: Sequence[str]
    features: int
    artefacts: Sequence[Artefact]
    held_out: HeldOutPredictions
    metrics: Mapping[str, Sequence[Metric]]
    curves: Sequence[Curve] = ()
    suspicions: Sequence[LabelSuspicion] = ()
    explanations: ReleaseExplanations | None = None
    weights: Mapping[str, float] | None = None
    organism: str = DEFAULT_ORGANISM
