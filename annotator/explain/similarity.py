"""How many features make a class: removed one by one until a sample is taken for another.

The features of a sample are ordered by how much more they speak for its class than
for a rival (D2 of the paper's section 2.3.4) and set to the reference input, zero,
one after the other. The number of steps until the network says the rival measures
how similar the two classes are; the number until it says anything else, how stable
the class is.

The first layer is linear, so that a step takes one row of its kernel away; many pairs
of a sample and a rival go side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain import ClassSimilarity
from annotator.explain.checks import checked_inputs, checked_targets
from annotator.explain.class_scores import class_leaves, some_of_each_class
from annotator.explain.deep_lift import DeepLift, chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from annotator.explain.deep_lift import Layers

STEPS_AT_ONCE = 32
UNIT_VALUES_AT_ONCE = 2**21  # pairs times steps times units worked on together: 8 MB


@dataclass(frozen=True, eq=False)
class _Network:
    """A network whose outputs may be leaves below the classes."""

    deep_lift: DeepLift
    class_of_output: tuple[int, ...]

    @property
    def classes(self) -> int:
        return max(self.class_of_output) + 1

    def most_probable(self, logits: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the class of each row of logits."""
        if self.class_of_output == tuple(range(logits.shape[1])):
            return np.asarray(logits.argmax(axis=1), dtype=np.int64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        belongs = np.zeros((logits.shape[1], self.classes), np.float32)
        belongs[np.arange(logits.shape[1]), self.class_of_output] = 1
        return np.asarray((shares @ belongs).argmax(axis=1), dtype=np.int64)

    def after_first_kernel(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the class of samples that came so far, ``(..., units)``."""
        (_, bias), *others = self.deep_lift.layers
        rows = values.reshape(-1, values.shape[-1]) + bias
        for kernel, bias in others:
            np.maximum(rows, 0, out=rows)
            rows = rows @ kernel
            rows += bias
        return self.most_probable(rows).reshape(values.shape[:-1])


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Samples and rivals, each with the features to remove.

    Attributes
    ----------
    row
        The sample of each pair, a row of the chunk.
    own, rival
        Its class and the rival.
    order
        Columns in the order of removal, ``(pairs, features)``.
    count
        How many of them are to be removed at most.
    """

    row: NDArray[np.int64]
    own: NDArray[np.int64]
    rival: NDArray[np.int64]
    order: NDArray[np.int64]
    count: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Steps:
    """When the prediction of each pair changed: the number of removed features, 0 for never."""

    to_rival: NDArray[np.int64]
    to_any: NDArray[np.int64]


def class_similarities(
    layers: Layers,
    inputs: NDArray[Any],
    class_index: NDArray[np.int64],
    class_names: Sequence[str],
    class_of_output: Sequence[int],
    samples_per_class: int | None = None,
    seed: int = 0,
) -> tuple[ClassSimilarity, ...]:
    """Return how easily the samples of each class are turned into each other class.

    Parameters
    ----------
    layers
        As for :class:`~annotator.explain.deep_lift.DeepLift`.
    inputs
        What the network sees, shape ``(samples, features)``, float32.
    class_index
        The class of each sample, shape ``(samples,)``, integer. Samples that the
        network takes for another class are not tried.
    class_names
        Of all classes.
    class_of_output
        The class that each output of the network belongs to.
    samples_per_class
        How many samples of a class to try at most; ``None`` for all.
    seed
        Decides which.

    Returns
    -------
    tuple of ClassSimilarity
        Every class with every other as its rival, in the order of the classes, then
        each class with the rival ``None``: any other class, whichever the rival was by
        which the features were ordered. Mean steps are over the pairs of a sample and a
        rival that changed.

    Raises
    ------
    ArtefactError, InputError
        The layers, or the inputs and classes, do not fit.
    """
    network = _Network(DeepLift(layers), tuple(class_of_output))
    matrix = checked_inputs(inputs, network.deep_lift.features)
    targets = checked_targets(class_index, len(matrix), len(class_names))
    tried = _tried(network, matrix, targets, samples_per_class, seed)
    shape = (len(class_names), len(class_names))
    changed, steps = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    left, left_steps, left_pairs = (np.zeros(len(class_names), np.int64) for _ in range(3))
    for rows in chunks(len(tried), network.classes * network.deep_lift.features):
        chosen = tried[rows]
        pairs = _ordered(network, matrix[chosen], targets[chosen])
        found = _removed(network, matrix[chosen], pairs)
        np.add.at(changed, (pairs.own, pairs.rival), found.to_rival > 0)
        np.add.at(steps, (pairs.own, pairs.rival), found.to_rival)
        np.add.at(left_pairs, pairs.own, found.to_any > 0)
        np.add.at(left_steps, pairs.own, found.to_any)
        np.add.at(left, targets[chosen][np.unique(pairs.row[found.to_any > 0])], 1)
    samples = np.bincount(targets[tried], minlength=len(class_names))

    def similarity(own: int, rival: int | None) -> ClassSimilarity:
        total, count, times = (
            (left_steps[own], left_pairs[own], left[own])
            if rival is None
            else (steps[own, rival], changed[own, rival], changed[own, rival])
        )
        return ClassSimilarity(
            class_name=class_names[own],
            rival=None if rival is None else class_names[rival],
            samples=int(samples[own]),
            changed=int(times),
            mean_steps=float(total / count) if count else None,
        )

    numbers = range(len(class_names))
    return (
        *(similarity(own, rival) for own in numbers for rival in numbers if own != rival),
        *(similarity(own, None) for own in numbers),
    )


def _tried(
    network: _Network,
    inputs: NDArray[np.float32],
    targets: NDArray[np.int64],
    samples_per_class: int | None,
    seed: int,
) -> NDArray[np.int64]:
    """Return the rows of the samples to try: those that the network is right about."""
    right = np.zeros(len(inputs), np.bool_)
    for rows in chunks(len(inputs), network.deep_lift.features):
        said = network.after_first_kernel(inputs[rows] @ network.deep_lift.layers[0][0])
        right[rows] = said == targets[rows]
    known = np.flatnonzero(right)
    return known[some_of_each_class(targets[known], samples_per_class, seed)]


def _ordered(network: _Network, inputs: NDArray[np.float32], own: NDArray[np.int64]) -> _Pairs:
    """Pair samples with rivals and order the features by D2, from the highest down to 0."""
    forward = network.deep_lift.forward(inputs)
    leaves = class_leaves(forward.logits, network.class_of_output)
    scores = network.deep_lift.of_outputs(inputs, network.deep_lift.output_weights[leaves], forward)
    row, rival = np.nonzero(np.arange(network.classes)[None, :] != own[:, None])
    difference = scores[row, own[row]] - scores[row, rival]
    return _Pairs(
        row=row,
        own=own[row],
        rival=rival,
        order=np.argsort(-difference, axis=1, kind="stable"),
        count=np.count_nonzero(difference > 0, axis=1),
    )


def _removed(network: _Network, inputs: NDArray[np.float32], pairs: _Pairs) -> _Steps:
    """Remove the features of all pairs until the rival is said or none is left."""
    kernel = network.deep_lift.layers[0][0]
    found = _Steps(np.zeros(len(pairs.row), np.int64), np.zeros(len(pairs.row), np.int64))
    active = np.flatnonzero(pairs.count > 0)
    values = (inputs @ kernel)[pairs.row[active]]
    start = 0
    while len(active):
        size = max(1, min(STEPS_AT_ONCE, UNIT_VALUES_AT_ONCE // values.size))
        columns = pairs.order[active, start : start + size]
        removed = inputs[pairs.row[active][:, None], columns]
        size = columns.shape[1]
        removed[np.arange(start, start + size) >= pairs.count[active][:, None]] = 0
        block = np.empty((size, *values.shape), np.float32)
        for step in range(size):
            values -= kernel[columns[:, step]] * removed[:, step, None]
            block[step] = values
        said = network.after_first_kernel(block)
        _note(found.to_any, active, start, said != pairs.own[active])
        _note(found.to_rival, active, start, said == pairs.rival[active])
        start += size
        goes_on = (found.to_rival[active] == 0) & (pairs.count[active] > start)
        active, values = active[goes_on], values[goes_on]
    return found


def _note(
    steps: NDArray[np.int64],
    active: NDArray[np.int64],
    start: int,
    happened: NDArray[np.bool_],
) -> None:
    """Write down the first step, of a block ``(steps, pairs)``, at which something happened."""
    first = active[happened.any(axis=0) & (steps[active] == 0)]
    places = np.searchsorted(active, first)
    steps[first] = start + 1 + happened[:, places].argmax(axis=0)
