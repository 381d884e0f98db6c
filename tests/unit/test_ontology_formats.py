"""Ontologies in OBO, OBO Graph JSON and tables of other shapes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import networkx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotator.domain.terms import OntologyFile, Scope, Synonym, TermIndex
from annotator.errors import InputError
from annotator.reading.ontology.reading import read_ontology

OBO = r"""format-version: 1.2
ontology: made-up

[Term]
id: X:1
name: organ

[Term]
id: X:2
name: liver
alt_id: X:20
synonym: "hepar" EXACT []
synonym: "liver \"tissue\"" RELATED [Y:1]
is_a: X:1 ! organ
xref: FMA:7197

[Term]
id: X:3
name: hepatocyte\, adult
relationship: part_of X:2 ! liver
relationship: contained_in X:1 ! organ

[Term]
id: X:4
name: hepatoblast
relationship: develops_from X:5
relationship: part_of Y:99

[Term]
id: X:5
name: bud
is_a: X:1
relationship: develops_from X:4

[Term]
id: X:6
name: old liver
is_obsolete: true
replaced_by: X:2

[Term]
id: X:7
name: gone
is_obsolete: true
consider: X:3

[Typedef]
id: part_of
name: part of
"""


def read(folder: Path, content: str | bytes, name: str = "x.obo") -> OntologyFile:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_ontology(path)


def test_obo_gives_parents_by_three_relations(tmp_path: Path) -> None:
    found = read(tmp_path, OBO)
    assert found.parents == {
        "X:1": (),
        "X:2": ("X:1",),
        "X:3": ("X:2",),
        "X:4": ("X:5",),
        "X:5": ("X:1",),
    }
    only_is_a = {line for line in OBO.splitlines() if line.startswith("is_a")}
    assert sum(map(len, found.parents.values())) > len(only_is_a)


def test_what_obo_loses_is_counted(tmp_path: Path) -> None:
    found = read(tmp_path, OBO)
    assert found.broken == (("X:5", "develops_from", "X:4"),)
    assert (found.replaced, found.obsolete, found.unknown_parents) == (1, 1, 1)
    assert found.other_relations == {"contained_in": 1}


def test_obo_gives_synonyms_alternative_ids_and_obsolete_terms(tmp_path: Path) -> None:
    terms = {term.term_id: term for term in read(tmp_path, OBO).terms}
    assert set(terms["X:2"].synonyms) == {
        Synonym("hepar"),
        Synonym('liver "tissue"', Scope.RELATED),
        Synonym("X:20", Scope.ALTERNATIVE_ID),
        Synonym("X:6", Scope.REPLACED),
        Synonym("old liver", Scope.REPLACED),
    }
    assert terms["X:3"].name == "hepatocyte, adult"
    index = TermIndex(terms.values())
    assert index.class_name("X:6") == "liver"
    assert index.find("gone") is None
    assert index.nearest("gone") == ("hepatocyte, adult",)


def test_obo_may_be_compressed_and_have_no_header_or_empty_lines(tmp_path: Path) -> None:
    packed = read(tmp_path, gzip.compress(OBO.encode()), "x.obo.gz")
    assert packed == read(tmp_path, OBO)
    stanzas = OBO[OBO.index("[Term]") :].replace("\n\n", "\n")
    assert read(tmp_path, stanzas) == packed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("format-version: 1.2\n\n[Term]\nid: X:1\nname liver\n", "line 5: not a line of OBO"),
        ("format-version: 1.2\n\n[Term]\nname: liver\n", "no 'id'"),
        ("format-version: 1.2\n", "no \\[Term\\]"),
        ('<?xml version="1.0"?>\n<rdf:RDF/>\n', "OWL"),
        ("{}", "not OBO Graph JSON"),
        ('{"graphs": [{"nodes": [], "edges": []}]}', "no node"),
        ('{"graphs": [{"nodes": 1}]}', "not OBO Graph JSON"),
        ("{", "not OBO Graph JSON"),
        ('id,parent\n"a,b\n', "quotation"),
        ("id,name,parent\na,x,\na,y,\n", "named 'y' here, but 'x' before"),
        ("id,name,parent\na,x,\nb,x,\nc,z,x\n", "name of 2 terms"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


def iri(name: str) -> str:
    return "http://purl.obolibrary.org/obo/" + name.replace(":", "_")


def test_graph_json_reads_as_obo_does(tmp_path: Path) -> None:
    def values(**properties: str) -> list[dict[str, str]]:
        names = {
            "replaced": iri("IAO:0100001"),
            "other": "http://www.geneontology.org/formats/oboInOwl#hasAlternativeId",
            "consider": "http://www.geneontology.org/formats/oboInOwl#consider",
        }
        return [{"pred": names[key], "val": value} for key, value in properties.items()]

    nodes = [
        {"id": iri("X:1"), "lbl": "organ", "type": "CLASS"},
        {
            "id": iri("X:2"),
            "lbl": "liver",
            "meta": {
                "synonyms": [
                    {"pred": "hasExactSynonym", "val": "hepar", "xrefs": []},
                    {"pred": "hasRelatedSynonym", "val": 'liver "tissue"'},
                ],
                "basicPropertyValues": values(other="X:20"),
            },
        },
        {"id": iri("X:3"), "lbl": "hepatocyte, adult"},
        {"id": iri("X:4"), "lbl": "hepatoblast"},
        {"id": iri("X:5"), "lbl": "bud"},
        {
            "id": iri("X:6"),
            "lbl": "old liver",
            "meta": {"deprecated": True, "basicPropertyValues": values(replaced=iri("X:2"))},
        },
        {
            "id": iri("X:7"),
            "lbl": "gone",
            "meta": {"deprecated": True, "basicPropertyValues": values(consider=iri("X:3"))},
        },
        {"id": iri("BFO:0000050"), "lbl": "part of", "type": "PROPERTY"},
    ]
    edges = [
        ("X:2", "is_a", "X:1"),
        ("X:3", iri("BFO:0000050"), "X:2"),
        ("X:3", "contained_in", "X:1"),
        ("X:4", iri("RO:0002202"), "X:5"),
        ("X:4", iri("BFO:0000050"), "Y:99"),
        ("X:5", "is_a", "X:1"),
        ("X:5", iri("RO:0002202"), "X:4"),
    ]
    graph = {
        "graphs": [
            {
                "nodes": nodes,
                "edges": [{"sub": iri(a), "pred": b, "obj": iri(c)} for a, b, c in edges],
            }
        ]
    }
    assert read(tmp_path, json.dumps(graph)) == read(tmp_path, OBO)


@pytest.mark.parametrize(
    "content",
    [
        "id\tname\tis_a\nX:2\tliver\tX:1\nX:1\torgan\t\n",
        "ID,Label,Parents\nX:2,liver,organ\nX:1,organ,\n",
        'term;name;parent;note\nX:2;"liver";X:1 ! organ;x\nX:1;organ;;\n',
    ],
)
def test_a_table_may_have_other_columns_and_parents_by_name(tmp_path: Path, content: str) -> None:
    found = read(tmp_path, content, "x.csv")
    assert found.parents == {"X:2": ("X:1",), "X:1": ()}
    assert {term.term_id: term.name for term in found.terms} == {"X:2": "liver", "X:1": "organ"}
    assert found.unused_columns == (("note",) if "note" in content else ())


def test_several_parents_and_synonyms_fit_in_one_cell(tmp_path: Path) -> None:
    found = read(tmp_path, "term,parent,synonyms\na,b|c,x | y\nb,,\nc,,\n", "x.csv")
    assert found.parents == {"a": ("b", "c"), "b": (), "c": ()}
    assert found.terms[0].synonyms == (Synonym("x"), Synonym("y"))


relations = st.sampled_from(["is_a", "part_of", "develops_from"])
edge_lists = st.lists(st.tuples(st.integers(0, 8), relations, st.integers(0, 8)), max_size=25)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(edges=edge_lists, order=st.randoms(use_true_random=False))
def test_cycles_are_broken_the_same_way_in_any_order(
    tmp_path: Path, edges: list[tuple[int, str, int]], order: object
) -> None:
    def of(given: list[tuple[int, str, int]]) -> OntologyFile:
        lines = {number: [f"id: X:{number}", f"name: n{number}"] for number in range(9)}
        for child, relation, parent in given:
            start = "is_a:" if relation == "is_a" else f"relationship: {relation}"
            lines[child].append(f"{start} X:{parent}")
        stanzas = ("[Term]\n" + "\n".join(one) + "\n" for one in lines.values())
        return read(tmp_path, "format-version: 1.2\n\n" + "\n".join(stanzas))

    found = of(edges)
    kept = {(child, parent) for child, above in found.parents.items() for parent in above}
    assert networkx.is_directed_acyclic_graph(networkx.DiGraph(kept))
    order.shuffle(edges)  # type: ignore[attr-defined]
    again = of(edges)
    assert again.broken == found.broken
    assert {one: set(above) for one, above in again.parents.items()} == {
        one: set(above) for one, above in found.parents.items()
    }
    given = {(f"X:{a}", f"X:{b}") for a, _, b in edges if a != b}
    assert kept | {(a, b) for a, _, b in found.broken} == given


def test_a_header_with_blank_lines_is_read_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.obo"
    path.write_text("format-version: 1.2\n\nontology: x\n\n[Term]\nid: X:1\nname: organ\n")
    assert [term.name for term in read_ontology(path).terms] == ["organ"]
    assert not caplog.records
