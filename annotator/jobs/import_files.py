"""Load files into the mirror: either all of their content or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.atlas.importers import check_match, read_counts, read_ontology, read_samples
from annotator.domain.fields import FIELDS, FeatureKind
from annotator.domain.organisms import DEFAULT_ORGANISM
from annotator.store.mirror.importing import apply_import
from annotator.store.mirror.organisms import note_organisms, with_organisms
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.imports import ImportSummary
    from annotator.store.server.connection import Database


def import_files(
    database: Database,
    counts: Path,
    samples: Path,
    *,
    ontology: Path | None = None,
    kind: FeatureKind = FeatureKind.SRNA,
    fields: Mapping[str, FieldDefinition] = FIELDS,
    default_organism: str = DEFAULT_ORGANISM,
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
    default_organism
        The organism of new samples without one.

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
            samples=with_organisms(connection, records, default_organism),
            feature_names=table.feature_names,
            kind=kind,
            batches=table.batches(),
            terms=terms,
            fields=fields,
        )
        connection.commit()
        note_organisms(connection, default_organism)
    return summary
