"""The possible answers of a field, from classes up to their broadest terms.

The nodes are the classes of a release and every term of their lineages. A node
contains the classes that have it in their lineage, and its probability is the sum
of theirs; a parent therefore contains all classes of its child and is never less
probable. One node is above another if it contains more of the classes. This order
reflects the distinctions that the release can make, and it is well defined with
several parents and if a class is itself an ancestor of another class.

A node that contains every class is right for any sample, so it is never an answer.
A *class* that contains every class ("blood", if all others are kinds of blood) can
be an answer, but only in its narrow sense: none of the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


NO_ANSWER = -1
ROUNDING = 1e-9  # Sums of probabilities that should be equal differ by less than this.


@dataclass(frozen=True, eq=False)
class LabelTree:
    """The nodes that answers are chosen from.

    Attributes
    ----------
    nodes
        Names; the classes first and in their order, then the terms above them by name.
    classes
        The number of nodes that are classes.
    members
        Whether a node contains a class, bool, ``(nodes, classes)``.
    claims
        Whether a node is a right answer for a class, bool, ``(nodes, classes)``. It equals
        ``members``, except that a node with every class is an answer for none, or only for
        itself if it is a class.
    depth
        The longest path to a node from the top, int64, ``(nodes,)``; 0 at the top.
    above
        Whether the node of the column is above that of the row, bool, ``(nodes, nodes)``.
    """

    nodes: tuple[str, ...]
    classes: int
    members: NDArray[np.bool_]
    claims: NDArray[np.bool_]
    depth: NDArray[np.int64]
    above: NDArray[np.bool_]

    @property
    def informative(self) -> NDArray[np.bool_]:
        """Whether a node can be an answer, bool, ``(nodes,)``."""
        return _any(self.claims)

    @property
    def top(self) -> NDArray[np.int64]:
        """The broadest nodes that can be answers, ``(number,)``."""
        broad = self.informative & ~_all(self.members)
        beneath = _any(self.above & broad[None, :])
        return np.flatnonzero(self.informative & ~beneath)

    def levels(
        self, p: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Return the best possible answer of every depth.

        Parameters
        ----------
        p
            Probabilities of the classes, ``(samples, classes)``.

        Returns
        -------
        node : NDArray[int64]
            The most probable node of each depth, ties by name, ``(levels, samples)``, the
            deepest level first.
        probability : NDArray[float64]
            The confidence of that answer, ``(levels, samples)``, at most 1.
        depth : NDArray[int64]
            The depth of each level, ``(levels,)``.
        """
        depths = np.unique(self.depth[self.informative])[::-1]
        node = np.empty((len(depths), len(p)), dtype=np.int64)
        probability = np.empty((len(depths), len(p)), dtype=np.float64)
        names = np.array(self.nodes, dtype=object)
        for level, depth in enumerate(depths):
            here = np.flatnonzero(self.informative & (self.depth == depth))
            here = here[np.argsort(names[here], kind="stable")]
            sums = self.claims[here].astype(np.float64) @ p.T
            # Rounded, so that equal sums compare as equal and names decide ties.
            best = np.round(sums, 9).argmax(axis=0)
            node[level] = here[best]
            probability[level] = np.minimum(sums[best, np.arange(len(p))], 1.0)
        return node, probability, depths

    def answers(self, p: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
        """Return the deepest node whose confidence reaches the threshold.

        Parameters
        ----------
        p
            Probabilities of the classes, ``(samples, classes)``.
        threshold
            The lowest confidence of an answer.

        Returns
        -------
        NDArray[int64]
            Number of the node, ``(samples,)``, or :data:`NO_ANSWER`. Of several
            nodes at the same depth the most probable is returned, ties by name.
        """
        answer, _ = self.answers_and_probabilities(p, threshold)
        return answer

    def answers_and_probabilities(
        self, p: NDArray[np.float64], threshold: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the result of :meth:`answers`, and each answer's confidence, NaN without one."""
        node, probability, _ = self.levels(p)
        answer = np.full(len(p), NO_ANSWER, dtype=np.int64)
        of_answer = np.full(len(p), np.nan)
        for level in range(len(node)):
            new = (answer == NO_ANSWER) & (probability[level] >= threshold - ROUNDING)
            answer[new] = node[level][new]
            of_answer[new] = probability[level][new]
        return answer, of_answer


def label_tree(classes: Sequence[str], lineages: Mapping[str, Sequence[str]]) -> LabelTree:
    """Build the tree of a field's classes and the terms above them.

    Parameters
    ----------
    classes
        The classes in the order of the models' columns.
    lineages
        The lineage of each class: the class, then its ancestors, nearest first. A
        class without an entry has no ancestors.

    Returns
    -------
    LabelTree

    Raises
    ------
    ValueError
        There are no classes, or a class occurs twice.
    """
    if not classes or len(set(classes)) != len(classes):
        raise ValueError("a label tree needs classes, each of them once")
    of_class = [tuple(lineages.get(name, (name,))) for name in classes]
    terms = {term for lineage in of_class for term in lineage} - set(classes)
    nodes = (*classes, *sorted(terms))
    place = {name: number for number, name in enumerate(nodes)}
    members = np.zeros((len(nodes), len(classes)), dtype=np.bool_)
    position = np.zeros((len(nodes), len(classes)))
    for column, lineage in enumerate(of_class):
        members[column, column] = True
        for steps, term in enumerate(lineage):
            members[place[term], column] = True
            position[place[term], column] = steps
    above = _above(members, position.sum(axis=1) / members.sum(axis=1), len(classes))
    everything = _all(members)
    claims = members & ~everything[:, None]
    for number in np.flatnonzero(everything[: len(classes)]):
        claims[number, number] = True
    return LabelTree(nodes, len(classes), members, claims, _depths(above), above)


def _above(
    members: NDArray[np.bool_], position: NDArray[np.float64], classes: int
) -> NDArray[np.bool_]:
    """Return which nodes are above which; see :class:`LabelTree`.

    If two nodes contain the same classes, a class is below a term; otherwise the node
    that comes earlier in the lineages is below the other.
    """
    counts = members.astype(np.float32)  # whole numbers, multiplied by BLAS
    shared = counts @ counts.T
    size = counts.sum(axis=1)
    held = shared == size[:, None]  # The column contains all classes of the row.
    same = held & held.T
    number = np.arange(len(members))
    order = np.empty(len(members), dtype=np.int64)
    order[np.lexsort((number, position, number >= classes))] = number
    later = order[None, :] > order[:, None]
    result: NDArray[np.bool_] = (held & ~same) | (same & later)
    return result


def _any(table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether any value in each row is set."""
    return np.asarray(np.any(table, axis=1), dtype=np.bool_)


def _all(table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether all values in each row are set."""
    return np.asarray(np.all(table, axis=1), dtype=np.bool_)


def _depths(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    depth = np.zeros(len(above), dtype=np.int64)
    # A node has more nodes above it than any of those nodes has.
    for node in np.argsort(above.sum(axis=1), kind="stable"):
        if above[node].any():
            depth[node] = depth[above[node]].max() + 1
    return depth
