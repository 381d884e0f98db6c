"""Samples as described in files, and the summary of an import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotator.domain.terms import LabelMatches, OntologyFile


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
class ImportSummary:
    """The numbers of rows that an import added and changed in the mirror.

    ``labels`` has, for each field of the ontology scheme, how the labels of the import match the
    terms of the mirror; it is empty if the mirror has no terms. ``ontology`` is the file of
    the ontology, if one was given.
    """

    datasets_added: int = 0
    samples_added: int = 0
    samples_changed: int = 0
    samples_unchanged: int = 0
    features_added: int = 0
    annotations_changed: int = 0
    terms_added: int = 0
    labels: tuple[LabelMatches, ...] = ()
    ontology: OntologyFile | None = None
