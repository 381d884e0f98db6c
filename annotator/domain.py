"""What the rooms of this project hand to one another.

Plain data only: nothing here knows a database, a file format or a model. The
arrays are NumPy and SciPy objects, but neither is imported here, so that
commands which need no arrays start quickly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix


class FeatureKind(StrEnum):
    """What a feature of the expression matrix counts."""

    SRNA = "srna"
    CONTAMINANT = "contaminant"


class LabelScheme(StrEnum):
    """How the values of a field become classes."""

    ONTOLOGY = "ontology"
    CATEGORIES = "categories"
    INTERVALS = "intervals"


@dataclass(frozen=True, slots=True)
class FieldDefinition:
    """One kind of annotation that can be predicted.

    Attributes
    ----------
    name
        As it stands in ``atlas.annotation.field``.
    feature_kinds
        Which features its models may see (paper, section 2.1).
    scheme
        How values become classes.
    vocabulary
        The allowed values, for a field of plain categories.
    known_fields
        Fields that may already be known for a sample and that predict this one
        by themselves; a release has to beat them.
    left_out_where
        Known field to values: samples with one of them, or with a term below one,
        are neither learned from nor scored.
    """

    name: str
    feature_kinds: tuple[FeatureKind, ...]
    scheme: LabelScheme
    vocabulary: tuple[str, ...] = ()
    known_fields: tuple[str, ...] = ()
    left_out_where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


SEX_SPECIFIC_TISSUES = (
    "breast",
    "cervix",
    "endometrium",
    "epididymis",
    "fallopian tube",
    "female reproductive system",
    "foreskin",
    "male reproductive system",
    "mammary gland",
    "myometrium",
    "ovary",
    "oviduct",
    "penis",
    "placenta",
    "prostate",
    "prostate gland",
    "semen",
    "seminal plasma",
    "seminal vesicle",
    "sperm",
    "testis",
    "uterine cervix",
    "uterine endometrium",
    "uterus",
    "vagina",
    "vulva",
)
"""Organs that give sex away by themselves (breast nearly so)."""


FIELDS: Mapping[str, FieldDefinition] = {
    definition.name: definition
    for definition in (
        FieldDefinition("tissue", (FeatureKind.SRNA,), LabelScheme.ONTOLOGY),
        FieldDefinition(
            "sex",
            (FeatureKind.SRNA, FeatureKind.CONTAMINANT),
            LabelScheme.CATEGORIES,
            vocabulary=("female", "male"),
            known_fields=("tissue",),
            left_out_where={"tissue": SEX_SPECIFIC_TISSUES},
        ),
        FieldDefinition(
            "age",
            (FeatureKind.SRNA, FeatureKind.CONTAMINANT),
            LabelScheme.INTERVALS,
            known_fields=("tissue",),
        ),
    )
}


@dataclass(frozen=True, eq=False)
class Profiles:
    """Raw expression counts of some samples.

    Attributes
    ----------
    sample_ids
        Shape ``(samples,)``, dtype object (str).
    features
        Feature names, shape ``(features,)``, dtype object (str), unique.
    kinds
        ``"srna"`` or ``"contaminant"`` for each feature, dtype object (str).
    counts
        Reads, shape ``(samples, features)``, float32, sorted indices, no
        explicit zeros.
    """

    sample_ids: NDArray[np.object_]
    features: NDArray[np.object_]
    kinds: NDArray[np.object_]
    counts: csr_matrix


@dataclass(frozen=True, eq=False)
class Cohort:
    """The labelled samples that a field is learned from.

    Attributes
    ----------
    field
        Name of the field, a key of :data:`FIELDS`.
    profiles
        Their expression, one row a sample.
    dataset_ids
        Shape ``(samples,)``, dtype object (str).
    values
        The labels as curated, dtype object (str). For a field of intervals the
        number as text, or the interval that a reviewer decided on; ``numbers`` has
        the number.
    numbers
        ``numeric_value`` of the annotation, or the number that a reviewer gave,
        float64, NaN where there is none.
    known
        For each known field the curated value of every sample, ``""`` where it
        is missing, dtype object (str).
    """

    field: str
    profiles: Profiles
    dataset_ids: NDArray[np.object_]
    values: NDArray[np.object_]
    numbers: NDArray[np.float64]
    known: Mapping[str, NDArray[np.object_]]


@dataclass(frozen=True, slots=True)
class Artefact:
    """One file of a release, as bytes in a format that cannot run code."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Metric:
    """One validation figure and what stands behind it.

    Attributes
    ----------
    model_kind
        ``network``, ``forest``, ``boosting``, ``combined`` or a baseline.
    name
        ``accuracy``, ``balanced_accuracy``, ``mean_over_datasets``,
        ``mean_over_classes``, ``class_accuracy``, ``class_precision``, ...
    class_name
        The class for a figure of one class, else ``None``.
    value
        The figure itself.
    samples, datasets
        How many held-out samples and datasets it is taken over.
    """

    model_kind: str
    name: str
    class_name: str | None
    value: float
    samples: int
    datasets: int


TERM_FIGURES = ("accuracy", "answered", "precision", "prediction_set_coverage")
"""Metrics ``..._of_learned_terms`` and ``..._of_new_terms``: of samples whose own term was
learned, and of those for which only others of their class were."""


@dataclass(frozen=True, eq=False)
class HeldOutPredictions:
    """What models said of samples that they had not seen.

    Attributes
    ----------
    sample_ids, dataset_ids, truth
        Shape ``(samples,)``, dtype object (str); ``truth`` is a class.
    folds
        The fold that each sample was held out in, int64.
    classes
        The class of each column.
    probabilities
        Model kind (and ``"combined"``) to an array ``(samples, classes)``,
        float64; the rows sum to one. A class that was not in training has 0.
    novelty
        How unlike the training part each sample is, raw score, ``(samples,)``.
    numbers
        For a field of intervals the true number, the predicted one, and the mean of
        training samples with the same known fields, ``(samples, 3)``.
    """

    sample_ids: NDArray[np.object_]
    dataset_ids: NDArray[np.object_]
    truth: NDArray[np.object_]
    folds: NDArray[np.int64]
    classes: tuple[str, ...]
    probabilities: Mapping[str, NDArray[np.float64]]
    novelty: NDArray[np.float64] | None = None
    numbers: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One point of a curve and how many samples stand behind it."""

    x: float
    y: float
    samples: int


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve of a validation.

    Attributes
    ----------
    name
        ``reliability`` (x: mean confidence of a bin, y: its accuracy) or
        ``risk_coverage`` (x: share of samples answered, y: share of the answers
        that are wrong).
    model_kind
        Whose probabilities it is drawn from.
    points
        In ascending x.
    """

    name: str
    model_kind: str
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class LabelSuspicion:
    """One existing label that models which had not seen its dataset speak against."""

    sample_id: str
    label: str
    predicted: str
    suspicion: float
    rank: int
    evidence: Mapping[str, Any]


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
    status: str
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
    samples: int
    datasets: int
    sentence: str
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


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One sample as a SAMPLES file or a simulation describes it.

    Attributes
    ----------
    sample_id, dataset_id
        Not empty.
    values
        Field to curated value as text, only where there is one.
    numbers
        Field to curated number (age in years), only where there is one.
    organism, is_cell_line
        ``None`` where nothing is said.
    attributes
        Every further column, as text, empty ones left out.
    said_fields
        Fields that something is said about: no value there means missing, while
        a field that is not named here keeps what the mirror has.
    """

    sample_id: str
    dataset_id: str
    values: Mapping[str, str]
    numbers: Mapping[str, float]
    organism: str | None = None
    is_cell_line: bool | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    said_fields: frozenset[str] = frozenset(FIELDS)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import changed in the mirror."""

    datasets_added: int
    samples_added: int
    samples_changed: int
    samples_unchanged: int
    features_added: int
    annotations_changed: int
    terms_added: int
