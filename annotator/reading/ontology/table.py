"""Read tables of terms and their parents, separated by tabs, commas or semicolons."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from annotator.domain.terms import OntologyFile, Synonym, Term
from annotator.domain.wording import some
from annotator.errors import InputError
from annotator.reading.text.tables import Table, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TERM = ("term", "term_id", "id", "termid", "class", "class id", "curie")
_NAME = ("name", "label", "term_name", "lbl", "preferred label")
_PARENT = (
    *("parent", "parents", "parent_id", "parent_ids", "parent_term", "is_a", "subclass_of"),
    *("subclassof", "broader"),
)
_SYNONYMS = ("synonym", "synonyms", "exact_synonym", "exact_synonyms")


@dataclass(frozen=True, slots=True)
class _Line:
    """One line: a term, and one of its parents or ``""``."""

    number: int
    term: str
    parent: str


def read_term_table(path: Path) -> OntologyFile:
    """Read and check a table of terms.

    The columns ``term`` and ``parent`` are needed, and ``name`` and ``synonym`` are read
    if they are there; other usual names of these columns are understood, such as ``id``,
    ``label`` and ``is_a``. A parent is the id or the name of a term. A term with several parents
    has several lines, or several parents in one cell, separated by bars or semicolons.
    Repeated lines are accepted. A line with an empty parent declares a term,
    which is a root unless another line gives it a parent. A term whose only parent is
    itself is also a root, as some hierarchies write it.

    Roots may also be left undeclared: in a file without any line with an empty parent,
    a parent that is never in the term column is a root. If any line has an empty parent,
    the file is assumed to declare all its terms, and a parent that is not one of them is
    refused as unknown.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        A term is empty, has two names, is its own parent, has an unknown parent or is part of
        a cycle, or the file is not such a table; the message names the line and column.
    """
    table = read_table(path, ())
    term_column, parent_column = _column(table, _TERM), _column(table, _PARENT)
    if term_column is None or parent_column is None:
        wanted = "term" if term_column is None else "parent"
        raise InputError(
            f"there is no column {wanted!r}; found: {some(table.columns, most=10)}; an ontology is"
            " a table with columns term and parent, or a file in OBO or OBO Graph JSON",
            source=str(path),
            line=1,
        )
    table = read_table(path, (term_column, parent_column))  # so that no row lacks them
    if not table.rows:
        raise InputError("there is a header but no term", source=str(path), line=2)
    names, synonyms = _names(table, term_column), _synonyms(table, term_column)
    lines = list(_lines(table, term_column, parent_column, names))
    line_of: dict[tuple[str, str], int] = {}
    for line in lines:
        line_of.setdefault((line.term, line.parent), line.number)
    parents = _parents(table, line_of, parent_column)
    cycle = _find_cycle(parents)
    if cycle is not None:
        table.refuse(
            f"the terms form a cycle: {' -> '.join(cycle)}",
            line_of[cycle[0], cycle[1]],
            parent_column,
        )
    used = {term_column, parent_column, _column(table, _NAME), _column(table, _SYNONYMS)}
    return OntologyFile(
        tuple(
            Term(term, names.get(term, term), above, synonyms.get(term, ()))
            for term, above in parents.items()
        ),
        unused_columns=tuple(name for name in table.columns if name not in used),
    )


def _column(table: Table, known: tuple[str, ...]) -> str | None:
    """Return the column with the first of the known names, in any letter case."""
    written = {name.casefold().replace("-", "_"): name for name in reversed(table.columns)}
    return next((written[name] for name in known if name in written), None)


def _names(table: Table, term_column: str) -> dict[str, str]:
    """Return the name of each term that has one in a column of names."""
    name_column = _column(table, _NAME)
    names: dict[str, str] = {}
    if name_column is None:
        return names
    term_place, name_place = table.columns.index(term_column), table.columns.index(name_column)
    for line, row in table.numbered_rows():
        if (
            row[name_place]
            and names.setdefault(row[term_place], row[name_place]) != row[name_place]
        ):
            table.refuse(
                f"{row[term_place]!r} is named {row[name_place]!r} here, but"
                f" {names[row[term_place]]!r} before",
                line,
                name_column,
            )
    return names


def _synonyms(table: Table, term_column: str) -> dict[str, tuple[Synonym, ...]]:
    column = _column(table, _SYNONYMS)
    found: dict[str, dict[str, None]] = {}
    if column is not None:
        term_place, place = table.columns.index(term_column), table.columns.index(column)
        for row in table.rows:
            texts = (text.strip() for text in row[place].split("|"))
            found.setdefault(row[term_place], {}).update(dict.fromkeys(filter(None, texts)))
    return {term: tuple(map(Synonym, texts)) for term, texts in found.items()}


def _lines(
    table: Table, term_column: str, parent_column: str, names: Mapping[str, str]
) -> Iterator[_Line]:
    """Yield each term with each of its parents, by id."""
    term_place = table.columns.index(term_column)
    parent_place = table.columns.index(parent_column)
    terms = {row[term_place] for row in table.rows}
    ids: dict[str, list[str]] = {}
    for term, name in names.items():
        ids.setdefault(name, []).append(term)

    def known(parent: str) -> str | None:
        if parent in terms:
            return parent
        named = ids.get(parent, [])
        return named[0] if len(named) == 1 else None

    def refuse_ambiguous(parent: str, line: int) -> NoReturn:
        table.refuse(
            f"{parent!r} is the name of {len(ids[parent])} terms ({', '.join(ids[parent][:3])});"
            " give the id of the parent",
            line,
            parent_column,
        )

    for line, row in table.numbered_rows():
        term, cell = row[term_place], row[parent_place]
        if not term:
            table.refuse("the term is empty", line, term_column)
        parts = [cell]
        if known(cell) is None and ("|" in cell or ";" in cell):
            parts = [part.strip() for part in cell.replace(";", "|").split("|") if part.strip()]
        for part in parts:
            # As in OBO: "BTO:0001491 ! viscus".
            parent = part if known(part) else part.partition(" ! ")[0].strip()
            if parent not in terms and len(ids.get(parent, [])) > 1:
                refuse_ambiguous(parent, line)
            yield _Line(line, term, known(parent) or parent)


def _parents(
    table: Table, line_of: Mapping[tuple[str, str], int], parent_column: str
) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {term: [] for term, _ in line_of}
    declares_roots = any(not parent for _, parent in line_of)
    declared = frozenset(found)
    for (term, parent), line in line_of.items():
        if parent in ("", term):
            continue
        if declares_roots and parent not in declared:
            close = get_close_matches(parent, declared, n=1)
            hint = f"; is it {close[0]!r}?" if close else ""
            table.refuse(
                f"parent {parent!r} of term {term!r} is unknown: no line has it as a term{hint}",
                line,
                parent_column,
            )
        found[term].append(parent)
        found.setdefault(parent, [])
    for (term, parent), line in line_of.items():
        if parent == term and found[term]:
            table.refuse(
                f"the terms form a cycle: {term} -> {term}; only a root may be its own parent,"
                f" but {term!r} also has the parent {found[term][0]!r}",
                line,
                parent_column,
            )
    return {term: tuple(names) for term, names in found.items()}


def _find_cycle(parents: Mapping[str, tuple[str, ...]]) -> list[str] | None:
    """Return the terms of a cycle, with the first one repeated at the end, or ``None``.

    The search is depth-first without recursion, because a hierarchy may be deep.
    """
    done: set[str] = set()
    for start in parents:
        if start in done:
            continue
        path: dict[str, Iterator[str]] = {start: iter(parents[start])}
        while path:
            term = next(reversed(path))
            parent = next(path[term], None)
            if parent is None:
                done.add(term)
                del path[term]
            elif parent in path:
                names = list(path)
                return [*names[names.index(parent) :], parent]
            elif parent not in done:
                path[parent] = iter(parents[parent])
    return None
