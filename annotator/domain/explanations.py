"""Explanations of a release: markers, class similarities, enrichments, the map of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from annotator.domain.answers import ClassContributions


@dataclass(frozen=True, slots=True)
class ClassMarker:
    """One feature that sets a class apart for a release (paper, section 2.3.4).

    Attributes
    ----------
    class_name, rank, feature
        The feature, and its place among the class's markers, from 1 on.
    score
        D1: mean over the class's samples of the contribution to the answer's logit of
        the class less its mean for the other classes.
    network_rank
        Place of the feature for the class by DeepLIFT of the network alone, worked out
        the same way, as in the paper; ``None`` where there is no network.
    tree_rank
        Place of the feature for the class by tree SHAP of the forest, worked out the
        same way; ``None`` where there is no forest or it never used the feature.
    stability
        Share of the models made without a part of the datasets that have the feature
        among as many markers of the class; ``None`` where none of them knew the class.
    expression
        Mean reads per million in each class, in the order of the release's classes.
    """

    class_name: str
    rank: int
    feature: str
    score: float
    network_rank: int | None
    tree_rank: int | None
    stability: float | None
    expression: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ClassSimilarity:
    """How easily samples of a class are turned into another (paper, section 2.3.4).

    Attributes
    ----------
    class_name
        The class of the samples.
    rival
        What they are turned into; ``None`` for any other class (stability).
    samples, changed
        How many samples of the class were tried, and for how many the prediction
        changed at all.
    mean_steps
        Mean number of features set to zero until it did; ``None`` where none changed.
    model_kind
        Whose prediction changed: the answer's (``combined``) or the network's.
    """

    class_name: str
    rival: str | None
    samples: int
    changed: int
    mean_steps: float | None
    model_kind: str = "combined"


@dataclass(frozen=True, slots=True)
class ClassEnrichment:
    """Over-representation of one set of features among a class's markers.

    Attributes
    ----------
    source
        Where the set comes from: a file's name, or ``table4`` for the paper's.
    set_name, class_name
        The set and the class.
    background
        Features of the models that the class expresses above the median of the classes.
    set_size, markers
        How many of these the set has, and how many of them are markers of the class.
    overlap
        How many features are in both.
    p_value, q_value
        Of the upper tail of the hypergeometric distribution; by Benjamini and Hochberg.
    features
        Those in both, best marker first.
    """

    source: str
    set_name: str
    class_name: str
    background: int
    set_size: int
    markers: int
    overlap: int
    p_value: float
    q_value: float
    features: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SampleMap:
    """Labelled samples on a plane; neighbours have similar profiles.

    Attributes
    ----------
    sample_ids, dataset_ids, classes
        Shape ``(samples,)``, dtype object (str).
    positions
        Shape ``(samples, 2)``, float32, no unit.
    """

    sample_ids: NDArray[np.object_]
    dataset_ids: NDArray[np.object_]
    classes: NDArray[np.object_]
    positions: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ReleaseExplanations:
    """What the models of a release base their answers on, as it is stored with it."""

    markers: tuple[ClassMarker, ...] = ()
    similarities: tuple[ClassSimilarity, ...] = ()
    enrichments: tuple[ClassEnrichment, ...] = ()
    sample_map: SampleMap | None = None

    @property
    def answer_similarities(self) -> tuple[ClassSimilarity, ...]:
        """Similarities by the answer; by the network where there are only those."""
        combined = tuple(each for each in self.similarities if each.model_kind == "combined")
        return combined or self.similarities


@dataclass(frozen=True, slots=True)
class ExplainedSample:
    """One annotated sample with the contributions that are stored for it.

    Attributes
    ----------
    sample_id, dataset_id
        The sample.
    class_name, confidence
        The most probable class, and how confident the answer was; ``None`` where that is
        not known.
    is_answered
        Whether the answer was confident enough for a suggestion.
    label
        What the mirror or a curator said of the sample later, ``None`` where nobody did or
        the suggestion was only rejected.
    is_right
        Whether the suggestion agrees with that; ``None`` where it was not judged.
    contributions
        Of one model kind, the answer's where they are stored: one entry per class, the
        most probable first.
    """

    sample_id: str
    dataset_id: str
    class_name: str
    confidence: float | None
    is_answered: bool
    label: str | None
    is_right: bool | None
    contributions: tuple[ClassContributions, ...]
