"""Matching of a model's features with those of a sample that uses other names.

A model identifies its features by name. Samples may have the names of another
miRBase release or namespace: other letter case, no species, accessions, gene
symbols, old names, merged names, or stem-loops where the model has mature miRNAs.
:func:`match_features` returns which given columns belong to which column of the
model, and the kind of each match, so that callers can distinguish and record exact
and approximate matches.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from annotator.errors import InputError
from annotator.learn.features.mirbase import MATURE, STEM_LOOP, Mirna, first_arm, folded
from annotator.learn.features.parsing import Dialect, Feature, read_features

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

    from annotator.learn.features.parsing import Meaning

    Reading = Callable[[Feature], tuple[Meaning, ...]]
    Candidates = Callable[[Feature], Iterable[Feature]]


class MatchKind(StrEnum):
    """The kinds of match between a given feature and one of the model's, best first."""

    EXACT = "exact"  # the same name
    SPELLING = "spelling"  # letter case, or . and _ for -
    SPECIES = "species"  # the species is left out on one side
    ALIAS = "alias"  # accession, gene symbol, name of another release, or a caller's alias
    MERGED = "merged"  # one of the names that the model's merged name joins
    FORMER_NAME = "former name"  # an old name without arm, inferred, not looked up
    OVERLAP = "overlap"  # a given merged name that also joins other miRNAs
    COPIES = "copies"  # copies of one stem-loop against the stem-loop without a copy number
    STEM_LOOP = "stem-loop"  # a stem-loop counted as its main mature miRNA
    ARMS = "arms"  # mature miRNAs counted as their stem-loop


APPROXIMATE = frozenset(
    {
        MatchKind.FORMER_NAME,
        MatchKind.OVERLAP,
        MatchKind.COPIES,
        MatchKind.STEM_LOOP,
        MatchKind.ARMS,
    }
)
"""Kinds of match whose counts do not mean exactly the same as in training."""


@dataclass(frozen=True)
class FeaturePair:
    """A column of the model, and a given column that is counted into it (positions from 0)."""

    model_column: int
    given_column: int
    kind: MatchKind


def match_features(
    model_names: Sequence[str],
    given_names: Sequence[str],
    aliases: Mapping[str, str] | None = None,
    *,
    species: str | None = None,
) -> tuple[FeaturePair, ...]:
    """Match given features with the features of a model.

    The kinds of :class:`MatchKind` are tried in their order. A feature of the
    model gets the matches of the first successful kind and none of later ones;
    a given feature is counted at most once. Given features that mean the same
    miRNA (``MIMAT0000076`` beside ``hsa-miR-21-5p``) are assumed to be two copies
    of one count: the one with the better match is used, the other is left out.

    If the model has A and B as separate features, a given merged name ``A/B`` is
    counted as a whole into the first of A, B (in the order of the merged name)
    without a better match. The true shares are unknown: counting it into both
    would double reads, a split would invent counts, and leaving it out would make
    both look absent. That would be the greater error on a logarithmic scale,
    because merged miRNAs are near-identical members of one family, of which now
    one may be too high and one is missing. The match counts as approximate.

    A stem-loop is counted into the arm that was known first, if the table has it
    (the more abundant one in about 85 % of human stem-loops); otherwise into the 5p
    arm, or into the 3p arm if the model lacks the 5p arm. Both arms come from one
    transcript, so they occur in the same tissues, if not at the same level. Mature
    miRNAs of several identical stem-loops are counted into the first of these.

    Parameters
    ----------
    model_names
        Names of the model's features, in the model's order.
    given_names
        Names of a profile's features. Their order does not affect the matches.
    aliases
        The current names of further names that the shipped table of human names
        lacks, such as ``{"hsa-miR-126": "hsa-miR-126-3p"}``. They take precedence
        over the table, but not over equal names.
    species
        Species of names without one, if their list has none either: a prefix of miRBase, or
        empty if it is not known. ``None`` to infer it from the other list, else human.

    Returns
    -------
    tuple of FeaturePair
        Ordered by column of the model, then by given column. A column of the model
        may occur several times (its counts are summed), a given column only once.

    Raises
    ------
    InputError
        A name occurs twice on one side.

    Examples
    --------
    >>> pairs = match_features(
    ...     ["hsa-miR-21-5p", "hsa-let-7a-5p/7c-5p", "hsa-miR-9-5p"],
    ...     ["MIMAT0000076", "HSA-LET-7C-5P", "HSA-LET-7A-5P"],
    ... )
    >>> [(pair.model_column, pair.given_column, pair.kind.value) for pair in pairs]
    [(0, 0, 'alias'), (1, 1, 'merged'), (1, 2, 'merged')]
    """
    column_of = _columns(given_names, "the given features")
    _columns(model_names, "the model's features")
    pairs = [
        FeaturePair(column, column_of[name], MatchKind.EXACT)
        for column, name in enumerate(model_names)
        if name in column_of
    ]
    if len(pairs) < min(len(model_names), len(given_names)):
        pairs += _other_pairs(model_names, given_names, pairs, aliases or {}, species)
    pairs.sort(key=lambda pair: (pair.model_column, pair.given_column))
    return tuple(pairs)


def _columns(names: Sequence[str], whose: str) -> dict[str, int]:
    columns = {name: column for column, name in enumerate(names)}
    if len(columns) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise InputError(
            f"{whose} name {twice[0]!r} {names.count(twice[0])} times"
            f" ({len(twice)} such names): give each feature once"
        )
    return columns


@dataclass
class _Search:
    """The state of a search: the features of both sides, and those still without a match."""

    model: tuple[Feature, ...]
    given: tuple[Feature, ...]
    open_columns: set[int]
    pairs: list[FeaturePair]

    def find(self, kind: MatchKind, candidates: Candidates) -> None:
        """Match each given feature with the first candidate that is still available.

        A candidate can match several given features by one kind of match, as long
        as no two of them mean the same miRNA.
        """
        taken: dict[int, set[Meaning]] = {column: set() for column in self.open_columns}
        left = []
        for given in self.given:
            means = set(given.guessed)
            for model in candidates(given):
                if model.column in taken and taken[model.column].isdisjoint(means):
                    taken[model.column] |= means
                    self.pairs.append(FeaturePair(model.column, given.column, kind))
                    break
            else:
                left.append(given)
        self.given = tuple(left)
        self.open_columns = {column for column, means in taken.items() if not means}


def _other_pairs(
    model_names: Sequence[str],
    given_names: Sequence[str],
    exact: Sequence[FeaturePair],
    aliases: Mapping[str, str],
    species: str | None,
) -> list[FeaturePair]:
    """Match the features without an equal name on the other side."""
    aliases = {folded(old): new for old, new in aliases.items()}
    used = {pair.given_column for pair in exact}
    given_columns = [column for column in range(len(given_names)) if column not in used]
    model_dialect = Dialect.of(model_names, given_names, species)
    given_dialect = Dialect.of(given_names, model_names, species)
    search = _Search(
        tuple(read_features(model_names, range(len(model_names)), model_dialect, aliases)),
        tuple(
            read_features(
                given_names,
                sorted(given_columns, key=given_names.__getitem__),
                given_dialect,
                aliases,
            )
        ),
        set(range(len(model_names))) - {pair.model_column for pair in exact},
        [],
    )
    search.find(MatchKind.SPELLING, _same_spelling(search.model))
    search.find(MatchKind.SPECIES, _same(search.model, lambda feature: feature.parts))
    search.find(MatchKind.ALIAS, _same(search.model, lambda feature: feature.now))
    search.find(MatchKind.MERGED, _containing(search.model, lambda feature: feature.now))
    search.find(MatchKind.FORMER_NAME, _containing(search.model, lambda feature: feature.guessed))
    search.find(MatchKind.OVERLAP, _overlapping(search.model))
    search.find(MatchKind.COPIES, _other_copies(search.model))
    search.find(MatchKind.STEM_LOOP, _main_mature(search.model))
    search.find(MatchKind.ARMS, _stem_loops(search.model))
    return search.pairs


def _index(
    features: Iterable[Feature], keys: Callable[[Feature], Iterable[Hashable]]
) -> Mapping[Hashable, list[Feature]]:
    index: dict[Hashable, list[Feature]] = {}
    for feature in features:
        for key in keys(feature):
            index.setdefault(key, []).append(feature)
    return index


def _same_spelling(model: Sequence[Feature]) -> Candidates:
    """Find features with equal spelling, unless a stem-loop would match a mature miRNA."""
    index = _index(model, lambda feature: [feature.spelt])

    def candidates(given: Feature) -> Iterable[Feature]:
        for feature in index.get(given.spelt, ()):
            if {feature.spelt_kind, given.spelt_kind} != {MATURE, STEM_LOOP}:
                yield feature

    return candidates


def _same(model: Sequence[Feature], meaning: Reading) -> Candidates:
    index = _index(model, lambda feature: [frozenset(meaning(feature))])
    return lambda given: index.get(frozenset(meaning(given)), ())


def _containing(model: Sequence[Feature], meaning: Reading) -> Candidates:
    """Find features whose merged name includes all members of the given name."""
    index = _index(model, meaning)

    def candidates(given: Feature) -> Iterable[Feature]:
        means = set(meaning(given))
        for feature in index.get(meaning(given)[0], ()):
            if means.issubset(meaning(feature)):
                yield feature

    return candidates


def _overlapping(model: Sequence[Feature]) -> Candidates:
    index = _index(model, lambda feature: feature.guessed)
    return lambda given: (
        feature for meaning in given.guessed for feature in index.get(meaning, ())
    )


def _stem_loop_index(model: Sequence[Feature]) -> Mapping[Hashable, list[Feature]]:
    """Index stem-loops by their name without the copy number, lower copy numbers first."""
    stems = [
        (int(mirna.copy or 0), feature)
        for feature in model
        for mirna in _of_kind(feature, STEM_LOOP)
    ]
    stems.sort(key=lambda stem: stem[0])
    return _index(
        dict.fromkeys(feature for _, feature in stems),
        lambda feature: dict.fromkeys(
            replace(mirna, copy="") for mirna in _of_kind(feature, STEM_LOOP)
        ),
    )


def _other_copies(model: Sequence[Feature]) -> Candidates:
    """Find the stem-loop without copy number for one with, and vice versa."""
    index = _stem_loop_index(model)

    def candidates(given: Feature) -> Iterable[Feature]:
        for mirna in _of_kind(given, STEM_LOOP):
            whole = replace(mirna, copy="")
            for feature in index.get(whole, ()):
                if not mirna.copy or whole in feature.now:
                    yield feature

    return candidates


def _main_mature(model: Sequence[Feature]) -> Candidates:
    """Find the mature miRNA from which most reads of a stem-loop come."""
    index = _index(model, lambda feature: feature.guessed)

    def candidates(given: Feature) -> Iterable[Feature]:
        for mirna in _of_kind(given, STEM_LOOP):
            arm = first_arm(mirna)
            for name in _matures(mirna, ["", "5p", "3p"] if arm is None else ["", arm]):
                if name in index:
                    yield from index[name]
                    break  # the reads of this stem-loop do not belong to another arm

    return candidates


def _matures(stem_loop: Mirna, arms: Iterable[str]) -> Iterator[Mirna]:
    for arm in arms:
        for copy in dict.fromkeys((stem_loop.copy, "")):
            yield replace(stem_loop, copy=copy, arm=arm, kind=MATURE)


def _stem_loops(model: Sequence[Feature]) -> Candidates:
    """Find the stem-loops that a mature miRNA is cut from, its own copy first."""
    index = _stem_loop_index(model)

    def candidates(given: Feature) -> Iterable[Feature]:
        for mirna in _of_kind(given, MATURE):
            stem_loop = replace(mirna, arm="", kind=STEM_LOOP)
            whole = replace(stem_loop, copy="")
            features = index.get(whole, [])
            for name in (stem_loop, whole):
                yield from (feature for feature in features if name in feature.now)
            if not mirna.copy:
                yield from features

    return candidates


def _of_kind(feature: Feature, kind: str) -> list[Mirna]:
    return [each for each in feature.guessed if isinstance(each, Mirna) and each.kind == kind]
