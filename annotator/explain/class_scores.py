"""D1: the mean difference between contributions to a class and to the other classes.

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

    D1 is the mean over the samples of a class of the DeepLIFT score for the class minus
    the mean of the scores for the other classes (section 2.3.4).

    Parameters
    ----------
    network
        The explainer of the model.
    inputs
        The inputs of the model, shape ``(samples, features)``, float32.
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
        # Logits are centred over the classes, so the own score determines the others' mean.
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
    """Return D1 of a model kind whose contributions are costly, from some of its samples.

    Parameters
    ----------
    explainer
        The explainer of the model's scores.
    inputs
        Shape ``(samples, features)``, float32; some samples of each class are enough.
    class_index
        The class of each sample, as a column of the scores.
    classes
        Number of classes, at least 2.
    sum_to_zero
        Whether the contributions of a feature to all classes sum to 0, as those to a
        forest's probabilities do: then only one class per sample has to be explained.

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
            # This class's part of the mean over the other classes.
            np.add.at(sums, targets[~own], -scores[~own] / (classes - 1))
    samples = np.maximum(np.bincount(targets, minlength=classes), 1)
    return sums / samples[:, None]


def some_of_each_class(
    class_index: NDArray[np.int64], samples_per_class: int | None, seed: int
) -> NDArray[np.int64]:
    """Return rows in ascending order: all samples, or some of each class, drawn at random."""
    if samples_per_class is None:
        return np.arange(len(class_index))
    random = np.random.default_rng(seed)
    drawn = [
        random.permutation(np.flatnonzero(class_index == number))[:samples_per_class]
        for number in np.unique(class_index)
    ]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *drawn]))
