"""A queue that is found by its order, undoing, the accuracy of what was suggested, histories."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"

SQL = Path(__file__).parent.parent / "sql"
# What was changed comes back from the file that made it, without the comment on model_card and the
# rights that grants.sql of its time gave.
GRANTS = """
grant select on annotator.effective_annotation, annotator.review_queue, annotator.model_card,
    annotator.suggestion, annotator.suspect_annotation
to annotator_daemon, annotator_reader, annotator_curator;
grant execute on function annotator.vocabulary(text)
to annotator_daemon, annotator_curator, annotator_reader;
grant execute on function
    annotator.accept_suggestion(bigint, text),
    annotator.reject_suggestion(bigint, text),
    annotator.correct_suggestion(bigint, text, text),
    annotator.accept_dataset(text, text, double precision, text)
to annotator_curator;
comment on view annotator.model_card is
    'A row a release: what it was made from and how it did on datasets it had not seen.';
"""


DATASET_ID = "g.dataset_id::{} as dataset_id"


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
    run(read("0004_queue.sql").replace(DATASET_ID.format("text"), DATASET_ID.format(_type())))
    run(read("0004_reviews.sql"))
    run(read("0004_accuracy.sql"))


def downgrade() -> None:
    run(read("0004_down.sql"))
    run(
        part(
            "0001_views.sql",
            "create view annotator.effective_annotation",
            "create view annotator.suggestion",
        )
    )
    run(
        part(
            "0002_views.sql",
            "create or replace view annotator.review_queue",
            "create or replace view annotator.model_card",
        )
    )
    run(part("0003_explanations.sql", "create or replace view annotator.model_card"))
    run(read("0001_reviews.sql"))
    run(GRANTS)
