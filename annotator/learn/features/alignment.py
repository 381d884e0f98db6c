"""The columns that a model knows, out of whatever columns profiles have.

Three steps, each only for what the one before left open; which samples are
looked at together has no influence on any of them:

1. A feature of the model is the feature of the same name. In profiles named as
   the training samples were, this is all that happens.
2. A feature of the model that a sample has *no* read of is the same molecule
   under another name (other spelling, no species, accession, name of another
   release, members of a merged name), where the profiles have such a column.
   By sample, since a mirror lists the features of all its samples: after a
   dataset with accessions came in, ``hsa-miR-21-5p`` is still a column, and
   only the old samples have reads of it.
3. A sample with less than half of its sRNA reads found so is matched by the
   features that *it* expresses, approximate ways such as stem-loops included
   (:data:`annotator.learn.features.matching.APPROXIMATE`). That counts if it finds
   at least a tenth more of the sample's reads; else the sample is not in other
   names but made of something else, and stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.domain.fields import FeatureKind
from annotator.learn.features.matching import APPROXIMATE, match_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles

ENOUGH_FOUND = 0.5
"""Share of a sample's sRNA reads from which on no approximate names are looked for."""

CLEARLY_MORE = 0.1
"""Share of a sample's sRNA reads that approximate names must add to be believed."""


@dataclass(frozen=True, eq=False)
class FeatureCoverage:
    """Share of each sample's sRNA reads that a model sees, by how they were found.

    The rest are reads of features that the model does not have.

    Attributes
    ----------
    own_name
        In features that have the same name in the model, ``(samples,)``, float64.
    other_name
        In the same molecules under other names.
    approximate
        In features that are not quite what the model learnt.
    """

    own_name: NDArray[np.float64]
    other_name: NDArray[np.float64]
    approximate: NDArray[np.float64]

    @property
    def found(self) -> NDArray[np.float64]:
        """All of them together, ``(samples,)``, float64 in [0, 1]."""
        return self.own_name + self.other_name + self.approximate


@dataclass(frozen=True, eq=False)
class _Columns:
    """Which given columns belong to which of the model's, position by position."""

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
        Features in any order and of any namespace that
        :mod:`annotator.learn.features.matching` can read.
    names
        The features wanted.

    Returns
    -------
    NDArray[float32]
        Shape ``(samples, len(names))``.
    """
    return _align(profiles, names)[0]


def feature_coverage(profiles: Profiles, names: tuple[str, ...]) -> FeatureCoverage:
    """Return how much of each sample a model with the named features sees.

    Parameters
    ----------
    profiles, names
        As :func:`aligned_counts` gets them.

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
    """Fill in, sample by sample, the same molecules under other names."""
    found = _same_molecules(names, tuple(profiles.features.tolist()))
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
    """Match one sample by the features that it expresses, if that finds clearly more."""
    counts = profiles.counts
    here = slice(counts.indptr[sample], counts.indptr[sample + 1])
    columns, values = counts.indices[here], counts.data[here]
    columns, values = columns[values != 0], values[values != 0]
    expressed = profiles.features[columns].tolist()
    found = _all_ways(names, tuple(expressed))
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


# A batch of samples is aligned several times (inputs, expression, novelty, ...).
@lru_cache(maxsize=16)
def _same_molecules(names: tuple[str, ...], features: tuple[str, ...]) -> _Columns:
    """Find other columns that are features of the model under another name."""
    own = set(names)
    others = [column for column, name in enumerate(features) if name not in own]
    pairs = match_features(names, [features[column] for column in others])
    return _columns(
        [
            (pair.model_column, others[pair.given_column], False)
            for pair in pairs
            if pair.kind not in APPROXIMATE
        ]
    )


@lru_cache(maxsize=1024)
def _all_ways(names: tuple[str, ...], features: tuple[str, ...]) -> _Columns:
    """Match features in every way that there is."""
    pairs = match_features(names, features)
    return _columns(
        [(pair.model_column, pair.given_column, pair.kind in APPROXIMATE) for pair in pairs]
    )


def _columns(pairs: list[tuple[int, int, bool]]) -> _Columns:
    model, given, approximate = np.array(pairs, dtype=np.int64).reshape(-1, 3).T
    return _Columns(model, given, approximate.astype(bool))
