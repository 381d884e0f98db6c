"""Class similarity: how few features must be removed before another class is predicted.

The features of a sample are ordered by how much more they contribute to its class than
to a rival (D2 of the paper's section 2.3.4) and set to the reference input, zero, one
after the other. The number of features removed before the rival is predicted measures
the similarity of the two classes; the number before any other class is predicted
measures the stability of the class.

The model predicts only at some numbers of removed features, at growing intervals, and
then halfway between the last number without a change and the first with one, until the
two are adjacent. If removing more features changes a prediction back, this finds one of
the changes, not always the first.
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


VALUES_AT_ONCE = 2**24  # values of inputs with features removed: 64 MB
GROWTH = 1.5
"""Factor by which the number of removed features grows from one prediction to the next."""


@dataclass(frozen=True, eq=False)
class Explainable:
    """A model's functions for predictions and contributions.

    Attributes
    ----------
    predict
        Function from inputs ``(samples, features)`` to the most probable class of each
        sample, int64.
    contributions
        Function from inputs and one class per sample to contributions,
        ``(samples, features)``, float32.
    """

    predict: Callable[[NDArray[np.float32]], NDArray[np.int64]]
    contributions: Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of a sample and a rival class, each with the features to remove.

    Attributes
    ----------
    row
        The sample of each pair, as a row of the inputs.
    own, rival
        The class of the sample, and its rival.
    order
        Columns in the order of removal, ``(pairs, features)``.
    count
        Maximum number of features to remove: those that contribute more to the class than
        to the rival.
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
    """Return how many features must be removed to turn each class into each other class.

    Parameters
    ----------
    model
        The functions of the model.
    inputs
        The inputs of the model, shape ``(samples, features)``, float32.
    class_index
        The class of each sample, shape ``(samples,)``, integer. Samples for which the
        model predicts another class are left out.
    class_names
        Names of all classes.
    samples_per_class
        Maximum number of samples per class; ``None`` for all.
    seed
        Seed of the choice of samples.

    Returns
    -------
    tuple of ClassSimilarity
        Every class with every other as its rival, in the order of the classes, then
        each class with the rival ``None``, which stands for a change to any other class,
        whatever rival the features were ordered by. Mean steps are over the pairs of a
        sample and a rival whose prediction changed.
    """
    chosen = choose_samples(model, inputs, class_index, samples_per_class, seed)
    classes = len(class_names)
    steps = [steps_of_class(model, chosen, own, classes) for own in range(classes)]
    return summarised(steps, class_names)


@dataclass(frozen=True, eq=False)
class ChosenSamples:
    """The samples from whose predictions features are removed.

    Attributes
    ----------
    inputs
        Shape ``(samples, features)``, float32.
    class_index
        The class of each sample, which the model predicts, ``(samples,)``, int64.
    """

    inputs: NDArray[np.float32]
    class_index: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ClassSteps:
    """The numbers of features that were removed from the samples of one class.

    Attributes
    ----------
    samples
        Number of samples.
    changed, steps
        For each rival, the number of samples whose prediction changed to it, and the sum of the
        features removed by then, ``(classes,)``, int64.
    left, left_pairs, left_steps
        The number of samples whose prediction changed to any other class, of their pairs with
        a rival, and the sum of the features removed by then.
    """

    samples: int
    changed: NDArray[np.int64]
    steps: NDArray[np.int64]
    left: int
    left_pairs: int
    left_steps: int


def choose_samples(
    model: Explainable,
    inputs: NDArray[Any],
    class_index: NDArray[np.int64],
    samples_per_class: int | None = None,
    seed: int = 0,
) -> ChosenSamples:
    """Choose the samples to remove features from; the parameters are of the same names as above."""
    matrix = np.asarray(inputs, dtype=np.float32)
    right = np.flatnonzero(model.predict(matrix) == class_index)
    tried = right[some_of_each_class(class_index[right], samples_per_class, seed)]
    return ChosenSamples(matrix[tried], class_index[tried])


def steps_of_class(model: Explainable, chosen: ChosenSamples, own: int, classes: int) -> ClassSteps:
    """Remove features from the chosen samples of one class until their predictions change."""
    inputs = chosen.inputs[chosen.class_index == own]
    changed, steps = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    if len(inputs) == 0:
        return ClassSteps(0, changed, steps, 0, 0, 0)
    pairs = _ordered(model, inputs, own, classes)
    to_rival = _steps(model, inputs, pairs, to_rival=True)
    to_any = _steps(model, inputs, pairs, to_rival=False)
    np.add.at(changed, pairs.rival, to_rival > 0)
    np.add.at(steps, pairs.rival, to_rival)
    return ClassSteps(
        samples=len(inputs),
        changed=changed,
        steps=steps,
        left=len(np.unique(pairs.row[to_any > 0])),
        left_pairs=int(np.count_nonzero(to_any)),
        left_steps=int(to_any.sum()),
    )


def summarised(
    steps: Sequence[ClassSteps], class_names: Sequence[str]
) -> tuple[ClassSimilarity, ...]:
    """Return the result of :func:`class_similarities` from the steps of each class."""

    def similarity(own: int, rival: int | None) -> ClassSimilarity:
        of_class = steps[own]
        total, count, times = (
            (of_class.left_steps, of_class.left_pairs, of_class.left)
            if rival is None
            else (of_class.steps[rival], of_class.changed[rival], of_class.changed[rival])
        )
        return ClassSimilarity(
            class_name=class_names[own],
            rival=None if rival is None else class_names[rival],
            samples=of_class.samples,
            changed=int(times),
            mean_steps=float(total / count) if count else None,
        )

    numbers = range(len(class_names))
    return (
        *(similarity(own, rival) for own in numbers for rival in numbers if own != rival),
        *(similarity(own, None) for own in numbers),
    )


def _ordered(model: Explainable, inputs: NDArray[np.float32], own: int, classes: int) -> _Pairs:
    """Pair samples of a class with rivals and order the features by descending D2."""
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
    """Return the number of removed features at which each pair's prediction changes.

    The number is 0 if the prediction never changes.
    """

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
    """Return the predictions for some pairs after removing the given number of features."""
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
