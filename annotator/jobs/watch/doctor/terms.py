"""Check that the labels of the mirror are terms of its ontology."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.wording import some
from annotator.jobs.watch.doctor.findings import Finding, good, warning
from annotator.store.mirror.terms import (
    match_labels,
    mirror_labels,
    ontology_fields,
    read_terms,
    terms_per_prefix,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from annotator.domain.terms import LabelMatches
    from annotator.settings import Settings

SUBJECT = "labels"


def check_terms(connection: psycopg.Connection, settings: Settings) -> Iterator[Finding]:
    """Look for labels that are no terms, and for several ontologies side by side."""
    prefixes = terms_per_prefix(connection)
    if not prefixes:
        return
    if len(prefixes) > 1:
        counts = ", ".join(
            f"{number} {prefix or 'without a prefix'}" for prefix, number in prefixes.items()
        )
        yield warning(
            SUBJECT,
            f"atlas.term has the terms of several ontologies: {counts}; terms with the same name"
            " count as one",
            "if that is not intended, keep one ontology: delete the other terms from"
            " atlas.term_parent, atlas.term_synonym and atlas.term",
        )
    labels = mirror_labels(connection, ontology_fields(settings.fields))
    for found in match_labels(labels, read_terms(connection)):
        yield _finding(found)


def _finding(found: LabelMatches) -> Finding:
    if not found.unknown:
        return good(SUBJECT, f"{found.field}: all {found.values} values are terms of the ontology")
    samples = sum(number for number, _ in found.unknown.values())
    listed = [
        repr(value) + (f" (nearest: {', '.join(map(repr, nearest[:3]))})" if nearest else "")
        for value, (_, nearest) in found.unknown.items()
    ]
    return warning(
        SUBJECT,
        f"{found.field}: {len(found.unknown)} of {found.values} values, of {samples} of"
        f" {found.samples} samples, are no terms of the ontology: {some(listed)}",
        "correct them in the atlas, or import the ontology that has them; until then they are"
        " classes of their own or too rare for one",
    )
