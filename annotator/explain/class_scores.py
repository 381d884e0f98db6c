"""D1: how much features support a class more than the others, on average over its samples.

References
----------
Fiosina, Fiosins and Bonn (2020), Explainable deep learning for augmentation of
small RNA expression profiles, section 2.3.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.explain.checks import checked_inputs, checked_targets
from annotator.explain.deep_lift import DeepLift, chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.explain.answer import ScoreExplainer


def mean_differences(
    network: DeepLift, inputs: NDArray[Any], class_index: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return D1 of a network or of a linear model.

    This is the mean over a class's samples of the DeepLIFT score for the class less
    the mean of the scores for the others (section 2.3.4).

    Parameters
    ----------
    network
        What explains it.
    inputs
        What it sees, shape ``(samples, features)``, float32.
    class_index
        The class of each sample, shape ``(samples,)``, integer.

    Returns
    -------
    ndarray
        Shape ``(classes, features)``, float64, in logits; 0 for a class without samples.

    Raises
    ------
    InputError
        The inputs or classes do not fit the network.
    """
    classes = network.outputs
    matrix = checked_inputs(inputs, network.features)
    targets = checked_targets(class_index, len(matrix), classes)
    sums = np.zeros((classes, network.features))
    for rows in chunks(len(matrix), network.features):
        # Logits are centred over the classes: the mean of the others is what is left.
        own = network.contributions(matrix[rows], targets[rows])
        np.add.at(sums, targets[rows], own * (classes / (classes - 1)))
    samples = np.maximum(np.bincount(targets, minlength=classes), 1)
    return sums / samples[:, None]


def sampled_mean_differences(
    explainer: ScoreExplainer,
    inputs: NDArray[np.float32],
    class_index: NDArray[np.int64],
    classes: int,
    *,
    sum_to_zero: bool,
) -> NDArray[np.float64]:
    """Return D1 of a model of trees.

    Parameters
    ----------
    explainer
        Explains its scores.
    inputs
        Shape ``(samples, features)``, float32: some samples of each class are enough.
    class_index
        The class of each, which is a column of the scores.
    classes
        How many there are, at least 2.
    sum_to_zero
        Whether the contributions of a feature to all classes sum to 0, as those to a
        forest's probabilities do: then one class per sample needs to be explained.

    Returns
    -------
    ndarray
        Shape ``(classes, features)``, float64, in the model's unit; 0 for a class without
        samples.

    Raises
    ------
    InputError
        The inputs or classes do not fit the model.
    """
    targets = checked_targets(class_index, len(inputs), classes)
    sums = np.zeros((classes, inputs.shape[1]))
    share = classes / (classes - 1)
    if sum_to_zero:
        np.add.at(sums, targets, explainer.contributions(inputs, targets) * share)
    else:
        for each in range(classes):
            scores = explainer.contributions(inputs, np.full(len(inputs), each))
            own = targets == each
            sums[each] += scores[own].sum(axis=0, dtype=np.float64)
            # The mean of the others, of which each of the other classes gives its part.
            np.add.at(sums, targets[~own], -scores[~own] / (classes - 1))
    samples = np.maximum(np.bincount(targets, minlength=classes), 1)
    return sums / samples[:, None]


def some_of_each_class(
    class_index: NDArray[np.int64], samples_per_class: int | None, seed: int
) -> NDArray[np.int64]:
    """Return rows, ascending: all of a class, or as many as wanted, drawn at random."""
    if samples_per_class is None:
        return np.arange(len(class_index))
    random = np.random.default_rng(seed)
    drawn = [
        random.permutation(np.flatnonzero(class_index == number))[:samples_per_class]
        for number in np.unique(class_index)
    ]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *drawn]))
