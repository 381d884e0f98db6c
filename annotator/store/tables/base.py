"""Metadata, enums and naming of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Enum, MetaData

from annotator.domain.statuses import PredictionStatus, ReleaseStatus, ReviewDecision, RunStatus

if TYPE_CHECKING:
    from enum import StrEnum

# The names that PostgreSQL gives to unnamed constraints.
_NAMES = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
}

METADATA = MetaData(schema="annotator", naming_convention=_NAMES)


def _enum(members: type[StrEnum], name: str) -> Enum:
    values = [each.value for each in members]
    return Enum(*values, name=name, metadata=METADATA, schema=METADATA.schema)


RUN_STATUS = _enum(RunStatus, "run_status")

RELEASE_STATUS = _enum(ReleaseStatus, "release_status")

PREDICTION_STATUS = _enum(PredictionStatus, "prediction_status")

REVIEW_DECISION = _enum(ReviewDecision, "review_decision")
