"""Load files into the mirror: either all of their content or nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from annotator.atlas.importers import check_match, read_counts, read_ontology, read_samples
from annotator.atlas.samples_file import CELL_LINE, ORGANISM
from annotator.domain.fields import FIELDS, FeatureKind
from annotator.domain.values import value_use
from annotator.store.mirror.importing import apply_import
from annotator.store.mirror.label_values import declare_words
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.imports import ImportSummary, SampleRecord
    from annotator.domain.values import ValueUse
    from annotator.store.server.connection import Database


def import_files(
    database: Database,
    counts: Path,
    samples: Path,
    *,
    ontology: Path | None = None,
    kind: FeatureKind = FeatureKind.SRNA,
    fields: Mapping[str, FieldDefinition] = FIELDS,
) -> ImportSummary:
    """Validate the files, then apply them in one transaction.

    Parameters
    ----------
    database
        The database with the mirror.
    counts, samples, ontology
        The files, in the formats of :mod:`annotator.atlas.importers`.
    kind
        The kind of the features in ``counts``. Counts of contaminants may cover only
        some of the samples.
    fields
        Name to definition of the fields that ``samples`` may have columns for.

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
        declare_words(connection, fields)
    records = read_samples(samples, fields)
    terms = read_ontology(ontology) if ontology is not None else None
    with read_counts(counts) as table, database.connect() as connection:
        check_match(
            table.sample_ids,
            records,
            counts,
            samples,
            require_counts=kind is FeatureKind.SRNA,
        )
        summary = apply_import(
            connection,
            samples=records,
            feature_names=table.feature_names,
            kind=kind,
            batches=table.batches(),
            terms=terms,
            fields=fields,
        )
        connection.commit()
    return replace(summary, values=_values_of(records, fields))


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
