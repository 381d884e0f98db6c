"""The deep-learning model kind: a fully connected network (paper, section 2.3.1).

It may have a wide path beside its hidden layers, a linear map from the inputs directly
to the logits (Cheng et al. 2016, "Wide & deep learning for recommender systems"), which
is fitted first, as the linear model kind, and then added.

Keras trains the hidden layers, and only their weights are kept. Predicting is a plain
forward pass in NumPy, so that only training imports TensorFlow.

Training is deterministic: initial weights, dropout and the order of samples
depend on the seed. TensorFlow's sums depend on the number of its threads and on
the instruction set of the processor, so bit-identical weights need the same
TensorFlow version, type of processor and number of threads. If these differ,
predictions agree up to rounding errors amplified by training. The first use of
TensorFlow in a process fixes its number of threads; see :func:`limit_threads`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta

from annotator.errors import ArtefactError
from annotator.explain.answer import KindExplainer
from annotator.explain.deep_lift import DEEP_LIFT, DeepLift
from annotator.gpu import tensorflow_device, usable_device
from annotator.learn.models.dataset_shift import WithinClass, compared_datasets, within_class
from annotator.learn.models.kind import ModelKind
from annotator.learn.models.linear import (
    LinearModel,
    LinearOptions,
    inverse_power,
    largest_output,
)
from annotator.learn.models.random_units import correlation_weights
from annotator.quiet_tensorflow import import_tensorflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from annotator.learn.models.kind import KindModel, TrainingPart

Layers = list[tuple["NDArray[np.float32]", "NDArray[np.float32]"]]
Dropout = Annotated[float, Meta(ge=0, lt=1)]
Power = Annotated[float, Meta(ge=-10, le=10)]


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """A fully connected network: ReLU layers with dropout, softmax output, Adam.

    Attributes
    ----------
    hidden_units, dropout
        One entry per hidden layer.
    epochs, batch_size, learning_rate
        Options of the training; the learning rate falls to 0 along a half cosine if
        ``cosine_decay`` is set.
    input_dropout
        Share of inputs left out at each training step.
    weight_decay
        Weight decay of AdamW; 0 means plain Adam.
    label_smoothing
        Share of each label that is spread over all classes.
    scale_power
        Inputs are divided by their standard deviation to this power before the first
        layer; the scale is folded into its weights.
    correlation_power
        Inputs are multiplied by their absolute correlation with the classes to this
        power, folded into the same weights; 0 for no such factor.
    within_class
        As in :class:`LinearOptions`, after scaling, and folded into the same weights.
    within_class_datasets
        Smallest number of datasets for which ``within_class`` is used: with few
        datasets, directions that separate classes are shrunk too.
    wide
        Whether to add a wide path (Cheng et al. 2016, "Wide & deep learning for
        recommender systems"): the logits of the preset's linear kind.
    deep_share
        The factor of the logits of the hidden layers when they are added to those of
        the wide path.
    """

    hidden_units: Annotated[tuple[Annotated[int, Meta(ge=1)], ...], Meta(max_length=32)]
    dropout: tuple[Dropout, ...]
    epochs: Annotated[int, Meta(ge=1)]
    batch_size: Annotated[int, Meta(ge=1)]
    learning_rate: Annotated[float, Meta(gt=0)] = 0.001
    input_dropout: Dropout = 0.0
    weight_decay: Annotated[float, Meta(ge=0)] = 0.0
    label_smoothing: Annotated[float, Meta(ge=0, le=1)] = 0.0
    cosine_decay: bool = False
    scale_power: Power = 0.0
    correlation_power: Power = 0.0
    within_class: Annotated[float, Meta(ge=0)] = 0.0
    within_class_datasets: Annotated[int, Meta(ge=0)] = 0
    wide: bool = False
    deep_share: Annotated[float, Meta(ge=0, le=1000)] = 1.0


def limit_threads(threads: int) -> None:
    """Set the number of TensorFlow's threads; 0 leaves the choice to TensorFlow.

    Only the first call in a process has an effect, because TensorFlow cannot change
    the number after its first operation.
    """
    tensorflow = _tensorflow()
    if threads > 0:
        try:
            tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError:
            return  # It has run already and keeps its number of threads.


def _tensorflow() -> Any:
    """Import TensorFlow, and Keras with it."""
    return import_tensorflow()


def build_network(features: int, classes: int, options: NetworkOptions, seed: int) -> Any:
    """Return the untrained Keras model, with all random choices seeded.

    Raises
    ------
    ValueError
        The number of dropout shares differs from the number of hidden layers.
    """
    _tensorflow()
    import keras

    seeds = iter(np.random.SeedSequence(seed).generate_state(64).tolist())
    layers: list[Any] = [keras.Input(shape=(features,))]
    if options.input_dropout > 0:
        layers.append(keras.layers.Dropout(options.input_dropout, seed=next(seeds)))
    for units, dropout in zip(options.hidden_units, options.dropout, strict=True):
        initial = keras.initializers.GlorotUniform(seed=next(seeds))
        layers.append(keras.layers.Dense(units, activation="relu", kernel_initializer=initial))
        layers.append(keras.layers.Dropout(dropout, seed=next(seeds)))
    initial = keras.initializers.GlorotUniform(seed=next(seeds))
    layers.append(keras.layers.Dense(classes, activation="softmax", kernel_initializer=initial))
    return keras.Sequential(layers)


def _optimizer(options: NetworkOptions, steps: int) -> Any:
    import keras

    rate: Any = options.learning_rate
    if options.cosine_decay:
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    if options.weight_decay > 0:
        return keras.optimizers.AdamW(rate, weight_decay=options.weight_decay)
    return keras.optimizers.Adam(rate)


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """The weights of a trained network.

    Attributes
    ----------
    layers
        Kernel ``(inputs, outputs)`` and bias ``(outputs,)`` of each layer,
        float32; ReLU between layers, softmax after the last.
    wide
        The weights of the wide path, from the inputs directly to the logits,
        ``(inputs, classes)``, float32; ``None`` without a wide path.
    """

    layers: Layers
    wide: NDArray[np.float32] | None = None

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, ``(samples, classes)``; rows sum to one."""
        values = inputs
        for kernel, bias in self.layers[:-1]:
            values = values @ kernel
            values += bias
            np.maximum(values, 0, out=values)
        kernel, bias = self.layers[-1]
        logits = (values @ kernel + bias).astype(np.float64)
        if self.wide is not None:
            logits += inputs @ self.wide
        logits -= logits.max(axis=1, keepdims=True)
        exponentials = np.exp(logits)
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    def to_bytes(self) -> bytes:
        """Serialise the weights as safetensors."""
        from safetensors.numpy import save

        tensors = {}
        for position, (kernel, bias) in enumerate(self.layers):
            tensors[f"kernel_{position}"] = np.ascontiguousarray(kernel, dtype=np.float32)
            tensors[f"bias_{position}"] = np.ascontiguousarray(bias, dtype=np.float32)
        if self.wide is not None:
            tensors["wide"] = np.ascontiguousarray(self.wide, dtype=np.float32)
        content: bytes = save(tensors)
        return content

    @classmethod
    def from_bytes(
        cls, content: bytes, features: int, classes: int, options: NetworkOptions
    ) -> NetworkModel:
        """Read weights and check them against the architecture.

        Raises
        ------
        ArtefactError
            The bytes are not safetensors, a layer is missing, unknown or of the
            wrong shape or type, or a weight is not finite.
        """
        from annotator.learn.models.tensors import read_tensors

        widths = [features, *options.hidden_units, classes]
        shapes: dict[str, tuple[int, ...]] = {}
        for position, (before, after) in enumerate(pairwise(widths)):
            shapes[f"kernel_{position}"] = (before, after)
            shapes[f"bias_{position}"] = (after,)
        if options.wide:
            shapes["wide"] = (features, classes)
        tensors = read_tensors(content, shapes, "network")
        return cls(
            [
                (tensors[f"kernel_{position}"], tensors[f"bias_{position}"])
                for position in range(len(widths) - 1)
            ],
            tensors.get("wide"),
        )


def fit_network(
    part: TrainingPart, options: NetworkOptions, seed: int, threads: int = 0
) -> NetworkModel:
    """Train a network.

    Parameters
    ----------
    part
        The training samples, with the fitted linear model if the options have a wide path.
    options
        The hyper-parameters of architecture and training.
    seed
        Seed of all random choices.
    threads
        Number of threads that TensorFlow may use; see :func:`limit_threads`.

    Returns
    -------
    NetworkModel

    Raises
    ------
    ArtefactError
        Training diverged and a weight is not finite.
    """
    tensorflow = _tensorflow()
    limit_threads(threads)
    import keras

    keras.backend.clear_session(free_memory=False)
    model = build_network(part.inputs.shape[1], part.classes, options, seed)
    prepared = _Preparation.of(part, options)
    samples = len(part.class_index)
    steps = -(-samples // options.batch_size)
    optimizer = _optimizer(options, steps * options.epochs)
    optimizer.build(model.trainable_variables)
    targets = _smoothed_targets(part, options.label_smoothing)
    with tensorflow.device(tensorflow_device(usable_device(part.device))):
        data = tuple(
            tensorflow.constant(each)
            for each in (prepared.apply(part.inputs), targets, part.weights.astype(np.float32))
        )
        epoch = _compiled_epoch(tensorflow, model, optimizer, options.batch_size)
        order = np.random.default_rng(seed)
        for _ in range(options.epochs):
            epoch(*data, tensorflow.constant(order.permutation(samples)))
    layers = [
        tuple(np.array(weight) for weight in layer.get_weights())
        for layer in model.layers
        if isinstance(layer, keras.layers.Dense)
    ]
    keras.backend.clear_session()
    if not all(np.isfinite(weight).all() for layer in layers for weight in layer):
        raise ArtefactError(
            "training the network gave weights that are not finite; lower its learning rate"
        )
    (first, bias), *others = layers
    folded = [(prepared.fold_into(first), bias), *((kernel, each) for kernel, each in others)]
    return _with_wide_path(folded, part.fitted.get("linear"), options)


def _smoothed_targets(part: TrainingPart, smoothing: float) -> NDArray[np.float32]:
    shape = (len(part.class_index), part.classes)
    targets = np.full(shape, smoothing / part.classes, dtype=np.float32)
    targets[np.arange(shape[0]), part.class_index] += 1 - smoothing
    return targets


def _with_wide_path(
    layers: Layers, linear: KindModel | None, options: NetworkOptions
) -> NetworkModel:
    if not options.wide:
        return NetworkModel(layers)
    assert isinstance(linear, LinearModel)  # the preset was checked
    *hidden, (kernel, bias) = layers
    share = np.float32(options.deep_share)
    last = (kernel * share, bias * share + linear.intercepts)
    return NetworkModel([*hidden, last], np.ascontiguousarray(linear.coefficients.T))


@dataclass(frozen=True, eq=False)
class _Preparation:
    """The linear map of inputs before the first layer: scale, shrink, gain.

    The gain keeps the overall variance of the scaled inputs, which the learning rate and
    the weight decay are tuned to.
    """

    scale: NDArray[np.float64]
    directions: WithinClass
    gain: float

    @classmethod
    def of(
        cls,
        part: TrainingPart,
        options: NetworkOptions,
    ) -> _Preparation:
        inputs, compared = part.inputs, part.compared_index
        scale = inverse_power(inputs, options.scale_power)
        before = (inputs * scale).var(axis=0).sum()
        if options.correlation_power > 0:
            targets = np.eye(part.classes)[part.class_index]
            scale = scale * correlation_weights(inputs, targets, options.correlation_power)
        values = inputs * scale
        many = compared_datasets(compared) >= options.within_class_datasets
        strength = options.within_class if many else 0.0
        directions = within_class(values, part.class_index, compared, strength)
        after = directions.shrink(values).var(axis=0).sum()
        return cls(scale, directions, math.sqrt(before / after) if after > 0 else 1.0)

    def apply(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return (self.directions.shrink(inputs * self.scale) * self.gain).astype(np.float32)

    def fold_into(self, kernel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the kernel for unprepared inputs, ``(features, units)``."""
        folded = self.directions.shrink(kernel.T.astype(np.float64)).T * self.gain
        return (folded * self.scale[:, None]).astype(np.float32)


def _compiled_epoch(tensorflow: Any, model: Any, optimizer: Any, batch_size: int) -> Any:
    """Return a function that runs an epoch as one graph.

    This takes a quarter of the time of one call per step.
    """

    def epoch(inputs: Any, targets: Any, weights: Any, order: Any) -> None:
        samples = tensorflow.shape(order)[0]

        def step(start: Any) -> tuple[Any]:
            rows = order[start : start + batch_size]
            with tensorflow.GradientTape() as tape:
                probabilities = model(tensorflow.gather(inputs, rows), training=True)
                logs = tensorflow.math.log(tensorflow.clip_by_value(probabilities, 1e-7, 1.0))
                losses = -tensorflow.reduce_sum(tensorflow.gather(targets, rows) * logs, axis=1)
                share = tensorflow.gather(weights, rows)
                loss = tensorflow.reduce_mean(losses * share)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply(gradients, model.trainable_variables)
            return (start + batch_size,)

        tensorflow.while_loop(
            lambda start: start < samples, step, (tensorflow.constant(0),), parallel_iterations=1
        )

    return tensorflow.function(epoch, autograph=False, reduce_retracing=True)


def _check(options: NetworkOptions, kinds: Mapping[str, Any]) -> None:
    """Refuse a wide path without a linear kind of the same inputs."""
    linear = kinds.get("linear")
    if options.wide and not (isinstance(linear, LinearOptions) and not linear.random_units):
        raise ValueError("a network's wide path needs a linear kind without random units")


def _explain(model: NetworkModel, features: int, classes: int) -> KindExplainer:  # noqa: ARG001
    return KindExplainer(DEEP_LIFT, DeepLift(model.layers, model.wide), opposite=classes == 2)


def _largest_score(model: NetworkModel, inputs: NDArray[np.float32]) -> float:
    return largest_output(model.layers, inputs, model.wide)


NETWORK = ModelKind(
    name="network",
    unit="logit",
    options=NetworkOptions,
    fit=fit_network,
    read=NetworkModel.from_bytes,
    explain=_explain,
    after=("linear",),
    compares_datasets=lambda options: options.within_class > 0,
    check=_check,
    largest_score=_largest_score,
)
