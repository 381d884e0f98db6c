"""The linear model kind: linear in the inputs, or in random ReLU units of them.

A multinomial logistic regression takes datasets into account: before the fit, directions
in which the datasets of the same class differ are shrunk
(:mod:`annotator.learn.models.dataset_shift`). Features may be scaled in more than one way; the
coefficients of these fits are averaged. All of this is folded into the coefficients, so
that the stored model is simply linear in the inputs.

If the signal is weak, the preset can replace it with a ridge regression on random units
(:mod:`annotator.learn.models.random_units`), which can also predict a number.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta
from scipy.special import softmax

from annotator.errors import ArtefactError
from annotator.explain.answer import KindExplainer
from annotator.explain.deep_lift import DEEP_LIFT, DeepLift
from annotator.learn.models.dataset_shift import within_class
from annotator.learn.models.kind import ModelKind
from annotator.learn.models.random_units import UnitOptions, completed_numbers, fit_random_units
from annotator.learn.models.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.learn.models.kind import TrainingPart

FILE = "linear.safetensors"
MOST_ITERATIONS = 100
COEFFICIENT = "coefficient"

Layers = list[tuple["NDArray[np.float32]", "NDArray[np.float32]"]]


@dataclass(frozen=True, slots=True)
class LinearOptions:
    """A linear model of the inputs, or of random units of the inputs.

    Attributes
    ----------
    penalties
        For the multinomial logistic regression: scikit-learn's ``C``, one value per entry of
        ``scale_powers``; smaller values mean a stronger L2 penalty.
    within_class
        The strength of the shrinkage of directions in which the datasets of one class
        differ, relative to their mean variance; 0 for none
        (:mod:`annotator.learn.models.dataset_shift`).
    scale_powers
        Features are divided by their standard deviation to these powers; the
        models of several powers are averaged.
    random_units
        The number of random ReLU units on which a ridge regression is fitted instead
        (:mod:`annotator.learn.models.random_units`); 0 for the logistic regression.
    ridge
        Penalty of the ridge regression.
    feature_steps
        Number of steps in which it updates the weights of the features.
    """

    penalties: tuple[Annotated[float, Meta(gt=0)], ...]
    within_class: Annotated[float, Meta(ge=0)]
    scale_powers: tuple[Annotated[float, Meta(ge=-10, le=10)], ...] = (0.0,)
    random_units: Annotated[int, Meta(ge=0)] = 0
    ridge: Annotated[float, Meta(ge=0)] = 1.0
    feature_steps: Annotated[int, Meta(ge=0)] = 0


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Coefficients of the class logits.

    Attributes
    ----------
    coefficients
        ``(classes, features)``, or ``(classes, units)`` with random units, float32; their
        mean over the classes is 0.
    intercepts
        ``(classes,)``, float32.
    units
        Kernel ``(features, units)`` and bias ``(units,)`` of the random units, float32;
        ``None`` without random units.
    number
        The coefficients of the predicted number: one per random unit, and the intercept,
        ``(units + 1,)``, float32; ``None`` if no number is predicted.
    """

    coefficients: NDArray[np.float32]
    intercepts: NDArray[np.float32]
    units: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    number: NDArray[np.float32] | None = None

    @property
    def of_number(self) -> bool:
        """Whether it predicts a number."""
        return self.number is not None

    def dense_layers(self) -> Layers:
        """Return kernel and bias of each layer: the random units, if there are any, and logits."""
        last = (self.coefficients.T, self.intercepts)
        return [last] if self.units is None else [self.units, last]

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        logits = self._seen(inputs) @ self.coefficients.T.astype(np.float64)
        return np.asarray(softmax(logits + self.intercepts, axis=1), dtype=np.float64)

    def numbers(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the predicted number of each sample, ``(samples,)``."""
        assert self.number is not None
        number = self.number.astype(np.float64)
        return np.asarray(self._seen(inputs) @ number[:-1] + number[-1], dtype=np.float64)

    def _seen(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the values that the coefficients apply to: inputs, or random units of them."""
        if self.units is None:
            return inputs.astype(np.float64)
        kernel, bias = self.units
        return np.asarray(np.maximum(inputs @ kernel + bias, 0), dtype=np.float64)

    def to_bytes(self) -> bytes:
        """Serialise as safetensors."""
        arrays = {"coefficients": self.coefficients, "intercepts": self.intercepts}
        if self.units is not None:
            number = np.zeros(0, np.float32) if self.number is None else self.number
            kernel, bias = self.units
            arrays |= {"unit_kernel": kernel, "unit_bias": bias, "number": number}
        return write_tensors(arrays)

    @classmethod
    def from_bytes(
        cls, content: bytes, features: int, classes: int, options: LinearOptions
    ) -> LinearModel:
        """Read a model and check it.

        Raises
        ------
        ArtefactError
            The bytes are damaged or do not fit the field's features and classes.
        """
        units = options.random_units
        shapes: dict[str, tuple[int, ...]] = {
            "coefficients": (classes, units or features),
            "intercepts": (classes,),
        }
        if not units:
            arrays = read_tensors(content, shapes, FILE)
            return cls(arrays["coefficients"], arrays["intercepts"])
        shapes |= {"unit_kernel": (features, units), "unit_bias": (units,), "number": (-1,)}
        arrays = read_tensors(content, shapes, FILE)
        number = arrays["number"]
        if len(number) not in (0, units + 1):
            raise ArtefactError(
                f"{FILE}: {len(number)} coefficients of the number do not fit {units} units;"
                " retrain the field"
            )
        return cls(
            arrays["coefficients"],
            arrays["intercepts"],
            (arrays["unit_kernel"], arrays["unit_bias"]),
            number if len(number) else None,
        )


def fit_linear(
    part: TrainingPart,
    options: LinearOptions,
    seed: int = 0,
    threads: int = 0,  # noqa: ARG001 - every kind is fitted with the same arguments
) -> LinearModel:
    """Fit the logistic regression, or the ridge regression on random units.

    Parameters
    ----------
    part
        The training samples.
    options
        The hyper-parameters.
    seed
        Seed of the random units.
    threads
        Not used.

    Returns
    -------
    LinearModel
    """
    if options.random_units:
        return _fit_units(part, options, seed)
    members = [
        _fit_scaled(part, options.within_class, *member)
        for member in zip(options.scale_powers, options.penalties, strict=True)
    ]
    coefficients = np.mean([each[0] for each in members], axis=0)
    intercepts = np.mean([each[1] for each in members], axis=0)
    return LinearModel(*_centred(coefficients, intercepts))


def _fit_units(part: TrainingPart, options: LinearOptions, seed: int) -> LinearModel:
    numbers = None
    if part.numbers is not None:
        numbers = completed_numbers(part.numbers, part.class_index, part.limits)
    units = UnitOptions(options.random_units, options.ridge, options.feature_steps)
    found = fit_random_units(part, units, seed, numbers)
    return LinearModel(
        *_centred(found.coefficients, found.intercepts),
        (found.kernel.astype(np.float32), found.bias.astype(np.float32)),
        found.number.astype(np.float32) if len(found.number) else None,
    )


def _centred(
    coefficients: NDArray[np.float64], intercepts: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Subtract the mean over the classes, on which no probability depends."""
    return (
        (coefficients - coefficients.mean(axis=0)).astype(np.float32),
        (intercepts - intercepts.mean()).astype(np.float32),
    )


def _fit_scaled(
    part: TrainingPart, strength: float, power: float, penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return coefficients ``(classes, features)`` and intercepts for the unscaled inputs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    scale = inverse_power(part.inputs, power)
    values = part.inputs * scale
    found_directions = within_class(values, part.class_index, part.compared_index, strength)
    shrunk = found_directions.shrink(values)
    basis = None
    if shrunk.shape[1] > shrunk.shape[0]:  # the solution lies in the span of the samples
        left, lengths, basis = np.linalg.svd(shrunk, full_matrices=False)
        shrunk = left * lengths
    regression: Any = LogisticRegression(C=penalty, max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings():
        # Predictions depend on the penalty, not on the last digits of the optimum.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(shrunk, part.class_index, sample_weight=part.weights)
    found, intercepts = regression.coef_, regression.intercept_
    if part.classes == 2:  # scikit-learn keeps one row for two classes
        found = np.concatenate([-found / 2, found / 2])
        intercepts = np.concatenate([-intercepts / 2, intercepts / 2])
    if basis is not None:
        found = found @ basis
    return found_directions.shrink(found) * scale, intercepts


def inverse_power(inputs: NDArray[np.float32], power: float) -> NDArray[np.float64]:
    """Return each feature's standard deviation to the power -``power``; 1 for a constant one."""
    spread = inputs.std(axis=0, dtype=np.float64)
    return np.asarray(np.where(spread > 0, np.where(spread > 0, spread, 1.0) ** -power, 1.0))


def _explain(model: LinearModel, features: int, classes: int) -> KindExplainer:  # noqa: ARG001
    method = COEFFICIENT if model.units is None else DEEP_LIFT
    return KindExplainer(method, DeepLift(model.dense_layers()), opposite=classes == 2)


def _number(model: LinearModel, inputs: NDArray[np.float32]) -> NDArray[np.float64] | None:
    return model.numbers(inputs) if model.of_number else None


def largest_output(
    layers: Layers, inputs: NDArray[np.float32], wide: NDArray[np.float32] | None = None
) -> float:
    """Return a limit of the absolute outputs, also of hidden units and of differences.

    Parameters
    ----------
    layers
        Kernel and bias of each layer.
    inputs
        The largest absolute value of each input, ``(features,)``, float32.
    wide
        A linear map from the inputs to the outputs, ``(features, outputs)``.

    Returns
    -------
    float
        Infinite or NaN if a sum can exceed single precision.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        # At least 1, so that the weights themselves are limited.
        first = np.maximum(inputs, np.float32(1))
        found = [first]
        for kernel, bias in layers:
            found.append(found[-1] @ np.abs(kernel) + np.abs(bias))
        if wide is not None:
            found.append(found[-1] + first @ np.abs(wide))
        return float(np.max([each.max() for each in found]))


def _largest_score(model: LinearModel, inputs: NDArray[np.float32]) -> float:
    layers = model.dense_layers()
    largest = largest_output(layers, inputs)
    if model.number is None:
        return largest
    number = model.number[:, None]
    of_number = largest_output([*layers[:-1], (number[:-1], number[-1])], inputs)
    return float(np.maximum(largest, of_number))


LINEAR = ModelKind(
    name="linear",
    unit="logit",
    options=LinearOptions,
    fit=fit_linear,
    read=LinearModel.from_bytes,
    explain=_explain,
    compares_datasets=lambda options: options.within_class > 0,
    number=_number,
    largest_score=_largest_score,
)
