"""The table of the spellings of organisms."""

from __future__ import annotations

from sqlalchemy import Column, Table, Text

from annotator.store.tables.base import METADATA

organism_spelling = Table(
    "organism_spelling",
    METADATA,
    Column("spelling", Text, primary_key=True),
    Column("organism", Text, nullable=False),
    comment=(
        "The organism that a spelling in atlas.sample means, where it is written in "
        "another way; the empty spelling is a missing organism. Filled before samples "
        "are annotated or learned from."
    ),
)
