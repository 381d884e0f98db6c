r"""Path-dependent tree SHAP for forests of any depth, in double precision.

What a tree is expected to say when only some features are known is defined as
by Lundberg et al. (2018): a split on a known feature is followed, at any other
the branches are averaged by the training weight that went down each. A leaf
of value :math:`v` then adds :math:`v \prod_j (o_j \text{ if } j \text{ is known
else } z_j)`, over the distinct features of its path, where :math:`o_j` is 1 if
the sample takes all of the path's branches at splits on :math:`j`, else 0, and
:math:`z_j` is the product of those branches' shares of the weight.

The Shapley value is the integral of the slope of the multilinear extension
along its diagonal (Owen 1972): know every feature with probability :math:`t`,

.. math:: \phi_i = \int_0^1 v\,(o_i - z_i) \prod_{j \ne i} (t\,o_j + (1-t)\,z_j)\,dt

The integrand is a polynomial of a degree below the number of distinct
features, so Gauss-Legendre quadrature of half as many points is exact; on deep
paths :data:`MOST_POINTS` of them differ from it by no more than rounding does. All
factors are positive: nothing cancels, where the usual recursion of extending
and unwinding paths loses single precision on deep trees. At a given point the
products are carried down the trees and the leaves summed up again (as in Yu et
al. 2022), a whole level of all trees at a time.

References
----------
Lundberg, Erion and Lee (2018), Consistent individualized feature attribution
for tree ensembles. Owen (1972), Multilinear extensions of games. Yu, Xu, Bian
and Zhang (2022), Linear TreeShap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_POINTS = 8
NODE_VALUES_AT_ONCE = 2**19  # nodes times samples worked on together: some 50 MB


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


def forest_nodes(trees: Sequence[Any]) -> ForestNodes:
    """Lay the trees of a scikit-learn forest out level by level.

    Parameters
    ----------
    trees
        The ``tree_`` of each member.

    Returns
    -------
    ForestNodes
    """
    counts = [int(tree.node_count) for tree in trees]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    offsets = np.repeat(starts, counts)
    left = np.concatenate([tree.children_left for tree in trees]).astype(np.int64)
    right = np.concatenate([tree.children_right for tree in trees]).astype(np.int64)
    weight = np.concatenate([tree.weighted_n_node_samples for tree in trees])
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


def _that_matter(nodes: ForestNodes, leaf_values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the nodes that have a leaf with a value below them, or are one.

    Most leaves of a forest for many classes say nothing of one of them.
    """
    matter: NDArray[np.bool_] = leaf_values != 0.0
    for places in reversed(nodes.levels()[1:]):
        matter[nodes.parent[places][matter[places]]] = True
    return matter


def _followed(
    nodes: ForestNodes, inputs: NDArray[np.float32]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say where samples take all branches on a feature, and where they first leave them.

    Both of shape ``(nodes, samples)``: the sample takes the node's branch and
    all above it on the same feature; it takes those above but not this one.
    """
    taken = (inputs.T[nodes.feature] <= nodes.threshold[:, None]) == nodes.is_left[:, None]
    # The added last row is what -1 finds: with no branch above, none was left.
    follows = np.ones((len(taken) + 1, taken.shape[1]), np.bool_)
    leaves = np.empty_like(taken)
    for places in nodes.levels():
        before = follows[nodes.previous[places]]
        follows[places] = taken[places] & before
        leaves[places] = ~taken[places] & before
    return follows[:-1], leaves


def _steps(nodes: ForestNodes) -> list[tuple[slice, NDArray[np.int64], NDArray[np.int64]]]:
    """Return for each level below the roots its places, their parents and each parent's first."""
    steps = []
    for places in nodes.levels()[1:]:
        parents = nodes.parent[places]  # ascending: siblings stand side by side
        steps.append((places, parents, np.flatnonzero(np.diff(parents, prepend=-1))))
    return steps


def _carry_down_and_sum_up(
    steps: list[tuple[slice, NDArray[np.int64], NDArray[np.int64]]],
    factors: NDArray[np.float64],
    leaf_values: NDArray[np.float64],
) -> None:
    """Turn each node's factor, in place, into the sum of the products of all leaves below it."""
    for places, parents, _ in steps:
        factors[places] *= factors[parents]
    factors *= leaf_values[:, None]
    for places, parents, first in reversed(steps):
        factors[parents[first]] += np.add.reduceat(factors[places], first, axis=0)


def _node_contributions(
    nodes: ForestNodes, leaf_values: NDArray[np.float64], inputs: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return what each node's branch adds to its feature, shape ``(nodes, samples)``.

    The branch of a node takes back what the previous one on the same feature
    gave to the leaves below, so that each leaf counts by its full path.
    """
    steps = _steps(nodes)
    follows, leaves = _followed(nodes, inputs)
    share, before = nodes.share_of_feature, nodes.share_before
    exact = max(1, -(-int(nodes.distinct.max()) // 2))
    points, weights = np.polynomial.legendre.leggauss(min(exact, MOST_POINTS))
    # Each node has one value for samples that had left the branches on its feature
    # before it, one for those that leave them here and one for those that follow.
    count = len(share)
    case = (np.where(follows, 2 * count, leaves * count) + np.arange(count)[:, None]).astype(
        np.intp
    )
    total = np.zeros(follows.shape)
    for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
        known, known_before = t + (1 - t) * share, t + (1 - t) * before
        factors = [nodes.share, (1 - t) * share / known_before, known / known_before]
        sums = np.concatenate(factors).take(case)
        _carry_down_and_sum_up(steps, sums, leaf_values)
        taken_back = (1 - before) / known_before
        slopes = [np.zeros(count), -1 / (1 - t) - taken_back, (1 - share) / known - taken_back]
        sums *= (weight * np.concatenate(slopes)).take(case)
        total += sums
    return total


def forest_shap(
    nodes: ForestNodes, node_values: NDArray[np.float64], inputs: NDArray[np.float32]
) -> tuple[NDArray[np.float64], float]:
    """Return the SHAP values of the sum of a forest's trees.

    Parameters
    ----------
    nodes
        The forest.
    node_values
        The value of each node where the nodes of all trees are put one after
        the other; only those of leaves are used.
    inputs
        What the forest sees, shape ``(samples, features)``, float32.

    Returns
    -------
    values
        Shape ``(samples, features)``, float64.
    expected
        The sum of the trees when no feature is known.
    """
    inner = np.zeros(len(nodes.level), np.bool_)
    inner[nodes.parent[nodes.parent >= 0]] = True
    leaf_values = np.where(inner, 0.0, node_values[nodes.source])
    matter = _that_matter(nodes, leaf_values.copy())
    values = np.zeros(inputs.shape, np.float64)
    if not matter.any():
        return values, 0.0
    nodes, leaf_values = nodes.only(matter), leaf_values[matter]
    sums = nodes.share[:, None].copy()
    _carry_down_and_sum_up(_steps(nodes), sums, leaf_values)
    expected = float(sums[nodes.level == 0].sum())
    of_feature = csr_matrix(
        (np.ones(len(nodes.feature)), (nodes.feature, np.arange(len(nodes.feature)))),
        shape=(inputs.shape[1], len(nodes.feature)),
    )
    rows = max(1, NODE_VALUES_AT_ONCE // len(nodes.feature))
    for start in range(0, len(inputs), rows):
        chunk = slice(start, start + rows)
        values[chunk] = np.asarray(
            of_feature @ _node_contributions(nodes, leaf_values, inputs[chunk])
        ).T
    return values, expected
