"""Tables of the work queue, predictions and quarantine."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from annotator.store.tables.base import METADATA, PREDICTION_STATUS

annotation_run = Table(
    "annotation_run",
    METADATA,
    Column("annotation_run_id", BigInteger, Identity(always=True), primary_key=True),
    Column("worker", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("finished_at", DateTime(timezone=True)),
    Column("predicted", Integer, nullable=False, server_default=text("0")),
    Column("quarantined", Integer, nullable=False, server_default=text("0")),
)

work = Table(
    "work",
    METADATA,
    Column("sample_id", Text, primary_key=True),
    Column("dataset_id", Text, nullable=False),
    Column("field", Text, primary_key=True),
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("sample_updated_at", DateTime(timezone=True)),
    Column("queued_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("leased_by", Text),
    Column("leased_until", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("(leased_by is null) = (leased_until is null)", name="work_check"),
    Index("work_claim", "field", "release_id", "dataset_id", "sample_id"),
    comment=("Samples waiting for, or leased to, a worker. A row goes when its result is written."),
)

prediction = Table(
    "prediction",
    METADATA,
    Column("prediction_id", BigInteger, Identity(always=True), primary_key=True),
    Column("sample_id", Text, nullable=False),
    Column("dataset_id", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("release_id", BigInteger, ForeignKey("annotator.release.release_id"), nullable=False),
    Column("input_hash", Text, nullable=False),
    Column("sample_updated_at", DateTime(timezone=True)),
    Column("value", Text),
    Column("lineage", ARRAY(Text), nullable=False, server_default="{}"),
    Column("confidence", Double),
    Column("status", PREDICTION_STATUS, nullable=False),
    Column("reason", Text),
    Column("novelty", Double),
    Column("models", JSONB, nullable=False, server_default="{}"),
    Column("top_features", ARRAY(Text), nullable=False, server_default="{}"),
    Column(
        "annotation_run_id", BigInteger, ForeignKey("annotator.annotation_run.annotation_run_id")
    ),
    Column("is_current", Boolean, nullable=False, server_default=text("true")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column(
        "prediction_set",
        ARRAY(Text),
        nullable=False,
        server_default="{}",
        comment=(
            "Classes, most probable first, that contain the true class with "
            "probability set_coverage, also in new datasets."
        ),
    ),
    Column("set_coverage", Double),
    Column(
        "known_features",
        Double,
        comment=(
            "Number of the release's features that the sample expresses, relative to "
            "a typical training sample."
        ),
    ),
    Column(
        "number",
        Double,
        comment=(
            "The predicted number (age in years); the true one lies between "
            "number_low and number_high with probability set_coverage."
        ),
    ),
    Column("number_low", Double),
    Column("number_high", Double),
    Column(
        "class_probabilities",
        ARRAY(REAL),
        comment=(
            "Combined probabilities, in the order of the release's classes; null "
            "for predictions by earlier versions."
        ),
    ),
    Column(
        "best_value",
        Text,
        Computed("coalesce(value, models -> 'combined' ->> 'value')", persisted=True),
        comment="The value, or the best guess of an abstention.",
    ),
    Column("disagreement", Double, Computed("annotator.disagreement(models)", persisted=True)),
    Column(
        "informativeness",
        Double,
        Computed("annotator.informativeness(confidence, models, novelty)", persisted=True),
        comment=(
            "How much could be learned from a review, 0 to 1: mean of 1 - confidence, "
            "disagreement and novelty."
        ),
    ),
    UniqueConstraint("sample_id", "field", "release_id", "input_hash"),
    CheckConstraint(
        "0 <= all (class_probabilities) and 1 >= all (class_probabilities)"
        " and array_position(class_probabilities, null) is null",
        name="class_probabilities_are_probabilities",
    ),
    CheckConstraint(
        "status <> 'suggested' or value is not null and confidence is not null",
        name="prediction_check",
    ),
    CheckConstraint("status <> 'abstained' or reason is not null", name="prediction_check1"),
    CheckConstraint("confidence between 0 and 1", name="prediction_confidence_check"),
    CheckConstraint("input_hash ~ '^[0-9a-f]{64}$'", name="prediction_input_hash_check"),
    CheckConstraint("set_coverage between 0 and 1", name="prediction_set_coverage_check"),
    Index(
        "one_current_prediction",
        "sample_id",
        "field",
        unique=True,
        postgresql_include=["release_id", "sample_updated_at", "status", "dataset_id"],
        postgresql_where=text("is_current"),
    ),
    Index("prediction_dataset", "dataset_id", "field", postgresql_where=text("is_current")),
    Index(
        "prediction_recent",
        "release_id",
        text("coalesce(sample_updated_at, created_at)"),
        postgresql_where=text("is_current"),
    ),
    Index("prediction_release", "release_id", "prediction_id"),
)

class_contribution = Table(
    "class_contribution",
    METADATA,
    Column(
        "prediction_id",
        BigInteger,
        ForeignKey("annotator.prediction.prediction_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("model_kind", Text, primary_key=True),
    Column("method", Text, nullable=False),
    Column("class", Text, primary_key=True),
    Column("class_rank", Integer, nullable=False),
    Column(
        "features",
        ARRAY(Text),
        nullable=False,
        comment="Features with the largest absolute contribution, in descending order.",
    ),
    Column("scores", ARRAY(Double), nullable=False),
    Column("expression", ARRAY(Double), nullable=False),
    Column(
        "other_samples",
        Double,
        comment=(
            "For the combination: contribution of the other samples in the dataset to "
            "its logit; null if they are not pooled."
        ),
    ),
    CheckConstraint(
        "other_samples is null or model_kind = 'combined'", name="class_contribution_check"
    ),
    CheckConstraint(
        "cardinality(scores) = cardinality(features)", name="class_contribution_check1"
    ),
    CheckConstraint(
        "cardinality(expression) = cardinality(features)", name="class_contribution_check2"
    ),
    CheckConstraint("class_rank > 0", name="class_contribution_class_rank_check"),
    CheckConstraint(
        "array_position(expression, null) is null", name="class_contribution_expression_check"
    ),
    CheckConstraint(
        "array_position(features, null) is null", name="class_contribution_features_check"
    ),
    CheckConstraint("array_position(scores, null) is null", name="class_contribution_scores_check"),
    comment=(
        "Contributions of features to a class for a sample, one row per model "
        "kind and class; 'combined' is the combination. The view contribution has "
        "one row per feature."
    ),
)

quarantine = Table(
    "quarantine",
    METADATA,
    Column("quarantine_id", BigInteger, Identity(always=True), primary_key=True),
    Column("sample_id", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id"),
        comment=(
            "Set where only this release cannot use the sample; null where the "
            "sample itself is unusable."
        ),
    ),
    Column("sample_updated_at", DateTime(timezone=True)),
    Column("code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    UniqueConstraint(
        "sample_id",
        "field",
        "release_id",
        "sample_updated_at",
        "code",
        name="quarantined_once",
        postgresql_nulls_not_distinct=True,
    ),
)
