"""Checks of the arrays that all explanations share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checked_inputs(inputs: NDArray[Any], features: int) -> NDArray[np.float32]:
    """Return model inputs as contiguous float32, or raise if they cannot be explained.

    Parameters
    ----------
    inputs
        The transformed inputs of the model, shape ``(samples, features)``.
    features
        Number of the model's features.

    Returns
    -------
    ndarray
        Shape ``(samples, features)``, float32, C order.

    Raises
    ------
    InputError
        The shape is wrong, or a value is not finite.
    """
    if inputs.ndim != 2 or inputs.shape[1] != features:
        raise InputError(
            f"inputs of shape {inputs.shape} do not fit a model with {features}"
            " features: give one row per sample and one column per feature of the model"
        )
    matrix = np.ascontiguousarray(inputs, dtype=np.float32)
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise InputError(
            f"row {int(np.argmin(finite))} of the inputs has a value that is not finite:"
            " leave such samples out"
        )
    return matrix


def checked_targets(target_class: NDArray[Any], samples: int, classes: int) -> NDArray[np.int64]:
    """Return the class to explain for each sample, or raise if one is invalid.

    Parameters
    ----------
    target_class
        Class numbers, shape ``(samples,)``, an integer dtype.
    samples, classes
        Number of rows of the inputs and number of classes of the model.

    Returns
    -------
    ndarray
        Shape ``(samples,)``, int64, each in ``[0, classes)``.

    Raises
    ------
    InputError
        The shape or dtype is wrong, or a number is not a class of the model.
    """
    targets = np.asarray(target_class)
    if targets.shape != (samples,) or not np.issubdtype(targets.dtype, np.integer):
        raise InputError(
            f"target classes of shape {targets.shape} and type {targets.dtype} do not fit"
            f" {samples} samples: give one class number per sample"
        )
    outside = (targets < 0) | (targets >= classes)
    if outside.any():
        raise InputError(
            f"class number {int(targets[outside][0])} is not one of the model's {classes} classes:"
            f" give numbers from 0 to {classes - 1}"
        )
    return targets.astype(np.int64)
