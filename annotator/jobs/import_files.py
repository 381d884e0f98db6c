"""Load files into the mirror: either all of their content or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from annotator.atlas.importers import check_match, read_counts, read_ontology, read_samples
from annotator.domain.fields import FIELDS, FeatureKind
from annotator.domain.imports import ImportedCounts
from annotator.errors import InputError
from annotator.store.mirror.importing import apply_import
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from scipy.sparse import csr_matrix

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.imports import ImportSummary, SampleRecord
    from annotator.store.server.connection import Database


PREFIX_OF_DATASET = "dataset"
"""As a prefix of sample ids: the id of the dataset and a colon."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How the files of an import are applied.

    Attributes
    ----------
    kind
        The kind of the features in COUNTS. Counts of contaminants may cover only some of the
        samples.
    replace
        Whether the files are the whole truth about their samples.
    sample_prefix
        Text before every sample id, or :data:`PREFIX_OF_DATASET`; ``None`` for none.
    """

    kind: FeatureKind = FeatureKind.SRNA
    replace: bool = False
    sample_prefix: str | None = None


def import_files(
    database: Database,
    counts: Path,
    samples: Path,
    *,
    ontology: Path | None = None,
    options: ImportOptions = ImportOptions(),
    fields: Mapping[str, FieldDefinition] = FIELDS,
) -> ImportSummary:
    """Validate the files, then apply them in one transaction.

    Parameters
    ----------
    database
        The database with the mirror.
    counts, samples, ontology
        The files, in the formats of :mod:`annotator.atlas.importers`.
    options
        How they are applied.
    fields
        Name to definition of the fields that ``samples`` may have columns for.

    Returns
    -------
    ImportSummary

    Raises
    ------
    InputError
        A file or the prefix is wrong, or samples would move to another dataset; nothing was
        changed.
    """
    _check_prefix(options.sample_prefix)
    with database.connect() as connection:
        check_schema(connection)
    records = read_samples(samples, fields)
    terms = read_ontology(ontology) if ontology is not None else None
    with read_counts(counts) as table, database.connect() as connection:
        check_match(
            table.sample_ids,
            records,
            counts,
            samples,
            require_counts=options.kind is FeatureKind.SRNA,
        )
        names = _names(records, options.sample_prefix)
        summary = apply_import(
            connection,
            samples=[replace(one, sample_id=names[one.sample_id]) for one in records],
            counts=ImportedCounts(
                table.feature_names, options.kind.value, _renamed(table.batches(), names)
            ),
            terms=terms,
            fields=fields,
            replace=options.replace,
        )
        connection.commit()
    return summary


def _check_prefix(prefix: str | None) -> None:
    if prefix is not None and (not prefix.strip() or prefix != prefix.lstrip()):
        raise InputError("--sample-prefix is empty or starts with a blank; give a text")
    if prefix is not None and not prefix.isprintable():
        raise InputError("--sample-prefix has characters that cannot be shown; leave them out")


def _names(records: Sequence[SampleRecord], prefix: str | None) -> dict[str, str]:
    """Return the id in the mirror of each sample id in the files."""
    if prefix == PREFIX_OF_DATASET:
        return {one.sample_id: f"{one.dataset_id}:{one.sample_id}" for one in records}
    return {one.sample_id: (prefix or "") + one.sample_id for one in records}


def _renamed(
    batches: Iterator[tuple[Sequence[str], csr_matrix]], names: Mapping[str, str]
) -> Iterator[tuple[Sequence[str], csr_matrix]]:
    for sample_ids, counts in batches:
        yield [names[one] for one in sample_ids], counts
