"""Every answer that a field can give, from a class up to its broadest term.

The nodes are the classes of a release and every term of their lineages. A node
holds the classes whose lineage names it, and its probability is the sum of
theirs; a parent therefore holds all that its child holds and is never less
probable. One node counts as above another where it holds more of the classes:
this is what the release can tell apart, and it is well defined with several
parents and where a class is itself an ancestor of another class.

A node that holds every class is right whatever the sample is, so it is never an
answer. A *class* that holds every class ("blood", where all others are kinds of
blood) is an answer, but only in its narrow sense: none of the others.
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
        How many of the nodes are classes.
    members
        Whether a node holds a class, bool, ``(nodes, classes)``.
    claims
        For which true classes a node is a right answer and says something, bool,
        ``(nodes, classes)``: as ``members``; for a node that holds every class
        nothing, or where it is a class that class alone.
    depth
        The longest way down to a node from the top, int64, ``(nodes,)``; 0 at the top.
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

    def probabilities(self, p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability of each node.

        Parameters
        ----------
        p
            Probabilities of the classes, ``(samples, classes)``.

        Returns
        -------
        NDArray[float64]
            Shape ``(samples, nodes)``, at most 1; a parent is never less
            probable than its child.
        """
        sums = np.minimum(self.members.astype(np.float64) @ p.T, 1.0)
        # Sums in another order may differ in the last digit: small nodes first,
        # so that each parent sees the final figures of its children.
        for node in np.argsort(self.members.sum(axis=1), kind="stable"):
            for parent in np.flatnonzero(self.above[node]):
                np.maximum(sums[parent], sums[node], out=sums[parent])
        return np.ascontiguousarray(sums.T)

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
            The most probable node of the depth, of equals the first by name,
            ``(levels, samples)``, the deepest level first.
        probability : NDArray[float64]
            That of its claim, ``(levels, samples)``, at most 1.
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
            # Rounded, so that equals are equal and the name decides between them.
            best = np.round(sums, 9).argmax(axis=0)
            node[level] = here[best]
            probability[level] = np.minimum(sums[best, np.arange(len(p))], 1.0)
        return node, probability, depths

    def answers(self, p: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
        """Return the deepest node whose claim is probable enough.

        Parameters
        ----------
        p
            Probabilities of the classes, ``(samples, classes)``.
        threshold
            What the probability of the answer must reach.

        Returns
        -------
        NDArray[int64]
            Number of the node, ``(samples,)``, or :data:`NO_ANSWER`. Of several
            at the same depth the most probable, then the first by name.
        """
        answer, _ = self.answers_and_probabilities(p, threshold)
        return answer

    def answers_and_probabilities(
        self, p: NDArray[np.float64], threshold: float
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return what :meth:`answers` returns, and the probability of each answer, else NaN."""
        node, probability, _ = self.levels(p)
        answer = np.full(len(p), NO_ANSWER, dtype=np.int64)
        of_answer = np.full(len(p), np.nan)
        for level in range(len(node)):
            new = (answer == NO_ANSWER) & (probability[level] >= threshold - ROUNDING)
            answer[new] = node[level][new]
            of_answer[new] = probability[level][new]
        return answer, of_answer


def label_tree(classes: Sequence[str], lineages: Mapping[str, Sequence[str]]) -> LabelTree:
    """Put the classes of a field and the terms above them in order.

    Parameters
    ----------
    classes
        In the order of the models' columns.
    lineages
        Class to its lineage: the class, then its ancestors, nearest first. A
        class without one stands by itself.

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
    """Say which node is above which; see :class:`LabelTree`.

    Of nodes that hold the same classes a class is beneath a mere term, then the
    one that stands nearer in the lineages is beneath the other.
    """
    counts = members.astype(np.int64)
    shared = counts @ counts.T
    size = counts.sum(axis=1)
    held = shared == size[:, None]  # All that the row holds, the column holds.
    same = held & held.T
    number = np.arange(len(members))
    order = np.empty(len(members), dtype=np.int64)
    order[np.lexsort((number, position, number >= classes))] = number
    later = order[None, :] > order[:, None]
    result: NDArray[np.bool_] = (held & ~same) | (same & later)
    return result


def _any(table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each row has something set."""
    return np.asarray(np.any(table, axis=1), dtype=np.bool_)


def _all(table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each row has everything set."""
    return np.asarray(np.all(table, axis=1), dtype=np.bool_)


def _depths(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    depth = np.zeros(len(above), dtype=np.int64)
    # Whatever is above a node has fewer nodes above itself.
    for node in np.argsort(above.sum(axis=1), kind="stable"):
        if above[node].any():
            depth[node] = depth[above[node]].max() + 1
    return depth
