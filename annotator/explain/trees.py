"""Tree SHAP contributions for boosted trees and random forests.

Boosted trees are shallow, and XGBoost's own single-precision implementation is
fast and good for them. The trees of a forest are grown until their leaves are
pure; theirs is :mod:`annotator.explain.forest_shap`.

References
----------
Lundberg, Erion and Lee (2018), Consistent individualized feature attribution
for tree ensembles, algorithm 2.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost

from annotator.errors import ArtefactError, InputError
from annotator.explain.checks import checked_inputs, checked_targets
from annotator.explain.forest_shap import ForestNodes, forest_nodes, forest_shap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

NODES_OF_A_GROUP = 2**14
VALUES_AT_ONCE = 2**24  # float32 values of one chunk of contributions: 64 MB


def _chunks(samples: int, values_per_sample: int) -> Iterator[slice]:
    """Cut the samples into chunks that keep the memory bounded."""
    rows = max(1, VALUES_AT_ONCE // values_per_sample)
    for start in range(0, samples, rows):
        yield slice(start, start + rows)


def _using(threads: int) -> AbstractContextManager[None]:
    """Limit XGBoost's threads without a change to the booster; 0 leaves them alone."""
    context: AbstractContextManager[None] = (
        xgboost.config_context(nthread=threads) if threads else nullcontext()
    )
    return context


def boosting_contributions(
    booster: xgboost.Booster,
    inputs: NDArray[Any],
    target_class: NDArray[Any],
    threads: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how much each input moved the margin of a sample's class.

    Parameters
    ----------
    booster
        Gradient-boosted trees with one margin a class (``multi:softprob``).
    inputs
        What the booster sees, shape ``(samples, features)``, float32.
    target_class
        The class to explain for each sample, shape ``(samples,)``, integer.
    threads
        Processor threads that it may use; 0 leaves the choice to XGBoost.

    Returns
    -------
    values
        Shape ``(samples, features)``, float64, in units of the margin.
    bias
        The expected margin, shape ``(samples,)``, float64. A row of values and
        its bias sum to the margin of the class.

    Raises
    ------
    InputError
        The inputs or classes do not fit the booster.
    """
    features = booster.num_features()
    matrix = checked_inputs(inputs, features)
    values = np.empty(matrix.shape, np.float64)
    bias = np.empty(len(matrix), np.float64)
    if not len(matrix):
        return values, bias
    with _using(threads):
        classes = _margins(booster, matrix[:1]).shape[1]
        targets = checked_targets(target_class, len(matrix), classes)
        for rows in _chunks(len(matrix), classes * (features + 1)):
            margins = _margins(booster, matrix[rows])
            of_class = margins[np.arange(len(margins)), targets[rows]]
            values[rows], bias[rows] = of_class[:, :-1], of_class[:, -1]
    return values, bias


def _margins(booster: xgboost.Booster, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return contributions and bias for all classes, shape ``(samples, classes, features + 1)``."""
    result: NDArray[np.float32] = booster.predict(
        xgboost.DMatrix(inputs), pred_contribs=True, strict_shape=True, validate_features=False
    )
    return result


def _groups(node_counts: Sequence[int]) -> list[range]:
    """Deal trees, in order, into groups small enough for the processor's cache."""
    groups, start, nodes = [], 0, 0
    for place, count in enumerate(node_counts):
        if place > start and nodes + count > NODES_OF_A_GROUP:
            groups.append(range(start, place))
            start, nodes = place, 0
        nodes += count
    groups.append(range(start, len(node_counts)))
    return groups


class ForestExplainer:
    """Tree SHAP contributions of a scikit-learn random forest.

    Parameters
    ----------
    estimator
        A fitted ``RandomForestClassifier`` with one output.
    feature_indices
        For each column that the estimator sees, its column in the inputs,
        shape ``(estimator's features,)``, integer, without repetition.

    Raises
    ------
    ArtefactError
        The forest and ``feature_indices`` do not fit one another, or the forest
        has several outputs.
    """

    def __init__(self, estimator: Any, feature_indices: NDArray[np.integer[Any]]) -> None:
        columns = np.asarray(feature_indices, dtype=np.int64)
        if estimator.n_outputs_ != 1:
            raise ArtefactError(
                f"the forest has {estimator.n_outputs_} outputs, not one: train the release again"
            )
        if (
            columns.shape != (estimator.n_features_in_,)
            or len(np.unique(columns)) != len(columns)
            or columns.min() < 0
        ):
            raise ArtefactError(
                f"{columns.size} feature indices do not name the {estimator.n_features_in_}"
                " features of the forest once each: train the release again"
            )
        self._columns = columns
        self._trees = [member.tree_ for member in estimator.estimators_]
        self._class_count = int(estimator.n_classes_)
        self._groups = [
            (group, forest_nodes([self._trees[place] for place in group]))
            for group in _groups([int(tree.node_count) for tree in self._trees])
        ]

    def contributions(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how much each input moved the probability of a sample's class.

        Parameters
        ----------
        inputs
            Shape ``(samples, inputs)``, float32; the forest sees the columns
            that ``feature_indices`` names.
        target_class
            For each sample the column of ``predict_proba`` to explain, which is
            the place of the class in ``estimator.classes_``; shape
            ``(samples,)``, integer.

        Returns
        -------
        values
            Shape ``(samples, inputs)``, float64, in units of probability; 0 for
            inputs that the forest does not see.
        bias
            The expected probability over the training samples, shape
            ``(samples,)``, float64. A row of values and its bias sum to the
            probability of the class.

        Raises
        ------
        InputError
            The inputs or classes do not fit the forest.
        """
        if inputs.ndim != 2 or inputs.shape[1] <= self._columns.max():
            raise InputError(
                f"inputs of shape {inputs.shape} lack column {int(self._columns.max())},"
                " which the forest sees: give all inputs of the model"
            )
        matrix = checked_inputs(inputs[:, self._columns], len(self._columns))
        targets = checked_targets(target_class, len(matrix), self._class_count)
        values = np.zeros(inputs.shape, np.float64)
        bias = np.empty(len(matrix), np.float64)
        for target in np.unique(targets):
            rows = np.flatnonzero(targets == target)
            of_class, expected = self._of_class(matrix[rows], int(target))
            values[np.ix_(rows, self._columns)] = of_class
            bias[rows] = expected
        return values, bias

    def _of_class(
        self, matrix: NDArray[np.float32], target: int
    ) -> tuple[NDArray[np.float64], float]:
        """Add up the groups of trees; NumPy lets them run side by side."""

        def of_group(group: tuple[range, ForestNodes]) -> tuple[NDArray[np.float64], float]:
            places, nodes = group
            probability = np.concatenate([self._trees[i].value[:, 0, target] for i in places])
            return forest_shap(nodes, probability / len(self._trees), matrix)

        values, expected = np.zeros(matrix.shape, np.float64), 0.0
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for of_trees, expected_of_trees in pool.map(of_group, self._groups):
                values += of_trees
                expected += expected_of_trees
        return values, expected


def forest_contributions(
    estimator: Any,
    feature_indices: NDArray[np.integer[Any]],
    inputs: NDArray[Any],
    target_class: NDArray[Any],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return tree SHAP contributions of a forest once; see :class:`ForestExplainer`.

    Parameters
    ----------
    estimator, feature_indices
        As for :class:`ForestExplainer`.
    inputs, target_class
        As for :meth:`ForestExplainer.contributions`.

    Returns
    -------
    values, bias
        As from :meth:`ForestExplainer.contributions`.

    Raises
    ------
    ArtefactError, InputError
        As there.
    """
    return ForestExplainer(estimator, feature_indices).contributions(inputs, target_class)
