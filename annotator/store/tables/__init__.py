"""The tables of schema ``annotator`` at the newest revision.

Migrations create the same tables (a test compares the two). Views and functions are not
listed: their definitions are in ``migrations/schema``. This module imports SQLAlchemy, which
takes half the start time of a short command, so only migrations import it.
"""

from annotator.store.tables import (
    answers,
    daemons,
    mirror,
    organisms,
    releases,
    reviews,
    training,
)
from annotator.store.tables.base import METADATA

__all__ = [
    "METADATA",
    "answers",
    "daemons",
    "mirror",
    "organisms",
    "releases",
    "reviews",
    "training",
]
