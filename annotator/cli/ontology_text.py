"""How labels match the terms of an ontology, and what its file has, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.terms import Match
from annotator.domain.wording import counted, some

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
    yield (
        f"ontology: {counted(len(read.terms), 'term')}, {counted(edges, 'parent')},"
        f" {counted(synonyms, 'synonym')}"
    )
    if read.replaced or read.obsolete:
        yield (
            f"ontology: {counted(read.replaced + read.obsolete, 'obsolete term')}:"
            f" {read.replaced:,} replaced by other terms, {read.obsolete:,} without a replacement"
            " left out"
        )
    if read.unknown_parents:
        yield (
            f"ontology: {counted(read.unknown_parents, 'parent')} left out, not defined in the file"
        )
    if read.broken:
        listed = [" ".join(edge) for edge in read.broken]
        yield (
            f"ontology: {counted(len(read.broken), 'relation')} left out, closing a cycle:"
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
    'tissue: 4 of 5 values in the ontology (3 by name, 1 by id)'
    >>> line.split("; ")[1]
    "other values in 2 of 9 samples: 'livr' (nearest: 'liver')"
    """
    for one in labels:
        numbers = ((one.found.get(way, 0), text) for way, text in _WAYS.items())
        ways = ", ".join(f"{number} {text}" for number, text in numbers if number)
        terms = sum(one.found.values())
        text = f"{one.field}: {terms} of {counted(one.values, 'value')} in the ontology"
        if ways:
            text += f" ({ways})"
        if one.unknown:
            samples = sum(number for number, _ in one.unknown.values())
            listed = [
                f"{value!r}" + (f" (nearest: {_quoted(nearest)})" if nearest else "")
                for value, (_, nearest) in one.unknown.items()
            ]
            text += (
                f"; other values in {samples} of {counted(one.samples, 'sample')}: {some(listed)}"
            )
        yield text


def _quoted(names: Sequence[str]) -> str:
    return " or ".join(repr(name) for name in names[:3])
