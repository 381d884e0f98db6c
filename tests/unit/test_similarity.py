"""The oracle removes features one at a time and runs the whole network after each."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.explain import deep_lift, similarity
from annotator.explain.deep_lift import DeepLift
from annotator.explain.similarity import class_similarities

FEATURES = 14


def make_layers(seed: int, outputs: int, hidden=(9, 7)):
    random = np.random.default_rng(seed)
    sizes = (FEATURES, *hidden, outputs)
    return [
        (
            random.normal(0, before**-0.5, (before, after)).astype(np.float32),
            random.normal(0, 0.3, after).astype(np.float32),
        )
        for before, after in itertools.pairwise(sizes)
    ]


def make_inputs(seed: int, samples: int) -> np.ndarray:
    random = np.random.default_rng(seed + 1)
    inputs = random.normal(0, 2, (samples, FEATURES)).astype(np.float32)
    inputs[random.random(inputs.shape) < 0.3] = 0.0
    return inputs


def predicted(layers, row, class_of_output) -> tuple[int, list[float]]:
    values = row.astype(float)
    for number, (kernel, bias) in enumerate(layers):
        values = values @ kernel.astype(float) + bias
        if number < len(layers) - 1:
            values = np.maximum(values, 0.0)
    shares = np.exp(values - values.max())
    of_class = [0.0] * (max(class_of_output) + 1)
    for output, own in enumerate(class_of_output):
        of_class[own] += shares[output]
    return int(np.argmax(of_class)), values.tolist()


def steps_by_loops(layers, row, own, rival, class_of_output) -> tuple[int | None, int | None]:
    """Number of removals until the rival is said, and until anything but the class is."""
    _, logits = predicted(layers, row, class_of_output)

    def score(number):
        leaves = [leaf for leaf, of_class in enumerate(class_of_output) if of_class == number]
        best = max(leaves, key=lambda leaf: logits[leaf])
        return DeepLift(layers).contributions(row[None], np.array([best]))[0]

    difference = score(own) - score(rival)
    to_rival = to_any = None
    changed = row.copy()
    for step, column in enumerate(sorted(range(FEATURES), key=lambda j: -difference[j]), start=1):
        if difference[column] <= 0 or row[column] == 0:
            break
        changed[column] = 0.0
        said, _ = predicted(layers, changed, class_of_output)
        if to_any is None and said != own:
            to_any = step
        if said == rival:
            to_rival = step
            break
    return to_rival, to_any


def by_loops(layers, inputs, classes, class_of_output):
    """(class, rival) to samples, changed and mean steps; rival None for any other."""
    names = range(max(class_of_output) + 1)
    found = {}
    for own in names:
        rows = [
            row
            for row, label in zip(inputs, classes, strict=True)
            if label == own and predicted(layers, row, class_of_output)[0] == own
        ]
        left, anywhere = set(), []
        for rival in names:
            if rival == own:
                continue
            steps = [steps_by_loops(layers, row, own, rival, class_of_output) for row in rows]
            reached = [to_rival for to_rival, _ in steps if to_rival is not None]
            anywhere += [to_any for _, to_any in steps if to_any is not None]
            left |= {place for place, (_, to_any) in enumerate(steps) if to_any is not None}
            found[own, rival] = (len(rows), len(reached), np.mean(reached) if reached else None)
        found[own, None] = (len(rows), len(left), np.mean(anywhere) if anywhere else None)
    return found


def as_mapping(found):
    return {
        (int(one.class_name[1:]), None if one.rival is None else int(one.rival[1:])): (
            one.samples,
            one.changed,
            one.mean_steps,
        )
        for one in found
    }


def names(class_of_output) -> list[str]:
    return [f"c{number}" for number in range(max(class_of_output) + 1)]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    class_of_output=st.sampled_from([(0, 1), (0, 1, 2, 3), (0, 1, 1, 2, 0), (1, 0, 2)]),
    hidden=st.sampled_from([(), (6,), (9, 7)]),
    block=st.sampled_from([1, 3, 32]),
)
def test_steps_are_those_of_one_removal_at_a_time(seed, class_of_output, hidden, block) -> None:
    layers = make_layers(seed, len(class_of_output), hidden)
    inputs = make_inputs(seed, 20)
    said = [predicted(layers, row, class_of_output)[0] for row in inputs]
    classes = np.array([0, *said[1:-1], 0])  # the first and last may be wrong
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "STEPS_AT_ONCE", block)
        patch.setattr(deep_lift, "VALUES_AT_ONCE", 7 * FEATURES * len(names(class_of_output)))
        found = as_mapping(
            class_similarities(layers, inputs, classes, names(class_of_output), class_of_output)
        )
    expected = by_loops(layers, inputs, classes, class_of_output)
    assert found.keys() == expected.keys()
    for pair, (samples, changed, mean) in expected.items():
        assert found[pair][:2] == (samples, changed), pair
        assert found[pair][2] == (None if mean is None else pytest.approx(mean)), pair


def test_all_pairs_come_first_and_then_each_class_against_all() -> None:
    class_of_output = (0, 1, 2)
    found = class_similarities(
        make_layers(1, 3), make_inputs(1, 40), np.arange(40) % 3, "xyz", class_of_output
    )
    assert [(one.class_name, one.rival) for one in found] == [
        ("x", "y"),
        ("x", "z"),
        ("y", "x"),
        ("y", "z"),
        ("z", "x"),
        ("z", "y"),
        ("x", None),
        ("y", None),
        ("z", None),
    ]


def linear(weights, bias=(0.0, 0.0)):
    kernel = np.array([[weight, 0.0] for weight in weights], np.float32)
    return [(kernel, np.array(bias, np.float32))]


def test_one_feature_that_makes_the_class_is_one_step() -> None:
    layers = linear([1.0, 5.0, -1.0], (0.0, 1.5))
    inputs = np.array([[1.0, 1.0, 1.0]], np.float32)
    found = as_mapping(class_similarities(layers, inputs, np.array([0]), ["c0", "c1"], (0, 1)))
    assert found[0, 1] == (1, 1, 1.0)
    assert found[0, None] == (1, 1, 1.0)
    assert found[1, 0] == (0, 0, None)
    assert found[1, None] == (0, 0, None)


def test_only_features_that_speak_for_the_class_are_removed() -> None:
    # The last two speak for the rival: the class stays although removing all would not do.
    layers = linear([1.0, 2.0, 3.0], (0.5, 0.0))
    inputs = np.array([[1.0, 0.0, 0.0], [4.0, 1.0, -1.0]], np.float32)
    found = as_mapping(class_similarities(layers, inputs, np.zeros(2, int), ["c0", "c1"], (0, 1)))
    # Without any input the first sample is still of its class; the second needs one step.
    assert found[0, 1] == (2, 1, 1.0)


def test_samples_are_limited_evenly_and_by_the_seed() -> None:
    layers, class_of_output = make_layers(3, 3), (0, 1, 2)
    inputs = make_inputs(3, 90)
    classes = np.array([predicted(layers, row, class_of_output)[0] for row in inputs])
    tried = [
        class_similarities(
            layers, inputs, classes, names(class_of_output), class_of_output, 5, seed
        )
        for seed in (1, 1, 2)
    ]
    assert tried[0] == tried[1] != tried[2]
    sizes = np.bincount(classes)
    assert {one.class_name: one.samples for one in tried[0]} == {
        f"c{number}": min(5, size) for number, size in enumerate(sizes)
    }
    everything = class_similarities(
        layers, inputs, classes, names(class_of_output), class_of_output
    )
    assert {one.samples for one in everything} == set(sizes.tolist())
    enough = class_similarities(
        layers, inputs, classes, names(class_of_output), class_of_output, 90
    )
    assert enough == everything
