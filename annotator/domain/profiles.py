"""Expression profiles, and the cohorts of labelled samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from annotator.domain.organisms import DEFAULT_ORGANISM

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    from annotator.domain.fields import FieldDefinition


@dataclass(frozen=True, eq=False)
class Profiles:
    """Raw expression counts of samples.

    Attributes
    ----------
    sample_ids
        Shape ``(samples,)``, dtype object (str).
    features
        Feature names, shape ``(features,)``, dtype object (str), unique.
    kinds
        ``"srna"`` or ``"contaminant"`` for each feature, dtype object (str).
    counts
        Reads, shape ``(samples, features)``, float32, sorted indices, no
        explicit zeros.
    organism
        The organism of the samples: feature names without a species are of it.
    """

    sample_ids: NDArray[np.object_]
    features: NDArray[np.object_]
    kinds: NDArray[np.object_]
    counts: csr_matrix
    organism: str = DEFAULT_ORGANISM

    def take(self, rows: NDArray[np.int64]) -> Profiles:
        """Return some of the samples, by row numbers."""
        return replace(self, sample_ids=self.sample_ids[rows], counts=self.counts[rows])


@dataclass(frozen=True, eq=False)
class Cohort:
    """The labelled samples that a field is learned from.

    Attributes
    ----------
    definition
        The field.
    profiles
        Their expression, one row per sample.
    dataset_ids
        Shape ``(samples,)``, dtype object (str).
    values
        The labels as curated, dtype object (str). For a field of intervals, the
        number as text or the interval that a curator decided on; ``numbers`` has
        the number.
    numbers
        ``numeric_value`` of the annotation, or the number that a curator gave,
        float64, NaN if there is none.
    known
        For each known field the curated value of every sample, ``""`` if it
        is missing, dtype object (str).
    """

    definition: FieldDefinition
    profiles: Profiles
    dataset_ids: NDArray[np.object_]
    values: NDArray[np.object_]
    numbers: NDArray[np.float64]
    known: Mapping[str, NDArray[np.object_]]

    @property
    def field(self) -> str:
        """The name of the field."""
        return self.definition.name

    def take(self, rows: NDArray[np.int64]) -> Cohort:
        """Return some of the samples, by row numbers."""
        return replace(
            self,
            profiles=self.profiles.take(rows),
            dataset_ids=self.dataset_ids[rows],
            values=self.values[rows],
            numbers=self.numbers[rows],
            known={name: values[rows] for name, values in self.known.items()},
        )


def rows_by(names: NDArray[np.object_]) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each distinct name, in one pass however many names there are.

    Parameters
    ----------
    names
        One name per row, such as the dataset of each sample, ``(rows,)``, dtype object (str).

    Returns
    -------
    dict
        Names ascending, each with its rows ascending, int64.

    Examples
    --------
    >>> import numpy as np
    >>> rows_by(np.array(["b", "a", "b"], dtype=object))
    {'a': array([1]), 'b': array([0, 2])}
    """
    import numpy as np

    if len(names) == 0:
        return {}
    distinct, index = np.unique(names.astype(str), return_inverse=True)
    order = np.argsort(index, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(index))[:-1])
    return dict(zip(distinct.tolist(), rows, strict=True))
