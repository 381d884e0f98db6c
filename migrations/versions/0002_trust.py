"""Prediction sets, curves of the validation, suspect labels, and what the views show of them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"

SQL = Path(__file__).parent.parent / "sql"
# The views that were changed stand together at the end of the file that made them.
FIRST_CHANGED = "create view annotator.suggestion as"
# They come back without the rights that grants.sql of their time gave.
GRANTS = """
grant select on
    annotator.suggestion, annotator.review_queue, annotator.suspect_annotation,
    annotator.model_card
to annotator_daemon, annotator_reader, annotator_curator;
"""


def run(sql: str) -> None:
    """Run several statements; without parameters, so that '%' and ':' are plain text."""
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(sql)


def read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


def upgrade() -> None:
    run(read("0002_trust.sql"))
    run(read("0002_views.sql"))


def downgrade() -> None:
    run(read("0002_down.sql"))
    before = read("0001_views.sql")
    run(before[before.index(FIRST_CHANGED) :])
    run(GRANTS)
