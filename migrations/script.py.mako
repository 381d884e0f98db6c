"""${message}."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

SQL = Path(__file__).parent.parent / "sql"


def run(sql: str) -> None:
    """Run several statements; without parameters, so that '%' and ':' are plain text."""
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(sql)


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
