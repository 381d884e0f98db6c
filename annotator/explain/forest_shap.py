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
al. 2022), a whole level of all trees and all points at a time.

With :math:`k(z) = t + (1-t)\,z` the fraction that a feature adds is
:math:`(o/k(z) - 1)/(1-t)`: two sums over the points, one for what was followed and
one that does not depend on the feature. Most leaves of a forest say nothing of the
class asked about. What is left of a tree are long paths with few forks, whose
branches are taken together: a piece of a path has a table of its products for
every way to follow it or not.

References
----------
Lundberg, Erion and Lee (2018), Consistent individualized feature attribution
for tree ensembles. Owen (1972), Multilinear extensions of games. Yu, Xu, Bian
and Zhang (2022), Linear TreeShap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.explain.forest_nodes import ForestNodes

MOST_POINTS = 8
MOST_BITS = 4  # of the table of a piece: 16 ways to follow it or not
VALUES_AT_ONCE = 2**18  # pieces times samples times points worked on together: 2 MB


def _that_matter(nodes: ForestNodes, leaf_values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the nodes that have a leaf with a value below them, or are one."""
    matter: NDArray[np.bool_] = leaf_values != 0.0
    for places in reversed(nodes.levels()[1:]):
        matter[nodes.parent[places][matter[places]]] = True
    return matter


def _expected(nodes: ForestNodes, leaf_values: NDArray[np.float64]) -> float:
    """Return the sum of the trees when no feature is known."""
    reached = nodes.share.copy()
    for places in nodes.levels()[1:]:
        reached[places] *= reached[nodes.parent[places]]
    return float(reached @ leaf_values)


@dataclass(frozen=True, eq=False)
class _Cut:
    """How paths are cut into pieces without forks.

    Attributes
    ----------
    head
        The first node of each node's piece.
    depth
        Number of pieces above it.
    slot
        Place of a node in its piece.
    bit
        Place of its bit in the code of the piece. The bit says whether all branches on
        the node's feature so far are taken; where there are such branches above, the
        next bit says whether those are.
    """

    head: NDArray[np.int64]
    depth: NDArray[np.int64]
    slot: NDArray[np.int64]
    bit: NDArray[np.int64]


def _cut(nodes: ForestNodes) -> _Cut:
    children = np.bincount(nodes.parent[nodes.parent >= 0], minlength=len(nodes.parent))
    bits = 1 + (nodes.previous >= 0)
    end = bits.copy()
    cut = _Cut(np.arange(len(bits)), *(np.zeros(len(bits), np.int64) for _ in range(3)))
    for places in nodes.levels()[1:]:
        above = nodes.parent[places]
        joins = (children[above] == 1) & (end[above] + bits[places] <= MOST_BITS)
        cut.head[places] = np.where(joins, cut.head[above], cut.head[places])
        cut.depth[places] = cut.depth[above] + ~joins
        cut.slot[places] = np.where(joins, cut.slot[above] + 1, 0)
        cut.bit[places] = np.where(joins, end[above], 0)
        end[places] += cut.bit[places]
    return cut


@dataclass(frozen=True, eq=False)
class _Pieces:
    """The pieces of all paths, by the number of pieces above them.

    Attributes
    ----------
    of_node
        The piece of each node.
    first_row
        Where the piece's rows of the table begin.
    bits
        For each bit of the codes: the pieces that have it, and the node that decides it.
    table
        Product of the factors of a piece's nodes, and of its leaf's value, for each
        way to follow it, ``(ways of all pieces, points)``.
    steps
        For each level of pieces below the first: their places, their parents, and how
        many have a sibling. Those come first, two by two.
    """

    of_node: NDArray[np.int64]
    first_row: NDArray[np.int64]
    bits: list[tuple[NDArray[np.int64], NDArray[np.int64]]]
    table: NDArray[np.float64]
    steps: list[tuple[slice, NDArray[np.int64], int]]


def _pieces(
    nodes: ForestNodes, cut: _Cut, leaf_values: NDArray[np.float64], points: NDArray[np.float64]
) -> _Pieces:
    heads = np.flatnonzero(cut.slot == 0)
    above = nodes.parent[heads]
    parent = np.where(above < 0, -1, cut.head[above])
    siblings = np.bincount(parent + 1)[parent + 1]
    order = np.lexsort((parent, -siblings, cut.depth[heads]))
    rank = np.full(len(cut.head) + 1, -1)  # the added last entry makes -1 stay -1
    rank[heads[order]] = np.arange(len(heads))
    of_node, parent, siblings = rank[cut.head], rank[parent[order]], siblings[order]
    ends = np.searchsorted(cut.depth[heads[order]], np.arange(cut.depth.max() + 2))

    again = np.flatnonzero(nodes.previous >= 0)
    piece = np.concatenate([of_node, of_node[again]])
    number = np.concatenate([cut.bit, cut.bit[again] + 1])
    decides = np.concatenate([np.arange(len(cut.head)), nodes.previous[again]])
    ways = 2 ** np.bincount(piece, minlength=len(heads))
    row_piece = np.repeat(np.arange(len(heads)), ways)
    first_row = np.cumsum(ways) - ways
    code = np.arange(len(row_piece)) - first_row[row_piece]
    value = np.ones(len(heads))
    leaves = np.flatnonzero(leaf_values)
    value[of_node[leaves]] = leaf_values[leaves]
    table = np.repeat(value[row_piece, None], len(points), axis=1)
    factors, bits = _factors(nodes, again, points), []
    for each in range(int(number.max()) + 1):
        having = np.flatnonzero(number == each)
        bits.append((piece[having], decides[having]))
        place = np.full(len(heads), -1)
        place[piece[having]] = having
        rows = np.flatnonzero(place[row_piece] >= 0)
        table[rows] *= factors[place[row_piece[rows]], code[rows] >> each & 1]
    return _Pieces(
        of_node=of_node,
        first_row=first_row,
        bits=bits,
        table=table,
        steps=[
            (slice(start, stop), parent[start:stop], int((siblings[start:stop] == 2).sum()))
            for start, stop in pairwise(ends[1:])
        ],
    )


def _factors(
    nodes: ForestNodes, again: NDArray[np.int64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what each bit multiplies by when it is 0 and 1, ``(bits, 2, points)``."""
    rest = 1 - points
    share, before = nodes.share_of_feature[:, None], nodes.share_before[again, None]
    own = np.stack([rest * share, points + rest * share], axis=1)
    above = np.stack([rest * before, points + rest * before], axis=1)
    return np.concatenate([own, 1 / above])


class TreeSum:
    """SHAP values of the sum of some trees.

    Parameters
    ----------
    nodes
        The trees.
    node_values
        The value of each node where the nodes of all trees are put one after the
        other; only those of leaves are used.
    features
        Columns that the trees see.

    Attributes
    ----------
    expected
        The sum of the trees when no feature is known.
    """

    def __init__(self, nodes: ForestNodes, node_values: NDArray[np.float64], features: int) -> None:
        inner = np.zeros(len(nodes.level), np.bool_)
        inner[nodes.parent[nodes.parent >= 0]] = True
        leaf_values = np.where(inner, 0.0, node_values[nodes.source])
        matter = _that_matter(nodes, leaf_values.copy())
        self._nodes, leaf_values = nodes.only(matter), leaf_values[matter]
        self.expected = _expected(self._nodes, leaf_values)
        if len(leaf_values):
            self._prepare(leaf_values, features)

    def _prepare(self, leaf_values: NDArray[np.float64], features: int) -> None:
        nodes, cut = self._nodes, _cut(self._nodes)
        exact = max(1, -(-int(nodes.distinct.max()) // 2))
        points, weights = np.polynomial.legendre.leggauss(min(exact, MOST_POINTS))
        points, weights = (points + 1) / 2, weights / 2
        rest = 1 - points
        self._pieces = _pieces(nodes, cut, leaf_values, points)
        # Weights of the points: for each node of a piece if it is followed, and whatever
        # the node; all of them are applied to the sums of the piece at once.
        count = int(cut.slot.max()) + 2
        self._weights = np.zeros((len(self._pieces.first_row), count, len(points)))
        self._weights[:, -1] = weights / rest
        known = points + rest * nodes.share_of_feature[:, None]
        self._weights[self._pieces.of_node, cut.slot] = weights / rest / known
        self._row = self._pieces.of_node * count + cut.slot
        again = nodes.previous >= 0
        self._again = np.flatnonzero(again)
        known = points + rest * nodes.share_before[again, None]
        self._taken_back = (weights / rest / known)[:, :, None]
        self._again_by_level = [
            places.start + np.flatnonzero(again[places])
            for places in nodes.levels()
            if again[places].any()
        ]
        self._of_feature = csr_matrix(
            (np.ones(len(again)), (nodes.feature, np.arange(len(again)))),
            shape=(features, len(again)),
        )

    def add_to(self, values: NDArray[np.float64], inputs: NDArray[np.float32]) -> None:
        """Add the SHAP values of samples.

        Parameters
        ----------
        values
            What is added to, shape ``(samples, features)``.
        inputs
            What the trees see, shape ``(samples, features)``, float32.
        """
        if not len(self._nodes.level):
            return
        per_sample = self._pieces.first_row.size * self._weights.shape[2]
        rows = max(1, VALUES_AT_ONCE // per_sample)
        for start in range(0, len(inputs), rows):
            chunk = slice(start, start + rows)
            values[chunk] += np.asarray(
                self._of_feature @ self._node_contributions(inputs[chunk])
            ).T

    def _follows(self, inputs: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Say where samples take all branches on a feature down to a node, (nodes, samples)."""
        nodes = self._nodes
        follows = inputs.T[nodes.feature] <= nodes.threshold[:, None]
        follows ^= ~nodes.is_left[:, None]
        for places in self._again_by_level:
            follows[places] &= follows[nodes.previous[places]]
        return follows

    def _sums(self, follows: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the sums over the leaves below pieces, ``(pieces, samples, points)``."""
        pieces = self._pieces
        bits = follows.astype(np.intp)
        row = np.repeat(pieces.first_row[:, None], bits.shape[1], axis=1)
        for number, (which, decides) in enumerate(pieces.bits):
            row[which] += bits[decides] << number
        sums = pieces.table.take(row, axis=0)
        for places, parents, _ in pieces.steps:
            sums[places] *= sums[parents]
        for places, parents, paired in reversed(pieces.steps):
            below = sums[places]
            sums[parents[:paired:2]] = below[:paired:2] + below[1:paired:2]
            sums[parents[paired:]] = below[paired:]
        return sums

    def _node_contributions(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each node's branch adds to its feature, shape ``(nodes, samples)``.

        The branch of a node takes back what the previous one on the same feature
        gave to the leaves below, so that each leaf counts by its full path.
        """
        follows, nodes, again = self._follows(inputs), self._nodes, self._again
        sums, of_node = self._sums(follows), self._pieces.of_node
        weighted = np.matmul(self._weights, sums.transpose(0, 2, 1))
        total: NDArray[np.float64] = weighted.reshape(-1, len(inputs))[self._row]
        total *= follows
        taken_back = weighted[of_node, -1]
        before = np.matmul(sums[of_node[again]], self._taken_back)[:, :, 0]
        taken_back[again] = before * follows[nodes.previous[again]]
        total -= taken_back
        return total
