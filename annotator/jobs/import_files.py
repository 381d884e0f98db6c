"""Load files into the mirror: either all of their content or nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS, FeatureKind
from annotator.domain.imports import FileReport
from annotator.reading.findings import counted
from annotator.reading.importers import (
    Hints,
    Which,
    match_samples,
    read_counts,
    read_ontology,
    read_samples,
)
from annotator.reading.tables import read_table
from annotator.store.mirror.importing import apply_import
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from scipy.sparse import csr_matrix

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.imports import ImportSummary, SampleRecord
    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.matching import Matched
    from annotator.store.server.connection import Database


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How files are read and applied.

    Attributes
    ----------
    samples
        The samples to import if COUNTS and SAMPLES do not have the same ones.
    orientation
        ``features-down`` or ``samples-down``; found out if it is ``None``.
    dry_run
        Whether to change nothing and only report what would be changed.
    """

    samples: Which = Which.SAME
    orientation: str | None = None
    dry_run: bool = False


def import_files(
    database: Database,
    counts: Path,
    samples: Path,
    *,
    ontology: Path | None = None,
    kind: FeatureKind = FeatureKind.SRNA,
    fields: Mapping[str, FieldDefinition] = FIELDS,
    options: ImportOptions = ImportOptions(),
) -> ImportSummary:
    """Validate the files, then apply them in one transaction.

    Parameters
    ----------
    database
        The database with the mirror.
    counts, samples, ontology
        The files, in the formats of :mod:`annotator.reading.importers`.
    kind
        The kind of the features in ``counts``. Counts of contaminants may cover only
        some of the samples.
    fields
        Name to definition of the fields that ``samples`` may have columns for.
    options
        How files are read and applied.

    Returns
    -------
    ImportSummary

    Raises
    ------
    InputError
        A file is wrong; nothing was changed.
    """
    with database.connect() as connection:
        check_schema(connection)
    records = read_samples(samples, fields)
    terms = read_ontology(ontology) if ontology is not None else None
    hints = Hints(frozenset(one.sample_id for one in records), options.orientation)
    with read_counts(counts, hints) as table, database.connect() as connection:
        matched = match_samples(
            table.sample_ids,
            records,
            counts,
            samples,
            which=options.samples,
            require_counts=kind is FeatureKind.SRNA,
        )
        # A transaction around the import's own, so that a dry run can take it back.
        with connection.transaction(force_rollback=options.dry_run):
            summary = apply_import(
                connection,
                samples=matched.samples,
                feature_names=table.feature_names,
                kind=kind,
                batches=_matched_batches(table, matched),
                terms=terms,
                fields=fields,
            )
        files = (_counts_report(counts, table, matched), _samples_report(samples, records))
    return replace(summary, files=files)


def _matched_batches(
    table: CountsTable, matched: Matched
) -> Iterator[tuple[Sequence[str], csr_matrix]]:
    """Yield the counts of the samples that are imported, under their ids in SAMPLES."""
    for ids, counts in table.batches():
        rows = [row for row, one in enumerate(ids) if one in matched.id_of]
        if len(rows) == len(ids):
            yield [matched.id_of[one] for one in ids], counts
        elif rows:
            yield [matched.id_of[ids[row]] for row in rows], counts[rows]


def _counts_report(path: Path, table: CountsTable, matched: Matched) -> FileReport:
    detected, *notes = table.notes
    return FileReport(str(path), detected, (*notes, *matched.notes))


def _samples_report(path: Path, records: Sequence[SampleRecord]) -> FileReport:
    dialect, *notes = read_table(path, ()).notes
    size = counted(len(records), "sample")
    return FileReport(str(path), f"table of samples, {dialect}: {size}", tuple(notes))
