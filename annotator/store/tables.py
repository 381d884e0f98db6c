"""The tables of schema ``annotator`` at the newest revision.

Migrations create the same tables (a test compares the two). Views and functions are not
listed: their definitions are in ``migrations/schema``. This module imports SQLAlchemy, which
takes half the start time of a short command, so only migrations import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    Enum,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from annotator.domain.statuses import PredictionStatus, ReleaseStatus, ReviewDecision, RunStatus

if TYPE_CHECKING:
    from enum import StrEnum

# The names that PostgreSQL gives to unnamed constraints.
_NAMES = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
}
METADATA = MetaData(schema="annotator", naming_convention=_NAMES)


def _enum(members: type[StrEnum], name: str) -> Enum:
    values = [each.value for each in members]
    return Enum(*values, name=name, metadata=METADATA, schema=METADATA.schema)


RUN_STATUS = _enum(RunStatus, "run_status")
RELEASE_STATUS = _enum(ReleaseStatus, "release_status")
PREDICTION_STATUS = _enum(PredictionStatus, "prediction_status")
REVIEW_DECISION = _enum(ReviewDecision, "review_decision")

made_object = Table(
    "made_object",
    METADATA,
    Column("made_object_id", Integer, Identity(always=True), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("name"),
    CheckConstraint(
        "kind in ('schema', 'table', 'view', 'function')", name="made_object_kind_check"
    ),
    comment=(
        "What a migration made in schema atlas: going back removes that and "
        "nothing of the atlas's own."
    ),
)

cohort = Table(
    "cohort",
    METADATA,
    Column("cohort_id", BigInteger, Identity(always=True), primary_key=True),
    Column("field", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("datasets", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    UniqueConstraint("field", "hash"),
    CheckConstraint("datasets >= 0", name="cohort_datasets_check"),
    CheckConstraint("hash ~ '^[0-9a-f]{64}$'", name="cohort_hash_check"),
    CheckConstraint("samples >= 0", name="cohort_samples_check"),
    comment=(
        "The labelled samples a field was learned from; the hash covers ids, "
        "datasets, labels and counts."
    ),
)

cohort_sample = Table(
    "cohort_sample",
    METADATA,
    Column(
        "cohort_id",
        BigInteger,
        ForeignKey("annotator.cohort.cohort_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("sample_id", Text, primary_key=True),
    Column("dataset_id", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column(
        "class",
        Text,
        comment=(
            "The class the value was rolled up to; null where it found none and was left out."
        ),
    ),
)

training_run = Table(
    "training_run",
    METADATA,
    Column("run_id", BigInteger, Identity(always=True), primary_key=True),
    Column("field", Text, nullable=False),
    Column("preset", Text, nullable=False),
    Column("status", RUN_STATUS, nullable=False, server_default="running"),
    Column("reason", Text),
    Column("cohort_id", BigInteger, ForeignKey("annotator.cohort.cohort_id")),
    Column("configuration", JSONB, nullable=False, server_default="{}"),
    Column("configuration_hash", Text),
    Column("seed", BigInteger, nullable=False),
    Column("versions", JSONB, nullable=False, server_default="{}"),
    Column("host", Text, nullable=False),
    Column(
        "folds",
        Text,
        comment=(
            "How datasets were held out, in words: every dataset by itself, or "
            "grouped into N folds."
        ),
    ),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("(status = 'running') = (finished_at is null)", name="training_run_check"),
    Index("training_run_field", "field", text("run_id desc")),
)

metric = Table(
    "metric",
    METADATA,
    Column(
        "run_id",
        BigInteger,
        ForeignKey("annotator.training_run.run_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("scheme", Text, primary_key=True),
    Column("model_kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("class", Text, primary_key=True, server_default=""),
    Column("value", Double, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("datasets", Integer, nullable=False),
)

validation_prediction = Table(
    "validation_prediction",
    METADATA,
    Column("run_id", BigInteger, ForeignKey("annotator.training_run.run_id", ondelete="CASCADE")),
    Column("sample_id", Text),
    Column("dataset_id", Text, nullable=False),
    Column("model_kind", Text),
    Column("fold", Integer, nullable=False),
    Column("truth", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("probability", Double, nullable=False),
    Column(
        "probabilities",
        ARRAY(REAL),
        nullable=False,
        comment="In the order of the release's classes.",
    ),
    Column(
        "novelty",
        Double,
        comment=(
            "How unlike the training samples of its fold the sample is; the same for "
            "every model kind."
        ),
    ),
    PrimaryKeyConstraint("run_id", "model_kind", "sample_id"),
    CheckConstraint(
        "probability between 0 and 1.000001", name="validation_prediction_probability_check"
    ),
)

validation_curve = Table(
    "validation_curve",
    METADATA,
    Column(
        "run_id",
        BigInteger,
        ForeignKey("annotator.training_run.run_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("scheme", Text, primary_key=True),
    Column("model_kind", Text, primary_key=True),
    Column("curve", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("x", Double, nullable=False),
    Column("y", Double, nullable=False),
    Column("samples", Integer, nullable=False),
    CheckConstraint(
        "curve in ('reliability', 'risk_coverage')", name="validation_curve_curve_check"
    ),
    CheckConstraint("position > 0", name="validation_curve_position_check"),
    CheckConstraint("samples >= 0", name="validation_curve_samples_check"),
    comment=(
        "Points in ascending x. Reliability: mean confidence of a bin, and its "
        "accuracy. Risk and coverage: share of samples answered, and share of "
        "the answers that are wrong."
    ),
)

label_suspicion = Table(
    "label_suspicion",
    METADATA,
    Column(
        "run_id",
        BigInteger,
        ForeignKey("annotator.training_run.run_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("sample_id", Text, primary_key=True),
    Column("dataset_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("predicted", Text, nullable=False),
    Column("suspicion", Double, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("evidence", JSONB, nullable=False, server_default="{}"),
    CheckConstraint("rank > 0", name="label_suspicion_rank_check"),
    comment=(
        "Labels of the cohort that are contradicted by models fitted without the "
        "dataset; rank 1 is the most suspicious."
    ),
)

release = Table(
    "release",
    METADATA,
    Column("release_id", BigInteger, Identity(always=True), primary_key=True),
    Column("field", Text, nullable=False),
    Column("run_id", BigInteger, ForeignKey("annotator.training_run.run_id"), nullable=False),
    Column("status", RELEASE_STATUS, nullable=False, server_default="candidate"),
    Column("classes", ARRAY(Text), nullable=False),
    Column("features", Integer, nullable=False),
    Column("reasons", ARRAY(Text), nullable=False, server_default="{}"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("promoted_at", DateTime(timezone=True)),
    Column(
        "retired_at",
        DateTime(timezone=True),
        comment=(
            "When the release stopped being live: replaced by a newer one (retired), "
            "or damaged and replaced by the fallback release (rejected)."
        ),
    ),
    Column(
        "weights",
        JSONB,
        comment=(
            "Share of each model kind in the combination; the shares sum to one. Null "
            "for releases of earlier versions."
        ),
    ),
    UniqueConstraint("run_id"),
    CheckConstraint(
        "status not in ('live', 'retired') or promoted_at is not null", name="release_check"
    ),
    CheckConstraint("cardinality(classes) >= 2", name="release_classes_check"),
    CheckConstraint("features > 0", name="release_features_check"),
    CheckConstraint("status <> 'retired' or retired_at is not null", name="retired_has_time"),
    CheckConstraint(
        "retired_at is null or status = 'retired' or status = 'rejected' and "
        "promoted_at is not null",
        name="retired_was_live",
    ),
    CheckConstraint("jsonb_typeof(weights) = 'object'", name="weights_are_an_object"),
    Index("one_live_release", "field", unique=True, postgresql_where=text("status = 'live'")),
    Index("release_field", "field", text("release_id desc")),
)

release_comparison = Table(
    "release_comparison",
    METADATA,
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False, comment="The metric, as in annotator.metric."),
    Column(
        "compared_with",
        Text,
        nullable=False,
        comment=("live for the release that was live then, else the name of the baseline."),
    ),
    Column(
        "ours",
        Double,
        nullable=False,
        comment="The metric of the release, on held-out samples that both predicted.",
    ),
    Column(
        "theirs", Double, nullable=False, comment="The metric of the opponent, on the same samples."
    ),
    Column(
        "chance",
        Double,
        comment=(
            "The metric expected from guessing, used instead of a baseline that is "
            "lower; null if guessing is not considered."
        ),
    ),
    Column(
        "margin",
        Double,
        nullable=False,
        comment=(
            "How far the release may fall behind the live one, or has to be ahead of a baseline."
        ),
    ),
    Column("passed", Boolean, nullable=False),
    Column("samples", Integer, nullable=False),
    Column("datasets", Integer, nullable=False),
    Column(
        "sentence",
        Text,
        nullable=False,
        comment=("The comparison as a sentence, as in release.reasons."),
    ),
    CheckConstraint("datasets >= 0", name="release_comparison_datasets_check"),
    CheckConstraint("position > 0", name="release_comparison_position_check"),
    CheckConstraint("samples >= 0", name="release_comparison_samples_check"),
    comment=(
        "The comparisons of the gate before a release was promoted or rejected: "
        "one row per metric and opponent."
    ),
)

artefact = Table(
    "artefact",
    METADATA,
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("name", Text, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="artefact_sha256_check"),
    CheckConstraint(
        "size = octet_length(content) and sha256 = encode(sha256(content), 'hex')",
        name="content_is_what_it_was",
    ),
)

release_report = Table(
    "release_report",
    METADATA,
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("status", RELEASE_STATUS, nullable=False),
    Column("judged", BigInteger, nullable=False, server_default=text("0")),
    Column("confirmed", BigInteger, nullable=False, server_default=text("0")),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("host", Text, nullable=False),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="release_report_sha256_check"),
    CheckConstraint("size > 0", name="release_report_size_check"),
    comment=(
        "Path of the report of a release, on the host that wrote it; status, "
        "judged and confirmed are those in the report."
    ),
)

class_marker = Table(
    "class_marker",
    METADATA,
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("class", Text, primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("feature", Text, nullable=False),
    Column(
        "score",
        Double,
        nullable=False,
        comment=(
            "Mean contribution over the class's samples to the logit of the class in "
            "the combination, minus the mean contribution to the other classes."
        ),
    ),
    Column(
        "tree_rank",
        Integer,
        comment=(
            "Rank of the feature for the class by tree SHAP of the forest, computed the same way."
        ),
    ),
    Column(
        "network_rank",
        Integer,
        comment=(
            "Rank of the feature for the class by DeepLIFT of the network alone, as in the paper."
        ),
    ),
    Column(
        "stability",
        Double,
        comment=(
            "Share of the models fitted without a part of the datasets that have the "
            "feature among the class's markers, too."
        ),
    ),
    Column(
        "mean_expression",
        Double,
        nullable=False,
        comment=("Mean reads per million in the class's samples."),
    ),
    Column(
        "expression",
        ARRAY(REAL),
        nullable=False,
        comment=("Mean reads per million in each class, in the order of the release's classes."),
    ),
    UniqueConstraint("release_id", "class", "feature"),
    CheckConstraint("mean_expression >= 0", name="class_marker_mean_expression_check"),
    CheckConstraint("network_rank > 0", name="class_marker_network_rank_check"),
    CheckConstraint("rank > 0", name="class_marker_rank_check"),
    CheckConstraint("stability between 0 and 1", name="class_marker_stability_check"),
    CheckConstraint("tree_rank > 0", name="class_marker_tree_rank_check"),
    comment=(
        "Features that contribute more to a class than to the others in the "
        "combination of a release; rank 1 is the first."
    ),
)

class_similarity = Table(
    "class_similarity",
    METADATA,
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column(
        "model_kind",
        Text,
        nullable=False,
        comment=(
            "Model kind of the prediction: the combination (combined), or the network "
            "as in the paper."
        ),
    ),
    Column("class", Text, nullable=False),
    Column("rival", Text),
    Column("samples", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("mean_steps", Double),
    UniqueConstraint(
        "release_id", "model_kind", "class", "rival", postgresql_nulls_not_distinct=True
    ),
    CheckConstraint("changed between 0 and samples", name="class_similarity_check"),
    CheckConstraint("(changed = 0) = (mean_steps is null)", name="class_similarity_check1"),
    CheckConstraint("mean_steps >= 1", name="class_similarity_mean_steps_check"),
    CheckConstraint(
        "model_kind in ('combined', 'network')", name="class_similarity_model_kind_check"
    ),
    CheckConstraint("samples >= 0", name="class_similarity_samples_check"),
    comment=(
        "How many features must be set to zero, on average over the samples that "
        "change, before the rival is predicted for a sample of the class; rival "
        "is null for any other class."
    ),
)

class_enrichment = Table(
    "class_enrichment",
    METADATA,
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("source", Text, primary_key=True),
    Column("set_name", Text, primary_key=True),
    Column("class", Text, primary_key=True),
    Column("background", Integer, nullable=False),
    Column("set_size", Integer, nullable=False),
    Column("markers", Integer, nullable=False),
    Column("overlap", Integer, nullable=False),
    Column("p_value", Double, nullable=False),
    Column("q_value", Double, nullable=False),
    Column("features", ARRAY(Text), nullable=False, server_default="{}"),
    CheckConstraint("background > 0", name="class_enrichment_background_check"),
    CheckConstraint("set_size between 0 and background", name="class_enrichment_check"),
    CheckConstraint("markers between 0 and background", name="class_enrichment_check1"),
    CheckConstraint(
        "overlap between 0 and least(set_size, markers)", name="class_enrichment_check2"
    ),
    CheckConstraint("p_value between 0 and 1", name="class_enrichment_p_value_check"),
    CheckConstraint("q_value between 0 and 1", name="class_enrichment_q_value_check"),
    comment=(
        "Over-representation of given sets of features among the markers of "
        "each class that it expresses above the median of the classes: "
        "hypergeometric, Benjamini-Hochberg over the release and source."
    ),
)

sample_map = Table(
    "sample_map",
    METADATA,
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("sample_id", Text, primary_key=True),
    Column("dataset_id", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("x", REAL, nullable=False),
    Column("y", REAL, nullable=False),
    comment=(
        "The labelled samples of a release on a plane (t-SNE): neighbours have similar profiles."
    ),
)

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
    Index("work_claim", "field", "dataset_id", "sample_id"),
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
        postgresql_include=["release_id", "sample_updated_at", "status"],
        postgresql_where=text("is_current"),
    ),
    Index("prediction_dataset", "dataset_id", "field", postgresql_where=text("is_current")),
    Index(
        "prediction_recent",
        "release_id",
        text("coalesce(sample_updated_at, created_at)"),
        postgresql_where=text("is_current"),
    ),
    Index("prediction_release", "release_id"),
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
        "sample_id", "field", "release_id", "sample_updated_at", postgresql_nulls_not_distinct=True
    ),
)

review = Table(
    "review",
    METADATA,
    Column("review_id", BigInteger, Identity(always=True), primary_key=True),
    Column(
        "prediction_id",
        BigInteger,
        ForeignKey("annotator.prediction.prediction_id"),
        nullable=False,
    ),
    Column("decision", REVIEW_DECISION, nullable=False),
    Column("value", Text),
    Column("note", Text),
    Column("reviewer", Text, nullable=False, server_default=text("session_user")),
    Column("reviewed_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column(
        "sample_id",
        Text,
        nullable=False,
        comment=("Sample of the prediction; like field, the database fills it in."),
    ),
    Column("field", Text, nullable=False),
    Column(
        "number",
        Double,
        comment=(
            "The number that the curator gave (age in years); value is the interval "
            "that includes it. Null if a value was given."
        ),
    ),
    UniqueConstraint("prediction_id"),
    CheckConstraint(
        "number is null or decision = 'corrected'", name="only_corrections_have_a_number"
    ),
    CheckConstraint("(decision = 'rejected') = (value is null)", name="review_check"),
    Index("review_sample", "sample_id", "field"),
)

undone_review = Table(
    "undone_review",
    METADATA,
    Column("review_id", BigInteger, primary_key=True, autoincrement=False),
    Column(
        "prediction_id",
        BigInteger,
        ForeignKey("annotator.prediction.prediction_id"),
        nullable=False,
    ),
    Column("decision", REVIEW_DECISION, nullable=False),
    Column("value", Text),
    Column("number", Double),
    Column("note", Text),
    Column("reviewer", Text, nullable=False),
    Column("reviewed_at", DateTime(timezone=True), nullable=False),
    Column("undone_by", Text, nullable=False, server_default=text("session_user")),
    Column("undone_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("undo_note", Text),
    Index("undone_review_prediction", "prediction_id"),
    comment=("Decisions that were undone. annotator.review contains those that stand."),
)

queue_group = Table(
    "queue_group",
    METADATA,
    Column("dataset_id", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column(
        "section",
        SmallInteger,
        nullable=False,
        comment=(
            "0: datasets that can be decided with one click; 1: the others, by informativeness."
        ),
    ),
    Column(
        "worth",
        Double,
        nullable=False,
        comment=(
            "Section 0: open samples times the lowest confidence; section 1: mean "
            "informativeness of the open samples. Higher comes first."
        ),
    ),
    Column("open", BigInteger, nullable=False),
    Column("agrees", Boolean),
    Column("lowest_confidence", Double),
    Column("best_value", Text),
    Column("lineage", ARRAY(Text)),
    Column(
        "has_reviews",
        Boolean,
        nullable=False,
        comment=(
            "Whether there are decisions about its samples; if not, they need not be looked up."
        ),
    ),
    Column("counted_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("section in (0, 1)", name="queue_group_section_check"),
    Index("queue_group_age", "counted_at"),
    Index("queue_group_field", "field", "section", text("worth desc"), "dataset_id"),
    Index("queue_group_order", "section", text("worth desc"), "dataset_id", "field"),
    comment=(
        "Place of each dataset and field in review_queue. Everything undecided "
        "has a row here or in queue_change."
    ),
)

queue_change = Table(
    "queue_change",
    METADATA,
    Column("change_id", BigInteger, Identity(always=True), primary_key=True),
    Column("dataset_id", Text, nullable=False),
    Column("field", Text, nullable=False),
    Index("queue_change_group", "dataset_id", "field"),
    comment=(
        "Datasets and fields whose place has to be recomputed; until then review_queue computes it."
    ),
)

mirror_change = Table(
    "mirror_change",
    METADATA,
    Column("change_id", BigInteger, Identity(always=True), primary_key=True),
    Column("sample_id", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("field", Text),
    Column("value", Text),
    Column("source", Text),
    Column(
        "seen_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()")
    ),
    CheckConstraint("(what = 'label') = (field is not null)", name="mirror_change_check"),
    CheckConstraint("what in ('label', 'dataset')", name="mirror_change_what_check"),
    Index("mirror_change_sample", "sample_id", "field", text("change_id desc")),
    comment=(
        "Changes in the mirror of samples with a prediction: a label was added, "
        "changed or removed (value is null), or the sample moved to another "
        "dataset. seen_at is when a daemon found the change."
    ),
)

event = Table(
    "event",
    METADATA,
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("kind", Text, nullable=False),
    Column("subject", Text),
    Column("detail", JSONB, nullable=False, server_default="{}"),
    Column("actor", Text, nullable=False, server_default=text("session_user")),
    Index("event_at", "at"),
)

heartbeat = Table(
    "heartbeat",
    METADATA,
    Column("worker", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    Column("beat_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)

tick = Table(
    "tick",
    METADATA,
    Column("job", Text, primary_key=True),
    Column("due_at", DateTime(timezone=True), primary_key=True),
    Column("worker", Text, nullable=False),
    Column("outcome", Text),
    Column("taken_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
    comment=("Each due time of a scheduled job, taken by one daemon: none runs twice."),
)
