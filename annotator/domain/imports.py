"""Samples as described in files, and the summary of an import."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scipy.sparse import csr_matrix

    from annotator.domain.terms import LabelMatches, OntologyFile
    from annotator.domain.values.reading import ValueUse


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
    given_columns
        The other columns that are given: attributes and ``is_cell_line``. Without a value,
        the value is missing; what is not listed here stays as it is in the mirror.
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
    given_columns: frozenset[str] = frozenset()
    written: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FileReport:
    """The layout of a file of an import, as it was recognised.

    Attributes
    ----------
    path
        The file.
    detected
        Its layout, delimiter, encoding, orientation and size, in one line.
    notes
        What was converted or left out, one line each.
    """

    path: str
    detected: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedCounts:
    """The counts that an import brings.

    Attributes
    ----------
    feature_names
        The columns of all batches.
    kind
        The kind of these features: ``srna`` or ``contaminant``.
    batches
        Sample ids with their counts, shape ``(samples, features)``; read once, one at a time.
    """

    feature_names: Sequence[str]
    kind: str
    batches: Iterable[tuple[Sequence[str], csr_matrix]]


@dataclass(frozen=True, slots=True)
class UnnamedFeatures:
    """Stored features, of the imported kind, that the COUNTS file does not name.

    ``features`` are distinct ones, over the ``samples`` that have reads of any of them.
    """

    features: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class ForgottenData:
    """The numbers of rows that go with some datasets.

    Attributes
    ----------
    datasets
        Their ids.
    samples, counts, annotations
        Rows of the mirror; ``counts`` are stored ones, one per sample and feature.
    predictions
        Current predictions, which are kept as history.
    decisions
        Decisions of curators, which are undone.
    releases
        Live releases that have learned from them, which stay as they are.
    """

    datasets: tuple[str, ...]
    samples: int
    counts: int
    annotations: int
    predictions: int
    decisions: int
    releases: tuple[int, ...]


LEAST_SHARED_FEATURES = 10
"""Smallest number of expressed features from which equal counts are evidence of a copy."""


@dataclass(frozen=True, slots=True)
class CopiedSample:
    """A sample with the counts, or nearly the counts, of a sample in another dataset."""

    sample_id: str
    dataset_id: str
    copy_of: str
    dataset_of_copy: str


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """The numbers of rows that an import added and changed in the mirror.

    Attributes
    ----------
    samples_moved
        Samples that moved to another dataset; they are among the changed ones.
    counts_changed
        Stored counts, one per sample and feature, that were set to another value, also to zero.
    expression_repaired
        Samples whose stored expression could not be read and was replaced by the file's.
    kept, removed
        Features that the file does not name: kept, or removed if the files replace everything.
    attributes_kept
        Distinct attributes that the samples have and the files do not.
    copies
        Imported samples whose counts equal, or nearly equal, those of another dataset's sample.
    near_copies_sought
        Whether samples with slightly other counts were looked for, too.
    files
        What was recognised in each file.
    values
        For each field, and for other columns with values that are not used: how many are
        used, and why the others are not.
    labels
        For each field of the ontology scheme, how the labels of the import match the terms of
        the mirror; empty if the mirror has no terms.
    ontology
        The file of the ontology, if one was given.
    """

    datasets_added: int = 0
    samples_added: int = 0
    samples_changed: int = 0
    samples_unchanged: int = 0
    features_added: int = 0
    annotations_changed: int = 0
    terms_added: int = 0
    samples_moved: int = 0
    counts_changed: int = 0
    expression_repaired: int = 0
    kept: UnnamedFeatures = UnnamedFeatures()
    removed: UnnamedFeatures = UnnamedFeatures()
    attributes_kept: int = 0
    copies: tuple[CopiedSample, ...] = ()
    near_copies_sought: bool = False
    files: tuple[FileReport, ...] = ()
    values: tuple[ValueUse, ...] = ()
    labels: tuple[LabelMatches, ...] = ()
    ontology: OntologyFile | None = None
