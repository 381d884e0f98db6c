"""The oracle removes features one at a time and asks for a prediction after each."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.explain import similarity
from annotator.explain.deep_lift import DeepLift
from annotator.explain.similarity import Explainable, class_similarities

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


def explainable(layers) -> Explainable:
    network = DeepLift(layers)
    return Explainable(
        lambda rows: network.forward(rows).logits.argmax(axis=1), network.contributions
    )


def predictions_by_steps(model, row, own, rival) -> list[int]:
    """Return the predicted classes with 0, 1, 2, ... features removed."""
    of_own, of_rival = (model.contributions(row[None], np.array([c]))[0] for c in (own, rival))
    difference = of_own - of_rival
    changed, said = row.copy(), [int(model.predict(row[None])[0])]
    for column in sorted(range(len(row)), key=lambda j: -difference[j]):
        if difference[column] <= 0:
            break
        changed[column] = 0.0
        said.append(int(model.predict(changed[None])[0]))
    return said


def first_place(flags) -> int | None:
    return next((place for place, flag in enumerate(flags) if flag), None)


def as_mapping(found):
    return {
        (int(one.class_name[1:]), None if one.rival is None else int(one.rival[1:])): (
            one.samples,
            one.changed,
            one.mean_steps,
        )
        for one in found
    }


def names(classes: int) -> list[str]:
    return [f"c{number}" for number in range(classes)]


def similarities(model, inputs, labels, classes, *rest):
    return as_mapping(class_similarities(model, inputs, labels, names(classes), *rest))


def mean_or_none(values):
    return pytest.approx(np.mean(values)) if values else None


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    features=st.sampled_from([1, 5, 60]),
    growth=st.sampled_from([1.01, 1.5, 8.0]),
    values_at_once=st.sampled_from([1, 200, 2**24]),
)
def test_a_monotone_model_gives_the_exact_step(seed, features, growth, values_at_once) -> None:
    """Of two linear logits: each removal makes the class less probable."""
    random = np.random.default_rng(seed)
    model = explainable([(random.normal(size=(features, 2)), random.normal(0, 0.5, 2))])
    inputs = random.normal(0, 2, (20, features)).astype(np.float32)
    inputs[random.random(inputs.shape) < 0.3] = 0.0
    labels = model.predict(inputs)
    labels[[0, -1]] = 0  # the first and last may be wrong
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "GROWTH", growth)
        patch.setattr(similarity, "VALUES_AT_ONCE", values_at_once)
        found = similarities(model, inputs, labels, 2)
    for own in (0, 1):
        rows = [
            row
            for row, label in zip(inputs, labels, strict=True)
            if label == own == model.predict(row[None])[0]
        ]
        steps = [
            first_place(said != own for said in predictions_by_steps(model, row, own, 1 - own))
            for row in rows
        ]
        reached = [step for step in steps if step is not None]
        expected = (len(rows), len(reached), mean_or_none(reached))
        assert found[own, 1 - own] == expected
        assert found[own, None] == expected  # there is no other class to be taken for


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    classes=st.integers(2, 5),
    hidden=st.sampled_from([(), (6,), (9, 7)]),
)
def test_what_is_found_is_a_change_of_the_prediction(seed, classes, hidden) -> None:
    model, inputs = explainable(make_layers(seed, classes, hidden)), make_inputs(seed, 5)
    for row in inputs:
        own = int(model.predict(row[None])[0])
        found = similarities(model, row[None], np.array([own]), classes)
        steps, leaves = [], False
        for rival in range(classes):
            if rival == own:
                continue
            said = predictions_by_steps(model, row, own, rival)
            samples, changed, mean = found[own, rival]
            assert samples == 1
            if changed:
                assert mean == int(mean)
                assert said[int(mean)] == rival != said[int(mean) - 1]
            else:
                assert said[-1] != rival
            steps += [place for place, one in enumerate(said) if one != own]
            leaves |= said[-1] != own
        samples, changed, mean = found[own, None]
        # The last look is at all features removed: what leaves its class for good is found.
        assert changed or not leaves
        if changed:
            assert min(steps) <= mean <= max(steps)


def test_only_some_numbers_of_removed_features_are_looked_at() -> None:
    features, needed = 3000, 700
    asked = []

    def predict(rows):
        asked.append(len(rows))
        return (rows.sum(axis=1) <= features - needed).astype(np.int64)

    def contributions(rows, classes):
        return rows * np.where(classes == 0, 1.0, -1.0)[:, None]

    model = Explainable(predict, contributions)
    found = similarities(model, np.ones((1, features), np.float32), np.array([0]), 2)
    assert found[0, 1] == (1, 1, needed)
    assert sum(asked) < 100


def test_an_equal_number_of_steps_from_samples_of_different_size_is_averaged() -> None:
    """One sample needs 2 removals, one 5: growing steps go on for those that are left."""
    inputs = np.zeros((2, 8), np.float32)
    inputs[0, :3] = 1.0
    inputs[1, :6] = 1.0
    model = Explainable(
        lambda rows: (rows.sum(axis=1) < 2).astype(np.int64),
        lambda rows, classes: rows * np.where(classes == 0, 1.0, -1.0)[:, None],
    )
    found = similarities(model, inputs, np.zeros(2, np.int64), 2)
    assert found[0, 1] == found[0, None] == (2, 2, 3.5)


def test_all_pairs_come_first_and_then_each_class_against_all() -> None:
    model = explainable(make_layers(1, 3))
    found = class_similarities(model, make_inputs(1, 40), np.arange(40) % 3, "xyz")
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
    model = explainable(linear([1.0, 5.0, -1.0], (0.0, 1.5)))
    inputs = np.array([[1.0, 1.0, 1.0]], np.float32)
    found = similarities(model, inputs, np.array([0]), 2)
    assert found[0, 1] == (1, 1, 1.0)
    assert found[0, None] == (1, 1, 1.0)
    assert found[1, 0] == (0, 0, None)
    assert found[1, None] == (0, 0, None)


def test_only_features_that_support_the_class_are_removed() -> None:
    # The last two support the rival: the class stays although removing all would not do.
    model = explainable(linear([1.0, 2.0, 3.0], (0.5, 0.0)))
    inputs = np.array([[1.0, 0.0, 0.0], [4.0, 1.0, -1.0]], np.float32)
    found = similarities(model, inputs, np.zeros(2, int), 2)
    # Without any input the first sample is still of its class; the second needs one step.
    assert found[0, 1] == (2, 1, 1.0)


def test_samples_are_limited_evenly_and_by_the_seed() -> None:
    model, inputs = explainable(make_layers(3, 3)), make_inputs(3, 90)
    labels = model.predict(inputs)
    tried = [class_similarities(model, inputs, labels, names(3), 5, seed) for seed in (1, 1, 2)]
    assert tried[0] == tried[1] != tried[2]
    sizes = np.bincount(labels)
    assert {one.class_name: one.samples for one in tried[0]} == {
        f"c{number}": min(5, size) for number, size in enumerate(sizes)
    }
    everything = class_similarities(model, inputs, labels, names(3))
    assert {one.samples for one in everything} == set(sizes.tolist())
    assert class_similarities(model, inputs, labels, names(3), 90) == everything
