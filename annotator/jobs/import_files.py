"""Load files into the mirror: either all of their content or nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS, FeatureKind, column_names
from annotator.domain.imports import FileReport, ImportedCounts
from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.domain.values.reading import value_use
from annotator.errors import InputError
from annotator.reading.importers import (
    CELL_LINE,
    ORGANISM,
    Hints,
    SampleOptions,
    Which,
    match_samples,
    read_counts,
    read_ontology,
    read_samples,
)
from annotator.store.mirror.importing import apply_import, import_terms
from annotator.store.mirror.label_values import declare_words
from annotator.store.mirror.organisms import note_organisms, with_organisms
from annotator.store.server.connection import check_writable
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    import psycopg
    from scipy.sparse import csr_matrix

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.imports import ImportSummary, SampleRecord
    from annotator.domain.terms import OntologyFile
    from annotator.domain.values.reading import ValueUse
    from annotator.reading.counts.layout import CountsTable
    from annotator.reading.importers import Matched
    from annotator.store.server.connection import Database


SPIKE_IN_READS = "spike_in_reads"
"""The attribute of a sample with the reads of spike-ins, which are no part of its library."""

PREFIX_OF_DATASET = "dataset"
"""As a prefix of sample ids: the id of the dataset and a colon."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How files are read and applied.

    Attributes
    ----------
    kind
        The kind of the features in COUNTS. Counts of contaminants may cover only some of the
        samples.
    which
        The samples to import if COUNTS and SAMPLES do not have the same ones.
    orientation
        ``features-down`` or ``samples-down``; found out if it is ``None``.
    columns
        The meaning of columns of SAMPLES and their dataset, where the file does not show them.
    replace
        Whether the files are the whole truth about their samples.
    sample_prefix
        Text before every sample id, or :data:`PREFIX_OF_DATASET`; ``None`` for none.
    dry_run
        Whether to change nothing and only report what would be changed.
    """

    kind: FeatureKind = FeatureKind.SRNA
    which: Which = Which.SAME
    orientation: str | None = None
    columns: SampleOptions = field(default_factory=SampleOptions)
    replace: bool = False
    sample_prefix: str | None = None
    dry_run: bool = False


def check_given(counts: Path | None, samples: Path | None, ontology: Path | None) -> None:
    """Check that the files that are given belong together.

    Raises
    ------
    InputError
        Counts are given without samples or the other way round, or there is no file at all.
    """
    if (counts is None) != (samples is None) or (counts is None and ontology is None):
        raise InputError("give COUNTS and SAMPLES, or --ontology, or all three")


def import_files(
    database: Database,
    counts: Path | None = None,
    samples: Path | None = None,
    *,
    ontology: Path | None = None,
    options: ImportOptions = ImportOptions(),
    fields: Mapping[str, FieldDefinition] = FIELDS,
    default_organism: str = DEFAULT_ORGANISM,
) -> ImportSummary:
    """Validate the files, then apply them in one transaction.

    Parameters
    ----------
    database
        The database with the mirror.
    counts, samples, ontology
        The files, in the formats of :mod:`annotator.reading.importers`: counts and samples,
        an ontology, or all three.
    options
        How files are read and applied.
    fields
        Name to definition of the fields that ``samples`` may have columns for.
    default_organism
        The organism of new samples without one.

    Returns
    -------
    ImportSummary

    Raises
    ------
    InputError
        A file or the prefix is wrong, a file is missing, or samples would move to another
        dataset; nothing was changed.
    ReadOnlyError
        The database accepts no changes.
    """
    check_given(counts, samples, ontology)
    _check_prefix(options.sample_prefix)
    with database.connect() as connection:
        check_schema(connection)
        check_writable(connection)  # before the files are read
    read = read_ontology(ontology) if ontology is not None else None
    if counts is None or samples is None:
        assert read is not None
        return _import_ontology(database, read, options, fields)
    described = read_samples(samples, fields, options.columns)
    hints = Hints(
        frozenset(one.sample_id for one in described.records),
        options.orientation,
        column_names(fields),
    )
    with read_counts(counts, hints) as table, database.connect() as connection:
        if not hints.sample_ids & set(table.sample_ids):
            # The ids may be in another column.
            described = read_samples(samples, fields, options.columns, table.sample_ids)
        matched = match_samples(
            table.sample_ids,
            described.records,
            counts,
            samples,
            which=options.which,
            require_counts=options.kind is FeatureKind.SRNA,
        )
        # A transaction around the import's own, so that a dry run can take it back.
        names = _names(matched.samples, options.sample_prefix)
        with connection.transaction(force_rollback=options.dry_run):
            declare_words(connection, fields)
            summary = apply_import(
                connection,
                samples=with_organisms(
                    connection,
                    [
                        replace(one, sample_id=names[one.sample_id])
                        for one in _with_spike_ins(matched, table.spike_in_reads)
                    ],
                    default_organism,
                ),
                counts=ImportedCounts(
                    table.feature_names,
                    options.kind.value,
                    _matched_batches(table, matched, names),
                ),
                terms=() if read is None else read.terms,
                fields=fields,
                replace=options.replace,
            )
            note_organisms(connection, default_organism)
            summary = _with_near_copies(connection, summary, tuple(names.values()))
        files = (
            _report(counts, (*table.notes, *matched.notes)),
            _report(samples, described.notes),
        )
    return replace(summary, files=files, values=_values_of(matched.samples, fields), ontology=read)


def _with_spike_ins(matched: Matched, reads: Mapping[str, int]) -> Iterator[SampleRecord]:
    """Yield the samples, with the reads of spike-ins as an attribute where COUNTS has any."""
    of_sample = {
        matched.id_of[one]: number for one, number in reads.items() if one in matched.id_of
    }
    for sample in matched.samples:
        number = of_sample.get(sample.sample_id)
        further = {} if number is None else {SPIKE_IN_READS: str(number)}
        yield replace(sample, attributes={**sample.attributes, **further})


def _with_near_copies(
    connection: psycopg.Connection, summary: ImportSummary, sample_ids: Collection[str]
) -> ImportSummary:
    """Add the copies with slightly other counts, if the mirror is small enough to look."""
    from annotator.jobs.watch.doctor.libraries import copies_in_mirror

    if not summary.samples_added + summary.samples_changed:
        return replace(summary, near_copies_sought=True)
    found = copies_in_mirror(connection, sample_ids)
    if found is None:
        return summary
    return replace(summary, copies=found, near_copies_sought=True)


def _import_ontology(
    database: Database,
    read: OntologyFile,
    options: ImportOptions,
    fields: Mapping[str, FieldDefinition],
) -> ImportSummary:
    with (
        database.connect() as connection,
        connection.transaction(force_rollback=options.dry_run),
    ):
        declare_words(connection, fields)
        summary = import_terms(connection, read.terms, fields)
    return replace(summary, ontology=read)


def _check_prefix(prefix: str | None) -> None:
    if prefix is not None and (not prefix.strip() or prefix != prefix.lstrip()):
        raise InputError("--sample-prefix is empty or starts with a blank; give a text")
    if prefix is not None and not prefix.isprintable():
        raise InputError("--sample-prefix has characters that cannot be shown; leave them out")


def _names(records: Sequence[SampleRecord], prefix: str | None) -> dict[str, str]:
    """Return the id in the mirror of each sample id in SAMPLES."""
    if prefix == PREFIX_OF_DATASET:
        return {one.sample_id: f"{one.dataset_id}:{one.sample_id}" for one in records}
    return {one.sample_id: (prefix or "") + one.sample_id for one in records}


def _matched_batches(
    table: CountsTable, matched: Matched, names: Mapping[str, str]
) -> Iterator[tuple[Sequence[str], csr_matrix]]:
    """Yield the counts of the samples that are imported, under their ids in the mirror."""
    for ids, counts in table.batches():
        rows = [row for row, one in enumerate(ids) if one in matched.id_of]
        kept = [names[matched.id_of[ids[row]]] for row in rows]
        if rows:
            yield kept, counts if len(rows) == len(ids) else counts[rows]


def _report(path: Path, notes: Sequence[str]) -> FileReport:
    return FileReport(str(path), notes[0], tuple(notes[1:]))


def _values_of(
    records: Sequence[SampleRecord], fields: Mapping[str, FieldDefinition]
) -> tuple[ValueUse, ...]:
    """Count the values of each field, and of other columns if some are not used."""
    found = []
    others = {each.name: each for each in (CELL_LINE, ORGANISM)}
    for name, definition in {**fields, **others}.items():
        counts = Counter(each.written[name] for each in records if name in each.written)
        use = value_use(definition, [(text, None, n) for text, n in counts.items()])
        if name in fields or use.not_used:
            found.append(use)
    return tuple(found)
