"""Checks of a row of expression before it is used in computations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import SampleError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.store.mirror.features import FeatureTable
    from annotator.store.server.copy_format import ExpressionRow

LARGEST_COUNT = 1e9
UNREADABLE = "unreadable"
"""The code of a sample whose row raises an error when it is read."""


@dataclass(frozen=True, eq=False)
class Counts:
    """Usable counts of one sample: columns ascending, float32 values above zero."""

    columns: NDArray[np.int64]
    values: NDArray[np.float32]


def no_counts() -> SampleError:
    """Return the error for a sample without any reads."""
    return SampleError("no_counts", "the sample has no reads in atlas.expression")


class RowChecker:
    """Converter of rows into usable counts, with reusable work space.

    Parameters
    ----------
    features
        The features that may occur in rows.
    """

    def __init__(self, features: FeatureTable) -> None:
        self._features = features
        self._seen = np.zeros(len(features.ids), dtype=bool)
        self._counts = np.zeros(len(features.ids), dtype=np.float32)

    def check(self, row: ExpressionRow) -> Counts | SampleError:
        """Return the counts of one sample, or the reason why they cannot be used."""
        if row.length > len(self._seen):
            return SampleError(
                "too_many_features",
                f"the row has {row.length:,} elements, but atlas.feature only {len(self._seen):,}"
                " features",
            )
        problem = _unusable_arrays(row)
        if problem is not None:
            return problem
        assert row.feature_ids.values is not None
        assert row.counts.values is not None
        values = row.counts.values.astype(row.counts.values.dtype.newbyteorder("="))
        with np.errstate(invalid="ignore"):
            usable = values.min() >= 0 and values.max() <= LARGEST_COUNT
        if not usable:
            return _unusable_counts(values)
        columns = self._features.columns_of_ids(row.feature_ids.values)
        if columns.min() < 0:
            unknown = row.feature_ids.values[columns < 0]
            return SampleError(
                "unknown_features",
                f"{len(unknown)} feature ids are not in atlas.feature; the first is {unknown[0]}",
            )
        return self._in_order(columns, values)

    def _in_order(self, columns: NDArray[np.int64], values: NDArray[Any]) -> Counts | SampleError:
        """Order the counts by column with the work space, which is faster than sorting."""
        self._seen[columns] = True
        self._counts[columns] = values
        ascending = np.flatnonzero(self._seen)
        self._seen[ascending] = False
        if len(ascending) != len(columns):
            return SampleError(
                "duplicate_features",
                f"{len(columns) - len(ascending)} features are counted more than once",
            )
        in_order = self._counts[ascending]
        if not in_order.all():
            ascending, in_order = ascending[in_order > 0], in_order[in_order > 0]
        return Counts(ascending, in_order) if len(ascending) else no_counts()


def _unusable_arrays(row: ExpressionRow) -> SampleError | None:
    ids, counts = row.feature_ids, row.counts
    if counts.nulls:
        return SampleError("non_finite_counts", "some of the counts are NULL")
    if ids.nulls:
        return SampleError("unknown_features", "some of the feature ids are NULL")
    if ids.values is None and counts.values is None:
        return no_counts()
    found = [None if one is None else len(one) for one in (ids.values, counts.values)]
    if found != [row.nnz, row.nnz]:
        nnz = "NULL or negative" if row.nnz < 0 else str(row.nnz)
        lengths = ["no array" if length is None else f"{length} elements" for length in found]
        return SampleError(
            "mismatched_arrays",
            f"nnz is {nnz}, but feature_ids has {lengths[0]} and counts has {lengths[1]}",
        )
    return no_counts() if row.nnz == 0 else None


def _unusable_counts(values: NDArray[Any]) -> SampleError:
    if not np.isfinite(values).all():
        wrong = int(np.count_nonzero(~np.isfinite(values)))
        return SampleError("non_finite_counts", f"{wrong} counts are NaN or infinite")
    if values.min() < 0:
        return SampleError("negative_counts", f"the lowest count is {values.min():g}")
    return SampleError(
        "absurd_counts", f"the highest count is {values.max():g}, above {LARGEST_COUNT:g}"
    )
