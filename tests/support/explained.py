"""Compute the values that contributions must add up to, without contributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.explain.deep_lift import DeepLift


def centred_log_odds(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithms of probabilities minus their mean over the classes, per row."""
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def output_difference(
    network: DeepLift, inputs: NDArray[Any], targets: NDArray[Any]
) -> NDArray[np.float64]:
    """Return each sample's centred logit of its target minus that of the reference.

    It is computed layer by layer in float64, from the network's (centred) weights alone.
    """
    inputs = np.asarray(inputs, dtype=np.float64)
    values = np.concatenate([inputs, np.zeros((1, network.features))])
    for number, (kernel, bias) in enumerate(network.layers):
        values = values @ kernel.astype(np.float64) + bias
        if number < len(network.layers) - 1:
            values = np.maximum(values, 0.0)
    if network.wide is not None:
        values[:-1] += inputs @ network.wide.astype(np.float64)
    return values[np.arange(len(inputs)), targets] - values[-1, targets]
