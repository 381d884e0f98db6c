"""DeepLIFT contributions of the network's inputs, by the Rescale rule.

The output explained is the logit before the softmax of the last layer, whose
weights are centred over the classes (mean-normalised): softmax does not see
what is added to all logits alike, so an explanation must not either. The
reference is an input of zeros. Contributions of a sample sum to the difference
of its logit from the logit of the reference.

References
----------
Shrikumar, Greenside and Kundaje (2017), Learning important features through
propagating activation differences, sections 3.5.1 (Rescale rule) and 3.6
(softmax outputs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import AnnotatorError, ArtefactError
from annotator.explain.checks import checked_inputs, checked_targets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from annotator.explain.deep_lift_library import LibraryGraph

    Layers = Sequence[tuple[NDArray[Any], NDArray[Any]]]

NEAR_ZERO = 1e-7  # the package's own limit, below which it takes the slope at the reference
ROWS_AT_ONCE = 1024


def _checked_layers(layers: Layers) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the layers as float32, or say which of them does not fit."""
    if not layers:
        raise ArtefactError("the network has no layers: train the release again")
    checked = []
    width = layers[0][0].shape[0]
    for number, (kernel, bias) in enumerate(layers):
        if kernel.ndim != 2 or kernel.shape[0] != width or bias.shape != kernel.shape[1:]:
            raise ArtefactError(
                f"layer {number} of the network has a kernel {kernel.shape} and a bias"
                f" {bias.shape} where {width} values come in: train the release again"
            )
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise ArtefactError(
                f"layer {number} of the network holds a weight that is not finite:"
                " train the release again"
            )
        checked.append((kernel.astype(np.float32), bias.astype(np.float32)))
        width = kernel.shape[1]
    return checked


def centred_layers(layers: Layers) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return the layers with the last one's weights centred over the classes.

    Parameters
    ----------
    layers
        Kernel ``(in, out)`` and bias ``(out,)`` of each dense layer.

    Returns
    -------
    list of (kernel, bias)
        float32. The softmax of their output is that of the layers given.

    Raises
    ------
    ArtefactError
        The layers do not fit one another, or a weight is not finite.
    """
    checked = _checked_layers(layers)
    kernel, bias = (weights.astype(np.float64) for weights in checked[-1])
    checked[-1] = (
        (kernel - kernel.mean(axis=1, keepdims=True)).astype(np.float32),
        (bias - bias.mean()).astype(np.float32),
    )
    return checked


def _logits(layers: Layers, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    activations = inputs
    for number, (kernel, bias) in enumerate(layers):
        activations = activations @ kernel.astype(np.float64) + bias
        if number < len(layers) - 1:
            activations = np.maximum(activations, 0.0)
    return activations


def closed_form(
    layers: Layers, inputs: NDArray[Any], target_class: NDArray[Any]
) -> NDArray[np.float64]:
    """Compute DeepLIFT contributions of a dense ReLU network in NumPy.

    For such a network the Rescale rule needs no graph: a unit passes on the
    multipliers that reach it times the ratio of its differences from the
    reference after and before the ReLU.

    Parameters
    ----------
    layers
        Kernel ``(in, out)`` and bias ``(out,)`` of each dense layer, with a ReLU
        after each but the last.
    inputs
        Shape ``(samples, features)``.
    target_class
        The class to explain for each sample, shape ``(samples,)``, integer.

    Returns
    -------
    ndarray
        Shape ``(samples, features)``, float64, in units of the logit.

    Raises
    ------
    ArtefactError, InputError
        The layers, or the inputs and classes, do not fit.
    """
    centred = [
        (kernel.astype(np.float64), bias.astype(np.float64))
        for kernel, bias in centred_layers(layers)
    ]
    matrix = checked_inputs(inputs, centred[0][0].shape[0])
    targets = checked_targets(target_class, len(matrix), centred[-1][0].shape[1])
    values = np.empty(matrix.shape, np.float64)
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        values[rows] = _closed_form_rows(centred, matrix[rows].astype(np.float64), targets[rows])
    return values


def _closed_form_rows(
    layers: list[tuple[NDArray[np.float64], NDArray[np.float64]]],
    inputs: NDArray[np.float64],
    targets: NDArray[np.int64],
) -> NDArray[np.float64]:
    activations, reference = inputs, np.zeros((1, inputs.shape[1]))
    scales = []
    for kernel, bias in layers[:-1]:
        before, reference_before = activations @ kernel + bias, reference @ kernel + bias
        activations, reference = np.maximum(before, 0.0), np.maximum(reference_before, 0.0)
        difference = before - reference_before
        flat = np.abs(difference) < NEAR_ZERO
        slope = (reference_before > 0.0).astype(np.float64)
        ratio = (activations - reference) / np.where(flat, 1.0, difference)
        scales.append(np.where(flat, slope, ratio))
    multipliers = layers[-1][0].T[targets]
    for (kernel, _), scale in zip(reversed(layers[:-1]), reversed(scales), strict=True):
        multipliers = (multipliers * scale) @ kernel.T
    contributions: NDArray[np.float64] = multipliers * inputs
    return contributions


class DeepLift:
    """DeepLIFT contributions by the ``deeplift`` package.

    Parameters
    ----------
    layers
        Kernel ``(in, out)`` and bias ``(out,)`` of each dense layer from the
        inputs to the logits, with a ReLU after each but the last. Dropout is
        left out: it does nothing when predicting.
    threads
        Processor threads that it may use; 0 leaves the choice to TensorFlow.

    Raises
    ------
    ArtefactError
        The layers do not fit one another, or a weight is not finite.

    Notes
    -----
    An instance holds a graph and a session; it grows by nothing from call to
    call, and is to be closed when its model is no longer used.

    Examples
    --------
    >>> with DeepLift(layers) as explainer:  # doctest: +SKIP
    ...     values = explainer.contributions(inputs, target_class)
    """

    def __init__(self, layers: Layers, threads: int = 0) -> None:
        from annotator.explain.deep_lift_library import LibraryGraph

        self._layers = centred_layers(layers)
        self._graph: LibraryGraph | None = LibraryGraph(self._layers, threads)

    def __enter__(self) -> DeepLift:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def graph(self) -> LibraryGraph:
        """The network as the package sees it."""
        if self._graph is None:
            raise AnnotatorError("this DeepLift is closed: make a new one for the model")
        return self._graph

    def contributions(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return how much each input moved the logit of a sample's class.

        Parameters
        ----------
        inputs
            What the network sees, shape ``(samples, features)``, float32.
        target_class
            The class to explain for each sample, shape ``(samples,)``, integer.

        Returns
        -------
        ndarray
            Shape ``(samples, features)``, float64, in units of the logit; a row
            sums to :meth:`output_difference`.

        Raises
        ------
        InputError
            The inputs or classes do not fit the network.
        AnnotatorError
            The instance was closed.
        """
        matrix, targets = self._checked(inputs, target_class)
        values = np.empty(matrix.shape, np.float64)
        for target in np.unique(targets):
            rows = targets == target
            values[rows] = self.graph.contributions(matrix[rows], int(target))
        return values

    def output_difference(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return each sample's centred logit less that of the reference.

        Parameters
        ----------
        inputs, target_class
            As for :meth:`contributions`.

        Returns
        -------
        ndarray
            Shape ``(samples,)``, float64.

        Raises
        ------
        InputError
            The inputs or classes do not fit the network.
        """
        matrix, targets = self._checked(inputs, target_class)
        logits = _logits(self._layers, matrix.astype(np.float64))
        reference = _logits(self._layers, np.zeros((1, matrix.shape[1])))[0]
        difference: NDArray[np.float64] = (
            logits[np.arange(len(matrix)), targets] - reference[targets]
        )
        return difference

    def close(self) -> None:
        """Free the graph; closing twice is allowed."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def _checked(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        matrix = checked_inputs(inputs, self._layers[0][0].shape[0])
        return matrix, checked_targets(target_class, len(matrix), self._layers[-1][0].shape[1])
