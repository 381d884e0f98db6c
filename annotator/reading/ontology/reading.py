"""Read an ontology file of any known format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.domain.values.lengths import length_problem
from annotator.errors import InputError
from annotator.reading.ontology.graph_json import read_graph_json
from annotator.reading.ontology.obo import read_obo
from annotator.reading.ontology.table import read_term_table
from annotator.reading.text.text_file import whole_text

if TYPE_CHECKING:
    from pathlib import Path

    from annotator.domain.terms import OntologyFile

_XML = ("<?xml", "<rdf", "<ontology")


def read_ontology(path: Path) -> OntologyFile:
    """Read and check an ontology.

    The format is detected from the content, plain or gzip: OBO
    (:mod:`annotator.reading.ontology.obo`), OBO Graph JSON
    (:mod:`annotator.reading.ontology.graph_json`), or else a table
    (:mod:`annotator.reading.ontology.table`).

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        The file is wrong or of another format; the message names the line where possible.
    """
    text = whole_text(path)
    start = text[:4096].lstrip().casefold()
    if start.startswith(_XML):
        raise InputError(
            "this is OWL in XML; use the ontology's .obo or .json file, or convert it with"
            " `robot convert`",
            source=str(path),
        )
    if start.startswith("{"):
        found = read_graph_json(text, path)
    elif start.startswith(("format-version:", "[term]", "[typedef]")) or "\n[Term]\n" in text:
        found = read_obo(text, path)
    else:
        found = read_term_table(path)
    for term in found.terms:
        for name in (term.term_id, term.name, *(one.text for one in term.synonyms)):
            if problem := length_problem(name):
                place = text.find(name)
                line = None if place < 0 else text.count("\n", 0, place) + 1
                raise InputError(f"a name is {problem}", source=str(path), line=line)
    return found
