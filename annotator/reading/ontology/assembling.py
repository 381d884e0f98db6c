"""From the stanzas or nodes of an ontology file to its terms."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from annotator.domain.terms import OntologyFile, Scope, Synonym, Term, label_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from networkx import DiGraph

IS_A, PART_OF, DEVELOPS_FROM = RELATIONS = ("is_a", "part_of", "develops_from")
"""Relations whose object becomes a parent; the first ones are kept if there is a cycle."""

RELATION_IDS: Mapping[str, str] = {
    "subClassOf": IS_A,
    "BFO:0000050": PART_OF,
    "RO:0002202": DEVELOPS_FROM,
}
"""Other names of the relations."""


@dataclass(frozen=True, slots=True)
class RawTerm:
    """A term as the file has it; ``replaced_by`` and ``consider`` are ids of other terms."""

    term_id: str
    name: str
    synonyms: tuple[Synonym, ...] = ()
    is_obsolete: bool = False
    replaced_by: tuple[str, ...] = ()
    consider: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """A relation of a term to another one."""

    child: str
    relation: str
    parent: str


@dataclass(slots=True)
class _Obsolete:
    """The ids of obsolete terms, and the synonyms that other terms get from them."""

    replacement: dict[str, str] = field(default_factory=dict)
    synonyms: dict[str, list[Synonym]] = field(default_factory=lambda: defaultdict(list))
    left_out: int = 0


def assemble(raw: Sequence[RawTerm], edges: Iterable[Edge]) -> OntologyFile:
    """Return the terms with their parents and synonyms, and counts of what is left out.

    Obsolete terms become synonyms of the terms that replace them. Cycles are broken: of each
    cycle, edges of ``is_a`` are kept before those of ``part_of`` and ``develops_from``, and
    those of terms with smaller ids first.
    """
    current = {term.term_id: term for term in raw if not term.is_obsolete}
    obsolete = _read_obsolete(raw, current)
    used: dict[Edge, None] = {}
    other: Counter[str] = Counter()
    unknown = 0
    for edge in edges:
        if edge.child not in current:
            continue
        relation = RELATION_IDS.get(edge.relation, edge.relation)
        parent = obsolete.replacement.get(edge.parent, edge.parent)
        if relation not in RELATIONS:
            other[relation] += 1
        elif parent not in current:
            unknown += 1
        elif parent != edge.child:
            used[Edge(edge.child, relation, parent)] = None
    kept, broken = _without_cycles(list(used))
    parents: dict[str, dict[str, None]] = defaultdict(dict)
    for edge in kept:
        parents[edge.child][edge.parent] = None
    return OntologyFile(
        terms=tuple(
            Term(
                name,
                term.name,
                tuple(parents[name]),
                _unique(term, (*term.synonyms, *obsolete.synonyms[name])),
            )
            for name, term in current.items()
        ),
        replaced=len(obsolete.replacement),
        obsolete=obsolete.left_out,
        unknown_parents=unknown,
        broken=tuple((edge.child, edge.relation, edge.parent) for edge in broken),
        other_relations=dict(sorted(other.items())),
    )


def _read_obsolete(raw: Sequence[RawTerm], current: Mapping[str, RawTerm]) -> _Obsolete:
    found = _Obsolete()
    by_id = {term.term_id: term for term in raw}
    for term in raw:
        if not term.is_obsolete:
            continue
        names = (term.term_id, term.name, *(each.text for each in term.synonyms))
        end = _end_of(term, by_id)
        if end in current:
            found.replacement[term.term_id] = end
            found.synonyms[end].extend(Synonym(name, Scope.REPLACED) for name in names)
            continue
        found.left_out += 1
        for other in dict.fromkeys((*term.replaced_by, *term.consider)):
            if other in current:
                found.synonyms[other].extend(Synonym(name, Scope.CONSIDER) for name in names[:2])
    return found


def _end_of(term: RawTerm, by_id: Mapping[str, RawTerm]) -> str:
    """Return the id of the term that replaces an obsolete one, which may be replaced as well."""
    seen = {term.term_id}
    while term.is_obsolete and len(term.replaced_by) == 1:
        following = by_id.get(term.replaced_by[0])
        if following is None or following.term_id in seen:
            break
        term = following
        seen.add(term.term_id)
    return term.term_id


def _unique(term: RawTerm, synonyms: Iterable[Synonym]) -> tuple[Synonym, ...]:
    """Keep one synonym per key, of the first scope, and none that is the name or id itself."""
    order = list(Scope)
    seen = {label_key(term.term_id), label_key(term.name), ""}
    kept = []
    for synonym in sorted(synonyms, key=lambda each: order.index(each.scope)):
        key = label_key(synonym.text)
        if key not in seen:
            seen.add(key)
            kept.append(synonym)
    return tuple(kept)


def _without_cycles(edges: Sequence[Edge]) -> tuple[list[Edge], list[Edge]]:
    """Return the edges to keep, in their order, and those that close a cycle."""
    import networkx  # takes a quarter of a second

    kept: DiGraph[str] = networkx.DiGraph()
    broken: set[Edge] = set()
    for relation in RELATIONS:
        of_relation = sorted(
            (edge for edge in edges if edge.relation == relation),
            key=lambda edge: (edge.child, edge.parent),
        )
        every = kept.copy()
        every.add_edges_from((edge.child, edge.parent) for edge in of_relation)
        cycle_of = {
            term: number
            for number, terms in enumerate(networkx.strongly_connected_components(every))
            if len(terms) > 1
            for term in terms
        }
        # Only these can close a cycle, and paths outside of it do not matter.
        in_cycles = kept.subgraph(cycle_of).copy()
        for edge in of_relation:
            if cycle_of.get(edge.child, -1) == cycle_of.get(edge.parent, -2):
                if _has_path(in_cycles, edge.parent, edge.child):
                    broken.add(edge)
                    continue
                in_cycles.add_edge(edge.child, edge.parent)
            kept.add_edge(edge.child, edge.parent)
    return (
        [edge for edge in edges if edge not in broken],
        sorted(broken, key=lambda edge: (edge.child, edge.parent, edge.relation)),
    )


def _has_path(graph: DiGraph[str], start: str, end: str) -> bool:
    import networkx

    return start in graph and end in graph and bool(networkx.has_path(graph, start, end))
