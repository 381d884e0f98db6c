"""Claimed samples, and the predictions, contributions and quarantined samples they lead to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from annotator.domain.statuses import PredictionStatus


@dataclass(frozen=True, slots=True)
class ClassContributions:
    """Contributions of features to a class for one sample, by one model kind.

    Attributes
    ----------
    model_kind, method
        Such as ``network`` and ``deeplift``; ``combined`` for the combination.
    class_name, class_rank
        The class, and its rank by probability: 1 is the most probable, 2 the runner-up.
    features
        Features with the largest absolute contribution, in descending order.
    scores
        The contribution of each feature: signed and in the model's own unit (logit for the
        combination, the network and the linear model, share of votes for the forest, margin
        for boosting).
    expression
        The sample's count of each feature, in reads per million.
    other_samples
        For the combination only: the contribution of the other samples in the dataset to
        its logit; ``None`` if the release does not pool them.
    """

    model_kind: str
    method: str
    class_name: str
    class_rank: int
    features: tuple[str, ...]
    scores: tuple[float, ...]
    expression: tuple[float, ...]
    other_samples: float | None = None


@dataclass(frozen=True, slots=True)
class SamplePrediction:
    """One prediction for one sample, as it is stored.

    ``value`` is ``None`` for an abstention. ``prediction_set`` contains the true
    class with probability ``set_coverage``; its classes are in order of descending
    probability. ``known_features`` is the number of the release's features that the
    sample expresses, relative to a typical training sample. ``number`` is a predicted
    number, and ``number_low`` to ``number_high`` its interval with the same coverage.
    ``class_probabilities`` are the combined probabilities, in the order of the
    release's classes; empty if they are not known.
    """

    sample_id: str
    dataset_id: str
    field: str
    input_hash: str
    sample_updated_at: datetime | None
    value: str | None
    lineage: tuple[str, ...]
    confidence: float | None
    status: PredictionStatus
    reason: str | None
    novelty: float | None
    models: Mapping[str, Mapping[str, Any]]
    top_features: tuple[str, ...]
    contributions: tuple[ClassContributions, ...] = ()
    prediction_set: tuple[str, ...] = ()
    set_coverage: float | None = None
    known_features: float | None = None
    number: float | None = None
    number_low: float | None = None
    number_high: float | None = None
    class_probabilities: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class QuarantinedSample:
    """One sample that cannot be used, with the reason.

    ``only_this_release`` is true if another release might be able to use the sample (too
    few of the features of *this* release are expressed), and false if no release can.
    """

    sample_id: str
    field: str
    sample_updated_at: datetime | None
    code: str
    reason: str
    only_this_release: bool = False


@dataclass(frozen=True, slots=True)
class ClaimedSample:
    """One sample that this worker holds a lease on.

    ``attempts`` counts the claims without a result, including this one.
    """

    sample_id: str
    dataset_id: str
    field: str
    sample_updated_at: datetime | None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class LiveAccuracy:
    """The accuracy of the suggestions of one release, by labels that came later.

    Attributes
    ----------
    judged, confirmed
        Number of suggestions whose sample got a label later, in the mirror or by a review,
        and how many of them were right: the label itself or a broader term.
    lowest, highest
        95 % interval of the share that is right (Wilson 1927), with samples taken to be
        independent.
    """

    release_id: int
    judged: int
    confirmed: int
    lowest: float
    highest: float
