"""Tree SHAP contributions for boosted trees and random forests.

Both are sums of trees for each class; :mod:`annotator.explain.forest_shap` explains
such a sum.

References
----------
Lundberg, Erion and Lee (2018), Consistent individualized feature attribution
for tree ensembles.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.explain.checks import checked_inputs, checked_targets
from annotator.explain.forest_nodes import forest_nodes
from annotator.explain.forest_shap import TreeSum

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from annotator.explain.forest_nodes import TreeArrays

TREE_SHAP = "tree_shap"
NODES_OF_A_GROUP = 2**11  # so that what is worked on together fits the processor's cache
ROWS_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class TreeExplainer:
    """Tree SHAP contributions to scores each of which is a sum of trees.

    Attributes
    ----------
    features
        Number of inputs of the model.
    columns
        Those that the trees split on, ascending, int64.
    start
        What the score of each class begins at, ``(classes,)``.
    of_class
        Class to the sums of trees behind it; their features are positions in ``columns``.
    """

    features: int
    columns: NDArray[np.int64]
    start: NDArray[np.floating]
    of_class: Callable[[int], list[TreeSum]]
    _made: dict[int, list[TreeSum]] = field(default_factory=dict, init=False, repr=False)

    def references(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the expected scores of some classes over the training samples."""
        expected = [sum(each.expected for each in self._sums(int(target))) for target in classes]
        return np.array(expected, dtype=np.float64) + self.start[classes]

    def contributions(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Return how much each input moved the score of a sample's class.

        Parameters
        ----------
        inputs
            What the model sees, shape ``(samples, features)``, float32.
        target_class
            The class to explain for each sample, shape ``(samples,)``, integer.

        Returns
        -------
        ndarray
            Shape ``(samples, features)``, float32, in units of the score: probability for
            a forest, margin for boosted trees; 0 for inputs that no tree splits on. A row
            and the reference of its class sum to the score of the class.

        Raises
        ------
        InputError
            The inputs or classes do not fit the model.
        """
        matrix = checked_inputs(inputs, self.features)
        targets = checked_targets(target_class, len(matrix), len(self.start))
        values = np.zeros(matrix.shape, np.float32)
        seen = matrix[:, self.columns]

        def explain(target: int, rows: NDArray[np.int64]) -> None:
            found = np.zeros((len(rows), len(self.columns)), np.float32, order="F")
            for each in self._sums(target):
                each.add_to(found, seen[rows])
            values[rows[:, None], self.columns] = found

        _side_by_side(explain, targets)
        return values

    def _sums(self, target: int) -> list[TreeSum]:
        """Return the sums behind a class, laid out when they are first asked for."""
        if target not in self._made:
            self._made[target] = self.of_class(target)
        return self._made[target]


def _side_by_side(
    explain: Callable[[int, NDArray[np.int64]], None], targets: NDArray[np.int64]
) -> None:
    """Explain the samples of each class, some at a time; NumPy lets them run side by side."""
    parts = [
        (int(target), rows[start : start + ROWS_AT_ONCE])
        for target in np.unique(targets)
        for rows in [np.flatnonzero(targets == target)]
        for start in range(0, len(rows), ROWS_AT_ONCE)
    ]
    if len(parts) < 2:
        for part in parts:
            explain(*part)
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(explain, *zip(*parts, strict=True)))


def forest_explainer(trees: TreeArrays, features: int) -> TreeExplainer:
    """Return the explainer of a random forest's probabilities.

    Parameters
    ----------
    trees
        One value per class and leaf; each tree gives its share of the mean.
    features
        Number of inputs of the model.
    """
    columns = _columns(trees)
    groups = [trees.take(group) for group in _groups(trees.sizes)]
    prepared = [(forest_nodes(group, columns), group.values) for group in groups]

    def of_class(target: int) -> list[TreeSum]:
        return [
            TreeSum(nodes, values[:, target].astype(np.float64) / len(trees.sizes), len(columns))
            for nodes, values in prepared
        ]

    return TreeExplainer(features, columns, np.zeros(trees.values.shape[1]), of_class)


def boosting_explainer(
    trees: TreeArrays, start: NDArray[np.floating], features: int
) -> TreeExplainer:
    """Return the explainer of the margins of boosted trees.

    XGBoost's own contributions always cover every class, at the cost of every class.

    Parameters
    ----------
    trees
        One tree per class in each round, the classes in their order.
    start
        What the margin of each class begins at, ``(classes,)``.
    features
        Number of inputs of the model.
    """
    columns = _columns(trees)

    def of_class(target: int) -> list[TreeSum]:
        own = trees.take(np.arange(target, len(trees.sizes), len(start)))
        groups = [own.take(group) for group in _groups(own.sizes)]
        return [
            TreeSum(
                forest_nodes(group, columns), group.values[:, 0].astype(np.float64), len(columns)
            )
            for group in groups
        ]

    return TreeExplainer(features, columns, start, of_class)


def _columns(trees: TreeArrays) -> NDArray[np.int64]:
    """Return the columns that trees split on, the first one where there are no splits."""
    used = np.unique(trees.feature[trees.feature >= 0]).astype(np.int64)
    return used if len(used) else np.zeros(1, dtype=np.int64)


def _groups(sizes: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    """Deal trees, in order, into groups of about :data:`NODES_OF_A_GROUP` nodes."""
    group = (np.cumsum(sizes) - 1) // NODES_OF_A_GROUP
    return [np.flatnonzero(group == number) for number in np.unique(group)]
