"""The oracle is DeepLIFT as a gradient: TensorFlow's automatic differentiation
through a ReLU whose gradient is the Rescale rule's ratio."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.errors import AnnotatorError, ArtefactError, InputError
from annotator.explain import deep_lift, deep_lift_library
from annotator.explain.deep_lift import DeepLift, centred_layers
from annotator.explain.deep_lift_library import package_difference, package_scores
from annotator.jobs.retrain.explanations import _check_deep_lift
from annotator.learn.models.network import NetworkModel
from tests.support.explained import output_difference

TOLERANCE = 1e-5  # of float32, relative to the largest contribution


def make_layers(seed: int, sizes: list[int], dead: bool = False, biased: bool = True):
    random = np.random.default_rng(seed)
    layers = []
    for number, (before, after) in enumerate(itertools.pairwise(sizes)):
        kernel = random.normal(0, before**-0.5, (before, after)).astype(np.float32)
        bias = random.normal(0, 0.5 * biased, after).astype(np.float32)
        if dead and number < len(sizes) - 2:
            kernel[:, 0] = 0.0  # never moves from the reference
            bias[-1] = -1000.0  # never wakes
        layers.append((kernel, bias))
    return layers


def make_inputs(seed: int, samples: int, features: int) -> np.ndarray:
    random = np.random.default_rng(seed + 1)
    inputs = random.normal(0, 2, (samples, features)).astype(np.float32)
    inputs[random.random(inputs.shape) < 0.3] = 0.0
    return inputs


def by_automatic_differentiation(layers, inputs, targets) -> np.ndarray:
    import tensorflow as tf

    @tf.custom_gradient
    def rescaled_relu(both):
        after = tf.nn.relu(both)

        def gradient(upstream):
            before_x, before_reference = tf.split(both, 2)
            after_x, after_reference = tf.split(after, 2)
            moved = before_x - before_reference
            flat = tf.abs(moved) < 1e-7
            slope = tf.cast(before_reference > 0.0, tf.float64)
            ratio = (after_x - after_reference) / tf.where(flat, tf.ones_like(moved), moved)
            return upstream * tf.tile(tf.where(flat, slope, ratio), [2, 1])

        return after, gradient

    samples = tf.constant(inputs, tf.float64)
    both = tf.concat([samples, tf.zeros_like(samples)], axis=0)
    with tf.GradientTape() as tape:
        tape.watch(both)
        activations = both
        for number, (kernel, bias) in enumerate(layers):
            activations = activations @ tf.constant(kernel, tf.float64) + bias.astype(float)
            if number < len(layers) - 1:
                activations = rescaled_relu(activations)
        centred = activations - tf.reduce_mean(activations, axis=1, keepdims=True)
        wanted = tf.one_hot(np.tile(targets, 2), centred.shape[1], dtype=tf.float64)
        output = tf.reduce_sum((centred * wanted)[: len(inputs)])
    return (tape.gradient(output, both)[: len(inputs)] * samples).numpy()


def assert_close(one: np.ndarray, other: np.ndarray, scale: float | None = None) -> None:
    scale = max(1e-3, np.abs(other).max(initial=0.0)) if scale is None else scale
    np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE * scale)


def biggest_score(layers, inputs) -> float:
    return max(1e-3, np.abs(DeepLift(layers).all_classes(inputs)).max(initial=0.0))


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    hidden=st.lists(st.integers(2, 12), max_size=3),
    features=st.integers(1, 15),
    classes=st.integers(2, 5),
    dead=st.booleans(),
    biased=st.booleans(),
)
def test_package_and_automatic_differentiation_agree_with_us(
    seed, hidden, features, classes, dead, biased
) -> None:
    layers = make_layers(seed, [features, *hidden, classes], dead, biased)
    inputs = make_inputs(seed, 9, features)
    targets = np.random.default_rng(seed).integers(0, classes, 9)
    explainer = DeepLift(layers)
    values = explainer.contributions(inputs, targets)
    assert values.dtype == np.float32
    assert_close(values, by_automatic_differentiation(layers, inputs, targets))
    # Rounding grows with all that is added, not with what is left of it.
    scale = max(1e-3, np.abs(values).sum(axis=1).max())
    assert_close(values.sum(axis=1), output_difference(explainer, inputs, targets), scale)
    assert package_difference(layers, inputs) < TOLERANCE * biggest_score(layers, inputs)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    hidden=st.lists(st.integers(1, 8), max_size=3),
    dead=st.booleans(),
    biased=st.booleans(),
)
def test_contributions_sum_to_the_difference_of_the_logit(seed, hidden, dead, biased) -> None:
    layers = make_layers(seed, [6, *hidden, 4], dead, biased)
    inputs = make_inputs(seed, 7, 6)
    targets = np.random.default_rng(seed).integers(0, 4, 7)

    def logits_of(rows):
        for number, (kernel, bias) in enumerate(layers):
            rows = rows @ kernel.astype(float) + bias
            if number < len(layers) - 1:
                rows = np.maximum(rows, 0.0)
        return rows - rows.mean(axis=1, keepdims=True)

    explainer = DeepLift(layers)
    values = explainer.contributions(inputs, targets)
    scale = max(1e-3, np.abs(values).sum(axis=1).max())
    wanted = (logits_of(inputs) - logits_of(np.zeros_like(inputs)))[np.arange(7), targets]
    assert_close(values.sum(axis=1), wanted, scale)
    assert_close(output_difference(explainer, inputs, targets), wanted, scale)
    assert not values[inputs == 0.0].any()
    scale = max(scale, np.abs(logits_of(inputs)).max())
    assert_close(explainer.forward(inputs).logits, logits_of(inputs), scale)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    hidden=st.lists(st.integers(1, 8), max_size=2),
    classes=st.integers(2, 4),
)
def test_a_wide_path_is_explained_with_the_layers_beside_it(seed, hidden, classes) -> None:
    layers, inputs = make_layers(seed, [6, *hidden, classes]), make_inputs(seed, 7, 6)
    random = np.random.default_rng(seed)
    wide, targets = random.normal(size=(6, classes)), random.integers(0, classes, 7)
    explainer, deep = DeepLift(layers, wide), DeepLift(layers)
    values = explainer.contributions(inputs, targets)
    scale = max(1e-3, np.abs(values).sum(axis=1).max())
    assert_close(values.sum(axis=1), output_difference(explainer, inputs, targets), scale)
    # The path is linear: what it adds to the logits is weight times input.
    centred = wide - wide.mean(axis=1, keepdims=True)
    added = inputs * centred.T[targets]
    assert_close(values, deep.contributions(inputs, targets) + added, scale)
    logits = explainer.forward(inputs).logits
    scale = max(scale, np.abs(logits).max())
    assert_close(logits, deep.forward(inputs).logits + inputs @ centred, scale)
    every = explainer.all_classes(inputs)
    assert_close(every[np.arange(7), targets], values, scale)
    np.testing.assert_array_equal(
        explainer.references(np.arange(classes)), deep.references(np.arange(classes))
    )


def test_references_are_the_logits_of_an_input_of_zeros() -> None:
    explainer = DeepLift(make_layers(8, [6, 5, 3]), np.ones((6, 3)))
    nothing = explainer.forward(np.zeros((1, 6), np.float32)).logits[0]
    np.testing.assert_allclose(explainer.references(np.array([2, 0])), nothing[[2, 0]], atol=1e-6)
    assert nothing.sum() == pytest.approx(0, abs=1e-6)


def test_weighted_sums_of_logits_are_explained_at_once() -> None:
    layers, inputs = make_layers(11, [8, 6, 4]), make_inputs(11, 5, 8)
    explainer = DeepLift(layers, np.random.default_rng(0).normal(size=(8, 4)))
    every = explainer.all_classes(inputs)
    weights = np.random.default_rng(1).normal(size=(5, 2, 4)).astype(np.float32)
    found = explainer.of_outputs(inputs, weights, explainer.forward(inputs))
    assert_close(found, np.einsum("sko,sof->skf", weights, every), np.abs(every).max() * 4)


@pytest.mark.parametrize(
    "wide", [np.ones((3, 2)), np.ones((4, 3)), np.ones(4), np.full((4, 2), np.inf)]
)
def test_refuses_a_wide_path_that_does_not_fit(wide) -> None:
    with pytest.raises(ArtefactError, match="wide path"):
        DeepLift(make_layers(9, [4, 3, 2]), wide)


def test_the_check_against_the_package_covers_the_layers_beside_a_wide_path(monkeypatch) -> None:
    layers, inputs = make_layers(6, [8, 6, 3]), make_inputs(6, 40, 8)
    wide = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    model = SimpleNamespace(field="tissue", network=NetworkModel(layers, wide))
    _check_deep_lift(model, inputs)
    forward = DeepLift.forward

    def without_ratios(self, rows):
        made = forward(self, rows)
        return replace(made, ratios=tuple(np.ones_like(each) for each in made.ratios))

    monkeypatch.setattr(DeepLift, "forward", without_ratios)
    with pytest.raises(AnnotatorError, match="deeplift package"):
        _check_deep_lift(model, inputs)


def test_a_unit_passes_all_on_however_far_its_bias_is_from_zero() -> None:
    """A small difference of two large numbers would keep few of its digits."""
    layers = [
        (np.array([[1e-3], [2e-3]], np.float32), np.array([4e4], np.float32)),
        (np.array([[1.0, -1.0]], np.float32), np.zeros(2, np.float32)),
    ]
    values = DeepLift(layers).contributions(np.array([[1.0, 3.0]]), np.array([0]))
    np.testing.assert_allclose(values, [[1e-3, 6e-3]], rtol=1e-6)


def test_a_unit_that_stays_at_its_kink_takes_the_slope_at_the_reference() -> None:
    inputs = np.array([[3e-8]], np.float32)
    for bias, slope in ((1e-8, 1.0), (-1e-8, 0.0)):
        sign = np.float32(-1 if bias > 0 else 1)  # goes to the other side of the kink
        layers = [
            (np.array([[sign]]), np.array([bias], np.float32)),
            (np.array([[1.0, -1.0]], np.float32), np.zeros(2, np.float32)),
        ]
        values = DeepLift(layers).contributions(inputs, np.array([0]))
        np.testing.assert_allclose(values, [[slope * sign * 3e-8]], rtol=1e-6)
        assert package_difference(layers, inputs) < 1e-12


def test_all_classes_are_what_each_class_is_by_itself() -> None:
    layers, inputs = make_layers(4, [8, 6, 5, 3]), make_inputs(4, 7, 8)
    explainer = DeepLift(layers)
    scores = explainer.all_classes(inputs)
    assert scores.dtype == np.float32
    assert scores.shape == (7, 3, 8)
    for target in range(3):
        one = explainer.contributions(inputs, np.full(7, target))
        assert_close(scores[:, target], one)
    assert_close(scores.sum(axis=1), np.zeros((7, 8)), np.abs(scores).max())


def test_centring_leaves_the_softmax_as_it_is_and_takes_out_what_all_classes_share() -> None:
    layers = make_layers(1, [6, 5, 4])
    inputs, targets = make_inputs(1, 5, 6), np.array([0, 1, 2, 3, 0])
    kernel, bias = centred_layers(layers)[-1]
    np.testing.assert_allclose(kernel.sum(axis=1), 0.0, atol=1e-6)
    assert bias.sum() == pytest.approx(0.0, abs=1e-6)
    shift = np.random.default_rng(0).normal(0, 3, (5, 1)).astype(np.float32)
    shifted = [layers[0], (layers[1][0] + shift, layers[1][1] + 7)]
    values = DeepLift(layers).contributions(inputs, targets)
    assert_close(DeepLift(shifted).contributions(inputs, targets), values)


def test_chunks_and_the_order_of_samples_change_nothing(monkeypatch) -> None:
    layers = make_layers(3, [8, 6, 3])
    inputs, targets = make_inputs(3, 23, 8), np.random.default_rng(3).integers(0, 3, 23)
    order = np.random.default_rng(4).permutation(23)
    explainer = DeepLift(layers)
    values = explainer.contributions(inputs, targets)
    assert_close(explainer.contributions(inputs[order], targets[order]), values[order])
    whole = package_scores(explainer.layers, inputs)
    monkeypatch.setattr(deep_lift, "VALUES_AT_ONCE", 4 * 8)
    monkeypatch.setattr(deep_lift_library, "ROWS_AT_ONCE", 4)
    assert [rows.stop for rows in deep_lift.chunks(23, 8)] == [4, 8, 12, 16, 20, 23]
    assert_close(explainer.contributions(inputs, targets), values)
    assert_close(package_scores(explainer.layers, inputs), whole)


def test_no_samples_give_no_rows() -> None:
    layers = make_layers(5, [8, 6, 3])
    none = np.empty((0, 8), np.float32), np.empty(0, np.int64)
    explainer = DeepLift(layers)
    assert explainer.contributions(*none).shape == (0, 8)
    assert explainer.all_classes(none[0]).shape == (0, 3, 8)
    assert package_difference(layers, none[0]) == 0.0


def test_the_package_says_when_our_scores_are_wrong(monkeypatch) -> None:
    layers, inputs = make_layers(6, [8, 6, 3]), make_inputs(6, 4, 8)
    scores = DeepLift(layers).all_classes(inputs)
    wrong = scores.copy()
    wrong[2, 1, 5] += 0.25
    monkeypatch.setattr(DeepLift, "all_classes", lambda self, inputs: wrong)
    assert package_difference(layers, inputs) == pytest.approx(0.25, abs=1e-5)


def test_keras_trains_on_in_the_same_process() -> None:
    import keras
    import tensorflow as tf

    inputs, targets = make_inputs(7, 32, 6), np.arange(32) % 2
    network = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2, "softmax")]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(inputs, targets, epochs=1, verbose=0)

    def dense_layers():
        return [tuple(layer.get_weights()) for layer in network.layers]

    earlier = dense_layers()
    values = package_scores(centred_layers(earlier), inputs)
    assert_close(values, DeepLift(earlier).all_classes(inputs))
    network.fit(inputs, targets, epochs=2, verbose=0)
    assert tf.executing_eagerly()
    assert tf is not deep_lift_library._library().tf
    later = dense_layers()
    assert np.abs(later[0][0] - earlier[0][0]).max() > 0
    # The softmax of the explained logits is what Keras predicts.
    explainer = DeepLift(later)
    both = [output_difference(explainer, inputs, np.full(32, target)) for target in (0, 1)]
    reference = network.predict(np.zeros((1, 6), np.float32), verbose=0)[0]
    odds = np.exp(both[1] - both[0]) * reference[1] / reference[0]
    predicted = network.predict(inputs, verbose=0)
    np.testing.assert_allclose(predicted[:, 1] / predicted[:, 0], odds, rtol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        (np.ones((2, 3)), np.zeros(2, int), "4 features"),
        (np.ones(4), np.zeros(1, int), "4 features"),
        (np.array([[1, 1, 1, 1], [1, np.inf, 1, 1]]), np.zeros(2, int), "row 1 .* not finite"),
        (np.ones((2, 4)), np.zeros(3, int), "do not fit"),
        (np.ones((2, 4)), np.zeros(2), "do not fit"),
        (np.ones((2, 4)), np.array([0, 2]), "class number 2"),
    ],
)
def test_says_which_input_does_not_fit(inputs, targets, words) -> None:
    explainer = DeepLift(make_layers(9, [4, 3, 2]))
    with pytest.raises(InputError, match=words):
        explainer.contributions(inputs, targets)


@pytest.mark.parametrize("inputs", [np.ones((2, 3)), np.array([[1, 1, np.nan, 1]])])
def test_all_classes_and_the_package_need_inputs_that_fit(inputs) -> None:
    layers = make_layers(9, [4, 3, 2])
    with pytest.raises(InputError):
        DeepLift(layers).all_classes(inputs)
    with pytest.raises(InputError):
        package_difference(layers, inputs)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([], "no layers"),
        ([(np.ones((4, 3)), np.ones(2))], "layer 0"),
        ([(np.ones((4, 3)), np.ones(3)), (np.ones((4, 2)), np.ones(2))], "layer 1"),
        ([(np.full((4, 3), np.nan), np.ones(3))], "not finite"),
    ],
)
def test_refuses_layers_that_are_damaged(layers, words) -> None:
    with pytest.raises(ArtefactError, match=words):
        DeepLift(layers)


def test_the_package_prints_nothing(capfd) -> None:
    assert package_difference(make_layers(10, [4, 3, 2]), np.ones((3, 4), np.float32)) < 1e-5
    assert capfd.readouterr() == ("", "")


def test_explaining_needs_no_tensorflow() -> None:
    program = """
import sys
import numpy as np
from annotator.explain.deep_lift import DeepLift
DeepLift([(np.ones((3, 2)), np.zeros(2))]).contributions(np.ones((1, 3)), np.array([0]))
assert not {"tensorflow", "keras", "deeplift"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
