"""Tree SHAP contributions for boosted trees and random forests.

The score of each class is a sum of trees in both; :mod:`annotator.explain.forest_shap`
explains such a sum.

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
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from annotator.explain.forest_nodes import ForestNodes, TreeArrays

TREE_SHAP = "tree_shap"
NODES_OF_A_GROUP = 2**11  # few enough for a group to fit in the processor's cache
CONDITIONS_AT_ONCE = 2**20
"""Branches to the leaves that are prepared together: some 100 MB. Only a deep tree has more."""

CONDITIONS_KEPT = 2**25
"""Branches to the leaves of all classes up to which prepared trees are kept."""

ROWS_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class TreeExplainer:
    """Tree SHAP contributions to scores that are sums of trees.

    Attributes
    ----------
    features
        Number of inputs of the model.
    columns
        The inputs that the trees split on, ascending, int64.
    start
        The initial score of each class, ``(classes,)``.
    of_class
        Function from a class to its sums of trees, whose features are positions in
        ``columns``.
    keeps
        Whether prepared sums are kept; if not, they are prepared again each time.
    """

    features: int
    columns: NDArray[np.int64]
    start: NDArray[np.floating]
    of_class: Callable[[int], Iterator[TreeSum]]
    keeps: bool = True
    _made: dict[int, list[TreeSum]] = field(default_factory=dict, init=False, repr=False)

    def references(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the expected scores of some classes over the training samples."""
        expected = [sum(each.expected for each in self._sums(int(target))) for target in classes]
        return np.array(expected, dtype=np.float64) + self.start[classes]

    def contributions(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Return the contribution of each input to the score of a sample's class.

        Parameters
        ----------
        inputs
            The inputs of the model, shape ``(samples, features)``, float32.
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

    def _sums(self, target: int) -> Iterable[TreeSum]:
        """Return the sums of trees of a class, prepared when they are first needed."""
        if not self.keeps:
            return self.of_class(target)
        if target not in self._made:
            self._made[target] = list(self.of_class(target))
        return self._made[target]


def _side_by_side(
    explain: Callable[[int, NDArray[np.int64]], None], targets: NDArray[np.int64]
) -> None:
    """Explain the samples of each class in parallel chunks; NumPy releases the GIL."""
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
        Trees with one value per class and leaf, whose mean is the forest's probability.
    features
        Number of inputs of the model.
    """
    columns = _columns(trees)
    groups = [trees.take(group) for group in _groups(trees.sizes)]
    prepared = [(group, forest_nodes(group, columns)) for group in groups]

    def of_class(target: int) -> Iterator[TreeSum]:
        for group, nodes in prepared:
            values = group.values[:, target].astype(np.float64) / len(trees.sizes)
            yield from _tree_sums(group, nodes, values, len(columns))

    start = np.zeros(trees.values.shape[1])
    return TreeExplainer(features, columns, start, of_class, _is_small(trees))


def boosting_explainer(
    trees: TreeArrays, start: NDArray[np.floating], features: int
) -> TreeExplainer:
    """Return the explainer of the margins of boosted trees.

    XGBoost's own contributions always cover all classes, which takes the time of all of them.

    Parameters
    ----------
    trees
        One tree per class in each round, the classes in their order.
    start
        The initial margin of each class, ``(classes,)``.
    features
        Number of inputs of the model.
    """
    columns = _columns(trees)

    def of_class(target: int) -> Iterator[TreeSum]:
        own = trees.take(np.arange(target, len(trees.sizes), len(start)))
        for group in (own.take(group) for group in _groups(own.sizes)):
            values = group.values[:, 0].astype(np.float64)
            yield from _tree_sums(group, forest_nodes(group, columns), values, len(columns))

    return TreeExplainer(features, columns, start, of_class, _is_small(trees))


def _tree_sums(
    trees: TreeArrays, nodes: ForestNodes, values: NDArray[np.float64], features: int
) -> Iterator[TreeSum]:
    """Prepare trees, part of their leaves at a time if the paths to all of them are long."""
    conditions = np.where(values != 0, trees.depth[nodes.is_leaf], 0)
    part = np.cumsum(conditions) // CONDITIONS_AT_ONCE
    for number in np.unique(part):
        yield TreeSum(nodes, np.where(part == number, values, 0.0), features)


def _is_small(trees: TreeArrays) -> bool:
    classes = np.count_nonzero(trees.values, axis=1)
    return int(trees.depth[trees.feature < 0] @ classes) <= CONDITIONS_KEPT


def _columns(trees: TreeArrays) -> NDArray[np.int64]:
    """Return the columns that trees split on, or the first column if there are no splits."""
    used = np.unique(trees.feature[trees.feature >= 0]).astype(np.int64)
    return used if len(used) else np.zeros(1, dtype=np.int64)


def _groups(sizes: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    """Divide trees, in order, into groups of about :data:`NODES_OF_A_GROUP` nodes."""
    group = (np.cumsum(sizes) - 1) // NODES_OF_A_GROUP
    return [np.flatnonzero(group == number) for number in np.unique(group)]
