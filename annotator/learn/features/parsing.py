"""Parsing of feature names, each in the context of its list.

A name may lack information that can be inferred from the rest of its list: the species,
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

    Meaning = Mirna | str  # a str for names of other features than miRNAs


@dataclass(frozen=True)
class Feature:
    """A name and its meanings, each derived from the previous one.

    Parameters
    ----------
    column
        Position in the list of names.
    spelt
        The folded names that it joins (one unless it is a merged name).
    spelt_kind
        Mature, stem-loop, or empty if the letter case does not show it.
    parts
        The names of ``spelt`` with species and kind filled in.
    now
        The same as named in the latest release.
    guessed
        The same with old names inferred.
    """

    column: int
    spelt: frozenset[str]
    spelt_kind: str
    parts: tuple[Meaning, ...]
    now: tuple[Meaning, ...]
    guessed: tuple[Meaning, ...]


@dataclass(frozen=True)
class Dialect:
    """The conventions of a list of names, for names that lack information.

    Parameters
    ----------
    case_counts
        Whether ``miR`` and ``mir`` are distinguished.
    species
        The species of names without one.
    kind
        The kind of a miRNA without an arm: mature or stem-loop.
    """

    case_counts: bool
    species: str
    kind: str

    @staticmethod
    def of(names: Sequence[str], other: Sequence[str], species: str | None = None) -> Dialect:
        """Infer the conventions of ``names``, or those of ``other`` if they show none.

        The ``species`` of the samples, if given, takes precedence over that of ``other``.
        """
        case_counts, has_mature, has_stem_loops = _habits(names)
        _, other_mature, other_stem_loops = _habits(other)
        if not has_mature and not has_stem_loops:
            has_mature, has_stem_loops = other_mature, other_stem_loops
        kind = STEM_LOOP if has_stem_loops else MATURE
        inferred_species = _species(names) or species or _species(other)
        if species is None:
            inferred_species = inferred_species or TABLE_SPECIES
        return Dialect(case_counts, inferred_species, kind)


def _habits(names: Iterable[str]) -> tuple[bool, bool, bool]:
    """Return whether letter case shows the kind, and whether mature and stem-loop names occur."""
    case_counts, has_mature, has_stem_loops, with_copy = True, False, False, False
    for name in names:
        mirna = parsed(folded(name))
        if mirna is None:
            continue
        is_mir = mirna.family == "mir"
        if mirna.arm:
            has_mature = True
            case_counts &= not is_mir or "miR" in name
        elif mirna.copy:
            with_copy = True
        spelt = kind_as_spelt(name)
        has_mature |= spelt == MATURE
        has_stem_loops |= spelt == STEM_LOOP
    return case_counts, has_mature, with_copy or (case_counts and has_stem_loops)


def _species(names: Iterable[str]) -> str:
    """Return the species in the names if there is only one, else an empty text."""
    species = {mirna.species for mirna in (parsed(members(name)[0]) for name in names) if mirna}
    species.discard("")
    return species.pop() if len(species) == 1 else ""


def read_features(
    names: Sequence[str], columns: Iterable[int], dialect: Dialect, aliases: Mapping[str, str]
) -> Iterator[Feature]:
    """Read the names at ``columns``, in that order.

    Parameters
    ----------
    names
        All names of the list.
    columns
        Positions of the names to read.
    dialect
        The conventions of the whole list.
    aliases
        The current names of folded names.
    """
    for column in columns:
        if aliases:
            yield Feature(column, *_read(names[column], dialect, aliases))
        else:
            yield Feature(column, *_read_without_aliases(names[column], dialect))


_Readings = tuple[
    frozenset[str], str, "tuple[Meaning, ...]", "tuple[Meaning, ...]", "tuple[Meaning, ...]"
]


# The names of a model are read again for every sample that is matched individually.
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
    """Return the meaning of a folded name, completed by the conventions of the list."""
    mirna = parsed(text)
    if mirna is None:
        return text
    a_copy = STEM_LOOP if mirna.copy and not mirna.arm else ""
    kind = mirna.kind or spelt_kind or a_copy or dialect.kind
    return replace(mirna, species=mirna.species or dialect.species, kind=kind)


def _today(
    text: str, spelt_kind: str, dialect: Dialect, aliases: Mapping[str, str]
) -> Iterator[Meaning]:
    """Yield the current meanings of a folded name: several for an alias of a merged name."""
    if text in aliases:
        spelt_kind = kind_as_spelt(aliases[text])
    for each in members(aliases.get(text, text)):
        meaning = _filled(each, spelt_kind, dialect)
        # The table is of human names: Mir21 of another species is not hsa-mir-21.
        if isinstance(meaning, str) and dialect.species != TABLE_SPECIES:
            yield meaning
        else:
            yield current(meaning) or meaning
