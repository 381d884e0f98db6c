"""The nodes of many decision trees, laid out level by level for work on all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Tree:
    """One binary decision tree; every array has one entry a node, the root first.

    Attributes
    ----------
    left, right
        Children, -1 for those of a leaf.
    feature
        Column that a node splits on; anything for a leaf.
    threshold
        Values up to it go left, others right.
    weight
        Training weight that came to the node.
    """

    left: NDArray[np.integer]
    right: NDArray[np.integer]
    feature: NDArray[np.integer]
    threshold: NDArray[np.floating]
    weight: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class ForestNodes:
    """The nodes of all trees of a forest, level by level.

    Every array has one entry a node. A path's branches on one feature are together
    one condition on it; ``feature`` to ``share`` describe that of the branch that leads
    to the node and of those above it on the same feature. A root has none.

    Attributes
    ----------
    source
        Place of the node where the nodes of all trees are put one after the other.
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

    source: NDArray[np.int64]
    parent: NDArray[np.int64]
    previous: NDArray[np.int64]
    is_leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    share: NDArray[np.float64]
    reached: NDArray[np.float64]


def _down_to_float32(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return thresholds that send float32 inputs the same way."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _level_order(
    left: NDArray[np.int64], right: NDArray[np.int64], roots: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return source, parent and level of all nodes, level by level."""
    sources, parents, levels = [roots], [np.full(len(roots), -1)], [np.zeros(len(roots), int)]
    start = 0
    while True:
        nodes = sources[-1]
        split = np.flatnonzero(left[nodes] >= 0)
        if not len(split):
            break
        sources.append(np.column_stack([left[nodes[split]], right[nodes[split]]]).ravel())
        parents.append(np.repeat(start + split, 2))
        levels.append(np.full(2 * len(split), len(levels)))
        start += len(nodes)
    return np.concatenate(sources), np.concatenate(parents), np.concatenate(levels)


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


def forest_nodes(trees: Sequence[Tree]) -> ForestNodes:
    """Lay trees out level by level."""
    counts = [len(tree.left) for tree in trees]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    offsets = np.repeat(starts, counts)
    left = np.concatenate([tree.left for tree in trees]).astype(np.int64)
    right = np.concatenate([tree.right for tree in trees]).astype(np.int64)
    weight = np.concatenate([tree.weight for tree in trees]).astype(np.float64)
    split_feature = np.concatenate([tree.feature for tree in trees]).astype(np.int64)
    split_threshold = np.concatenate([tree.threshold for tree in trees])
    left, right = (np.where(child < 0, -1, child + offsets) for child in (left, right))

    source, parent, level = _level_order(left, right, starts)
    branch = parent >= 0
    above = source[parent]  # of a root: anything, replaced below
    feature = np.where(branch, split_feature[above], 0)
    threshold = _down_to_float32(split_threshold[above])
    is_left = left[above] == source
    low = np.where(branch & ~is_left, threshold, np.float32(-np.inf))
    high = np.where(branch & is_left, threshold, np.float32(np.inf))
    share = np.where(branch, weight[source] / weight[above], 1.0)
    previous = _previous_on_same_feature(parent, feature)
    again = previous >= 0
    for depth in np.unique(level[again]):
        nodes = np.flatnonzero(again & (level == depth))
        low[nodes] = np.maximum(low[nodes], low[previous[nodes]])
        high[nodes] = np.minimum(high[nodes], high[previous[nodes]])
        share[nodes] *= share[previous[nodes]]
    return ForestNodes(
        source=source,
        parent=parent,
        previous=previous,
        is_leaf=left[source] < 0,
        feature=feature,
        low=low,
        high=high,
        share=share,
        reached=weight[source] / weight[offsets[source]],
    )
