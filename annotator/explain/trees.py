"""Tree SHAP contributions for boosted trees and random forests.

Both are sums of trees for each class; :mod:`annotator.explain.forest_shap` explains
such a sum.

References
----------
Lundberg, Erion and Lee (2018), Consistent individualized feature attribution
for tree ensembles.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import ArtefactError, InputError
from annotator.explain.checks import checked_inputs, checked_targets
from annotator.explain.forest_nodes import Tree, forest_nodes
from annotator.explain.forest_shap import TreeSum

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xgboost
    from numpy.typing import NDArray

NODES_OF_A_GROUP = 2**14  # so that what is worked on together fits the processor's cache
ROWS_AT_ONCE = 128


def _groups(node_counts: Sequence[int]) -> list[range]:
    """Deal trees, in order, into groups of about so many nodes."""
    groups, start, nodes = [], 0, 0
    for place, count in enumerate(node_counts):
        if place > start and nodes + count > NODES_OF_A_GROUP:
            groups.append(range(start, place))
            start, nodes = place, 0
        nodes += count
    groups.append(range(start, len(node_counts)))
    return groups


class _ClassSums:
    """The sums of trees behind the classes, each laid out when it is first asked for."""

    def __init__(self, make: Callable[[int], list[TreeSum]]) -> None:
        self._make = make
        self._made: dict[int, list[TreeSum]] = {}

    def explain(
        self, matrix: NDArray[np.float32], targets: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the values of each sample's class, ``(samples, features)``."""
        values = np.zeros(matrix.shape, np.float64)
        for target in np.unique(targets):
            rows = np.flatnonzero(targets == target)
            values[rows] = _added_up(self._of_class(int(target)), matrix[rows])
        return values

    def expected(self, targets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the expected sum of each class asked about."""
        return np.array(
            [sum(each.expected for each in self._of_class(int(target))) for target in targets],
            dtype=np.float64,
        )

    def _of_class(self, target: int) -> list[TreeSum]:
        if target not in self._made:
            self._made[target] = self._make(target)
        return self._made[target]


def _added_up(sums: Sequence[TreeSum], matrix: NDArray[np.float32]) -> NDArray[np.float64]:
    """Add up groups of trees; NumPy lets parts of the samples run side by side."""
    values = np.zeros(matrix.shape, np.float64, order="F")  # what is added comes by features

    def explain(start: int) -> None:
        rows = slice(start, start + ROWS_AT_ONCE)
        for each in sums:
            each.add_to(values[rows], matrix[rows])

    starts = range(0, len(matrix), ROWS_AT_ONCE)
    if len(starts) < 2:
        explain(0)
        return values
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(explain, starts))
    return values


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
        self._class_count = int(estimator.n_classes_)
        members = [member.tree_ for member in estimator.estimators_]
        groups = [
            (group, forest_nodes([_forest_tree(members[place]) for place in group]))
            for group in _groups([int(member.node_count) for member in members])
        ]

        def of_class(target: int) -> list[TreeSum]:
            """Each tree gives its share of the mean."""
            probability = [member.value[:, 0, target] / len(members) for member in members]
            return [
                TreeSum(nodes, np.concatenate([probability[i] for i in group]), len(columns))
                for group, nodes in groups
            ]

        self._sums = _ClassSums(of_class)

    def references(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the expected probability of some classes over the training samples."""
        return self._sums.expected(classes)

    def contributions(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float64]:
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
        ndarray
            Shape ``(samples, inputs)``, float64, in units of probability; 0 for
            inputs that the forest does not see. A row and the reference of its class
            sum to the probability of the class.

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
        values[:, self._columns] = self._sums.explain(matrix, targets)
        return values


def _forest_tree(tree: Any) -> Tree:
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        weight=tree.weighted_n_node_samples,
    )


class BoostingExplainer:
    """Tree SHAP contributions of gradient-boosted trees.

    XGBoost's own always explain all classes, in single precision.

    Parameters
    ----------
    booster
        Gradient-boosted trees with one margin a class (``multi:softprob``).
    """

    def __init__(self, booster: xgboost.Booster) -> None:
        learner = json.loads(booster.save_raw("json"))["learner"]
        model = learner["gradient_booster"]["model"]
        self._features = booster.num_features()
        self._classes = int(learner["learner_model_param"]["num_class"])
        start = json.loads(learner["learner_model_param"]["base_score"])
        self._start = np.broadcast_to(np.array(start, np.float64), self._classes)
        trees, classes = model["trees"], model["tree_info"]

        def of_class(target: int) -> list[TreeSum]:
            own = [tree for tree, number in zip(trees, classes, strict=True) if number == target]
            values = np.concatenate([tree["split_conditions"] for tree in own])
            return [TreeSum(forest_nodes([*map(_boosted_tree, own)]), values, self._features)]

        self._sums = _ClassSums(of_class)

    def references(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the expected margin of some classes over the training samples."""
        return self._sums.expected(classes) + self._start[classes]

    def contributions(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return how much each input moved the margin of a sample's class.

        Parameters
        ----------
        inputs
            What the booster sees, shape ``(samples, features)``, float32.
        target_class
            The class to explain for each sample, shape ``(samples,)``, integer.

        Returns
        -------
        ndarray
            Shape ``(samples, features)``, float64, in units of the margin. A row and the
            reference of its class sum to the margin of the class.

        Raises
        ------
        InputError
            The inputs or classes do not fit the booster.
        """
        matrix = checked_inputs(inputs, self._features)
        targets = checked_targets(target_class, len(matrix), self._classes)
        return self._sums.explain(matrix, targets)


def _boosted_tree(tree: dict[str, Any]) -> Tree:
    # XGBoost sends values below the threshold to the left, not those that equal it.
    threshold = np.array(tree["split_conditions"], np.float32)
    return Tree(
        left=np.array(tree["left_children"], np.int64),
        right=np.array(tree["right_children"], np.int64),
        feature=np.array(tree["split_indices"], np.int64),
        threshold=np.nextafter(threshold, np.float32(-np.inf)).astype(np.float64),
        weight=np.array(tree["sum_hessian"], np.float64),
    )
