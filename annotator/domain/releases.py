"""The files of a release, and the verdict of the gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from annotator.domain.explanations import ReleaseExplanations
    from annotator.domain.held_out import Curve, HeldOutPredictions, LabelSuspicion, Metric


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file of a release, as bytes in a format that cannot run code."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of a candidate release beside that of what it is compared with.

    Attributes
    ----------
    name
        The metric, named as in ``annotator.metric``.
    compared_with
        ``live`` for the live release, else the baseline.
    ours, theirs
        Both values, on the same held-out samples.
    margin
        For the live release, how far ours may fall behind; for a baseline, how far ours
        must be ahead; for a baseline that sees expression, how far behind may still be
        within chance, at most 0.
    passed
        Whether the candidate may go live as far as this metric goes.
    samples, datasets
        The held-out samples that both predicted, and their datasets.
    sentence
        The same in words, one of the verdict's reasons.
    chance
        The value that guessing has; a baseline below it counts as this. ``None`` where
        guessing is not considered.
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
    """Whether a candidate may go live, and every reason for or against.

    Attributes
    ----------
    promoted
        Whether it may.
    reasons
        In words. Those against it start with ``Refused:``.
    comparisons
        The figures behind them.
    """

    promoted: bool
    reasons: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, eq=False)
class CandidateRelease:
    """All that is stored with a candidate release.

    Attributes
    ----------
    field
        Its name.
    classes
        In the order of every array of probabilities.
    features
        Number of features that the models see.
    artefacts
        Its files; names are unique.
    held_out
        Predictions for held-out samples.
    metrics
        Validation scheme to metrics.
    curves
        Drawn from ``held_out``; they belong to the first scheme of ``metrics``.
    suspicions
        Labels of held-out samples that are probably wrong.
    explanations
        Markers, similarities, enrichments and the map of samples.
    weights
        Model kind to its share of the answer; the shares sum to one. ``None`` where
        they are not known.
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
