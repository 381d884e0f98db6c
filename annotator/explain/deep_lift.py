"""DeepLIFT contributions of the network's inputs, by the Rescale rule.

The output explained is the logit before the softmax of the last layer, whose
weights are centred over the classes (mean-normalised): softmax does not see
what is added to all logits alike, so an explanation must not either. The
reference is an input of zeros. Contributions of a sample sum to the difference
of its logit from the logit of the reference.

For a dense ReLU network the rule needs no graph: a unit passes on the
multipliers that reach it times the ratio of its differences from the reference
after and before the ReLU. That is as many products of matrices as predicting
takes, and one more for each output explained.

References
----------
Shrikumar, Greenside and Kundaje (2017), Learning important features through
propagating activation differences, sections 3.5.1 (Rescale rule) and 3.6
(softmax outputs).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import ArtefactError
from annotator.explain.checks import checked_inputs, checked_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Layers = Sequence[tuple[NDArray[Any], NDArray[Any]]]
    FloatLayers = list[tuple[NDArray[np.float32], NDArray[np.float32]]]

NEAR_ZERO = 1e-7  # the package's own limit, below which it takes the slope at the reference
VALUES_AT_ONCE = 2**22  # float32 values of one chunk of scores: 16 MB


def _checked_layers(layers: Layers) -> FloatLayers:
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


def centred_layers(layers: Layers) -> FloatLayers:
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


def chunks(samples: int, values_per_sample: int) -> Iterator[slice]:
    """Cut samples into chunks of at most :data:`VALUES_AT_ONCE` values, one sample at least."""
    rows = max(1, VALUES_AT_ONCE // values_per_sample)
    for start in range(0, samples, rows):
        yield slice(start, min(start + rows, samples))


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """What a network made of some samples.

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
    """Return by what a ReLU multiplies the units' differences from the reference.

    On one side of the kink that is exactly 1 or 0, however little a unit moved.
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
        left out: it does nothing when predicting.

    Attributes
    ----------
    layers
        float32, the last one centred over the outputs.
    features, outputs
        How many inputs and outputs there are.
    output_weights
        What the signal of each output is before it goes back, ``(outputs, units of
        the last hidden layer)``, float32; of a network without hidden layers the
        outputs themselves.

    Raises
    ------
    ArtefactError
        The layers do not fit one another, or a weight is not finite.

    Examples
    --------
    >>> layers = [(np.array([[1.0, -1.0], [0.5, 0.0]]), np.zeros(2))]
    >>> DeepLift(layers).contributions(np.array([[2.0, 4.0]]), np.array([0]))
    array([[2., 1.]])
    """

    def __init__(self, layers: Layers) -> None:
        self.layers = centred_layers(layers)
        self.features = self.layers[0][0].shape[0]
        self.outputs = self.layers[-1][0].shape[1]
        hidden = len(self.layers) > 1
        self.output_weights: NDArray[np.float32] = (
            np.ascontiguousarray(self.layers[-1][0].T)
            if hidden
            else np.eye(self.outputs, dtype=np.float32)
        )
        self._references = self._at_reference()

    def _at_reference(self) -> list[NDArray[np.float32]]:
        """Return what goes into each layer's ReLU (for the last: the logits) at the reference."""
        values, found = np.zeros(self.features), []
        for kernel, bias in self.layers:
            values = values @ kernel.astype(np.float64) + bias
            found.append(values.astype(np.float32))
            values = np.maximum(values, 0.0)
        return found

    def forward(self, inputs: NDArray[np.float32]) -> ForwardPass:
        """Run samples, finite and ``(samples, features)``, through the network."""
        moved, ratios = inputs, []
        for (kernel, _), reference in zip(self.layers[:-1], self._references, strict=False):
            moved = moved @ kernel
            ratios.append(_ratio(moved, reference))
            moved *= ratios[-1]
        return ForwardPass(moved @ self.layers[-1][0] + self._references[-1], tuple(ratios))

    def first_signals(
        self, ratios: tuple[NDArray[np.float32], ...], weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Carry signals back to what comes out of the first layer's kernel.

        All of it is linear in the weights, so that a difference or mean of outputs is
        explained by one signal.

        Parameters
        ----------
        ratios
            Of a forward pass.
        weights
            Rows of ``output_weights`` or sums of them, ``(samples, signals, units)``.

        Returns
        -------
        ndarray
            Shape ``(samples, signals, units of the first layer)``, float32. The first
            kernel times them are the multipliers of the inputs.
        """
        signals = weights
        for number in range(len(ratios) - 1, -1, -1):
            signals = signals * ratios[number][:, None, :]
            if number:
                signals = signals @ self.layers[number][0].T
        return signals

    def of_outputs(
        self, inputs: NDArray[np.float32], weights: NDArray[np.float32], forward: ForwardPass
    ) -> NDArray[np.float32]:
        """Return the contributions to sums of outputs, ``(samples, signals, features)``.

        Parameters
        ----------
        inputs
            What the network saw, ``(samples, features)``.
        weights
            As for :meth:`first_signals`.
        forward
            The pass of these inputs.
        """
        signals = self.first_signals(forward.ratios, weights)
        samples, count, units = signals.shape
        scores: NDArray[np.float32] = (
            signals.reshape(samples * count, units) @ self.layers[0][0].T
        ).reshape(samples, count, self.features)
        scores *= inputs[:, None, :]
        return scores

    def contributions(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return how much each input moved the logit of a sample's class.

        Parameters
        ----------
        inputs
            What the network sees, shape ``(samples, features)``, float32.
        target_class
            The output to explain for each sample, shape ``(samples,)``, integer.

        Returns
        -------
        ndarray
            Shape ``(samples, features)``, float64, in units of the logit; a row
            sums to :meth:`output_difference`.

        Raises
        ------
        InputError
            The inputs or classes do not fit the network.
        """
        matrix, targets = self._checked(inputs, target_class)
        values = np.empty(matrix.shape, np.float64)
        for rows in chunks(len(matrix), self.features):
            weights = self.output_weights[targets[rows], None, :]
            found = self.of_outputs(matrix[rows], weights, self.forward(matrix[rows]))
            values[rows] = found[:, 0, :]
        return values

    def all_classes(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Return how much each input moved the logit of every output.

        Parameters
        ----------
        inputs
            As for :meth:`contributions`; so many samples that the result fits in memory.

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
        shape = (len(matrix), *self.output_weights.shape)
        weights = np.broadcast_to(self.output_weights, shape)
        return self.of_outputs(matrix, weights, self.forward(matrix))

    def output_difference(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> NDArray[np.float64]:
        """Return each sample's centred logit less that of the reference.

        Worked out without any of what the contributions are made from.

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
        values = np.concatenate([matrix.astype(np.float64), np.zeros((1, self.features))])
        for number, (kernel, bias) in enumerate(self.layers):
            values = values @ kernel.astype(np.float64) + bias
            if number < len(self.layers) - 1:
                values = np.maximum(values, 0.0)
        difference: NDArray[np.float64] = (
            values[np.arange(len(matrix)), targets] - values[-1, targets]
        )
        return difference

    def _checked(
        self, inputs: NDArray[Any], target_class: NDArray[Any]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        matrix = checked_inputs(inputs, self.features)
        return matrix, checked_targets(target_class, len(matrix), self.outputs)
