"""Explanations, curves, a queue with an order, undone reviews, comparisons of the gate."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from annotator.store.server.schema_objects import drop_objects

revision = "0002"
down_revision = "0001"

FOLDER = Path(__file__).parent.parent
# Triggers, generated columns and indexes need their functions before the views exist.
CALLED_BY_TABLES = (
    "disagreement", "informativeness", "check_class_probabilities", "name_reviewed_sample",
    "note_prediction_change", "note_review_change", "label_key", "refuse_change",
)  # fmt: skip
# Replaced by a function with another signature, which would otherwise stand beside it.
REPLACED = """
drop function annotator.reject_suggestion(bigint, text);
drop function annotator.decide(bigint, annotator.review_decision, text, text);
"""
# What 0001 creates comes back without the rights that grants.sql of its time gave.
GRANTS_OF_0001 = """
revoke all on all functions in schema annotator from public;
grant select on
    annotator.suggestion, annotator.review_queue, annotator.effective_annotation,
    annotator.suspect_annotation, annotator.model_card, annotator.contribution
to annotator_daemon, annotator_curator, annotator_reader;
grant insert on annotator.contribution to annotator_daemon;
grant execute on function annotator.lineage(text), annotator.vocabulary(text)
to annotator_daemon, annotator_curator, annotator_reader;
grant execute on function
    annotator.accept_suggestion(bigint, text),
    annotator.reject_suggestion(bigint, text),
    annotator.correct_suggestion(bigint, text, text),
    annotator.accept_dataset(text, text, double precision, text)
to annotator_curator;
"""


def run(sql: str) -> None:
    """Run several statements; without parameters, so that '%' and ':' are plain text."""
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(sql)


def run_file(name: str) -> None:
    run((FOLDER / name).read_text(encoding="utf-8"))


def upgrade() -> None:
    for name in CALLED_BY_TABLES:
        run_file(f"schema/functions/{name}.sql")
    run_file("sql/0002_tables.sql")
    run(REPLACED)


def downgrade() -> None:
    drop_objects(op.get_bind().connection.driver_connection, FOLDER / "schema")
    run_file("sql/0002_down.sql")
    # The published 0.1.0 finds its views and functions as its own revision made them.
    run_file("sql/0001_views.sql")
    run_file("sql/0001_reviews.sql")
    run(GRANTS_OF_0001)
