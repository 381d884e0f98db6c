"""Finds a model's features among those of a sample that spells them otherwise.

A model knows its features by name. Samples arrive with the names of another
miRBase release or namespace: other letter case, no species, accessions, gene
symbols, old names, merged names, stem-loops where the model has mature miRNAs.
:func:`match_features` says which given columns belong to which column of the
model, and how each was found, so that a caller can tell the safe ones from the
approximate ones and record both.
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
    """How a given feature was found to be one of the model's; best first."""

    EXACT = "exact"  # the same name
    SPELLING = "spelling"  # letter case, or . and _ for -
    SPECIES = "species"  # the species is left out on one side
    ALIAS = "alias"  # accession, gene symbol, name of another release, or a caller's alias
    MERGED = "merged"  # one of the names that the model's merged name joins
    FORMER_NAME = "former name"  # an old name without arm, concluded, not looked up
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
"""Kinds of match after which the counts do not mean quite what the model learnt."""


@dataclass(frozen=True)
class FeaturePair:
    """A given column that is counted into a column of the model (positions from 0)."""

    model_column: int
    given_column: int
    kind: MatchKind


def match_features(
    model_names: Sequence[str],
    given_names: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> tuple[FeaturePair, ...]:
    """Say which given features are which of a model's.

    The ways of :class:`MatchKind` are tried in their order. A feature of the
    model gets what the first successful way finds and nothing from later ones;
    a given feature is counted once at most. Given features that mean the same
    miRNA (``MIMAT0000076`` beside ``hsa-miR-21-5p``) are taken for two copies
    of one count: the better spelt one is used, the other is left out.

    A given merged name ``A/B`` where the model has A and B apart is counted
    whole into the first of A, B (in the order of the merged name) that nothing
    better was found for. Which share is whose cannot be known: counting it into
    both would double reads, a split would invent counts, and leaving it out
    would make both look absent, which is the greater error on a logarithmic
    scale: merged miRNAs are near-identical members of one family, of which one
    then is at most too high and one is missing. It counts as approximate.

    A stem-loop is counted into the arm that was known first, where the table
    can say (the more abundant one in about 85 % of human stem-loops); otherwise into
    the 5p arm, or the 3p arm where the model lacks the 5p arm. Both arms come
    from one transcript, so the tissues agree though the level may not. Mature
    miRNAs of several identical stem-loops are counted into the first of these.

    Parameters
    ----------
    model_names
        Names of the model's features, in the model's order.
    given_names
        Names that a profile has. Their order has no influence on what is found.
    aliases
        Further names to what they are called now, for what the shipped table of
        human names lacks, such as ``{"hsa-miR-126": "hsa-miR-126-3p"}``. They
        go before the table, but not before equal names.

    Returns
    -------
    tuple of FeaturePair
        By column of the model, then by given column. A column of the model may
        occur several times (its counts are summed), a given column only once.

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
        pairs += _other_pairs(model_names, given_names, pairs, aliases or {})
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
    """What is left to find: all features of both sides and those still without a partner."""

    model: tuple[Feature, ...]
    given: tuple[Feature, ...]
    open_columns: set[int]
    pairs: list[FeaturePair]

    def find(self, kind: MatchKind, candidates: Candidates) -> None:
        """Pair each given feature with its first candidate that still takes it.

        A candidate takes several given features of one kind of match, as long
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
) -> list[FeaturePair]:
    """Pair what has no equal name on the other side."""
    aliases = {folded(old): new for old, new in aliases.items()}
    used = {pair.given_column for pair in exact}
    given_columns = [column for column in range(len(given_names)) if column not in used]
    model_dialect = Dialect.of(model_names, given_names)
    given_dialect = Dialect.of(given_names, model_names)
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
    """Find equal spellings, unless one means a stem-loop and the other a mature miRNA."""
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
    """Find features whose name joins all that the given name joins, and maybe more."""
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
    """Index stem-loops by their name without the copy number, lower copies first."""
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
    """Find the stem-loop without copy number for a copy, and the other way round."""
    index = _stem_loop_index(model)

    def candidates(given: Feature) -> Iterable[Feature]:
        for mirna in _of_kind(given, STEM_LOOP):
            whole = replace(mirna, copy="")
            for feature in index.get(whole, ()):
                if not mirna.copy or whole in feature.now:
                    yield feature

    return candidates


def _main_mature(model: Sequence[Feature]) -> Candidates:
    """Find the mature miRNA that most reads of a stem-loop come from."""
    index = _index(model, lambda feature: feature.guessed)

    def candidates(given: Feature) -> Iterable[Feature]:
        for mirna in _of_kind(given, STEM_LOOP):
            arm = first_arm(mirna)
            for name in _matures(mirna, ["", "5p", "3p"] if arm is None else ["", arm]):
                if name in index:
                    yield from index[name]
                    break  # another arm is not what this stem-loop's reads are

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
