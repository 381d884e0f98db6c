"""Read OBO Graph JSON, the other format in which UBERON and the Cell Ontology are published."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import msgspec

from annotator.domain.terms import Scope, Synonym
from annotator.errors import InputError
from annotator.reading.ontology.assembling import Edge, RawTerm, assemble

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from annotator.domain.terms import OntologyFile

_IRI = re.compile(r"https?://purl\.obolibrary\.org/obo/([A-Za-z]\w*?)_(\w+)$")
_SCOPES = {
    "hasExactSynonym": Scope.EXACT,
    "hasNarrowSynonym": Scope.NARROW,
    "hasBroadSynonym": Scope.BROAD,
    "hasRelatedSynonym": Scope.RELATED,
}
_REPLACED_BY = "IAO:0100001"


class _Value(msgspec.Struct):
    pred: str = ""
    val: str = ""


class _Meta(msgspec.Struct):
    synonyms: tuple[_Value, ...] = ()
    basicPropertyValues: tuple[_Value, ...] = ()  # noqa: N815 - as in the file
    deprecated: bool = False


class _Node(msgspec.Struct):
    id: str
    lbl: str | None = None
    type: str | None = None
    meta: _Meta | None = None


class _Edge(msgspec.Struct):
    sub: str
    pred: str
    obj: str


class _Graph(msgspec.Struct):
    nodes: tuple[_Node, ...] = ()
    edges: tuple[_Edge, ...] = ()


class _Document(msgspec.Struct):
    graphs: tuple[_Graph, ...]


def read_graph_json(text: str, path: Path) -> OntologyFile:
    """Read an ontology in OBO Graph JSON.

    Parameters
    ----------
    text
        The content of the file.
    path
        The file, for messages.

    Raises
    ------
    InputError
        It is not JSON, not an OBO graph, or has no named term.
    """
    try:
        document = msgspec.json.decode(text.encode(), type=cast("Any", _Document))
    except msgspec.DecodeError as error:
        raise InputError(
            f"not OBO Graph JSON: {error}; it needs graphs with nodes and edges", source=str(path)
        ) from error
    raw = {
        term.term_id: term
        for graph in document.graphs
        for node in graph.nodes
        if (term := _term(node)) is not None
    }
    if not raw:
        raise InputError("the graphs have no node with a label", source=str(path))
    return assemble(
        list(raw.values()),
        (
            Edge(_short(edge.sub), _short(edge.pred).rpartition("#")[2], _short(edge.obj))
            for graph in document.graphs
            for edge in graph.edges
        ),
    )


def _short(iri: str) -> str:
    """Return an id as in OBO files: ``UBERON:0002107`` for the IRI that ends so."""
    return _IRI.sub(r"\1:\2", iri)


def _term(node: _Node) -> RawTerm | None:
    if not node.lbl or node.type not in (None, "CLASS"):
        return None
    meta = node.meta or _Meta()
    values = [(_short(one.pred).rpartition("#")[2], one.val) for one in meta.basicPropertyValues]
    return RawTerm(
        _short(node.id),
        node.lbl.strip(),
        tuple(_synonyms(meta, values)),
        is_obsolete=meta.deprecated,
        replaced_by=tuple(_short(value) for pred, value in values if pred == _REPLACED_BY),
        consider=tuple(_short(value) for pred, value in values if pred == "consider"),
    )


def _synonyms(meta: _Meta, values: list[tuple[str, str]]) -> Iterator[Synonym]:
    for one in meta.synonyms:
        yield Synonym(one.val, _SCOPES.get(one.pred.rpartition("#")[2], Scope.RELATED))
    for pred, value in values:
        if pred == "hasAlternativeId":
            yield Synonym(_short(value), Scope.ALTERNATIVE_ID)
