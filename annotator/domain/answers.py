"""Claimed samples, and the predictions, contributions and quarantined samples that come of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from annotator.domain.statuses import PredictionStatus


@dataclass(frozen=True, slots=True)
class ClassContributions:
    """How much features spoke for a class of one sample, by one model kind.

    Attributes
    ----------
    model_kind, method
        Such as ``network`` and ``deeplift``; ``combined`` for the answer itself.
    class_name, class_rank
        The class, and how probable it was: 1 the most probable, 2 the runner-up.
    features
        Those that spoke loudest, for or against, the loudest first.
    scores
        Of each: signed and in the model's own unit (logit for the answer, the network and
        the linear part, probability for the forest, margin for boosting).
    expression
        Of each: the sample's count in reads per million.
    other_samples
        Of the answer only: what the other samples of the dataset contribute to its
        logit; ``None`` where they do not count.
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
    """One answer for one sample, as it is stored.

    ``value`` is ``None`` where the sample was abstained from. ``prediction_set``
    holds the true class with the probability ``set_coverage``, most probable
    first. ``known_features`` is how many of the release's features the sample
    expresses, relative to a usual training sample. ``number`` with ``number_low``
    and ``number_high`` is a predicted number and its interval of the same coverage.
    ``class_probabilities`` are the combined probabilities, in the order of the
    release's classes; empty where they are not known.
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
    """One sample that cannot be used, and why.

    ``only_this_release`` is true where another release could use it (too few
    of *its* features are known), false where the sample itself is unusable.
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

    ``attempts`` counts its claims without a result, this one included.
    """

    sample_id: str
    dataset_id: str
    field: str
    sample_updated_at: datetime | None
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class LiveAccuracy:
    """What became of the suggestions of one release.

    Attributes
    ----------
    judged, confirmed
        Suggestions whose sample got a label later, in the mirror or by a review, and
        those of them that were right: the label itself or a broader term of it.
    lowest, highest
        95 % interval of the share that is right (Wilson 1927), samples taken as
        independent.
    """

    release_id: int
    judged: int
    confirmed: int
    lowest: float
    highest: float
