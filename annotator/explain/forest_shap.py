r"""Path-dependent tree SHAP for forests of any depth.

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
and unwinding paths loses single precision on deep trees. So single precision, in which
exponentials are several times as fast, is enough: values differ from the exact ones
by about 1e-6 of the score. With
:math:`k(z) = t + (1-t)\,z` the fraction that a feature adds is
:math:`(o/k(z) - 1)/(1-t)`: a sum over the points for what was followed, and
one that does not depend on the feature.

Most leaves of a forest say nothing of the class asked about; only the others are
looked at. Conditions that stand before the same leaves share their sums over these
leaves. They are taken together, a few at a time: the logarithms of such a piece's
products are linear in the :math:`o_j`, one small matrix a piece. Two sparse matrices
lead from pieces to leaves and back, for all trees at once.

References
----------
Lundberg, Erion and Lee (2018), Consistent individualized feature attribution
for tree ensembles. Owen (1972), Multilinear extensions of games.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix, diags_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.explain.forest_nodes import ForestNodes

MOST_POINTS = 5
MOST_BITS = 4  # conditions of a piece, each of which a sample meets or not
VALUES_AT_ONCE = 2**19  # pieces times samples times points worked on together: 2 MB
SMALLEST_SHARE = 1e-30  # stands for 0; its logarithm is small enough for single precision


def _conditions(
    nodes: ForestNodes, leaves: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the conditions before leaves: nodes, and for each the number of its leaf.

    A node with another one on the same feature below it is part of that one's condition.
    """
    count = len(leaves)
    at, number = leaves, np.arange(count)
    met = []
    while len(at):
        inside = nodes.parent[at] >= 0
        at, number = at[inside], number[inside]
        met.append(at * count + number)
        at = nodes.parent[at]
    node, number = np.divmod(np.concatenate(met), count)
    again = nodes.previous[node] >= 0
    part = nodes.previous[node[again]] * count + number[again]
    whole = ~np.isin(node * count + number, part)
    return node[whole], number[whole]


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Conditions that stand before the same leaves, a few together.

    Attributes
    ----------
    node
        The node of each condition, -1 where a piece has fewer, ``(pieces, bits)``.
    leaves
        1 for the leaves that a piece stands before, ``(pieces, leaves)``.
    """

    node: NDArray[np.int64]
    leaves: csr_matrix


def _pieces(node: NDArray[np.int64], leaf: NDArray[np.int64], leaves: int) -> _Pieces:
    shape = (int(node.max()) + 1, leaves)
    before = csr_matrix((np.ones(len(node), np.float32), (node, leaf)), shape=shape)
    alike: dict[bytes, list[int]] = {}
    for each in np.unique(node):
        own = before.indices[before.indptr[each] : before.indptr[each + 1]]
        # Big-endian bytes sort as the numbers do: neighbours in memory share leaves.
        alike.setdefault(own.astype(">i4").tobytes(), []).append(int(each))
    cut = [
        members[start : start + MOST_BITS]
        for _, members in sorted(alike.items())
        for start in range(0, len(members), MOST_BITS)
    ]
    bits = max(map(len, cut))
    padded = np.array([[*members, *[-1] * (bits - len(members))] for members in cut])
    return _Pieces(padded, before[padded[:, 0]])


def _log_factors(share: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return what conditions add to logarithms of products, ``(pieces, points, bits + 1)``.

    First what each adds if it is met, last what is added in any case. ``share`` is that
    of each condition, 1 where there is none, ``(pieces, bits)``.
    """
    rest = (1 - points)[:, None]
    # A share of 0 would have no logarithm.
    unmet = rest * np.maximum(share, SMALLEST_SHARE)[:, None]
    met = points[:, None] + rest * share[:, None]
    whatever = np.log(unmet)
    logs = [np.log(met) - whatever, whatever.sum(axis=2, keepdims=True)]
    return np.concatenate(logs, axis=2).astype(np.float32)


class TreeSum:
    """SHAP values of the sum of some trees.

    Parameters
    ----------
    nodes
        The trees.
    leaf_values
        The value of each leaf, in the order of the nodes.
    features
        Columns that the trees see.

    Attributes
    ----------
    expected
        The sum of the trees when no feature is known.
    """

    def __init__(self, nodes: ForestNodes, leaf_values: NDArray[np.float64], features: int) -> None:
        of_use = leaf_values != 0.0
        leaves, values = np.flatnonzero(nodes.is_leaf)[of_use], leaf_values[of_use]
        self.expected = float(nodes.reached[leaves] @ values)
        node, leaf = _conditions(nodes, leaves) if len(leaves) else (leaves, leaves)
        self._empty = not len(node)
        if not self._empty:
            exact = -(-int(np.bincount(leaf).max()) // 2)
            pieces = _pieces(node, leaf, len(leaves))
            self._prepare(nodes, pieces, values, min(exact, MOST_POINTS), features)

    def _prepare(
        self,
        nodes: ForestNodes,
        pieces: _Pieces,
        leaf_values: NDArray[np.float64],
        points: int,
        features: int,
    ) -> None:
        inf = np.float32(np.inf)
        at, weights = np.polynomial.legendre.leggauss(points)
        at, weights = (at + 1) / 2, weights / 2
        rest = 1 - at
        there = pieces.node >= 0
        count, bits = there.shape
        always = np.full((count, 1), -1)
        node = np.hstack([pieces.node, always])
        feature = np.where(node < 0, 0, nodes.feature[node])
        self._feature = feature.ravel()
        self._low = np.where(node < 0, -inf, nodes.low[node]).reshape(-1, 1)
        self._high = np.where(node < 0, inf, nodes.high[node]).reshape(-1, 1)
        share = np.where(there, nodes.share[pieces.node], 1.0)
        self._log_factors = _log_factors(share, at)
        self._to_leaves = pieces.leaves.T.tocsr()
        self._from_leaves = pieces.leaves @ diags_array(
            leaf_values.astype(np.float32), format="csr"
        )
        # Weights of the points: for each condition if it is met, and whatever the condition.
        self._weights = np.zeros((count, bits + 1, points), np.float32)
        known = at + rest * share[:, :, None]
        self._weights[:, :bits] = np.where(there[:, :, None], weights / rest / known, 0.0)
        self._weights[:, bits] = -weights / rest
        piece, bit = np.nonzero(there)
        first = piece * (bits + 1)
        column = np.append(first + bit, first + bits)
        self._of_feature = csr_matrix(
            (np.ones(len(column), np.float32), (np.tile(feature[piece, bit], 2), column)),
            shape=(features, count * (bits + 1)),
        )

    def add_to(self, values: NDArray[np.float32], inputs: NDArray[np.float32]) -> None:
        """Add the SHAP values of samples.

        Parameters
        ----------
        values
            What is added to, shape ``(samples, features)``, float32.
        inputs
            What the trees see, shape ``(samples, features)``, float32.
        """
        if self._empty:
            return
        pieces, _, points = self._weights.shape
        rows = max(1, VALUES_AT_ONCE // (pieces * points))
        for start in range(0, len(inputs), rows):
            chunk = slice(start, start + rows)
            added = self._contributions(inputs[chunk])
            values[chunk] += np.asarray(self._of_feature @ added).T

    def _contributions(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what pieces add to features, shape ``(pieces * (bits + 1), samples)``.

        First for each condition if it is met, last for all of a piece's features.
        """
        samples = len(inputs)
        pieces, count, points = self._weights.shape
        seen = np.ascontiguousarray(inputs.T).take(self._feature, axis=0)
        follows = (self._low < seen) & (seen <= self._high)
        met = follows.astype(np.float32).reshape(pieces, count, samples)
        logs = np.matmul(self._log_factors, met).reshape(pieces, points * samples)
        products = np.exp(self._to_leaves @ logs)
        sums = (self._from_leaves @ products).reshape(pieces, points, samples)
        added: NDArray[np.float32] = np.matmul(self._weights, sums)
        added *= met
        return added.reshape(pieces * count, samples)
