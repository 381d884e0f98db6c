"""The nodes of many decision trees and their conditions, as arrays that allow vectorised work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class TreeArrays(Protocol):
    """Binary decision trees as arrays, such as :class:`annotator.learn.models.trees.Trees`."""

    @property
    def sizes(self) -> NDArray[np.int32]:
        """The number of nodes of each tree, ``(trees,)``."""

    @property
    def feature(self) -> NDArray[np.int32]:
        """The column that each node splits on, -1 for a leaf, ``(nodes,)``."""

    @property
    def threshold(self) -> NDArray[np.float32]:
        """The threshold of each node: values up to it go to the first child, ``(nodes,)``."""

    @property
    def weight(self) -> NDArray[np.float32]:
        """The training weight that reached each node, ``(nodes,)``."""

    @property
    def values(self) -> NDArray[np.float32]:
        """The values of the leaves, ``(leaves, outputs)``."""

    @property
    def roots(self) -> NDArray[np.int64]:
        """The root of each tree, ``(trees,)``."""

    @property
    def depth(self) -> NDArray[np.int64]:
        """The number of branches between each node and its root, ``(nodes,)``."""

    @property
    def first_child(self) -> NDArray[np.int64]:
        """The first child of each node, ``(nodes,)``; the second child follows it."""

    def take(self, numbers: NDArray[np.int64]) -> TreeArrays:
        """Return some of the trees."""


@dataclass(frozen=True, eq=False)
class ForestNodes:
    """The nodes of some trees, in their order.

    Every array has one entry per node. All branches of a path on one feature together
    form one condition on that feature. ``feature`` to ``share`` describe the condition
    formed by the branch to the node and those above it on the same feature. A root has
    no condition.

    Attributes
    ----------
    parent
        Number of the parent, -1 for a root.
    previous
        Number of the nearest node above whose branch is on the same feature, -1
        if there is none.
    is_leaf
        Whether the node has no branches.
    feature
        The feature of the branch to the node, 0 for a root.
    low, high
        Inputs above ``low`` and up to ``high`` take all branches on the feature.
    share
        Product of the shares of the training weight that took these branches.
    reached
        Share of the tree's training weight that reached the node.
    """

    parent: NDArray[np.int64]
    previous: NDArray[np.int64]
    is_leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    share: NDArray[np.float64]
    reached: NDArray[np.float64]


def _previous_on_same_feature(
    parent: NDArray[np.int64], feature: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Walk up from all nodes at once, each to a branch on its own feature or to the root."""
    previous = np.full(len(parent), -1)
    waiting = np.flatnonzero(parent >= 0)
    above = parent[waiting]
    while len(waiting):
        inside = parent[above] >= 0  # the root's own branch is on no feature
        waiting, above = waiting[inside], above[inside]
        found = feature[above] == feature[waiting]
        previous[waiting[found]] = above[found]
        waiting, above = waiting[~found], parent[above[~found]]
    return previous


def forest_nodes(trees: TreeArrays, columns: NDArray[np.int64]) -> ForestNodes:
    """Return the nodes of some trees with their conditions.

    Parameters
    ----------
    trees
        The trees.
    columns
        The columns that the trees split on, ascending; a feature is a position in this array.
    """
    nodes = len(trees.feature)
    inner = np.flatnonzero(trees.feature >= 0)
    first = trees.first_child[inner]
    parent = np.full(nodes, -1)
    parent[first], parent[first + 1] = inner, inner
    branch = parent >= 0
    split_feature = np.searchsorted(columns, trees.feature)
    feature = np.where(branch, split_feature[parent], 0)
    threshold = trees.threshold[parent]
    is_first = np.zeros(nodes, dtype=np.bool_)
    is_first[first] = True
    low = np.where(branch & ~is_first, threshold, np.float32(-np.inf))
    high = np.where(branch & is_first, threshold, np.float32(np.inf))
    weight = trees.weight.astype(np.float64)
    share = np.where(branch, weight / weight[parent], 1.0)
    previous = _previous_on_same_feature(parent, feature)
    for again in _one_level_at_a_time(previous):
        low[again] = np.maximum(low[again], low[previous[again]])
        high[again] = np.minimum(high[again], high[previous[again]])
        share[again] *= share[previous[again]]
    return ForestNodes(
        parent=parent,
        previous=previous,
        is_leaf=trees.feature < 0,
        feature=feature,
        low=low,
        high=high,
        share=share,
        reached=weight / np.repeat(weight[trees.roots], trees.sizes),
    )


def _one_level_at_a_time(previous: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the nodes that have a previous node, always after the previous node."""
    waiting = np.flatnonzero(previous >= 0)
    is_done = previous < 0
    while len(waiting):
        ready = is_done[previous[waiting]]
        yield waiting[ready]
        is_done[waiting[ready]] = True
        waiting = waiting[~ready]
