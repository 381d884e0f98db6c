"""How many features make a class: removed one by one until a sample is taken for another.

The features of a sample are ordered by how much more they support its class than a
rival (D2 of the paper's section 2.3.4) and set to the reference input, zero, one after
the other. The number of features removed until the rival is predicted measures how
similar the two classes are; the number until anything else is predicted, how stable the
class is.

A prediction is asked for only at some numbers of removed features, ever further apart,
and then halfway between the last at which it had not changed and the first at which it
had. Where removing more features changes a prediction back, that finds one of the
changes, not always the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.explanations import ClassSimilarity
from annotator.explain.class_scores import some_of_each_class

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


VALUES_AT_ONCE = 2**24  # of inputs with features removed: 64 MB
GROWTH = 1.5
"""By how much the number of removed features grows from one look to the next."""


@dataclass(frozen=True, eq=False)
class Explainable:
    """A model that can be asked for its prediction and for contributions.

    Attributes
    ----------
    predict
        Inputs ``(samples, features)`` to the most probable class of each, int64.
    contributions
        Inputs and a class for each to contributions, ``(samples, features)``, float32.
    """

    predict: Callable[[NDArray[np.float32]], NDArray[np.int64]]
    contributions: Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Samples and rivals, each with the features to remove.

    Attributes
    ----------
    row
        The sample of each pair, a row of the inputs.
    own, rival
        Its class and the rival.
    order
        Columns in the order of removal, ``(pairs, features)``.
    count
        How many of them are removed at most: those that support the class.
    """

    row: NDArray[np.int64]
    own: NDArray[np.int64]
    rival: NDArray[np.int64]
    order: NDArray[np.int64]
    count: NDArray[np.int64]


def class_similarities(
    model: Explainable,
    inputs: NDArray[Any],
    class_index: NDArray[np.int64],
    class_names: Sequence[str],
    samples_per_class: int | None = None,
    seed: int = 0,
) -> tuple[ClassSimilarity, ...]:
    """Return how easily the samples of each class are turned into each other class.

    Parameters
    ----------
    model
        What predicts and explains.
    inputs
        What the model sees, shape ``(samples, features)``, float32.
    class_index
        The class of each sample, shape ``(samples,)``, integer. Samples that the
        model takes for another class are not tried.
    class_names
        Of all classes.
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
    """
    classes = len(class_names)
    matrix = np.asarray(inputs, dtype=np.float32)
    right = np.flatnonzero(model.predict(matrix) == class_index)
    tried = right[some_of_each_class(class_index[right], samples_per_class, seed)]
    shape = (classes, classes)
    changed, steps = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    left, left_steps, left_pairs = (np.zeros(classes, np.int64) for _ in range(3))
    for own in range(classes):
        rows = tried[class_index[tried] == own]
        if len(rows) == 0:
            continue
        pairs = _ordered(model, matrix[rows], own, classes)
        to_rival = _steps(model, matrix[rows], pairs, to_rival=True)
        to_any = _steps(model, matrix[rows], pairs, to_rival=False)
        np.add.at(changed, (pairs.own, pairs.rival), to_rival > 0)
        np.add.at(steps, (pairs.own, pairs.rival), to_rival)
        left_pairs[own] = np.count_nonzero(to_any)
        left_steps[own] = to_any.sum()
        left[own] = len(np.unique(pairs.row[to_any > 0]))
    samples = np.bincount(class_index[tried], minlength=classes)

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

    numbers = range(classes)
    return (
        *(similarity(own, rival) for own in numbers for rival in numbers if own != rival),
        *(similarity(own, None) for own in numbers),
    )


def _ordered(model: Explainable, inputs: NDArray[np.float32], own: int, classes: int) -> _Pairs:
    """Pair samples of a class with rivals and order the features by D2, from the highest to 0."""
    samples = len(inputs)
    of_own = model.contributions(inputs, np.full(samples, own))
    rivals = [each for each in range(classes) if each != own]
    orders, counts = [], []
    for rival in rivals:
        difference = of_own - model.contributions(inputs, np.full(samples, rival))
        orders.append(np.argsort(-difference, axis=1, kind="stable"))
        counts.append(np.count_nonzero(difference > 0, axis=1))
    return _Pairs(
        row=np.tile(np.arange(samples), len(rivals)),
        own=np.full(samples * len(rivals), own),
        rival=np.repeat(rivals, samples),
        order=np.concatenate(orders),
        count=np.concatenate(counts),
    )


def _steps(
    model: Explainable, inputs: NDArray[np.float32], pairs: _Pairs, *, to_rival: bool
) -> NDArray[np.int64]:
    """Return at how many removed features each pair's prediction changes, 0 for never."""

    def has_changed(which: NDArray[np.int64], removed: NDArray[np.int64]) -> NDArray[np.bool_]:
        predicted = _predicted_without(model, inputs, pairs, which, removed)
        found = predicted == pairs.rival[which] if to_rival else predicted != pairs.own[which]
        return np.asarray(found, dtype=np.bool_)

    unchanged, changed = np.zeros(len(pairs.row), np.int64), np.zeros(len(pairs.row), np.int64)
    removed = np.minimum(1, pairs.count)
    active = np.flatnonzero(pairs.count > 0)
    while len(active):
        found = has_changed(active, removed[active])
        changed[active[found]] = removed[active[found]]
        active = active[~found]
        unchanged[active] = removed[active]
        active = active[removed[active] < pairs.count[active]]
        further = np.ceil(removed[active] * GROWTH).astype(np.int64)
        removed[active] = np.minimum(np.maximum(further, removed[active] + 1), pairs.count[active])
    open_ones = np.flatnonzero(changed - unchanged > 1)
    while len(open_ones):
        middle = (changed[open_ones] + unchanged[open_ones]) // 2
        found = has_changed(open_ones, middle)
        changed[open_ones[found]] = middle[found]
        unchanged[open_ones[~found]] = middle[~found]
        open_ones = open_ones[changed[open_ones] - unchanged[open_ones] > 1]
    return changed


def _predicted_without(
    model: Explainable,
    inputs: NDArray[np.float32],
    pairs: _Pairs,
    which: NDArray[np.int64],
    removed: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the prediction for some pairs with so many features removed from each."""
    features = inputs.shape[1]
    at_once = max(1, VALUES_AT_ONCE // features)
    predicted = np.empty(len(which), np.int64)
    for start in range(0, len(which), at_once):
        here = slice(start, start + at_once)
        rows = inputs[pairs.row[which[here]]]
        gone = np.arange(features) < removed[here, None]
        place, rank = np.nonzero(gone)
        rows[place, pairs.order[which[here]][place, rank]] = 0
        predicted[here] = model.predict(rows)
    return predicted
