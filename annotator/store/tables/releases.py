"""Tables of releases, their files and explanations."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.store.tables.base import METADATA, RELEASE_STATUS

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
    Column(
        "organism",
        Text,
        nullable=False,
        server_default=DEFAULT_ORGANISM,
        comment="The organism of the samples that it has learned from; it predicts no others.",
    ),
    Column(
        "digests",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="SHA-256 of each file by name. Set when the release is made, and never changed.",
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
    CheckConstraint("jsonb_typeof(digests) = 'object'", name="digests_are_an_object"),
    CheckConstraint("jsonb_typeof(weights) = 'object'", name="weights_are_an_object"),
    Index(
        "one_live_release",
        "field",
        "organism",
        unique=True,
        postgresql_where=text("status = 'live'"),
    ),
    Index("release_field", "field", text("release_id desc")),
)

release_loading = Table(
    "release_loading",
    METADATA,
    Column(
        "release_id",
        BigInteger,
        ForeignKey("annotator.release.release_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("process", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("role", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column(
        "started_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text("clock_timestamp()"),
    ),
    Column(
        "deaths",
        Integer,
        nullable=False,
        server_default="0",
        comment=(
            "Number of processes that ended in succession while they loaded the release. It is "
            "not loaded again after the second; deleting the row allows it."
        ),
    ),
    CheckConstraint("deaths >= 0", name="release_loading_deaths_check"),
    comment="Releases that are being loaded into memory, or whose loading ended the process.",
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
