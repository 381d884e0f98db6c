"""Samples as described in files, and the summary of an import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One sample as described in a SAMPLES file or by a simulation.

    Attributes
    ----------
    sample_id, dataset_id
        Not empty.
    values
        Curated value per field, as text; fields without a value are left out.
    numbers
        Curated number per field (age in years); fields without one are left out.
    organism, is_cell_line
        ``None`` if not given.
    attributes
        All other columns that are not empty, as text.
    given_fields
        Fields that are given: without a value, the value is missing. A field that is not
        listed here keeps its value in the mirror.
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
class CopiedSample:
    """A sample whose counts equal those of a sample in another dataset."""

    sample_id: str
    dataset_id: str
    copy_of: str
    dataset_of_copy: str


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """The numbers of rows that an import added and changed in the mirror, and copies in it."""

    datasets_added: int
    samples_added: int
    samples_changed: int
    samples_unchanged: int
    features_added: int
    annotations_changed: int
    terms_added: int
    copies: tuple[CopiedSample, ...] = ()
