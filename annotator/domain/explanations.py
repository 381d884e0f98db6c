"""Explanations of a release: markers, class similarities, enrichments and the sample map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from annotator.domain.answers import ClassContributions


@dataclass(frozen=True, slots=True)
class ClassMarker:
    """One feature that contributes more to a class than to the others (paper, section 2.3.4).

    Attributes
    ----------
    class_name, rank, feature
        The class, the rank of the feature among its markers, from 1, and the feature.
    score
        D1: mean contribution over the class's samples to the logit of the class in the
        combination, minus the mean contribution to the other classes.
    network_rank
        Rank of the feature for the class by DeepLIFT of the network alone, computed the
        same way, as in the paper; ``None`` if there is no network.
    tree_rank
        Rank of the feature for the class by tree SHAP of the forest, computed the same
        way; ``None`` if there is no forest or it never used the feature.
    stability
        Share of the models fitted without a part of the datasets that have the feature
        among the same number of markers of the class; ``None`` if none had the class.
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
    """Number of features to remove until the predicted class changes (paper, section 2.3.4).

    Attributes
    ----------
    class_name
        The class of the samples.
    rival
        The class that is predicted in the end; ``None`` for any other class (stability).
    samples, changed
        How many samples of the class were tried, and for how many the prediction
        changed at all.
    mean_steps
        Mean number of features set to zero until it changed; ``None`` if it never did.
    model_kind
        Model kind of the prediction: the combination (``combined``) or the network.
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
        The source of the set: the name of a file, or ``table4`` for the paper's.
    set_name, class_name
        The set and the class.
    background
        Number of model features that the class expresses above the median of the classes.
    set_size, markers
        How many of these are in the set, and how many are markers of the class.
    overlap
        How many features are both.
    p_value, q_value
        From the upper tail of the hypergeometric distribution, and adjusted by Benjamini
        and Hochberg.
    features
        Features that are both, best marker first.
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
    """Positions of labelled samples on a plane, where neighbours have similar profiles.

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
    """The explanations that are stored with a release."""

    markers: tuple[ClassMarker, ...] = ()
    similarities: tuple[ClassSimilarity, ...] = ()
    enrichments: tuple[ClassEnrichment, ...] = ()
    sample_map: SampleMap | None = None

    @property
    def answer_similarities(self) -> tuple[ClassSimilarity, ...]:
        """Similarities by the combination, or by the network if there are no others."""
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
        The most probable class, and the confidence of the prediction; ``None`` if that is
        not stored.
    is_answered
        Whether the answer was confident enough for a suggestion.
    label
        The label that the sample got later, in the mirror or by a curator; ``None`` if it got
        none or the suggestion was only rejected.
    is_right
        Whether the suggestion agrees with that label; ``None`` if it was not judged.
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
