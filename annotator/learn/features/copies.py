"""Copies of a library under several ids: equal counts, or counts that share their reads.

Two libraries are copies if they differ by less than two sequencing runs of one RNA would.
The log ratios of their counts, after one common factor, are compared with the noise of
counting, ``1/x + 1/y``, plus 2 % for another quantification. Their mean square relative to that
is about 1 for two runs of one RNA, more for replicates with biological or technical variation,
and clearly less than 1 only if reads are shared. The limit is four standard errors of a
mean of squares below 1. A twentieth of the features may differ in any way.

Only pairs that are close are compared. Features are divided into four parts, of which up to
three may hold features that one library lacks. In each part a sample is projected onto
orthogonal directions, which never increases distances: no pair that is close is missed.

The limits were chosen on real atlases (docs/method/validation.md, "Copies of a library").
"""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster.hierarchy import DisjointSet
from scipy.sparse import csr_matrix

from annotator.domain.imports import LEAST_SHARED_FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles

LEAST_COMPARED = 30
"""Smallest number of features with :data:`LEAST_READS` in both for unequal counts."""

LEAST_READS = 20
REQUANTIFIED = 0.02
"""Relative standard deviation that a second quantification may add to a count."""

MAY_DIFFER = 0.05
"""Share of the compared features that may differ in any way."""

_TRIMMED = 0.76  # mean of the lowest 95 % of a chi-square variable with one degree of freedom
_PARTS, _DIRECTIONS = 4, 16
_RANK = 50  # counts are relative to the count of the feature of this rank
_LARGEST = 10.0  # no feature dominates the distance
_RADIUS = 0.6  # in logarithms, within one part
_ROWS = 1000
_BASIS = 400  # samples from which directions are computed


def copies(profiles: Profiles) -> tuple[tuple[int, ...], ...]:
    """Find groups of samples that are copies of each other.

    Parameters
    ----------
    profiles
        Samples with one name per molecule, such as those of
        :func:`~annotator.learn.features.canonical.canonical_profiles`.

    Returns
    -------
    tuple of tuple of int
        Rows of each group, at least two, ascending; groups in the order of their first
        row. A copy of a copy is in the same group.
    """
    counts = csr_matrix(profiles.counts)
    first_of, lengths = _first_equal(counts), np.diff(counts.indptr)
    groups = DisjointSet(range(counts.shape[0]))
    for row, first in enumerate(first_of.tolist()):
        groups.merge(first, row)
    distinct = np.flatnonzero((first_of == np.arange(len(first_of))) & (lengths >= LEAST_COMPARED))
    _merge_near_copies(groups, counts, distinct)
    of_several = (tuple(sorted(group)) for group in groups.subsets() if len(group) > 1)
    return tuple(sorted(of_several))


def is_copy(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Return whether two libraries share their reads, by counts of the same features.

    Parameters
    ----------
    first, second
        Counts, ``(features,)``.
    """
    difference, compared = relative_difference(first, second)
    return compared > 0 and difference <= 1 - 4 * np.sqrt(2 / compared)


def relative_difference(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[float, int]:
    """Return the mean square difference of two libraries, relative to the noise of counting.

    Parameters
    ----------
    first, second
        Counts, ``(features,)``.

    Returns
    -------
    tuple of float and int
        The difference, near 1 for two runs of one RNA, and the number of features that were
        compared; 0 of them if fewer than :data:`LEAST_COMPARED` have enough reads in both.
    """
    both = (first >= LEAST_READS) & (second >= LEAST_READS)
    if np.count_nonzero(both) < LEAST_COMPARED:
        return np.inf, 0
    factor = float(np.median(second[both] / first[both].astype(np.float64)))
    # Features that should have enough reads in both, whether they have them or not.
    expected = np.maximum(first * min(1.0, factor), second * min(1.0, 1 / factor)) >= LEAST_READS
    x, y = (np.maximum(of[expected], 0.5).astype(np.float64) for of in (first, second))
    noise = 1 / x + 1 / y + REQUANTIFIED**2
    square = np.sort((np.log(y / x) - np.log(factor)) ** 2 / noise)
    kept = square[: int(np.ceil(len(square) * (1 - MAY_DIFFER)))]
    return float(kept.mean()) / _TRIMMED, len(square)


def _first_equal(counts: csr_matrix) -> NDArray[np.int64]:
    """Return, for each row, the first row with the same features and counts."""
    first: dict[bytes, int] = {}
    result = np.arange(counts.shape[0])
    for row, (start, end) in enumerate(zip(counts.indptr[:-1], counts.indptr[1:], strict=True)):
        if end - start >= LEAST_SHARED_FEATURES:
            content = hashlib.sha256(counts.indices[start:end].astype("<i8").tobytes())
            content.update(counts.data[start:end].astype("<f4").tobytes())
            result[row] = first.setdefault(content.digest(), row)
    return result


def _merge_near_copies(
    groups: DisjointSet, counts: csr_matrix, distinct: NDArray[np.int64]
) -> None:
    """Merge the groups of rows that are copies; rows of one group are not compared."""
    among = counts[distinct]
    for first, second in _close_pairs(among):
        pair = int(distinct[first]), int(distinct[second])
        if not groups.connected(*pair) and is_copy(_dense(among, first), _dense(among, second)):
            groups.merge(*pair)


def _dense(counts: csr_matrix, row: int) -> NDArray[np.float32]:
    here = slice(counts.indptr[row], counts.indptr[row + 1])
    dense = np.zeros(counts.shape[1], dtype=np.float32)
    dense[counts.indices[here]] = counts.data[here]
    return dense


def _close_pairs(counts: csr_matrix) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows that are close in any part of the features, each once."""
    if counts.shape[0] < 2:
        return
    basis = _logarithms(counts, np.unique(np.linspace(0, counts.shape[0] - 1, _BASIS).astype(int)))
    # Every part has its share of the features that vary most.
    order = np.argsort(-np.asarray(basis.sum(axis=0)).ravel(), kind="stable")
    directions = [_directions(basis, np.sort(order[part::_PARTS])) for part in range(_PARTS)]
    points = _projected(counts, np.concatenate(directions, axis=1))
    ends = np.cumsum([0, *(part.shape[1] for part in directions)])
    seen: set[tuple[int, int]] = set()
    for start, end in itertools.pairwise(ends.tolist()):
        for pair in _close_rows(points[:, start:end]):
            if pair not in seen:
                seen.add(pair)
                yield pair


def _logarithms(counts: csr_matrix, rows: NDArray[np.int64]) -> csr_matrix:
    """Return damped logarithms of counts, relative to each sample's feature of a high rank."""
    part = csr_matrix(counts[rows], dtype=np.float32, copy=True)
    for start, end in zip(part.indptr[:-1], part.indptr[1:], strict=True):
        values = part.data[start:end]
        place = max(len(values) - _RANK, 0)
        values /= np.partition(values, place)[place]
    np.minimum(part.data, _LARGEST, out=part.data)
    np.log1p(part.data, out=part.data)
    return part


def _directions(basis: csr_matrix, columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the orthogonal directions, within some columns, in which the basis is widest."""
    of_part = csr_matrix(basis[:, columns])
    variance, vectors = np.linalg.eigh((of_part @ of_part.T).toarray().astype(np.float64))
    variance, vectors = variance[::-1][:_DIRECTIONS], vectors[:, ::-1][:, :_DIRECTIONS]
    usable = variance > 1e-6 * max(float(variance[0]), 1e-12)
    directions = np.zeros((basis.shape[1], int(usable.sum())), dtype=np.float32)
    directions[columns] = of_part.T @ (vectors[:, usable] / np.sqrt(variance[usable]))
    return directions


def _projected(counts: csr_matrix, directions: NDArray[np.float32]) -> NDArray[np.float32]:
    rows = counts.shape[0]
    blocks = [
        _logarithms(counts, np.arange(start, min(start + _ROWS, rows))) @ directions
        for start in range(0, rows, _ROWS)
    ]
    return np.asarray(np.concatenate(blocks), dtype=np.float32)


def _close_rows(points: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield the pairs of points within the radius; rows are compared in a sliding window."""
    if points.shape[1] == 0:
        return
    by = int(points.var(axis=0).argmax())
    order = np.argsort(points[:, by], kind="stable")
    points = points[order] - points.mean(axis=0)
    along = points[:, by]
    squares = (points**2).sum(axis=1)
    for start in range(0, len(points), _ROWS):
        stop = min(start + _ROWS, len(points))
        end = int(np.searchsorted(along, along[stop - 1] + _RADIUS, side="right"))
        near = (
            squares[start:stop, None]
            + squares[start:end]
            - 2 * points[start:stop] @ points[start:end].T
        )
        first, second = np.nonzero(near <= _RADIUS**2)
        for a, b in zip(
            first[second > first].tolist(), second[second > first].tolist(), strict=True
        ):
            row, other = int(order[start + a]), int(order[start + b])
            yield (row, other) if row < other else (other, row)
