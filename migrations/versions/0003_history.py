"""Indexes for deleting history in parts, and for finding samples that moved."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

# The new index is built first: readers wait only while the old one is dropped.
_REPLACE = """
create {kind} index replacement on annotator.prediction {columns};
drop index annotator.{name};
alter index annotator.replacement rename to {name};
"""
_KEPT = "(sample_id, field) include (release_id, sample_updated_at, status{more}) where is_current"


def replace(name: str, columns: str, kind: str = "") -> None:
    statements = _REPLACE.format(kind=kind, name=name, columns=columns)
    op.get_bind().execution_options(no_parameters=True).exec_driver_sql(statements)


def upgrade() -> None:
    # In the order of their ids, so that deleting a part need not pass over what is left before it.
    replace("prediction_release", "(release_id, prediction_id)")
    # Samples that moved are found without reading predictions.
    replace("one_current_prediction", _KEPT.format(more=", dataset_id"), "unique")


def downgrade() -> None:
    replace("prediction_release", "(release_id)")
    replace("one_current_prediction", _KEPT.format(more=""), "unique")
