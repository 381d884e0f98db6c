"""The mirror, provenance, reviews and the views."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

SQL = Path(__file__).parent.parent / "sql"
# Later migrations are applied to databases that this one made: the list never changes.
MIRROR = (
    "dataset", "sample", "feature", "expression", "term", "term_parent", "annotation",
)  # fmt: skip


def run(sql: str) -> None:
    """Run several statements; without parameters, so that '%' and ':' are plain text."""
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(sql)


def run_file(name: str) -> None:
    run((SQL / name).read_text(encoding="utf-8"))


def holds(query: str) -> bool:
    return bool(op.get_bind().exec_driver_sql(f"select {query}").scalar_one())


def remember(kind: str, *names: str) -> None:
    """Note what was made in the mirror, so that going back removes that and nothing else."""
    for name in names:
        run(f"insert into annotator.made_object (kind, name) values ('{kind}', '{name}')")


def upgrade() -> None:
    run_file("0001_roles.sql")
    run_file("0001_made_object.sql")
    if not holds("exists (select from pg_namespace where nspname = 'atlas')"):
        run("create schema atlas")
        remember("schema", "atlas")
    # The caller has checked that a foreign atlas is whole.
    if not holds("to_regclass('atlas.sample') is not null"):
        run_file("0001_atlas.sql")
        remember("table", *(f"atlas.{name}" for name in MIRROR))
    if not holds("to_regclass('atlas.expression_long') is not null"):
        run_file("0001_expression_long.sql")
        remember("view", "atlas.expression_long")
    if not holds("to_regprocedure('atlas.feature_expression(text)') is not null"):
        run_file("0001_feature_expression.sql")
        remember("function", "atlas.feature_expression(text)")
    run_file("0001_provenance.sql")
    run_file("0001_views.sql")
    run_file("0001_reviews.sql")


def downgrade() -> None:
    run_file("0001_down.sql")
