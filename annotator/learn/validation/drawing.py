"""Drawing of training samples from cohorts that are larger than models gain from.

A further sample of a dataset and class of which there are many already adds little: samples
of one dataset resemble each other. The largest parts are therefore cut first, and whatever a
small dataset or a rare class has is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def drawn_rows(
    labels: NDArray[np.object_], dataset_ids: NDArray[np.object_], most: int, seed: int
) -> NDArray[np.int64]:
    """Draw samples at random, as many of each dataset and class as possible up to a number.

    That number is the largest for which at most ``most`` samples are drawn in all.

    Parameters
    ----------
    labels, dataset_ids
        Class and dataset of each sample, ``(samples,)``, dtype object (str).
    most
        Maximum number of samples; 0 for no maximum. One sample of each dataset and class is
        always drawn, even if these are more.
    seed
        Seed of the choice.

    Returns
    -------
    NDArray[int64]
        The drawn rows, ascending.

    Examples
    --------
    >>> labels = np.array(["liver"] * 6 + ["brain"] * 2, dtype=object)
    >>> datasets = np.array(["A"] * 5 + ["B"] * 3, dtype=object)
    >>> rows = drawn_rows(labels, datasets, most=5, seed=0)
    >>> len(rows), sorted(set(rows) & {5, 6, 7})
    (5, [5, 6, 7])
    """
    if most == 0 or len(labels) <= most:
        return np.arange(len(labels))
    part = _parts(labels, dataset_ids)
    sizes = np.bincount(part)
    random = np.random.default_rng(seed)
    # Parts one after the other, and the samples of each in random order.
    order = np.lexsort((random.permutation(len(part)), part))
    place = np.arange(len(part)) - (np.cumsum(sizes) - sizes)[part[order]]
    return np.asarray(np.sort(order[place < _most_per_part(sizes, most)]), dtype=np.int64)


def _parts(labels: NDArray[np.object_], dataset_ids: NDArray[np.object_]) -> NDArray[np.int64]:
    """Return the number of each sample's combination of dataset and class, ``(samples,)``."""
    of_label = np.unique(labels.astype(str), return_inverse=True)[1]
    of_dataset = np.unique(dataset_ids.astype(str), return_inverse=True)[1]
    both = of_dataset * (int(of_label.max()) + 1) + of_label
    return np.asarray(np.unique(both, return_inverse=True)[1], dtype=np.int64)


def _most_per_part(sizes: NDArray[np.int64], most: int) -> int:
    """Return the largest number of samples per part with which the sum does not exceed a maximum.

    Returns
    -------
    int
        At least 1.
    """
    ascending = np.sort(sizes)
    # The sum if the n-th size is the limit: smaller parts whole, and as many of each larger one.
    before = np.cumsum(ascending) - ascending
    larger = np.arange(len(ascending), 0, -1)
    fits = before + ascending * larger <= most
    first = int(np.count_nonzero(fits))  # the sums ascend
    return max(1, int((most - before[first]) // larger[first]))
