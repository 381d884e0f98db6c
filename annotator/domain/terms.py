"""Terms of ontologies, and finding the term that a label means.

A label is compared with ids, names and synonyms by its *key* (:func:`label_key`), so that
letter case, spaces, underscores and hyphens make no difference. The SQL functions
``annotator.label_key`` and ``annotator.find_term`` follow the same rules.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# A hyphen before a space or at an end has a meaning, as in "CD4- T cell".
_SEPARATORS = re.compile(r"[\s\u00a0_]+|(?<=[^\s\u00a0_])-+(?=[^\s\u00a0_])", re.ASCII)
_LEAST_SIMILARITY = 0.6


def label_key(text: str) -> str:
    """Return a label in lower case with single spaces, which stand for underscores and hyphens.

    Examples
    --------
    >>> label_key("  Whole_Blood "), label_key("T-cell"), label_key("CD4- T cell")
    ('whole blood', 't cell', 'cd4- t cell')
    """
    return _SEPARATORS.sub(" ", text).strip(" ").lower()


class Scope(StrEnum):
    """The relation of another name or id to its term, in the order of precedence."""

    EXACT = "exact"
    ALTERNATIVE_ID = "alternative_id"
    REPLACED = "replaced"
    """The id or name of an obsolete term that this one replaces."""
    NARROW = "narrow"
    BROAD = "broad"
    RELATED = "related"
    CONSIDER = "consider"
    """The id or name of an obsolete term; whether this one is meant, a person must decide."""


class Match(StrEnum):
    """How a label was found among the terms."""

    ID = "id"
    NAME = "name"
    SYNONYM = "synonym"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Synonym:
    """Another name or id of a term."""

    text: str
    scope: Scope = Scope.EXACT


@dataclass(frozen=True, slots=True)
class Term:
    """A term of an ontology.

    Attributes
    ----------
    term_id, name
        Not empty; they are the same in an ontology without ids.
    parents
        Ids of the terms directly above it.
    synonyms
        Other names and ids.
    """

    term_id: str
    name: str
    parents: tuple[str, ...] = ()
    synonyms: tuple[Synonym, ...] = ()


@dataclass(frozen=True, slots=True)
class OntologyFile:
    """The content of an ontology file, and what of it is not used.

    Attributes
    ----------
    terms
        Its terms, without obsolete ones.
    replaced, obsolete
        Numbers of obsolete terms that another term replaces, and that none replaces; the
        latter are left out.
    unknown_parents
        Number of edges to terms that the file does not define, which are left out.
    broken
        Edges (child, relation, parent) that were left out because they close a cycle.
    other_relations
        Relation to number of edges, of the relations that are not used.
    unused_columns
        Columns of a table that are not used.
    notes
        What else of a table was left out or filled up, one line each.
    """

    terms: tuple[Term, ...]
    replaced: int = 0
    obsolete: int = 0
    unknown_parents: int = 0
    broken: tuple[tuple[str, str, str], ...] = ()
    other_relations: Mapping[str, int] = field(default_factory=dict)
    unused_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Ids of the parents of each term, by id."""
        return {term.term_id: term.parents for term in self.terms}


@dataclass(frozen=True, slots=True)
class LabelMatches:
    """How the values of a field match the terms of an ontology.

    Attributes
    ----------
    field
        Name of the field.
    found
        Number of distinct values per way in which they were found.
    unknown
        Each value that is no term: its number of samples, and the names of the nearest terms;
        if it is ambiguous, the names of all terms that it could mean.
    samples
        Number of samples with a value.
    """

    field: str
    found: Mapping[Match, int]
    unknown: Mapping[str, tuple[int, tuple[str, ...]]]
    samples: int

    @property
    def values(self) -> int:
        """Number of distinct values."""
        return sum(self.found.values()) + len(self.unknown)


class TermIndex:
    """The terms of the mirror, searchable by any spelling of an id, name or synonym.

    Terms with the same name, such as those of two ontologies, are one class: the term with
    the smallest id stands for them.

    Parameters
    ----------
    terms
        The terms; ids are unique.
    """

    def __init__(self, terms: Iterable[Term]) -> None:
        self.terms: Mapping[str, Term] = {
            term.term_id: term for term in sorted(terms, key=lambda each: each.term_id)
        }
        self._by_id: dict[str, str] = {}
        self._by_name: dict[str, str] = {}
        for term in self.terms.values():
            self._by_id.setdefault(label_key(term.term_id), term.term_id)
            self._by_name.setdefault(label_key(term.name), term.term_id)
        self._representative = {
            term.term_id: self._by_name[label_key(term.name)] for term in self.terms.values()
        }
        self._synonyms = self._read_synonyms()

    def _read_synonyms(self) -> dict[Scope, dict[str, set[str]]]:
        found: dict[Scope, dict[str, set[str]]] = {
            scope: defaultdict(set) for scope in (Scope.EXACT, Scope.RELATED, Scope.CONSIDER)
        }
        found[Scope.REPLACED] = defaultdict(set)
        for term in self.terms.values():
            for synonym in term.synonyms:
                scope = _GROUP_OF[synonym.scope]
                found[scope][label_key(synonym.text)].add(self.representative(term.term_id))
        return found

    def representative(self, term_id: str) -> str:
        """Return the id of the term that stands for all terms with the same name."""
        return self._representative[term_id]

    def name_of(self, term_id: str) -> str:
        """Return the name by which a term is known as a class."""
        return self.terms[self.representative(term_id)].name

    def find(self, label: str) -> tuple[str, Match] | None:
        """Return the id of the term that a label means, and how it was found.

        Ids come before names, and names before synonyms. Exact synonyms, alternative ids and
        replaced terms come before narrow, broad and related synonyms. A synonym of several
        terms means none of them.
        """
        key = label_key(label)
        term_id = label if label in self.terms else self._by_id.get(key)
        if term_id is not None:
            is_name = label_key(self.terms[term_id].name) == key
            return term_id, Match.NAME if is_name else Match.ID
        if key in self._by_name:
            return self._by_name[key], Match.NAME
        for scopes in _ROUNDS:
            found = set[str]().union(*(self._synonyms[scope].get(key, ()) for scope in scopes))
            if found:
                is_replaced = not self._synonyms[scopes[0]].get(key)
                how = Match.REPLACED if is_replaced else Match.SYNONYM
                return (min(found), how) if len(found) == 1 else None
        return None

    def class_name(self, label: str) -> str | None:
        """Return the name of the term that a label means, or ``None``."""
        found = self.find(label)
        return None if found is None else self.name_of(found[0])

    def class_names(self) -> dict[str, str]:
        """Return the class name of each key that means a term."""
        layers = [self._unambiguous(scopes) for scopes in reversed(_ROUNDS)]
        found: dict[str, str] = {}
        for by_key in (*layers, self._by_name, self._by_id):
            found.update(by_key)
        ambiguous = {key for key, terms in self._meanings(_ROUNDS[0]).items() if len(terms) > 1}
        ambiguous -= self._by_name.keys() | self._by_id.keys()
        return {key: self.name_of(term) for key, term in found.items() if key not in ambiguous}

    def _meanings(self, scopes: Iterable[Scope]) -> Mapping[str, set[str]]:
        """Return the terms that each key is a synonym of."""
        found: dict[str, set[str]] = defaultdict(set)
        for scope in scopes:
            for key, terms in self._synonyms[scope].items():
                found[key] |= terms
        return found

    def _unambiguous(self, scopes: Iterable[Scope]) -> dict[str, str]:
        meanings = self._meanings(scopes)
        return {key: min(terms) for key, terms in meanings.items() if len(terms) == 1}

    def class_parents(self) -> dict[str, tuple[str, ...]]:
        """Return the parents of each term, all by the names of their classes."""
        return {
            term.name: tuple(
                dict.fromkeys(
                    parent
                    for parent in sorted(map(self._class_of_parent, term.parents))
                    if parent != term.name
                )
            )
            for term_id in self._by_name.values()
            if (term := self.terms[term_id])
        }

    def _class_of_parent(self, term_id: str) -> str:
        # In an atlas of views, a parent need not be among the terms.
        return self.name_of(term_id) if term_id in self.terms else term_id

    def nearest(self, label: str, number: int = 1) -> tuple[str, ...]:
        """Return the names of the terms that a label might mean, nearest first.

        If it is a synonym of several terms, all of them are returned; if it is an obsolete
        term, those to be considered in its place. Otherwise names and synonyms are compared
        letter by letter.
        """
        key = label_key(label)
        if not key:
            return ()
        for by_key in self._synonyms.values():
            if key in by_key:
                return tuple(sorted(map(self.name_of, by_key[key])))
        scored: dict[str, float] = {}
        for other, score in _similar(key, self._spellings):
            name = self._spellings[other]
            scored[name] = max(score, scored.get(name, 0.0))
        return tuple(sorted(scored, key=lambda name: (-scored[name], name))[:number])

    @cached_property
    def _spellings(self) -> dict[str, str]:
        return {key: name for key, name in self.class_names().items() if len(key) > 1}


_ROUNDS = ((Scope.EXACT, Scope.REPLACED), (Scope.RELATED,))
_GROUP_OF: Mapping[Scope, Scope] = {
    Scope.EXACT: Scope.EXACT,
    Scope.ALTERNATIVE_ID: Scope.REPLACED,
    Scope.REPLACED: Scope.REPLACED,
    Scope.NARROW: Scope.RELATED,
    Scope.BROAD: Scope.RELATED,
    Scope.RELATED: Scope.RELATED,
    Scope.CONSIDER: Scope.CONSIDER,
}


def _similar(key: str, others: Iterable[str]) -> Iterator[tuple[str, float]]:
    """Yield the keys that are similar enough, with their similarity, 0 to 1."""
    pairs = {key[place : place + 2] for place in range(len(key) - 1)}
    matcher = SequenceMatcher(None, "", key, autojunk=False)
    for other in others:
        # Most keys are ruled out by this, in a fraction of the time of the matcher.
        if 3 * sum(pair in other for pair in pairs) < len(pairs):
            continue
        matcher.set_seq1(other)
        if (
            matcher.real_quick_ratio() >= _LEAST_SIMILARITY
            and (score := matcher.ratio()) >= _LEAST_SIMILARITY
        ):
            yield other, score
