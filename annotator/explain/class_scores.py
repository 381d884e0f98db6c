"""Scores of classes: of each sample, and their mean over the samples of a class.

The outputs of a network may be leaves below the classes. A class is then spoken
for, in each sample, by the most probable of its leaves.

References
----------
Fiosina, Fiosins and Bonn (2020), Explainable deep learning for augmentation of
small RNA expression profiles, section 2.3.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import InputError
from annotator.explain.checks import checked_inputs, checked_targets
from annotator.explain.deep_lift import DeepLift, chunks
from annotator.explain.trees import forest_contributions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from annotator.explain.deep_lift import Layers


def class_leaves(
    leaf_probabilities: NDArray[Any], class_of_leaf: Sequence[int]
) -> NDArray[np.int64]:
    """Return the most probable leaf within each class of each sample.

    Parameters
    ----------
    leaf_probabilities
        Shape ``(samples, leaves)``; logits do as well.
    class_of_leaf
        The class that each leaf belongs to; every class from 0 on has a leaf.

    Returns
    -------
    ndarray
        Shape ``(samples, classes)``, int64; of equally probable leaves the first.

    Raises
    ------
    InputError
        There is not one class a leaf, or a class has no leaf.
    """
    of_leaf = np.asarray(class_of_leaf, dtype=np.int64)
    sizes = np.bincount(of_leaf) if len(of_leaf) else np.zeros(1, np.int64)
    if leaf_probabilities.shape[1:] != of_leaf.shape or not sizes.all():
        raise InputError(
            f"the classes of {len(of_leaf)} leaves do not fit {leaf_probabilities.shape[1:]}"
            " columns, or a class has none: give the class of each output of the model"
        )
    members = [np.flatnonzero(of_leaf == number) for number in range(len(sizes))]
    return np.stack(
        [leaves[leaf_probabilities[:, leaves].argmax(axis=1)] for leaves in members], axis=1
    )


def network_class_scores(
    layers: Layers, inputs: NDArray[Any], class_of_output: Sequence[int]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Give DeepLIFT scores for every class, some samples at a time.

    Parameters
    ----------
    layers
        As for :class:`~annotator.explain.deep_lift.DeepLift`.
    inputs
        What the network sees, shape ``(samples, features)``, float32.
    class_of_output
        The class that each output belongs to.

    Yields
    ------
    rows, scores
        Some rows of the inputs, in order, and their scores ``(rows, classes,
        features)``, float32, in logits.

    Raises
    ------
    ArtefactError, InputError
        The layers, or the inputs and classes, do not fit.
    """
    network = DeepLift(layers)
    matrix = checked_inputs(inputs, network.features)
    classes = max(class_of_output, default=0) + 1
    for rows in chunks(len(matrix), classes * network.features):
        forward = network.forward(matrix[rows])
        leaves = class_leaves(forward.logits, class_of_output)
        weights = network.output_weights[leaves]
        yield rows, network.of_outputs(matrix[rows], weights, forward)


def mean_differences(
    layers: Layers,
    inputs: NDArray[Any],
    class_index: NDArray[np.int64],
    class_of_output: Sequence[int],
    classes: int,
) -> NDArray[np.float64]:
    """Return by how much features speak for a class more than for the others, on average.

    This is D1 of section 2.3.4: the mean over a class's samples of the DeepLIFT score
    for the class less the mean of the scores for the others.

    Parameters
    ----------
    layers, inputs, class_of_output
        As for :func:`network_class_scores`.
    class_index
        The class of each sample, shape ``(samples,)``, integer.
    classes
        How many there are, at least 2.

    Returns
    -------
    ndarray
        Shape ``(classes, features)``, float64, in logits; 0 for a class without samples.

    Raises
    ------
    ArtefactError, InputError
        The layers, or the inputs and classes, do not fit.
    """
    network = DeepLift(layers)
    matrix = checked_inputs(inputs, network.features)
    targets = checked_targets(class_index, len(matrix), classes)
    sums = np.zeros((classes, network.features))
    for rows in chunks(len(matrix), network.features):
        differences = _differences(network, matrix[rows], targets[rows], class_of_output)
        for number in np.unique(targets[rows]):
            own = differences[targets[rows] == number]
            sums[number] += own.sum(axis=0, dtype=np.float64)
    samples = np.maximum(np.bincount(targets, minlength=classes), 1)
    return sums / samples[:, None]


def _differences(
    network: DeepLift,
    inputs: NDArray[np.float32],
    targets: NDArray[np.int64],
    class_of_output: Sequence[int],
) -> NDArray[np.float32]:
    """Return the scores for a sample's class less the mean of the others, (samples, features).

    Scores are linear in the weights of the outputs: one signal explains the difference.
    """
    forward = network.forward(inputs)
    weights = network.output_weights[class_leaves(forward.logits, class_of_output)]
    own = weights[np.arange(len(inputs)), targets]
    others = (weights.sum(axis=1) - own) / np.float32(weights.shape[1] - 1)
    return network.of_outputs(inputs, (own - others)[:, None, :], forward)[:, 0, :]


def forest_mean_differences(
    estimator: Any,
    feature_indices: NDArray[np.integer[Any]],
    inputs: NDArray[Any],
    class_index: NDArray[np.int64],
    classes: int,
    features: int,
    samples_per_class: int | None = None,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the same as :func:`mean_differences` by tree SHAP of a forest.

    Parameters
    ----------
    estimator, feature_indices
        As for :class:`~annotator.explain.trees.ForestExplainer`.
    inputs
        Shape ``(samples, features)``, float32.
    class_index
        The class of each sample, which is a column of ``predict_proba``.
    classes, features
        How many there are.
    samples_per_class
        How many samples of a class to take at most, as forests are slow to explain;
        ``None`` for all.
    seed
        Decides which.

    Returns
    -------
    ndarray
        Shape ``(classes, features)``, float64, in units of probability; 0 for features
        that the forest does not see, and for a class without samples.

    Raises
    ------
    ArtefactError, InputError
        The forest, or the inputs and classes, do not fit.
    """
    targets = checked_targets(class_index, len(inputs), classes)
    rows = some_of_each_class(targets, samples_per_class, seed)
    values, _ = forest_contributions(estimator, feature_indices, inputs[rows], targets[rows])
    means = np.zeros((classes, features))
    for number in np.unique(targets[rows]):
        # The probabilities of all classes sum to 1, so a feature's values for all of them
        # sum to 0: the mean of the others is what speaks against the class, shared out.
        own = values[targets[rows] == number].mean(axis=0)
        means[number] = own + own / (classes - 1)
    return means


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
