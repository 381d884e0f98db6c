"""Read OBO files, such as those of BTO, UBERON and the Cell Ontology.

``is_a``, ``part_of`` and ``develops_from`` make parents: in BTO, ``is_a`` alone would lose two
fifths of these edges.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from annotator.domain.terms import Scope, Synonym
from annotator.errors import InputError
from annotator.reading.ontology.assembling import Edge, RawTerm, assemble

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from annotator.domain.terms import OntologyFile

_SYNONYM = re.compile(r'"((?:\\.|[^"\\])*)"\s*([A-Z]*)')
_ESCAPED = re.compile(r"\\(.)")
_OLD_SYNONYMS = {
    "exact_synonym": Scope.EXACT,
    "narrow_synonym": Scope.NARROW,
    "broad_synonym": Scope.BROAD,
}


def read_obo(text: str, path: Path) -> OntologyFile:
    """Read an ontology in OBO 1.2 or 1.4.

    Parameters
    ----------
    text
        The content of the file, with Unix line endings.
    path
        The file, for messages.

    Raises
    ------
    InputError
        It has no term, or a line that is not OBO.
    """
    import obonet  # takes a quarter of a second, with networkx

    try:
        graph = obonet.read_obo(io.StringIO(_as_expected(text)), ignore_obsolete=False)
    except KeyError as error:
        raise InputError(
            f"a [Term] has no {error.args[0]!r} line; get the file again from the ontology's site",
            source=str(path),
        ) from error
    except ValueError as error:
        problem = str(error).strip().rpartition("\n")[2]
        raise InputError(
            f"not a line of OBO: {problem[:200]!r}; get the file again from the ontology's site",
            source=str(path),
            line=_line_of(text, problem),
        ) from error
    # Nodes without data are only named as parents.
    raw = [_term(name, data) for name, data in graph.nodes(data=True) if data]
    if not raw:
        raise InputError("the file has no [Term] with a name", source=str(path))
    edges = (Edge(child, relation, parent) for child, parent, relation in graph.edges(keys=True))
    return assemble(raw, edges)


def _as_expected(text: str) -> str:
    """Return the text with a name in its header and an empty line before every stanza.

    obonet writes a warning about a missing name, and takes empty lines as ends of stanzas.
    """
    text = re.sub(r"\n+(?=\[)", "\n\n", text.lstrip())
    if re.search(r"^ontology:", text.partition("\n\n")[0], re.MULTILINE):
        return text
    return "ontology: -\n" + ("\n" if text.startswith("[") else "") + text


def _line_of(text: str, content: str) -> int | None:
    place = text.find(content)
    return None if place < 0 else text.count("\n", 0, place) + 1


def _term(term_id: str, data: Mapping[str, Any]) -> RawTerm:
    return RawTerm(
        term_id,
        _plain(data.get("name") or term_id),
        tuple(_synonyms(data)),
        is_obsolete=data.get("is_obsolete") == "true",
        replaced_by=tuple(data.get("replaced_by", ())),
        consider=tuple(data.get("consider", ())),
    )


def _synonyms(data: Mapping[str, Any]) -> Iterator[Synonym]:
    for other in data.get("alt_id", ()):
        yield Synonym(other, Scope.ALTERNATIVE_ID)
    for tag in ("synonym", *_OLD_SYNONYMS):
        for line in data.get(tag, ()):
            found = _SYNONYM.match(line)
            if found is not None:
                scope = _OLD_SYNONYMS.get(tag) or found[2].lower()
                known = scope if scope in set(Scope) else Scope.RELATED
                yield Synonym(_plain(found[1]), Scope(known))


def _plain(text: str) -> str:
    r"""Return a text without the escapes of OBO, such as ``\,``."""
    return _ESCAPED.sub(lambda match: " " if match[1] in "nW" else match[1], text).strip()
