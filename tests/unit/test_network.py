from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from annotator.errors import ArtefactError
from annotator.learn.models.dataset_shift import within_class
from annotator.learn.models.kind import TrainingPart
from annotator.learn.models.linear import LinearOptions, fit_linear
from annotator.learn.models.network import (
    NetworkModel,
    NetworkOptions,
    build_network,
    fit_network,
)
from annotator.learn.models.presets import PRESETS
from annotator.learn.models.random_units import correlation_weights
from annotator.learn.models.tensors import write_tensors

TINY = NetworkOptions((12, 8), (0.2, 0.1), epochs=15, batch_size=16, learning_rate=0.01)
CLASSES = 3


def problem(seed=0, samples=90, features=20):
    """Classes that one feature each gives away."""
    random = np.random.default_rng(seed)
    truth = np.arange(samples) % CLASSES
    inputs = random.normal(size=(samples, features)).astype(np.float32)
    inputs[np.arange(samples), truth] += 4
    return inputs, truth


def part_of(inputs, truth, dataset=None, weights=None, **more) -> TrainingPart:
    """Each sample counts the same and each class is a dataset, unless given otherwise."""
    dataset = truth if dataset is None else dataset
    weights = np.ones(len(truth)) if weights is None else weights
    return TrainingPart(inputs, truth, dataset, dataset, weights, int(truth.max()) + 1, **more)


def same(first: NetworkModel, second: NetworkModel) -> bool:
    return all(
        np.array_equal(a, b)
        for ours, theirs in zip(first.layers, second.layers, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.fixture(scope="module")
def fitted() -> NetworkModel:
    return fit_network(part_of(*problem()), TINY, seed=1, threads=1)


def test_it_learns(fitted) -> None:
    inputs, truth = problem(seed=7)
    probabilities = fitted.predict(inputs)
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.9
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert probabilities.dtype == np.float64


def test_the_same_seed_gives_the_same_network_and_another_does_not(fitted) -> None:
    part = part_of(*problem())
    assert same(fitted, fit_network(part, TINY, seed=1, threads=1))
    assert not same(fitted, fit_network(part, TINY, seed=2, threads=1))


def test_the_forward_pass_is_that_of_keras(fitted) -> None:
    inputs, _ = problem(seed=3)
    model = build_network(inputs.shape[1], CLASSES, TINY, seed=0)
    model.set_weights([weight for layer in fitted.layers for weight in layer])
    expected = np.asarray(model(inputs, training=False))
    np.testing.assert_allclose(fitted.predict(inputs), expected, atol=1e-5)


def test_the_architecture_is_the_papers() -> None:
    model = build_network(2500, 15, PRESETS["paper"].kinds["network"], seed=0)
    dense = [layer for layer in model.layers if "dense" in layer.name]
    dropout = [layer for layer in model.layers if "dropout" in layer.name]
    assert [layer.units for layer in dense] == [1000, 250, 250, 15]
    assert [layer.activation.__name__ for layer in dense] == ["relu"] * 3 + ["softmax"]
    assert [layer.rate for layer in dropout] == [0.5, 0.4, 0.4]


def test_training_does_what_keras_does_without_anything_random() -> None:
    import keras

    plain = NetworkOptions(hidden_units=(6,), dropout=(0.0,), epochs=5, batch_size=1000)
    inputs, truth = problem(samples=30)
    weights = np.linspace(0.5, 1.5, 30)
    ours = fit_network(part_of(inputs, truth, weights=weights), plain, seed=4, threads=1)
    model = build_network(inputs.shape[1], CLASSES, plain, seed=4)
    model.compile(keras.optimizers.Adam(0.001), loss="sparse_categorical_crossentropy")
    model.fit(inputs, truth, sample_weight=weights, epochs=5, batch_size=30, verbose=0)
    for mine, keras_weight in zip(
        [weight for layer in ours.layers for weight in layer], model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(mine, keras_weight, atol=1e-5)


def test_samples_without_weight_are_not_learned_from() -> None:
    inputs, truth = problem()
    weights = np.where(np.arange(len(truth)) < 60, 1.0, 0.0)
    wrong = truth.copy()
    wrong[60:] = (truth[60:] + 1) % CLASSES
    model, right = (
        fit_network(part_of(inputs, labels, truth, weights), TINY, seed=1, threads=1)
        for labels in (wrong, truth)
    )
    assert same(model, right)


def shifted(seed: int, datasets=10, size=9, features=40):
    """Datasets of one class each, shifted along two directions that say nothing."""
    random = np.random.default_rng(seed)
    dataset = np.repeat(np.arange(datasets), size)
    truth = dataset % 2
    useless = random.normal(size=(2, features))
    values = random.normal(size=(len(dataset), features))
    values += (random.normal(size=(datasets, 2)) * 2.5 @ useless)[dataset]
    values[:, :5] += 1.5 * truth[:, None]
    return (values - values.mean(axis=0)).astype(np.float32), truth, dataset


def test_directions_between_datasets_are_shrunk_for_unseen_datasets() -> None:
    right: dict[float, list[float]] = {0.0: [], 10.0: []}
    for seed in range(3):
        values, truth, dataset = shifted(seed)
        known = dataset < 6
        for strength, found in right.items():
            options = replace(TINY, within_class=strength, scale_power=0.5)
            part = part_of(values[known], truth[known], dataset[known])
            model = fit_network(part, options, 1, threads=1)
            found.append((model.predict(values[~known]).argmax(axis=1) == truth[~known]).mean())
    assert np.mean(right[10.0]) > np.mean(right[0.0]) + 0.03


def test_what_inputs_go_through_is_folded_into_the_first_layer() -> None:
    values, truth, dataset = shifted(0)
    options = replace(TINY, within_class=5.0, scale_power=0.5, epochs=1)
    part = part_of(values, truth, dataset)
    model = fit_network(part, options, 1, threads=1)
    # The same training on inputs that went through it before.
    scaled = values / values.std(axis=0) ** 0.5
    shrunk = within_class(scaled.astype(float), truth, dataset, 5.0).shrink(scaled.astype(float))
    shrunk *= np.sqrt(scaled.var(axis=0).sum() / shrunk.var(axis=0).sum())
    plain = replace(options, within_class=0.0, scale_power=0.0)
    shrunk = shrunk.astype(np.float32)
    before = fit_network(replace(part, inputs=shrunk), plain, 1, threads=1)
    np.testing.assert_allclose(model.predict(values), before.predict(shrunk), atol=1e-5)


def test_directions_are_shrunk_only_with_enough_datasets() -> None:
    values, truth, dataset = shifted(0)
    part = part_of(values, truth, dataset)
    plain, few, enough = (
        fit_network(part, options, 1, threads=1)
        for options in (
            replace(TINY, epochs=1),
            replace(TINY, epochs=1, within_class=5.0, within_class_datasets=11),
            replace(TINY, epochs=1, within_class=5.0, within_class_datasets=10),
        )
    )
    assert same(plain, few)
    assert not same(plain, enough)
    aside = replace(part, compared_index=np.where(dataset == 3, -1, dataset))
    options = replace(TINY, epochs=1, within_class=5.0, within_class_datasets=10)
    assert same(plain, fit_network(aside, options, 1, threads=1))


def test_inputs_can_count_by_their_correlation_with_the_classes() -> None:
    inputs, truth = problem()
    options = replace(TINY, scale_power=0.5, correlation_power=0.75, epochs=2)
    model = fit_network(part_of(inputs, truth), options, 1, threads=1)
    # The same training on inputs that were multiplied before.
    scale = inputs.std(axis=0, dtype=np.float64) ** -0.5
    scaled = inputs * scale
    weighted = scaled * correlation_weights(inputs, np.eye(CLASSES)[truth], 0.75)
    weighted *= np.sqrt(scaled.var(axis=0).sum() / weighted.var(axis=0).sum())
    plain = replace(options, scale_power=0.0, correlation_power=0.0)
    weighted = weighted.astype(np.float32)
    before = fit_network(part_of(weighted, truth), plain, 1, threads=1)
    np.testing.assert_allclose(model.predict(inputs), before.predict(weighted), atol=1e-5)


WIDE = replace(TINY, wide=True, deep_share=0.25)


@pytest.fixture(scope="module")
def linear():
    return fit_linear(part_of(*problem()), LinearOptions((0.1,), 0.0))


@pytest.fixture(scope="module")
def wide(linear) -> NetworkModel:
    return fit_network(part_of(*problem(), fitted={"linear": linear}), WIDE, 1, threads=1)


def test_a_wide_path_adds_the_linear_logits_to_a_share_of_the_deep_ones(
    fitted, wide, linear
) -> None:
    inputs, _ = problem(seed=3)
    deep = np.log(fitted.predict(inputs))  # up to what all classes share
    expected = 0.25 * deep + np.log(linear.predict(inputs))
    np.testing.assert_allclose(wide.predict(inputs), softmax(expected, axis=1), atol=1e-5)
    assert np.array_equal(wide.wide, linear.coefficients.T)
    assert fitted.wide is None


def test_a_wide_path_comes_back_from_its_bytes(wide) -> None:
    inputs, _ = problem()
    again = NetworkModel.from_bytes(wide.to_bytes(), 20, CLASSES, WIDE)
    assert np.array_equal(again.predict(inputs), wide.predict(inputs))
    assert again.to_bytes() == wide.to_bytes()


def test_a_wide_path_that_does_not_fit_is_refused(fitted, wide) -> None:
    for model, options in ((wide, TINY), (fitted, WIDE)):
        with pytest.raises(ArtefactError, match="network"):
            NetworkModel.from_bytes(model.to_bytes(), 20, CLASSES, options)
    for path in (np.zeros((CLASSES, 20)), np.zeros((20, 2)), np.full((20, CLASSES), np.nan)):
        damaged = NetworkModel(wide.layers, path.astype(np.float32))
        with pytest.raises(ArtefactError, match="network"):
            NetworkModel.from_bytes(damaged.to_bytes(), 20, CLASSES, WIDE)


def test_diverging_training_is_an_error() -> None:
    inputs, truth = problem()
    inputs[0, 0] = np.nan
    with pytest.raises(ArtefactError, match="not finite"):
        fit_network(part_of(inputs, truth), TINY, seed=1, threads=1)


def test_it_comes_back_from_its_bytes_unchanged(fitted) -> None:
    inputs, _ = problem()
    again = NetworkModel.from_bytes(fitted.to_bytes(), 20, CLASSES, TINY)
    assert same(fitted, again)
    assert np.array_equal(again.predict(inputs), fitted.predict(inputs))
    assert again.to_bytes() == fitted.to_bytes()


def damaged(fitted):
    def tensors(**changes):
        named = {}
        for position, (kernel, bias) in enumerate(fitted.layers):
            named |= {f"kernel_{position}": kernel, f"bias_{position}": bias}
        named |= changes
        return write_tensors({name: each for name, each in named.items() if each is not None})

    not_finite = fitted.layers[0][1].copy()
    not_finite[0] = np.inf
    return {
        "not safetensors": b"\x80\x04pickle",
        "cut": fitted.to_bytes()[:-3],
        "empty": b"",
        "missing layer": tensors(bias_2=None),
        "unknown layer": tensors(kernel_9=np.zeros((2, 2), np.float32)),
        "shape": tensors(kernel_0=np.zeros((21, 12), np.float32)),
        "type": tensors(bias_0=np.zeros(12, np.float64)),
        "not finite": tensors(bias_0=not_finite),
    }


def test_damaged_bytes_are_refused(fitted) -> None:
    for content in damaged(fitted).values():
        with pytest.raises(ArtefactError, match="network"):
            NetworkModel.from_bytes(content, 20, CLASSES, TINY)


def test_another_architecture_is_refused(fitted) -> None:
    with pytest.raises(ArtefactError):
        NetworkModel.from_bytes(
            fitted.to_bytes(), 20, CLASSES, replace(TINY, hidden_units=(12,), dropout=(0.2,))
        )
