"""Probabilities of all classes, the answer's own contributions, and corrections by a number."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"

SQL = Path(__file__).parent.parent / "sql"
DATASET_ID = "g.dataset_id::{} as dataset_id"
# What was changed comes back from the files that made it, without the rights that grants.sql of
# its time gave; functions come with the right that PostgreSQL gives to everybody.
GRANTS = """
revoke all on function
    annotator.decide(bigint, annotator.review_decision, text, text),
    annotator.reject_suggestion(bigint, text),
    annotator.correct_suggestion(bigint, text, text),
    annotator.undo_review(bigint, text),
    annotator.annotation_history(text)
from public;
grant select on
    annotator.suggestion, annotator.review_queue, annotator.effective_annotation,
    annotator.suspect_annotation, annotator.judged_suggestion, annotator.live_accuracy,
    annotator.model_card
to annotator_daemon, annotator_reader, annotator_curator;
grant execute on function annotator.annotation_history(text)
to annotator_daemon, annotator_curator, annotator_reader;
grant execute on function
    annotator.reject_suggestion(bigint, text),
    annotator.correct_suggestion(bigint, text, text),
    annotator.undo_review(bigint, text)
to annotator_curator;
"""


def _type() -> str:
    """Return the type that the queue's column has: an atlas of views may have brought another."""
    found = op.get_bind().exec_driver_sql(
        "select format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = 'annotator.review_queue'::regclass and attname = 'dataset_id'"
    )
    return str(found.scalar_one())


def run(sql: str) -> None:
    """Run several statements; without parameters, so that '%' and ':' are plain text."""
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(sql)


def read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


def part(name: str, start: str, end: str | None = None) -> str:
    """Return a file from the statement that starts so, up to the one that starts otherwise."""
    text = read(name)
    first = text.index(start)
    return text[first : None if end is None else text.index(end, first)]


def upgrade() -> None:
    run(read("0005_probabilities.sql"))
    run(read("0005_explanations.sql"))
    run(read("0005_reviews.sql"))
    run(read("0005_views.sql").replace(DATASET_ID.format("text"), DATASET_ID.format(_type())))


def downgrade() -> None:
    dataset_id = DATASET_ID.format(_type())
    run(read("0005_down.sql"))
    views, reviews = "0001_views.sql", "0001_reviews.sql"
    trust, accuracy, decisions = "0002_views.sql", "0004_accuracy.sql", "0004_reviews.sql"
    suggestion = "create or replace view annotator.suggestion"
    queue = "create or replace view annotator.review_queue"
    suspects = "create or replace view annotator.suspect_annotation"
    card = "create or replace view annotator.model_card"
    run(part(decisions, "create or replace function annotator.decide", "-- Anew, since"))
    run(
        part(
            decisions,
            "create or replace function annotator.reject_suggestion",
            "create or replace function annotator.accept_dataset",
        )
    )
    run(
        part(
            reviews,
            "create function annotator.correct_suggestion",
            "create function annotator.shared_trigrams",
        )
    )
    run(part(decisions, "create function annotator.undo_review", "alter table annotator.release"))
    run(
        part(
            accuracy,
            "create or replace view annotator.effective_annotation",
            "create function annotator.in_interval",
        )
    )
    run(part(trust, suspects, card))
    run(part(trust, suggestion, queue))
    run(part("0004_queue.sql", queue).replace(DATASET_ID.format("text"), dataset_id))
    run(
        part(
            accuracy,
            "create view annotator.judged_suggestion",
            "create function annotator.likely_share",
        )
    )
    run(part(accuracy, "create view annotator.live_accuracy"))
    # Comments that earlier files gave.
    for start, end in (
        ("comment on view annotator.effective_annotation", "create view annotator.suggestion"),
        ("comment on view annotator.suggestion", "create view annotator.review_queue"),
        ("comment on view annotator.model_card", None),
    ):
        run(part(views, start, end))
    run(part(trust, "comment on column annotator.review_queue", suspects))
    run(GRANTS)
