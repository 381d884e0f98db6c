"""How labels match the terms of an ontology, and what its file has, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.terms import Match
from annotator.domain.wording import some

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from annotator.domain.terms import LabelMatches, OntologyFile

_WAYS = {
    Match.NAME: "by name",
    Match.SYNONYM: "by synonym",
    Match.ID: "by id",
    Match.REPLACED: "by an alternative or obsolete id or name",
}


def ontology_lines(read: OntologyFile | None) -> Iterator[str]:
    """Yield one line on the content of an ontology file, and one on each thing left out."""
    if read is None:
        return
    edges = sum(len(term.parents) for term in read.terms)
    synonyms = sum(len(term.synonyms) for term in read.terms)
    yield f"ontology: {len(read.terms)} terms, {edges} parents, {synonyms} synonyms"
    if read.replaced or read.obsolete:
        yield (
            f"ontology: {read.replaced + read.obsolete} obsolete terms: {read.replaced} stand for"
            f" the terms that replace them, {read.obsolete} without a replacement are left out"
        )
    if read.unknown_parents:
        yield (
            f"ontology: {read.unknown_parents} parents that the file does not define are left out"
        )
    if read.broken:
        listed = [" ".join(edge) for edge in read.broken]
        yield (
            f"ontology: {len(read.broken)} relations that close a cycle are left out:"
            f" {some(listed, joint='; ')}"
        )
    if read.other_relations:
        listed = [f"{name} {number}" for name, number in read.other_relations.items()]
        yield f"ontology: relations that are not used: {some(listed)}"
    for note in read.notes:
        yield f"ontology: {note}"
    if read.unused_columns:
        yield f"ontology: columns that are not used: {some(read.unused_columns)}"


def label_lines(labels: Iterable[LabelMatches]) -> Iterator[str]:
    """Yield one line per field on how its values match the terms of the ontology.

    Examples
    --------
    >>> from annotator.domain.terms import LabelMatches
    >>> found = {Match.NAME: 3, Match.ID: 1}
    >>> [line] = label_lines([LabelMatches("tissue", found, {"livr": (2, ("liver",))}, 9)])
    >>> line.split("; ")[0]
    'tissue: 4 of 5 values are terms of the ontology (3 by name, 1 by id)'
    >>> line.split("; ")[1]
    "2 of 9 samples have another: 'livr' (nearest: 'liver')"
    """
    for one in labels:
        numbers = ((one.found.get(way, 0), text) for way, text in _WAYS.items())
        ways = ", ".join(f"{number} {text}" for number, text in numbers if number)
        terms = sum(one.found.values())
        text = f"{one.field}: {terms} of {one.values} values are terms of the ontology"
        if ways:
            text += f" ({ways})"
        if one.unknown:
            samples = sum(number for number, _ in one.unknown.values())
            listed = [
                f"{value!r}" + (f" (nearest: {_quoted(nearest)})" if nearest else "")
                for value, (_, nearest) in one.unknown.items()
            ]
            text += f"; {samples} of {one.samples} samples have another: {some(listed)}"
        yield text


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names[:3])
