"""Explanations of samples and classes, maps of samples, and where reports lie."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"

SQL = Path(__file__).parent.parent / "sql"
VIEW = "create or replace view annotator.model_card as"
# They come back without the rights that grants.sql of their time gave, and the view without
# its comment.
GRANTS = """
grant select on annotator.model_card, annotator.contribution
to annotator_daemon, annotator_reader, annotator_curator;
grant insert on annotator.contribution to annotator_daemon;
comment on view annotator.model_card is
    'A row a release: what it was made from and how it did on datasets it had not seen.';
"""


def run(sql: str) -> None:
    """Run several statements; without parameters, so that '%' and ':' are plain text."""
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(sql)


def read(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


def upgrade() -> None:
    run(read("0003_explanations.sql"))


def downgrade() -> None:
    run(read("0003_down.sql"))
    before = read("0002_views.sql")
    run(before[before.index(VIEW) :])
    run(GRANTS)
