"""Collecting counts by sample and feature, as most layouts need it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from annotator.reading.counts.layout import MemoryTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Tally:
    """Counts by sample and feature; several counts of one feature are combined.

    Parameters
    ----------
    sample_ids
        Ids of the samples, in the order of the rows to be.
    combine
        How two counts of one feature in one sample become one: by default their sum.
    """

    def __init__(
        self,
        sample_ids: Sequence[str],
        combine: Callable[[float, float], float] = lambda first, second: first + second,
    ) -> None:
        self._samples = tuple(sample_ids)
        self._combine = combine
        self._counts: dict[str, list[float]] = {}
        self.repeated = 0

    def add(self, feature: str, counts: Sequence[float]) -> None:
        """Add the counts of a feature, one per sample."""
        known = self._counts.get(feature)
        if known is None:
            self._counts[feature] = list(counts)
            return
        self.repeated += 1
        self._counts[feature] = [
            self._combine(first, second) for first, second in zip(known, counts, strict=True)
        ]

    def table(self, notes: Sequence[str] = ()) -> MemoryTable:
        """Return all counts; the features are in the order in which they were added."""
        counts = np.array(list(self._counts.values()), dtype=np.float32)
        shape = (len(self._counts), len(self._samples))
        return MemoryTable(
            self._samples,
            tuple(self._counts),
            csr_matrix(counts.reshape(shape).T),
            tuple(notes),
        )

    def total(self) -> float:
        """Return the sum of all counts."""
        return math.fsum(value for counts in self._counts.values() for value in counts)
