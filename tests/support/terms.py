"""Terms without ids, from their parents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from annotator.domain.terms import Term


def terms_of(parents: Mapping[str, Iterable[str]]) -> tuple[Term, ...]:
    """Return terms that are named by their ids; parents without an entry are roots."""
    given = {term: tuple(above) for term, above in parents.items()}
    undeclared = {each: () for above in given.values() for each in above if each not in given}
    return tuple(Term(term, term, above) for term, above in {**given, **undeclared}.items())
