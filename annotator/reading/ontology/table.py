"""Read tables of terms and their parents, separated by tabs, commas or semicolons."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from annotator.domain.terms import OntologyFile, Synonym, Term
from annotator.domain.wording import some
from annotator.errors import InputError
from annotator.reading.text.head import read_head
from annotator.reading.text.tables import check_widths, column_key, read_cells, table_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "term": ("term", "term id", "id", "termid", "class", "class id", "curie"),
    "parent": (
        *("parent", "parents", "parent id", "parent ids", "parent term", "is a", "subclass of"),
        *("subclassof", "broader"),
    ),
    "name": ("name", "label", "term name", "lbl", "preferred label"),
    "synonyms": ("synonym", "synonyms", "exact synonym", "exact synonyms"),
}
"""Meaning to names of columns, as :func:`column_key` returns them; the first one is taken."""


@dataclass(frozen=True, slots=True)
class _Row:
    """The cells of a line by their meaning, empty where there is none."""

    line: int
    term: str
    parent: str
    name: str
    synonyms: str


@dataclass(frozen=True, slots=True)
class _TermTable:
    """The rows of a file, and the number and name of the column of each meaning."""

    path: Path
    rows: tuple[_Row, ...]
    columns: Mapping[str, tuple[int, str]]
    unused: tuple[str, ...]
    notes: tuple[str, ...]

    def refuse(self, message: str, line: int, meaning: str) -> NoReturn:
        """Raise an InputError for a cell."""
        number, name = self.columns[meaning]
        raise InputError(message, source=str(self.path), line=line, column=f"{number} ({name})")


@dataclass(frozen=True, slots=True)
class _Line:
    """A term, and one of its parents or ``""``."""

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
    table = _read(path)
    names, synonyms = _names(table), _synonyms(table)
    line_of: dict[tuple[str, str], int] = {}
    for line in _lines(table, names):
        line_of.setdefault((line.term, line.parent), line.number)
    parents = _parents(table, line_of)
    cycle = _find_cycle(parents)
    if cycle is not None:
        table.refuse(
            f"the terms form a cycle: {' -> '.join(cycle)}", line_of[cycle[0], cycle[1]], "parent"
        )
    return OntologyFile(
        tuple(
            Term(term, names.get(term, term), above, synonyms.get(term, ()))
            for term, above in parents.items()
        ),
        unused_columns=table.unused,
        notes=table.notes,
    )


def _read(path: Path) -> _TermTable:
    head = read_head(path)
    cells = read_cells(head)
    places = _places(path, cells.header, head.header_line)
    # A row that ends before its parent is damaged, and not that of a root.
    least = max(places["term"], places["parent"]) + 1
    check_widths(path, cells.header, cells.rows, least)
    table = table_of(path, cells.header, cells.rows)
    places = _places(path, table.columns, head.header_line)
    rows = (
        _Row(line, *(row[places[one]] if one in places else "" for one in _COLUMNS))
        for line, row in table.rows
    )
    used = places.values()
    return _TermTable(
        path,
        tuple(rows),
        {meaning: (place + 1, table.columns[place]) for meaning, place in places.items()},
        tuple(name for place, name in enumerate(table.columns) if place not in used),
        (*cells.notes, *table.notes),
    )


def _places(path: Path, columns: Sequence[str], line: int) -> dict[str, int]:
    """Return the place of the column of each meaning, if there is one."""
    keys = [column_key(name) for name in columns]
    found = {}
    for meaning, known in _COLUMNS.items():
        key = next((key for key in known if key in keys), None)
        if key is not None:
            found[meaning] = place = keys.index(key)
            if keys.count(key) > 1:
                raise InputError(
                    f"there are several columns {columns[place]!r}", source=str(path), line=line
                )
        elif meaning in ("term", "parent"):
            raise InputError(
                f"there is no column {meaning!r}; found: {some(columns, most=10)}; an ontology is"
                " a table with columns term and parent, or a file in OBO or OBO Graph JSON",
                source=str(path),
                line=line,
            )
    return found


def _names(table: _TermTable) -> dict[str, str]:
    """Return the name of each term that has one in a column of names."""
    names: dict[str, str] = {}
    for row in table.rows:
        if row.name and names.setdefault(row.term, row.name) != row.name:
            table.refuse(
                f"{row.term!r} is named {row.name!r} here, but {names[row.term]!r} before",
                row.line,
                "name",
            )
    return names


def _synonyms(table: _TermTable) -> dict[str, tuple[Synonym, ...]]:
    found: dict[str, dict[str, None]] = {}
    for row in table.rows:
        texts = (text.strip() for text in row.synonyms.split("|"))
        found.setdefault(row.term, {}).update(dict.fromkeys(filter(None, texts)))
    return {term: tuple(map(Synonym, texts)) for term, texts in found.items()}


def _lines(table: _TermTable, names: Mapping[str, str]) -> Iterator[_Line]:
    """Yield each term with each of its parents, by id."""
    terms = {row.term for row in table.rows}
    ids: dict[str, list[str]] = {}
    for term, name in names.items():
        ids.setdefault(name, []).append(term)

    def known(parent: str) -> str | None:
        if parent in terms:
            return parent
        named = ids.get(parent, [])
        return named[0] if len(named) == 1 else None

    for row in table.rows:
        if not row.term:
            table.refuse("the term is empty", row.line, "term")
        parts = [row.parent]
        if known(row.parent) is None and ("|" in row.parent or ";" in row.parent):
            cell = row.parent.replace(";", "|")
            parts = [part.strip() for part in cell.split("|") if part.strip()]
        for part in parts:
            # As in OBO: "BTO:0001491 ! viscus".
            parent = part if known(part) else part.partition(" ! ")[0].strip()
            if parent not in terms and len(of_name := ids.get(parent, [])) > 1:
                table.refuse(
                    f"{parent!r} is the name of {len(of_name)} terms ({some(of_name, most=3)});"
                    " give the id of the parent",
                    row.line,
                    "parent",
                )
            yield _Line(row.line, row.term, known(parent) or parent)


def _parents(
    table: _TermTable, line_of: Mapping[tuple[str, str], int]
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
                "parent",
            )
        found[term].append(parent)
        found.setdefault(parent, [])
    for (term, parent), line in line_of.items():
        if parent == term and found[term]:
            table.refuse(
                f"the terms form a cycle: {term} -> {term}; only a root may be its own parent,"
                f" but {term!r} also has the parent {found[term][0]!r}",
                line,
                "parent",
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
