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
    """The nodes of all trees of a forest, level by level, siblings side by side.

    Every array has one entry a node; ``feature`` to ``share_before`` describe
    the branch that leads to it. A root has a branch that is always taken.

    Attributes
    ----------
    level
        Depth of the node, ascending.
    source
        Its place where the nodes of all trees are put one after the other.
    parent
        Place of its parent here, -1 for a root.
    previous
        Place of the nearest node above whose branch is on the same feature, -1
        for none.
    feature
        Column that the branch is on, 0 for a root.
    is_left
        The branch is taken by values up to the threshold, not by those above.
    threshold
        Infinite for a root.
    share
        Part of the parent's training weight that took the branch.
    share_of_feature, share_before
        Product of the shares of the path's branches on the same feature: down
        to this node, and without its own branch.
    distinct
        Number of distinct features on the path.
    """

    level: NDArray[np.int64]
    source: NDArray[np.int64]
    parent: NDArray[np.int64]
    previous: NDArray[np.int64]
    feature: NDArray[np.int64]
    is_left: NDArray[np.bool_]
    threshold: NDArray[np.float64]
    share: NDArray[np.float64]
    share_of_feature: NDArray[np.float64]
    share_before: NDArray[np.float64]
    distinct: NDArray[np.int64]

    def levels(self) -> list[slice]:
        """Return the places of each level's nodes, from the roots down."""
        depth = int(self.level[-1]) + 1 if len(self.level) else 0
        ends = np.searchsorted(self.level, np.arange(depth + 1))
        return [slice(int(ends[i]), int(ends[i + 1])) for i in range(depth)]

    def only(self, keep: NDArray[np.bool_]) -> ForestNodes:
        """Return some of the nodes; with a node its ancestors must be kept."""
        # The added last entry makes -1 (no such node) stay -1.
        place = np.append(np.cumsum(keep) - 1, -1)
        return ForestNodes(
            level=self.level[keep],
            source=self.source[keep],
            parent=place[self.parent[keep]],
            previous=place[self.previous[keep]],
            feature=self.feature[keep],
            is_left=self.is_left[keep],
            threshold=self.threshold[keep],
            share=self.share[keep],
            share_of_feature=self.share_of_feature[keep],
            share_before=self.share_before[keep],
            distinct=self.distinct[keep],
        )


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
    share = np.where(branch, weight[source] / weight[above], 1.0)
    previous = _previous_on_same_feature(parent, feature)
    share_of_feature, share_before = share.copy(), np.ones(len(share))
    distinct = (branch & (previous < 0)).astype(np.int64)
    for depth in range(1, int(level[-1]) + 1):
        nodes = np.flatnonzero(level == depth)
        distinct[nodes] += distinct[parent[nodes]]
        again = nodes[previous[nodes] >= 0]
        share_before[again] = share_of_feature[previous[again]]
        share_of_feature[again] *= share_before[again]
    return ForestNodes(
        level=level,
        source=source,
        parent=parent,
        previous=previous,
        feature=feature,
        is_left=~branch | (left[above] == source),
        threshold=np.where(branch, split_threshold[above], np.inf),
        share=share,
        share_of_feature=share_of_feature,
        share_before=share_before,
        distinct=distinct,
    )
