"""Tables about the samples of the mirror."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, Table, Text

from annotator.store.tables.base import METADATA

sample_signature = Table(
    "sample_signature",
    METADATA,
    Column("sample_id", Text, primary_key=True),
    Column("signature", LargeBinary, nullable=False),
    comment=(
        "Digest of the sRNA counts of each imported sample: equal ones are copies of one library."
    ),
)
