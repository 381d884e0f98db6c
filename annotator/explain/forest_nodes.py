"""The nodes of many decision trees, and the conditions before them, for work on all at once."""

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
        """Nodes of each tree, ``(trees,)``."""

    @property
    def feature(self) -> NDArray[np.int32]:
        """Column that a node splits on, -1 for a leaf, ``(nodes,)``."""

    @property
    def threshold(self) -> NDArray[np.float32]:
        """Values up to it go to the first child, ``(nodes,)``."""

    @property
    def weight(self) -> NDArray[np.float32]:
        """Training weight that came to the node, ``(nodes,)``."""

    @property
    def values(self) -> NDArray[np.float32]:
        """Values of the leaves, ``(leaves, outputs)``."""

    @property
    def roots(self) -> NDArray[np.int64]:
        """The root of each tree, ``(trees,)``."""

    @property
    def first_child(self) -> NDArray[np.int64]:
        """The first child of each node, the second one after it, ``(nodes,)``."""

    def take(self, numbers: NDArray[np.int64]) -> TreeArrays:
        """Return some of the trees."""


@dataclass(frozen=True, eq=False)
class ForestNodes:
    """The nodes of some trees, in their order.

    Every array has one entry per node. A path's branches on one feature are together
    one condition on it; ``feature`` to ``share`` describe that of the branch that leads
    to the node and of those above it on the same feature. A root has none.

    Attributes
    ----------
    parent
        Place of its parent here, -1 for a root.
    previous
        Place of the nearest node above whose branch is on the same feature, -1
        for none.
    is_leaf
        The node has no branches.
    feature
        Column that the branch is on, 0 for a root.
    low, high
        All branches on the feature are taken by inputs above ``low`` and up to ``high``.
    share
        Product of the parts of the training weight that took these branches.
    reached
        Part of the tree's training weight that came to the node.
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
    """Walk up from every node at once until a branch on its own feature or the root is met."""
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
    """Return the conditions before each node of some trees.

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
    """Yield the nodes that have a previous one, each after that."""
    waiting = np.flatnonzero(previous >= 0)
    is_done = previous < 0
    while len(waiting):
        ready = is_done[previous[waiting]]
        yield waiting[ready]
        is_done[waiting[ready]] = True
        waiting = waiting[~ready]
