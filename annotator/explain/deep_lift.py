"""DeepLIFT contributions of the network's inputs, by the Rescale rule.

The explained output is the logit before the softmax of the last layer, whose
weights are centred over the classes (mean-normalised): a constant added to all
logits does not change the softmax, so it must not change an explanation either.
The reference is an input of zeros. The contributions of a sample sum to the
difference between its logit and the logit of the reference.

A wide path, a linear map from the inputs directly to the logits, is explained exactly:
weight times input.

For a dense ReLU network the rule needs no graph: a unit passes on the
multipliers that reach it times the ratio of its differences from the reference
after and before the ReLU. This takes as many matrix products as predicting,
and one more for each explained output.

References
----------
Shrikumar, Greenside and Kundaje (2017), Learning important features through
propagating activation differences, sections 3.5.1 (Rescale rule) and 3.6
(softmax outputs).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import ArtefactError
from annotator.explain.checks import checked_inputs, checked_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from annotator.gpu import Product

    Layers = Sequence[tuple[NDArray[Any], NDArray[Any]]]
    FloatLayers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]

DEEP_LIFT = "deeplift"
NEAR_ZERO = 1e-7  # the package's own limit, below which it uses the slope at the reference
VALUES_AT_ONCE = 2**22  # float32 values of one chunk of scores: 16 MB


def _checked_layers(layers: Layers) -> FloatLayers:
    """Return the layers as float32, or raise if one of them does not fit."""
    if not layers:
        raise ArtefactError("the network has no layers: train the release again")
    checked = []
    width = layers[0][0].shape[0]
    for number, (kernel, bias) in enumerate(layers):
        if kernel.ndim != 2 or kernel.shape[0] != width or bias.shape != kernel.shape[1:]:
            raise ArtefactError(
                f"layer {number} of the network has a kernel {kernel.shape} and a bias"
                f" {bias.shape} for {width} incoming values: train the release again"
            )
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise ArtefactError(
                f"layer {number} of the network has a weight that is not finite:"
                " train the release again"
            )
        checked.append((kernel.astype(np.float32), bias.astype(np.float32)))
        width = kernel.shape[1]
    return checked


def centred_layers(layers: Layers) -> FloatLayers:
    """Return the layers with the last one's weights centred over the classes.

    Parameters
    ----------
    layers
        Kernel ``(in, out)`` and bias ``(out,)`` of each dense layer.

    Returns
    -------
    list of (kernel, bias)
        float32. The softmax of their output is the same as that of the given layers.

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


def _centred_wide(
    wide: NDArray[Any] | None, features: int, outputs: int
) -> NDArray[np.float32] | None:
    """Return a wide path centred over the outputs, or raise if it does not fit."""
    if wide is None:
        return None
    if wide.shape != (features, outputs) or not np.isfinite(wide).all():
        raise ArtefactError(
            f"the wide path of the network, {wide.shape}, does not fit {features} features and"
            f" {outputs} outputs or is not finite: train the release again"
        )
    values = wide.astype(np.float64)
    return np.asarray(values - values.mean(axis=1, keepdims=True), dtype=np.float32)


def chunks(samples: int, values_per_sample: int) -> Iterator[slice]:
    """Yield chunks of at least one sample and at most :data:`VALUES_AT_ONCE` values."""
    rows = max(1, VALUES_AT_ONCE // values_per_sample)
    for start in range(0, samples, rows):
        yield slice(start, min(start + rows, samples))


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """The values in a network for some samples.

    Attributes
    ----------
    logits
        Centred over the outputs, shape ``(samples, outputs)``, float32.
    ratios
        For each hidden layer the ratio of the units' differences from the reference
        after and before the ReLU, ``(samples, units)``, float32.
    """

    logits: NDArray[np.float32]
    ratios: tuple[NDArray[np.float32], ...]


def _ratio(moved: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the factors by which a ReLU multiplies the units' differences from the reference.

    If a unit stays on one side of the kink, the factor is exactly 1 or 0, however small
    the difference.
    """
    values, active = moved + reference, reference > 0
    crosses = ((values > 0) != active) & (np.abs(moved) >= NEAR_ZERO)
    difference = np.maximum(values, 0) - np.maximum(reference, 0)
    ratio = difference / np.where(crosses, moved, np.float32(1))
    return np.where(crosses, ratio, active.astype(np.float32))


class DeepLift:
    """DeepLIFT contributions of one network.

    Parameters
    ----------
    layers
        Kernel ``(in, out)`` and bias ``(out,)`` of each dense layer from the
        inputs to the logits, with a ReLU after each but the last. Dropout is
        left out, as it has no effect on predictions.
    wide
        The weights of the wide path, from the inputs directly to the logits,
        ``(features, outputs)``; ``None`` without a wide path.

    Attributes
    ----------
    layers
        The layers as float32, the last one centred over the outputs.
    wide
        The wide path as float32, centred over the outputs, or ``None``.
    features, outputs
        Number of inputs and outputs.
    reference_logits
        Logits of the reference input, centred over the outputs, ``(outputs,)``, float32.

    Raises
    ------
    ArtefactError
        The layers do not fit one another, or a weight is not finite.

    Examples
    --------
    >>> layers = [(np.array([[1.0, -1.0], [0.5, 0.0]]), np.zeros(2))]
    >>> DeepLift(layers).contributions(np.array([[2.0, 4.0]]), np.array([0]))
    array([[2., 1.]], dtype=float32)
    """

    def __init__(self, layers: Layers, wide: NDArray[Any] | None = None) -> None:
        self.layers = centred_layers(layers)
        self.features = self.layers[0][0].shape[0]
        self.outputs = self.layers[-1][0].shape[1]
        self.wide = _centred_wide(wide, self.features, self.outputs)
        self._product: Product = np.matmul
        self._references = self._at_reference()
        self.reference_logits = self._references[-1]

    def multiplying_by(self, product: Product) -> DeepLift:
        """Return the same with another function for products of matrices, on a GPU for example."""
        other = copy.copy(self)
        other._product = product
        return other

    def references(self, classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the reference input's centred logits of some outputs."""
        return np.asarray(self.reference_logits[classes], dtype=np.float64)

    def _at_reference(self) -> list[NDArray[np.float32]]:
        """Return the input of each layer's ReLU (for the last: the logits) at the reference."""
        values, found = np.zeros(self.features), []
        for kernel, bias in self.layers:
            values = values @ kernel.astype(np.float64) + bias
            found.append(values.astype(np.float32))
            values = np.maximum(values, 0.0)
        return found

    def forward(self, inputs: NDArray[np.float32]) -> ForwardPass:
        """Run finite inputs, ``(samples, features)``, through the network."""
        moved, ratios = inputs, []
        for (kernel, _), reference in zip(self.layers[:-1], self._references, strict=False):
            moved = self._product(moved, kernel)
            ratios.append(_ratio(moved, reference))
            moved *= ratios[-1]
        logits = self._product(moved, self.layers[-1][0]) + self._references[-1]
        if self.wide is not None:
            logits += self._product(inputs, self.wide)
        return ForwardPass(logits, tuple(ratios))

    def of_outputs(
        self, inputs: NDArray[np.float32], weights: NDArray[np.float32], forward: ForwardPass
    ) -> NDArray[np.float32]:
        """Return the contributions to weighted sums of logits, ``(samples, sums, features)``.

        Contributions are linear in the weights, so a difference or a mean of logits costs no
        more than one logit.

        Parameters
        ----------
        inputs
            The inputs of the network, ``(samples, features)``.
        weights
            The weight of each output in each sum, ``(samples, sums, outputs)``.
        forward
            The forward pass of these inputs.
        """
        samples, sums, outputs = weights.shape
        flat = np.ascontiguousarray(weights).reshape(samples * sums, outputs)
        signals = self._product(flat, self.layers[-1][0].T)
        for number in range(len(forward.ratios) - 1, -1, -1):
            kernel = self.layers[number][0]
            units = signals.reshape(samples, sums, kernel.shape[1])
            units *= forward.ratios[number][:, None, :]
            signals = self._product(units.reshape(samples * sums, kernel.shape[1]), kernel.T)
        if self.wide is not None:
            signals += self._product(flat, self.wide.T)
        scores: NDArray[np.float32] = signals.reshape(samples, sums, self.features)
        scores *= inputs[:, None, :]
        return scores

    def contributions(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float32]:
        """Return the contribution of each input to the logit of a sample's class.

        Parameters
        ----------
        inputs
            The inputs of the network, shape ``(samples, features)``, float32.
        target_class
            The output to explain for each sample, shape ``(samples,)``, integer.

        Returns
        -------
        ndarray
            Shape ``(samples, features)``, float32, in units of the logit; a row
            sums to the centred logit minus that of the reference.

        Raises
        ------
        InputError
            The inputs or classes do not fit the network.
        """
        matrix, targets = self._checked(inputs, target_class)
        values = np.empty(matrix.shape, np.float32)
        for rows in chunks(len(matrix), self.features):
            weights = np.eye(self.outputs, dtype=np.float32)[targets[rows], None, :]
            found = self.of_outputs(matrix[rows], weights, self.forward(matrix[rows]))
            values[rows] = found[:, 0, :]
        return values

    def all_classes(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return the contribution of each input to the logit of every output.

        Parameters
        ----------
        inputs
            As for :meth:`contributions`; no more samples than the result has memory for.

        Returns
        -------
        ndarray
            Shape ``(samples, outputs, features)``, float32, in units of the logit.

        Raises
        ------
        InputError
            The inputs do not fit the network.
        """
        matrix = checked_inputs(inputs, self.features)
        weights = np.broadcast_to(
            np.eye(self.outputs, dtype=np.float32), (len(matrix), self.outputs, self.outputs)
        )
        return self.of_outputs(matrix, weights, self.forward(matrix))

    def _checked(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        matrix = checked_inputs(inputs, self.features)
        return matrix, checked_targets(target_class, len(matrix), self.outputs)
