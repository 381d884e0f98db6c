"""Read ontology files, which list terms and their parents."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from annotator.errors import InputError
from annotator.reading.tables import Table, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def read_ontology(path: Path) -> Mapping[str, tuple[str, ...]]:
    """Read and check an ontology.

    The format is tab-separated text in UTF-8, plain or gzip, with the columns ``term``
    and ``parent``; other columns are not used. A term with several parents has several
    lines; repeated lines are accepted. A line with an empty parent declares a term,
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

    Returns
    -------
    Mapping of str to tuple of str
        Every term, including roots (with no parents), to its parents in the order of
        the file.

    Raises
    ------
    InputError
        A term is empty, is its own parent, has an unknown parent or is part of a cycle,
        or the file is not such a table; the message names the line and column.
    """
    table = read_table(path, ("term", "parent"))
    if not table.rows:
        raise InputError("there is a header but no term", source=str(path), line=2)
    line_of: dict[tuple[str, str], int] = {}
    term_column, parent_column = table.columns.index("term"), table.columns.index("parent")
    for line, row in table.numbered_rows():
        term, parent = row[term_column], row[parent_column]
        if not term:
            table.refuse("the term is empty", line, "term")
        line_of.setdefault((term, parent), line)
    parents = _parents(table, line_of)
    cycle = _find_cycle(parents)
    if cycle is not None:
        table.refuse(
            f"the terms form a cycle: {' -> '.join(cycle)}",
            line_of[cycle[0], cycle[1]],
            "parent",
        )
    return parents


def _parents(table: Table, line_of: Mapping[tuple[str, str], int]) -> dict[str, tuple[str, ...]]:
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
