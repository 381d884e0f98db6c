"""Samples as files describe them, and what an import changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One sample as a SAMPLES file or a simulation describes it.

    Attributes
    ----------
    sample_id, dataset_id
        Not empty.
    values
        Field to curated value as text, only where there is one.
    numbers
        Field to curated number (age in years), only where there is one.
    organism, is_cell_line
        ``None`` where nothing is said.
    attributes
        Every further column, as text, empty ones left out.
    given_fields
        Fields that something is said about: no value there means missing, while
        a field that is not named here keeps what the mirror has.
    """

    sample_id: str
    dataset_id: str
    values: Mapping[str, str]
    numbers: Mapping[str, float]
    organism: str | None = None
    is_cell_line: bool | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    given_fields: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import changed in the mirror."""

    datasets_added: int
    samples_added: int
    samples_changed: int
    samples_unchanged: int
    features_added: int
    annotations_changed: int
    terms_added: int
