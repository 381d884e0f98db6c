"""Load files into the mirror: either all of their content or nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from annotator.atlas.importers import check_match, read_counts, read_ontology, read_samples
from annotator.domain.fields import FIELDS, FeatureKind
from annotator.errors import InputError
from annotator.store.mirror.importing import apply_import, import_terms
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.imports import ImportSummary
    from annotator.store.server.connection import Database


def import_files(
    database: Database,
    counts: Path | None = None,
    samples: Path | None = None,
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
        The files, in the formats of :mod:`annotator.atlas.importers`: counts and samples,
        an ontology, or all three.
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
        A file is wrong or missing; nothing was changed.
    """
    with database.connect() as connection:
        check_schema(connection)
    read = read_ontology(ontology) if ontology is not None else None
    terms = () if read is None else read.terms
    if counts is None or samples is None:
        if read is None or counts is not None or samples is not None:
            raise InputError("give COUNTS and SAMPLES, or --ontology, or all three")
        with database.connect() as connection:
            summary = import_terms(connection, terms, fields)
            connection.commit()
        return replace(summary, ontology=read)
    records = read_samples(samples, fields)
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
    return replace(summary, ontology=read)
