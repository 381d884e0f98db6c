"""Samples as described in files, and the summary of an import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotator.domain.values import ValueUse


AS_GIVEN = " (as given)"
"""End of the name of an attribute that keeps a value that is not understood."""


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
    written
        The cells of columns with values that are read, as they stand in the file, by column;
        empty ones are left out. They are counted and not compared.
    """

    sample_id: str
    dataset_id: str
    values: Mapping[str, str]
    numbers: Mapping[str, float]
    organism: str | None = None
    is_cell_line: bool | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    given_fields: frozenset[str] = frozenset()
    written: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """The numbers of rows that an import added and changed in the mirror.

    Attributes
    ----------
    values
        For each field, and for other columns with values that are not used: how many are
        used, and why the others are not.
    """

    datasets_added: int
    samples_added: int
    samples_changed: int
    samples_unchanged: int
    features_added: int
    annotations_changed: int
    terms_added: int
    values: tuple[ValueUse, ...] = ()
