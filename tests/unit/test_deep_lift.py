"""The oracle is DeepLIFT as a gradient: TensorFlow's automatic differentiation
through a ReLU whose gradient is the Rescale rule's ratio."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.errors import AnnotatorError, ArtefactError, InputError
from annotator.explain import deep_lift, deep_lift_library
from annotator.explain.deep_lift import DeepLift, centred_layers, closed_form

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


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    hidden=st.lists(st.integers(2, 12), max_size=3),
    features=st.integers(1, 15),
    classes=st.integers(2, 5),
    dead=st.booleans(),
    biased=st.booleans(),
)
def test_library_closed_form_and_automatic_differentiation_agree(
    seed, hidden, features, classes, dead, biased
) -> None:
    layers = make_layers(seed, [features, *hidden, classes], dead, biased)
    inputs = make_inputs(seed, 9, features)
    targets = np.random.default_rng(seed).integers(0, classes, 9)
    with DeepLift(layers) as explainer:
        values = explainer.contributions(inputs, targets)
        difference = explainer.output_difference(inputs, targets)
    assert values.dtype == np.float64
    exact = closed_form(layers, inputs, targets)
    assert_close(values, exact)
    assert_close(exact, by_automatic_differentiation(layers, inputs, targets))
    # Rounding grows with all that is added, not with what is left of it.
    scale = max(1e-3, np.abs(exact).sum(axis=1).max())
    assert_close(values.sum(axis=1), difference, scale)
    assert_close(exact.sum(axis=1), difference, scale)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    hidden=st.lists(st.integers(1, 8), max_size=3),
    dead=st.booleans(),
    biased=st.booleans(),
)
def test_closed_form_sums_to_the_difference_of_the_logit(seed, hidden, dead, biased) -> None:
    layers = make_layers(seed, [6, *hidden, 4], dead, biased)
    inputs = make_inputs(seed, 7, 6)
    targets = np.random.default_rng(seed).integers(0, 4, 7)

    def logit(rows):
        for number, (kernel, bias) in enumerate(layers):
            rows = rows @ kernel.astype(float) + bias
            if number < len(layers) - 1:
                rows = np.maximum(rows, 0.0)
        rows = rows - rows.mean(axis=1, keepdims=True)
        return rows[np.arange(len(rows)), targets]

    values = closed_form(layers, inputs, targets)
    scale = max(1e-3, np.abs(values).sum(axis=1).max())
    assert_close(values.sum(axis=1), logit(inputs) - logit(np.zeros_like(inputs)), scale)
    assert not values[inputs == 0.0].any()


def test_centring_leaves_the_softmax_as_it_is_and_takes_out_what_all_classes_share() -> None:
    layers = make_layers(1, [6, 5, 4])
    inputs, targets = make_inputs(1, 5, 6), np.array([0, 1, 2, 3, 0])
    kernel, bias = centred_layers(layers)[-1]
    np.testing.assert_allclose(kernel.sum(axis=1), 0.0, atol=1e-6)
    assert bias.sum() == pytest.approx(0.0, abs=1e-6)
    shift = np.random.default_rng(0).normal(0, 3, (5, 1)).astype(np.float32)
    shifted = [layers[0], (layers[1][0] + shift, layers[1][1] + 7)]
    assert_close(closed_form(shifted, inputs, targets), closed_form(layers, inputs, targets))
    with DeepLift(shifted) as explainer:
        assert_close(explainer.contributions(inputs, targets), closed_form(layers, inputs, targets))


def test_the_graph_does_not_grow_from_call_to_call() -> None:
    inputs = make_inputs(2, 6, 8)
    with DeepLift(make_layers(2, [8, 6, 3])) as explainer:
        before = explainer.graph.operations
        first = explainer.contributions(inputs, np.zeros(6, np.int64))
        for call in range(20):
            explainer.contributions(inputs, np.full(6, call % 3))
        again = explainer.contributions(inputs, np.zeros(6, np.int64))
        assert explainer.graph.operations == before
    np.testing.assert_array_equal(first, again)


def test_chunks_and_the_order_of_samples_change_nothing(monkeypatch) -> None:
    layers = make_layers(3, [8, 6, 3])
    inputs, targets = make_inputs(3, 23, 8), np.random.default_rng(3).integers(0, 3, 23)
    order = np.random.default_rng(4).permutation(23)
    monkeypatch.setattr(deep_lift_library, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(deep_lift, "ROWS_AT_ONCE", 4)
    with DeepLift(layers, threads=1) as explainer:
        values = explainer.contributions(inputs, targets)
        assert_close(explainer.contributions(inputs[order], targets[order]), values[order])
    parts = closed_form(layers, inputs, targets)
    monkeypatch.undo()
    with DeepLift(layers) as explainer:
        assert_close(explainer.contributions(inputs, targets), values)
    assert_close(closed_form(layers, inputs, targets), parts)


def test_several_instances_live_side_by_side() -> None:
    inputs, targets = make_inputs(5, 4, 8), np.array([0, 1, 2, 0])
    first_layers, second_layers = make_layers(5, [8, 6, 3]), make_layers(6, [8, 4, 3])
    with DeepLift(first_layers) as first, DeepLift(second_layers) as second:
        assert_close(
            second.contributions(inputs, targets), closed_form(second_layers, inputs, targets)
        )
        assert_close(
            first.contributions(inputs, targets), closed_form(first_layers, inputs, targets)
        )


def test_no_samples_give_no_rows() -> None:
    layers = make_layers(5, [8, 6, 3])
    none = np.empty((0, 8), np.float32), np.empty(0, np.int64)
    with DeepLift(layers) as explainer:
        assert explainer.contributions(*none).shape == (0, 8)
        assert explainer.output_difference(*none).shape == (0,)
    assert closed_form(layers, *none).shape == (0, 8)


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
    with DeepLift(earlier) as explainer:
        values = explainer.contributions(inputs, targets)
        network.fit(inputs, targets, epochs=2, verbose=0)
        np.testing.assert_array_equal(explainer.contributions(inputs, targets), values)
    assert tf.executing_eagerly()
    assert tf is not deep_lift_library._library().tf
    later = dense_layers()
    assert np.abs(later[0][0] - earlier[0][0]).max() > 0
    assert_close(values, closed_form(earlier, inputs, targets))
    # The softmax of the explained logits is what Keras predicts.
    with DeepLift(later) as explainer:
        both = [explainer.output_difference(inputs, np.full(32, target)) for target in (0, 1)]
    reference = network.predict(np.zeros((1, 6), np.float32), verbose=0)[0]
    odds = np.exp(both[1] - both[0]) * reference[1] / reference[0]
    predicted = network.predict(inputs, verbose=0)
    np.testing.assert_allclose(predicted[:, 1] / predicted[:, 0], odds, rtol=1e-4)


def test_a_closed_explainer_says_so() -> None:
    explainer = DeepLift(make_layers(8, [4, 3, 2]))
    explainer.close()
    explainer.close()
    with pytest.raises(AnnotatorError, match="closed"):
        explainer.contributions(np.ones((1, 4), np.float32), np.array([0]))


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
    layers = make_layers(9, [4, 3, 2])
    with pytest.raises(InputError, match=words):
        closed_form(layers, inputs, targets)
    with DeepLift(layers) as explainer:
        with pytest.raises(InputError, match=words):
            explainer.contributions(inputs, targets)
        with pytest.raises(InputError, match=words):
            explainer.output_difference(inputs, targets)


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
    with pytest.raises(ArtefactError, match=words):
        closed_form(layers, np.ones((1, 4)), np.array([0]))


def test_the_library_prints_nothing(capfd) -> None:
    with DeepLift(make_layers(10, [4, 3, 2])) as explainer:
        explainer.contributions(np.ones((3, 4), np.float32), np.array([0, 1, 0]))
    assert capfd.readouterr() == ("", "")


def test_the_closed_form_needs_no_tensorflow() -> None:
    program = """
import sys
import numpy as np
from annotator.explain.deep_lift import closed_form
closed_form([(np.ones((3, 2)), np.zeros(2))], np.ones((1, 3)), np.array([0]))
assert not {"tensorflow", "keras", "deeplift"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
