"""Splits of samples into folds that are held out together.

There are two schemes, as in the paper (section 2.3.3): cross-validation holds out
samples at random, so that a dataset usually has samples on both sides; one dataset
out holds out whole datasets, which corresponds to predicting a new dataset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import CohortError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GROUPED_FOLDS = 10
"""Default number of folds into which many datasets are grouped."""


def choose_folds(n_datasets: int, quick_datasets: int) -> int | None:
    """Choose how datasets are held out.

    Parameters
    ----------
    n_datasets
        Number of datasets in the cohort.
    quick_datasets
        Largest number of datasets for which each is held out by itself.

    Returns
    -------
    int or None
        ``None`` to hold out each dataset by itself, else the number of grouped folds.
    """
    return None if n_datasets <= quick_datasets else GROUPED_FOLDS


def describe_dataset_folds(folds: NDArray[np.int64], dataset_ids: NDArray[np.object_]) -> str:
    """Describe in words how whole datasets were held out.

    Parameters
    ----------
    folds, dataset_ids
        The fold and dataset of each sample, shape ``(samples,)``.
    """
    n_folds, n_datasets = len(np.unique(folds)), len(set(dataset_ids))
    if n_folds == n_datasets:
        return f"one dataset out: each of {n_datasets} datasets held out by itself"
    return (
        f"one dataset out, grouped: {n_datasets} datasets in {n_folds} folds,"
        " whole datasets held out together"
    )


def describe_cross_validation(folds: int, n_samples: int) -> str:
    """Describe in words how samples were held out at random."""
    return (
        f"{folds}-fold cross-validation: {n_samples} samples held out at random, so that a"
        " dataset usually has samples in training too"
    )


def cross_validation_folds(labels: NDArray[np.object_], folds: int, seed: int) -> NDArray[np.int64]:
    """Assign samples to folds at random, each class evenly.

    Parameters
    ----------
    labels
        Class of each sample, shape ``(samples,)``.
    folds
        Number of folds, at least 2.
    seed
        The same seed gives the same folds.

    Returns
    -------
    ndarray
        Fold of each sample, shape ``(samples,)``; sizes differ by at most one,
        overall and within every class.

    Raises
    ------
    CohortError
        There are fewer samples than folds.
    """
    _require_folds(folds)
    if len(labels) < folds:
        raise CohortError(
            f"{len(labels)} labelled samples cannot be divided into {folds} folds;"
            " label more samples or use fewer folds"
        )
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    by_class = [
        generator.permutation(np.flatnonzero(labels == class_name))
        for class_name in sorted(set(labels))
    ]
    dealt = np.concatenate(by_class)
    result = np.empty(len(labels), dtype=np.int64)
    result[dealt] = np.arange(len(labels), dtype=np.int64) % folds
    return result


def dataset_folds(
    dataset_ids: NDArray[np.object_],
    labels: NDArray[np.object_],
    folds: int | None,
    seed: int,
) -> NDArray[np.int64]:
    """Assign whole datasets to folds.

    Grouped folds are filled greedily, largest dataset first, so that folds are
    similar in size and in classes, and so that no class of several datasets ends
    up in a single fold, because it could not be learned while that fold is held
    out. This is guaranteed if every dataset has fewer classes than there are folds;
    otherwise the greedy choice avoids it as far as it can. The result does not
    depend on the order of the samples.

    Parameters
    ----------
    dataset_ids, labels
        Dataset and class of each sample, shape ``(samples,)``.
    folds
        ``None`` to hold out each dataset by itself, else the number of folds, at least
        2; with fewer datasets than folds, each dataset is held out by itself.
    seed
        Seed of the order of datasets of the same size.

    Returns
    -------
    ndarray
        Fold of each sample, shape ``(samples,)``, counted from 0 without gaps.

    Raises
    ------
    CohortError
        There are fewer than two datasets.
    """
    datasets, dataset_index = _index(dataset_ids)
    if len(datasets) < 2:
        raise CohortError(
            f"whole datasets cannot be held out: the labelled samples come from {len(datasets)}"
            " dataset(s) and at least 2 are needed; label samples of another dataset"
        )
    if folds is not None:
        _require_folds(folds)
    if folds is None or folds >= len(datasets):
        return dataset_index
    classes, class_index = _index(labels)
    counts = np.zeros((len(datasets), len(classes)))
    np.add.at(counts, (dataset_index, class_index), 1.0)
    return _group_datasets(counts, folds, seed)[dataset_index]


def scored_mask(labels: NDArray[np.object_], folds: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each held-out sample can be scored.

    A sample can be scored if its class is among the classes that its fold's
    models were trained on, and if there are at least two of those (paper, section
    2.3.3: "after ensuring that the respective tissues still remained").

    Parameters
    ----------
    labels, folds
        Class and fold of each sample, shape ``(samples,)``.

    Returns
    -------
    ndarray
        Shape ``(samples,)``, bool.
    """
    result = np.zeros(len(labels), dtype=np.bool_)
    for fold in np.unique(folds):
        held_out = folds == fold
        trained = set(labels[~held_out])
        if len(trained) >= 2:
            result[held_out] = [label in trained for label in labels[held_out]]
    return result


def _require_folds(folds: int) -> None:
    if folds < 2:
        raise ValueError(f"at least 2 folds are needed, not {folds}")


def _index(values: NDArray[np.object_]) -> tuple[list[str], NDArray[np.int64]]:
    """Return the sorted distinct values and the place of each value among them."""
    names = sorted(set(values))
    place = {name: number for number, name in enumerate(names)}
    return names, np.array([place[value] for value in values], dtype=np.int64)


def _group_datasets(counts: NDArray[np.float64], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each dataset from its samples per class, ``(datasets, classes)``."""
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    sizes = counts.sum(axis=1)
    order = np.lexsort((generator.permutation(len(sizes)), -sizes))
    share = counts / counts.sum(axis=0)
    share_of_all = sizes / sizes.sum()
    fold_share = np.zeros((folds, counts.shape[1]))
    fold_size = np.zeros(folds)
    result = np.empty(len(sizes), dtype=np.int64)
    for dataset in order:
        # A class may be in only one fold so far; this dataset can put it in a second one.
        alone = (fold_share > 0) & ((fold_share > 0).sum(axis=0) == 1)
        stuck = (alone & (counts[dataset] > 0)).sum(axis=1)
        # Growth of the sums of squares, which is smallest in small folds with few of its classes.
        uneven = 2 * fold_share @ share[dataset] / counts.shape[1]
        uneven += 2 * fold_size * share_of_all[dataset]
        fold = int(np.lexsort((uneven, stuck))[0])
        result[dataset] = fold
        fold_share[fold] += share[dataset]
        fold_size[fold] += share_of_all[dataset]
    return result
