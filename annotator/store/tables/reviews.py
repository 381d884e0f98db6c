"""Tables of reviews and of the order of the review queue."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from annotator.store.tables.base import METADATA, REVIEW_DECISION

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
