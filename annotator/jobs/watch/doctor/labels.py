"""Check that the values of the mirror are used, and that no class is a missing value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.fields import FIELDS, LabelScheme
from annotator.domain.values.missing import is_missing
from annotator.domain.values.reading import Problem
from annotator.jobs.watch.doctor.findings import OK, WARNING, Finding, warning
from annotator.store.mirror.label_values import read_value_use, samples_with_attribute
from annotator.store.releases.registry import live_releases

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.values.reading import ValueUse

SUBJECT = "labels"


def check_labels(
    connection: psycopg.Connection, fields: Mapping[str, FieldDefinition]
) -> Iterator[Finding]:
    """Check the values of each field, and the classes of its live release."""
    empty = []
    for use in read_value_use(connection, fields):
        if use.given:
            yield _values_finding(use, fields[use.field])
        elif use.field not in FIELDS:
            empty.append(fields[use.field])
    if empty:
        for field, found in samples_with_attribute(connection, empty).items():
            yield warning(
                SUBJECT,
                f"no sample has a value of {field}, but {found}",
                "import their files again, now that it is a field",
            )
    for release in live_releases(connection):
        definition = fields.get(release.field)
        if definition is None:
            yield warning(
                SUBJECT, release.undeclared, f"declare [fields.{release.field}] to use it again"
            )
        vocabulary = definition.vocabulary if definition is not None else ()
        words = [name for name in release.classes if is_missing(name) and name not in vocabulary]
        if words:
            yield warning(
                SUBJECT,
                f"live release {release.release_id} of {release.field} predicts"
                f" {', '.join(map(repr, words))}, as if a missing value were a class",
                f"run `annotator retrain --field {release.field}`; missing values are no longer"
                " learned from",
            )


def _values_finding(use: ValueUse, definition: FieldDefinition) -> Finding:
    found = f"{use.used} of {use.given} values of {use.field} are used"
    if use.not_used - use.missing <= use.used:
        return Finding(SUBJECT, OK, found, values=use)
    main = next(each.problem for each in use.unused if each.problem is not Problem.MISSING)
    place = f"[fields.{use.field}] in annotator.toml, or"
    fix = {
        LabelScheme.CATEGORIES: f"add their spellings to the synonyms of {place} ",
        LabelScheme.INTERVALS: f"check limits and unit of {place} ",
    }.get(definition.scheme, "")
    fix += "correct the values in the atlas"
    if main is Problem.IMPORT_AGAIN:
        fix = "import their files again"
    return Finding(SUBJECT, WARNING, found, fix, use)
