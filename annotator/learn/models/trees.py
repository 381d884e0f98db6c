"""Decision trees as plain arrays, for random forests and boosted trees.

scikit-learn and XGBoost grow trees; a release stores and uses only their arrays. So
annotating imports neither library, no stored byte reaches their native code, and both
model kinds are checked, predicted and explained in one way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import ArtefactError
from annotator.learn.models.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


TREE_ARRAYS = ("sizes", "feature", "threshold", "weight", "values")
ROWS_AT_ONCE = 64  # few enough for their inputs to stay in the processor's cache
LEVELS_AT_ONCE = 3  # levels to follow before samples at a leaf are dropped
DEEPEST = 1000
"""Largest mean depth of leaves. Forests of noise in sparse features reach 200."""

HEAVIER = 1.001
"""Largest weight of a node relative to that of its parent: sums are rounded."""


@dataclass(frozen=True, eq=False)
class GrownTree:
    """One tree in the layout of its library; arrays have one entry per node, the root first.

    Attributes
    ----------
    left, right
        The children of each node, -1 for a leaf.
    feature
        The column that each node splits on; ignored for a leaf.
    threshold
        float32. Values up to it go left, others right; ignored for a leaf.
    weight
        The training weight that reached each node.
    values
        ``(nodes, outputs)``; only the values of leaves are used.
    """

    left: NDArray[np.integer]
    right: NDArray[np.integer]
    feature: NDArray[np.integer]
    threshold: NDArray[np.float32]
    weight: NDArray[np.floating]
    values: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Trees:
    """Binary decision trees, one after the other, the nodes of each level by level.

    The two children of a node are adjacent, and pairs are in the order of their parents. So
    the leaves determine the shape of a tree.

    Attributes
    ----------
    sizes
        The number of nodes of each tree, int32, ``(trees,)``.
    feature
        The column that each node splits on, -1 for a leaf, int32, ``(nodes,)``.
    threshold
        Values up to it go to the first child, others to the second; 0 for a leaf,
        float32, ``(nodes,)``.
    weight
        The training weight that reached each node, float32, ``(nodes,)``.
    values
        The values of the leaves, in their order, float32, ``(leaves, outputs)``.
    """

    sizes: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    weight: NDArray[np.float32]
    values: NDArray[np.float32]

    @cached_property
    def roots(self) -> NDArray[np.int64]:
        """The root of each tree, ``(trees,)``."""
        return np.cumsum(self.sizes, dtype=np.int64) - self.sizes

    @cached_property
    def first_child(self) -> NDArray[np.int64]:
        """The first child of each node, 0 for a leaf, ``(nodes,)``."""
        inner = np.flatnonzero(self.feature >= 0)
        tree = np.repeat(np.arange(len(self.sizes)), self.sizes)[inner]
        child = np.zeros(len(self.feature), dtype=np.int64)
        # The root of each tree so far is a node that is not a child.
        child[inner] = 2 * np.arange(len(inner)) + 1 + tree
        return child

    @cached_property
    def depth(self) -> NDArray[np.int64]:
        """The number of branches between each node and its root, ``(nodes,)``."""
        depth = np.zeros(len(self.feature), dtype=np.int64)
        here, level = self.roots, 0
        while len(here):
            first = self.first_child[here[self.feature[here] >= 0]]
            here, level = np.concatenate([first, first + 1]), level + 1
            depth[here] = level
        return depth

    def take(self, numbers: NDArray[np.int64]) -> Trees:
        """Return some of the trees."""
        sizes = self.sizes[numbers]
        starts = np.cumsum(sizes, dtype=np.int64) - sizes
        nodes = np.repeat(self.roots[numbers] - starts, sizes) + np.arange(sizes.sum())
        feature = self.feature[nodes]
        leaves = self._leaf_numbers[nodes[feature < 0]]
        return Trees(sizes, feature, self.threshold[nodes], self.weight[nodes], self.values[leaves])

    @cached_property
    def _leaf_numbers(self) -> NDArray[np.int64]:
        return np.cumsum(self.feature < 0) - 1

    def leaves(self, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the number of the leaf that each sample reaches, ``(samples, trees)``.

        Parameters
        ----------
        inputs
            Shape ``(samples, features)``, float32.
        """
        found = np.empty((len(inputs), len(self.sizes)), dtype=np.int32)
        for start in range(0, len(inputs), ROWS_AT_ONCE):
            here = np.ascontiguousarray(inputs[start : start + ROWS_AT_ONCE])
            self._follow(here, found[start : start + ROWS_AT_ONCE].reshape(-1))
        return self._leaf_numbers[found]

    def _follow(self, inputs: NDArray[np.float32], found: NDArray[np.int32]) -> None:
        """Follow all trees from their roots; write the leaf per sample and tree to ``found``."""
        column, threshold, child = self._steps
        samples, features = inputs.shape
        values = inputs.reshape(-1)
        place = np.arange(len(found))
        row = np.repeat(np.arange(samples, dtype=np.int32) * features, len(self.sizes))
        at = np.tile(self.roots.astype(np.int32), samples)
        while len(place):
            for _ in range(LEVELS_AT_ONCE):
                goes_right = values.take(row + column.take(at)) > threshold.take(at)
                at = child.take(at) + goes_right
            found[place] = at
            further = np.flatnonzero(self.feature.take(at) >= 0)
            place, row, at = place[further], row[further], at[further]

    @cached_property
    def _steps(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
        """The column, threshold and first child of each node; a leaf is its own child."""
        is_leaf = self.feature < 0
        return (
            np.where(is_leaf, 0, self.feature),
            np.where(is_leaf, np.float32(np.inf), self.threshold),
            np.where(is_leaf, np.arange(len(is_leaf)), self.first_child).astype(np.int32),
        )


def level_by_level(grown: Sequence[GrownTree]) -> Trees:
    """Concatenate trees, with the nodes of each in level order."""
    sizes = np.array([len(tree.left) for tree in grown], dtype=np.int32)
    offsets = np.repeat(np.cumsum(sizes) - sizes, sizes)
    left = np.concatenate([tree.left for tree in grown]).astype(np.int64)
    right = np.concatenate([tree.right for tree in grown]).astype(np.int64)
    left, right = (np.where(child < 0, -1, child + offsets) for child in (left, right))
    levels = [np.flatnonzero(np.arange(len(left)) == offsets)]
    while len(levels[-1]):
        inner = levels[-1][left[levels[-1]] >= 0]
        levels.append(np.column_stack([left[inner], right[inner]]).ravel())
    order = np.concatenate(levels)
    order = order[np.argsort(offsets[order], kind="stable")]  # tree by tree again
    is_inner = left[order] >= 0
    feature = np.concatenate([tree.feature for tree in grown])[order]
    threshold = np.concatenate([tree.threshold for tree in grown])[order]
    values = np.concatenate([tree.values for tree in grown])[order[~is_inner]]
    return Trees(
        sizes,
        np.where(is_inner, feature, -1).astype(np.int32),
        np.where(is_inner, threshold, 0).astype(np.float32),
        np.concatenate([tree.weight for tree in grown])[order].astype(np.float32),
        values.astype(np.float32),
    )


def write_trees(
    trees: Trees, further: Mapping[str, NDArray[np.float32]] = MappingProxyType({})
) -> bytes:
    """Serialise trees and further arrays of a model as safetensors."""
    return write_tensors({**{name: getattr(trees, name) for name in TREE_ARRAYS}, **further})


def read_trees(
    content: bytes,
    what: str,
    *,
    trees: int,
    features: int,
    outputs: int,
    further: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> tuple[Trees, dict[str, NDArray[np.float32]]]:
    """Read trees and check that they lead from their roots to their leaves.

    Parameters
    ----------
    content
        The bytes from :func:`write_trees`.
    what
        The model kind, for messages.
    trees, features, outputs
        The required number of trees, of features to split on, and of values per leaf.
    further
        The shapes of the further arrays by name, float32.

    Returns
    -------
    tuple
        The trees and the further arrays.

    Raises
    ------
    ArtefactError
        The bytes are damaged, or the trees do not meet the requirements.
    """
    shapes = {
        "sizes": (trees,),
        "feature": (-1,),
        "threshold": (-1,),
        "weight": (-1,),
        "values": (-1, outputs),
        **further,
    }
    integers = {"sizes": np.int32, "feature": np.int32}
    arrays = read_tensors(content, shapes, what, integers)
    found = Trees(**{name: arrays.pop(name) for name in TREE_ARRAYS})
    if not _leads_to_leaves(found) or found.feature.max() >= features:
        raise ArtefactError(f"{what}: damaged, its nodes do not form trees; retrain the field")
    if found.depth[found.feature < 0].mean() > DEEPEST:
        raise ArtefactError(f"{what}: its trees are too deep; retrain the field")
    return found, arrays


def _leads_to_leaves(trees: Trees) -> bool:
    sizes, nodes = trees.sizes.astype(np.int64), len(trees.feature)
    if nodes == 0 or not (sizes > 0).all() or int(sizes.sum()) != nodes:
        return False
    inner = trees.feature >= 0
    per_tree = np.add.reduceat(inner.astype(np.int64), trees.roots)
    child, most = trees.first_child, HEAVIER * trees.weight.astype(np.float64)
    return bool(
        len(trees.threshold) == len(trees.weight) == nodes
        and len(trees.values) == nodes - int(inner.sum())
        and (sizes == 2 * per_tree + 1).all()
        # Children come after their parents, so there are no cycles.
        and (child[inner] > np.flatnonzero(inner)).all()
        and (trees.weight > 0).all()
        and all((trees.weight[child[inner] + side] <= most[inner]).all() for side in (0, 1))
    )
