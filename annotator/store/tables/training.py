"""Tables of cohorts, training runs and their validation."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.store.tables.base import METADATA, RUN_STATUS

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

declared_word = Table(
    "declared_word",
    METADATA,
    Column("field", Text, primary_key=True),
    Column("word", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="The values and synonyms that fields are declared with.",
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
    Column("organism", Text, nullable=False, server_default=DEFAULT_ORGANISM),
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
