"""Alignment of profiles, whatever their features, to the features of a model.

There are three steps, each for the features or samples that the previous ones left
unmatched. None of them depends on which samples are aligned together:

1. A feature of the model is matched with the feature of the same name. If the
   profiles use the names of the training samples, the other steps are not needed.
2. A feature of the model without reads in a sample is matched with the same molecule
   under another name (other spelling, no species, accession, name of another
   release, members of a merged name), if the profiles have such a column. This is
   done per sample, because a mirror has the features of all its samples: after a
   dataset with accessions is added, ``hsa-miR-21-5p`` is still a column, but only
   the old samples have reads of it.
3. If less than half of a sample's sRNA reads are matched so far, the sample is matched
   again by the features that *it* expresses, including approximate matches such as
   stem-loops (:data:`annotator.learn.features.matching.APPROXIMATE`). The result is used if it
   covers at least a tenth more of the sample's reads; otherwise the sample contains
   other molecules rather than other names, and is not changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.fields import FeatureKind
from annotator.domain.organisms import prefix_of
from annotator.learn.features.matching import APPROXIMATE, match_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles

ENOUGH_FOUND = 0.5
"""Share of a sample's sRNA reads; approximate matching is only tried if fewer are matched."""

CLEARLY_MORE = 0.1
"""Share of a sample's sRNA reads that approximate matching must add to be used."""


@dataclass(frozen=True, eq=False)
class FeatureCoverage:
    """Share of each sample's sRNA reads that a model sees, by the type of match.

    The rest are reads of features that the model does not have.

    Attributes
    ----------
    own_name
        Share in features that have the same name in the model, ``(samples,)``, float64.
    other_name
        Share in the same molecules under other names, ``(samples,)``, float64.
    approximate
        Share in approximate matches, ``(samples,)``, float64.
    """

    own_name: NDArray[np.float64]
    other_name: NDArray[np.float64]
    approximate: NDArray[np.float64]

    @property
    def found(self) -> NDArray[np.float64]:
        """The share of all matches together, ``(samples,)``, float64 in [0, 1]."""
        return self.own_name + self.other_name + self.approximate


@dataclass(frozen=True, eq=False)
class _Columns:
    """Pairs of a column of the model and a given column that belongs to it."""

    model: NDArray[np.int64]
    given: NDArray[np.int64]
    approximate: NDArray[np.bool_]


def total_reads(profiles: Profiles) -> NDArray[np.float64]:
    """Return each sample's reads over all its sRNA features, shape ``(samples,)``."""
    return np.asarray(profiles.counts @ _is_srna(profiles), dtype=np.float64)


def aligned_counts(profiles: Profiles, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the counts of named features, 0 for those that the profiles lack.

    Parameters
    ----------
    profiles
        Profiles with features in any order and of any namespace that
        :mod:`annotator.learn.features.matching` can read.
    names
        The requested features.

    Returns
    -------
    NDArray[float32]
        Shape ``(samples, len(names))``.
    """
    return _align(profiles, names)[0]


def feature_coverage(profiles: Profiles, names: tuple[str, ...]) -> FeatureCoverage:
    """Return the shares of each sample's reads that a model with the named features sees.

    Parameters
    ----------
    profiles, names
        As for :func:`aligned_counts`.

    Returns
    -------
    FeatureCoverage
        0 throughout for a sample without sRNA reads.
    """
    return _align(profiles, names)[1]


def _is_srna(profiles: Profiles) -> NDArray[np.float64]:
    return np.asarray(profiles.kinds == FeatureKind.SRNA.value, dtype=np.float64)


def _align(
    profiles: Profiles, names: tuple[str, ...]
) -> tuple[NDArray[np.float32], FeatureCoverage]:
    column = {name: position for position, name in enumerate(profiles.features.tolist())}
    pairs = [(position, column[name]) for position, name in enumerate(names) if name in column]
    positions, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    aligned = np.zeros((profiles.counts.shape[0], len(names)), dtype=np.float32)
    if len(pairs):
        aligned[:, positions] = profiles.counts[:, columns].toarray()
    is_srna = _is_srna(profiles)
    own = np.zeros(len(is_srna))
    own[columns] = is_srna[columns]
    totals = np.asarray(profiles.counts @ is_srna, dtype=np.float64)
    reads = np.zeros((3, len(totals)))
    reads[0] = profiles.counts @ own
    if len(pairs) < len(column):
        _add_other_names(profiles, names, aligned, reads)
        found = reads.sum(axis=0)
        for sample in np.flatnonzero((found < ENOUGH_FOUND * totals) & (totals > 0)):
            _match_sample(profiles, names, aligned, reads, totals, int(sample))
    share = np.divide(reads, totals, out=np.zeros_like(reads), where=totals > 0)
    return aligned, FeatureCoverage(*share)


def _add_other_names(
    profiles: Profiles,
    names: tuple[str, ...],
    aligned: NDArray[np.float32],
    reads: NDArray[np.float64],
) -> None:
    """Add, per sample, the counts of the same molecules under other names."""
    species = prefix_of(profiles.organism)
    found = _same_molecules(names, tuple(profiles.features.tolist()), species)
    if not len(found.model):
        return
    columns, place = np.unique(found.model, return_inverse=True)
    rows = np.arange(len(place))
    shape = (len(place), len(columns))
    summing = csr_matrix((np.ones(len(place), np.float32), (rows, place)), shape=shape)
    further = (profiles.counts[:, found.given] @ summing).toarray()
    further[aligned[:, columns] != 0] = 0
    aligned[:, columns] += further
    is_srna = np.zeros(len(columns))
    is_srna[place] = _is_srna(profiles)[found.given]
    reads[1] = further @ is_srna


def _match_sample(
    profiles: Profiles,
    names: tuple[str, ...],
    aligned: NDArray[np.float32],
    reads: NDArray[np.float64],
    totals: NDArray[np.float64],
    sample: int,
) -> None:
    """Match one sample by the features that it expresses, if that covers clearly more reads."""
    counts = profiles.counts
    here = slice(counts.indptr[sample], counts.indptr[sample + 1])
    columns, values = counts.indices[here], counts.data[here]
    columns, values = columns[values != 0], values[values != 0]
    expressed = profiles.features[columns].tolist()
    found = _all_ways(names, tuple(expressed), prefix_of(profiles.organism))
    read = values[found.given] * _is_srna(profiles)[columns[found.given]]
    if read.sum(dtype=np.float64) < reads[:, sample].sum() + CLEARLY_MORE * totals[sample]:
        return
    aligned[sample] = np.bincount(found.model, values[found.given], len(names))
    by_same_name = np.array(
        [names[model] == expressed[given] for model, given in zip(*_pairs(found), strict=True)]
    )
    way = np.where(found.approximate, 2, np.where(by_same_name, 0, 1))
    reads[:, sample] = np.bincount(way, read, 3)


def _pairs(found: _Columns) -> tuple[list[int], list[int]]:
    return found.model.tolist(), found.given.tolist()


# A batch of samples is aligned several times (for inputs, expression, novelty, ...).
@lru_cache(maxsize=16)
def _same_molecules(names: tuple[str, ...], features: tuple[str, ...], species: str) -> _Columns:
    """Find further columns that are features of the model under another name."""
    own = set(names)
    others = [column for column, name in enumerate(features) if name not in own]
    pairs = match_features(names, [features[column] for column in others], species=species)
    return _columns(
        [
            (pair.model_column, others[pair.given_column], False)
            for pair in pairs
            if pair.kind not in APPROXIMATE
        ]
    )


@lru_cache(maxsize=1024)
def _all_ways(names: tuple[str, ...], features: tuple[str, ...], species: str) -> _Columns:
    """Match features by all kinds of match."""
    pairs = match_features(names, features, species=species)
    return _columns(
        [(pair.model_column, pair.given_column, pair.kind in APPROXIMATE) for pair in pairs]
    )


def _columns(pairs: list[tuple[int, int, bool]]) -> _Columns:
    model, given, approximate = np.array(pairs, dtype=np.int64).reshape(-1, 3).T
    return _Columns(model, given, approximate.astype(bool))
