"""One name per molecule in a cohort whose datasets use different names.

Names are a convention of a study: ``hsa-miR-21-5p`` in one dataset is ``MIMAT0000076`` or
``hsa-miR-21`` in another. The names of the datasets whose names are most common are
kept. Those of every other dataset are matched with them by
:func:`~annotator.learn.features.matching.match_features`, and the counts are moved.
Approximate matches, such as those of stem-loops with mature miRNAs, are not used; old
names without an arm are the only exception. A dataset that expresses features of both
names distinguishes them, and keeps both.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.fields import FeatureKind
from annotator.domain.profiles import rows_by
from annotator.learn.features.matching import APPROXIMATE, MatchKind, match_features
from annotator.learn.features.mirbase import (
    MATURE,
    STEM_LOOP,
    TABLE_SPECIES,
    current,
    inferred,
    members,
    parsed,
)
from annotator.learn.features.naming import naming_of_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles
    from annotator.learn.features.mirbase import Mirna
    from annotator.learn.features.naming import Naming

USED = frozenset(MatchKind) - APPROXIMATE | {MatchKind.FORMER_NAME}
"""The kinds of match by which two names are one molecule in training."""


@dataclass(frozen=True, eq=False)
class CanonicalProfiles:
    """Profiles with one name per molecule.

    Attributes
    ----------
    profiles
        The same samples and columns; counts of renamed features are in the column of the
        new name.
    renamed
        Dataset to its old names and their new ones; datasets without any are left out.
    """

    profiles: Profiles
    renamed: Mapping[str, Mapping[str, str]]


def canonical_profiles(profiles: Profiles, dataset_ids: NDArray[np.object_]) -> CanonicalProfiles:
    """Give each molecule one name in all datasets.

    Parameters
    ----------
    profiles
        Samples of several datasets.
    dataset_ids
        The dataset of each sample, ``(samples,)``, dtype object (str).

    Returns
    -------
    CanonicalProfiles
        ``profiles`` is the given object if nothing is renamed.
    """
    shared, use = _names_of_same_molecules(profiles)
    moves = _moves(profiles, dataset_ids, shared, use) if len(shared) else {}
    if not moves:
        return CanonicalProfiles(profiles, {})
    names = profiles.features
    return CanonicalProfiles(
        replace(profiles, counts=_moved(profiles.counts, dataset_ids, moves)),
        {
            dataset: {str(names[old]): str(names[new]) for old, new in sorted(of.items())}
            for dataset, of in sorted(moves.items())
        },
    )


def renamed_counts(
    counts: csr_matrix,
    features: NDArray[np.object_],
    dataset_ids: NDArray[np.object_],
    renamed: Mapping[str, Mapping[str, str]],
) -> csr_matrix:
    """Move counts as :func:`canonical_profiles` did when it renamed features.

    Parameters
    ----------
    counts, features
        The counts, and the names of the columns.
    dataset_ids
        The dataset of each sample, ``(samples,)``, dtype object (str).
    renamed
        :attr:`CanonicalProfiles.renamed`.
    """
    if not renamed:
        return counts
    column_of = {str(name): column for column, name in enumerate(features)}
    moves = {
        dataset: {column_of[old]: column_of[new] for old, new in names.items()}
        for dataset, names in renamed.items()
    }
    return _moved(counts, dataset_ids, moves)


def _names_of_same_molecules(profiles: Profiles) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the expressed sRNA columns that may be the molecule of another such column.

    Returns
    -------
    tuple
        The columns, ascending, and how usual each name is: the number of samples that
        express it, relative to the most usual name of the same molecule.
    """
    samples = np.bincount(profiles.counts.indices, minlength=len(profiles.features))
    is_srna = profiles.kinds == FeatureKind.SRNA.value
    columns_of: dict[Mirna | str, list[int]] = {}
    for column in np.flatnonzero((samples > 0) & is_srna).tolist():
        for key in set(_possible_meanings(str(profiles.features[column]))):
            columns_of.setdefault(key, []).append(column)
    most: dict[int, int] = {}
    for columns in columns_of.values():
        if len(columns) > 1:
            of_key = int(samples[columns].max())
            most.update({column: max(of_key, most.get(column, 0)) for column in columns})
    shared = np.array(sorted(most), dtype=np.int64)
    return shared, samples[shared] / np.array([most[column] for column in shared.tolist()])


def _possible_meanings(name: str) -> Iterator[Mirna | str]:
    """Yield whatever a name may mean, whichever the conventions of its dataset are."""
    for text in members(name):
        mirna = parsed(text)
        if mirna is None:
            yield current(text) or text
            continue
        for kind in [mirna.kind] if mirna.kind else [MATURE, STEM_LOOP]:
            whole = replace(mirna, species=mirna.species or TABLE_SPECIES, kind=kind)
            yield inferred(current(whole) or whole)


def _moves(
    profiles: Profiles,
    dataset_ids: NDArray[np.object_],
    shared: NDArray[np.int64],
    use: NDArray[np.float64],
) -> dict[str, dict[int, int]]:
    """Return, per dataset, the columns to move and where to."""
    counts = csr_matrix(profiles.counts[:, shared])
    columns_of = {
        dataset: np.unique(counts[rows].indices).astype(np.int64)
        for dataset, rows in rows_by(dataset_ids).items()
    }
    columns_of = {dataset: columns for dataset, columns in columns_of.items() if len(columns)}
    names = [str(name) for name in profiles.features[shared]]
    kept: dict[int, None] = {}
    moves: dict[str, dict[int, int]] = {}
    found: dict[int, int] = {}
    for dataset in _by_usual_names(columns_of, names, use, Counter(dataset_ids.tolist())):
        own = set(columns_of[dataset].tolist())
        new = [column for column in sorted(own) if column not in kept]
        free = [column for column in kept if column not in own]
        # A name that was matched in another dataset is matched alike.
        moved = {one: found[one] for one in new if one in found and found[one] not in own}
        rest = [column for column in new if column not in moved]
        matches = _matches([names[column] for column in free], [names[one] for one in rest])
        moved |= {rest[given]: free[model] for model, given in matches}
        found.update(moved)
        kept.update(dict.fromkeys(column for column in new if column not in moved))
        if moved:
            moves[dataset] = {int(shared[old]): int(shared[to]) for old, to in moved.items()}
    return moves


def _by_usual_names(
    columns_of: Mapping[str, NDArray[np.int64]],
    names: Sequence[str],
    use: NDArray[np.float64],
    samples: Mapping[str, int],
) -> list[str]:
    """Order datasets so that those whose names are to be kept come first.

    Datasets of the convention with the most samples come first, and among these the datasets
    with the most usual names.
    """
    of_name = [naming_of_name(name) for name in names]
    convention = {
        dataset: Counter(of_name[column] for column in columns.tolist()).most_common(1)[0][0]
        for dataset, columns in columns_of.items()
    }
    total: Counter[Naming] = Counter()
    for dataset, naming in convention.items():
        total[naming] += samples[dataset]
    return sorted(
        columns_of,
        key=lambda one: (
            -total[convention[one]],
            convention[one],
            -use[columns_of[one]].mean(),
            one,
        ),
    )


def _matches(model: Sequence[str], given: Sequence[str]) -> list[tuple[int, int]]:
    if not model or not given:
        return []
    return [
        (pair.model_column, pair.given_column)
        for pair in match_features(model, given)
        if pair.kind in USED
    ]


def _moved(
    counts: csr_matrix, dataset_ids: NDArray[np.object_], moves: Mapping[str, Mapping[int, int]]
) -> csr_matrix:
    """Move counts between columns; those of several members of a merged name are summed."""
    indices = counts.indices.copy()
    rows_of = rows_by(dataset_ids)
    for dataset, of_dataset in moves.items():
        place = np.arange(counts.shape[1], dtype=indices.dtype)
        place[list(of_dataset)] = list(of_dataset.values())
        for row in rows_of[dataset]:
            here = slice(counts.indptr[row], counts.indptr[row + 1])
            indices[here] = place[indices[here]]
    moved: csr_matrix = csr_matrix(
        (counts.data.copy(), indices, counts.indptr.copy()), shape=counts.shape
    )
    moved.has_sorted_indices = False
    moved.has_canonical_format = False
    moved.sum_duplicates()
    return moved
