"""Reads a list of feature names: what each says, and what the list says for it.

One name often leaves something out that the rest of its list tells: the species,
and whether a name without an arm is a stem-loop or a mature miRNA.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from annotator.learn.features.mirbase import (
    MATURE,
    STEM_LOOP,
    TABLE_SPECIES,
    Mirna,
    current,
    folded,
    inferred,
    kind_as_spelt,
    members,
    parsed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Meaning = Mirna | str  # a str for what is no miRNA


@dataclass(frozen=True)
class Feature:
    """A name and what it means, step by step further from what is written.

    Parameters
    ----------
    column
        Position in the list of names.
    spelt
        The folded names that it joins (one unless it is a merged name).
    spelt_kind
        Mature, stem-loop, or empty where the letter case does not say.
    parts
        The same with species and kind filled in.
    now
        As the latest release names them.
    guessed
        The same with old names concluded.
    """

    column: int
    spelt: frozenset[str]
    spelt_kind: str
    parts: tuple[Meaning, ...]
    now: tuple[Meaning, ...]
    guessed: tuple[Meaning, ...]


@dataclass(frozen=True)
class Dialect:
    """What a list of names says for those of its names that do not say it.

    Parameters
    ----------
    case_counts
        Whether ``miR`` and ``mir`` are kept apart.
    species
        The only species that is named.
    kind
        What a miRNA without an arm is: mature or stem-loop.
    """

    case_counts: bool
    species: str
    kind: str

    @staticmethod
    def of(names: Sequence[str], other: Sequence[str]) -> Dialect:
        """Read the habits of ``names``; ``other`` helps where they show none."""
        case_counts, has_mature, has_stem_loops = _habits(names)
        _, other_mature, other_stem_loops = _habits(other)
        if not has_mature and not has_stem_loops:
            has_mature, has_stem_loops = other_mature, other_stem_loops
        kind = STEM_LOOP if has_stem_loops else MATURE
        return Dialect(case_counts, _species(names) or _species(other) or TABLE_SPECIES, kind)


def _habits(names: Iterable[str]) -> tuple[bool, bool, bool]:
    """Return whether letter case tells kinds apart, and whether there are mature, stem-loops."""
    case_counts, has_mature, has_stem_loops, with_copy = True, False, False, False
    for name in names:
        said = parsed(folded(name))
        if said is None:
            continue
        is_mir = said.family == "mir"
        if said.arm:
            has_mature = True
            case_counts &= not is_mir or "miR" in name
        elif said.copy:
            with_copy = True
        spelt = kind_as_spelt(name)
        has_mature |= spelt == MATURE
        has_stem_loops |= spelt == STEM_LOOP
    return case_counts, has_mature, with_copy or (case_counts and has_stem_loops)


def _species(names: Iterable[str]) -> str:
    """Return the only species that names say, or empty."""
    said = {mirna.species for mirna in (parsed(members(name)[0]) for name in names) if mirna}
    said.discard("")
    return said.pop() if len(said) == 1 else ""


def read_features(
    names: Sequence[str], columns: Iterable[int], dialect: Dialect, aliases: Mapping[str, str]
) -> Iterator[Feature]:
    """Read the names at ``columns``, in that order.

    Parameters
    ----------
    names
        All names of the list.
    columns
        Positions of those to read.
    dialect
        What the whole list says of each.
    aliases
        Folded names to what they are called now.
    """
    for column in columns:
        if aliases:
            yield Feature(column, *_read(names[column], dialect, aliases))
        else:
            yield Feature(column, *_read_without_aliases(names[column], dialect))


_Readings = tuple[
    frozenset[str], str, "tuple[Meaning, ...]", "tuple[Meaning, ...]", "tuple[Meaning, ...]"
]


# The names of a model are read again for every sample that is matched by itself.
@lru_cache(maxsize=100_000)
def _read_without_aliases(name: str, dialect: Dialect) -> _Readings:
    return _read(name, dialect, {})


def _read(name: str, dialect: Dialect, aliases: Mapping[str, str]) -> _Readings:
    spelt_kind = kind_as_spelt(name) if dialect.case_counts else ""
    texts = members(name)
    parts = tuple(_filled(text, spelt_kind, dialect) for text in texts)
    now = tuple(
        meaning
        for text in ([folded(name)] if folded(name) in aliases else texts)
        for meaning in _today(text, spelt_kind, dialect, aliases)
    )
    guessed = tuple(inferred(each) if isinstance(each, Mirna) else each for each in now)
    return frozenset(texts), spelt_kind, parts, now, guessed


def _filled(text: str, spelt_kind: str, dialect: Dialect) -> Meaning:
    """Return what a folded name says, with what it leaves to the rest of the list."""
    said = parsed(text)
    if said is None:
        return text
    a_copy = STEM_LOOP if said.copy and not said.arm else ""
    kind = said.kind or spelt_kind or a_copy or dialect.kind
    return replace(said, species=said.species or dialect.species, kind=kind)


def _today(
    text: str, spelt_kind: str, dialect: Dialect, aliases: Mapping[str, str]
) -> Iterator[Meaning]:
    """Yield what a folded name is called today; several for an alias of a merged name."""
    if text in aliases:
        spelt_kind = kind_as_spelt(aliases[text])
    for each in members(aliases.get(text, text)):
        said = _filled(each, spelt_kind, dialect)
        yield current(each if isinstance(said, str) else said) or said
