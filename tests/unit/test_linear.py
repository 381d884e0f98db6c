from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from annotator.errors import ArtefactError
from annotator.explain.deep_lift import DeepLift
from annotator.learn.models.dataset_shift import compared_datasets, within_class
from annotator.learn.models.kind import TrainingPart
from annotator.learn.models.linear import (
    LinearModel,
    LinearOptions,
    fit_linear,
    largest_output,
)

PLAIN = LinearOptions(penalties=(0.1,), within_class=0.0)


def shifted_datasets(seed=0, classes=3, datasets=6, size=8, features=40, shift=4.0):
    """Classes differ in features of their own; datasets are shifted along a few directions."""
    random = np.random.default_rng(seed)
    n = datasets * size
    dataset = np.repeat(np.arange(datasets), size)
    truth = np.arange(n) % classes
    directions = random.normal(size=(2, features))
    values = random.normal(size=(n, features))
    values += (random.normal(size=(datasets, 2)) * shift @ directions / 3)[dataset]
    values[np.arange(n), truth] += 2.5
    return values.astype(np.float32), truth, dataset


def fit(options, values, truth, dataset):
    weights = np.ones(len(truth))
    part = TrainingPart(values, truth, dataset, dataset, weights, int(truth.max()) + 1)
    return fit_linear(part, options)


@pytest.mark.parametrize("classes", [2, 3])
def test_without_normalisation_it_is_scikit_learns_regression(classes):
    values, truth, dataset = shifted_datasets(classes=classes)
    ours = fit(PLAIN, values, truth, dataset).predict(values)
    theirs = LogisticRegression(C=0.1, max_iter=300).fit(values, truth).predict_proba(values)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_allclose(ours.sum(axis=1), 1)


def test_normalisation_helps_where_datasets_of_one_class_are_shifted():
    right = {0.0: 0.0, 5.0: 0.0}
    for seed in range(6):
        values, truth, dataset = shifted_datasets(seed, datasets=12, size=24, shift=12.0)
        own = truth == dataset % 3  # each dataset holds one class, as real ones often do
        values, truth, dataset = values[own], truth[own], dataset[own]
        for strength in right:
            for left_out in np.unique(dataset):
                rest = dataset != left_out
                options = LinearOptions(penalties=(0.1,), within_class=strength)
                model = fit(options, values[rest], truth[rest], dataset[rest])
                said = model.predict(values[~rest]).argmax(axis=1)
                right[strength] += float((said == truth[~rest]).mean())
    assert right[5.0] > right[0.0] + 1


def test_the_directions_are_those_in_which_datasets_of_a_class_differ():
    values, truth, dataset = shifted_datasets(shift=20.0)
    found = within_class(values.astype(float), truth, dataset, 3.0)
    directions, factors = found.directions, found.factors
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-9)
    assert (factors > 0).all()
    assert (factors <= 1).all()
    assert factors[0] < 0.4 < factors[-1]
    means = np.stack([values[dataset == each].mean(axis=0) for each in range(6)])
    spread = means - means.mean(axis=0)
    assert ((spread @ directions[:2].T) ** 2).sum() > 0.8 * (spread**2).sum()


def test_samples_of_no_dataset_are_left_aside():
    values, truth, dataset = shifted_datasets()
    aside = np.arange(len(truth)) % 7 == 0
    found = within_class(values, truth, np.where(aside, -1, dataset), 3.0)
    expected = within_class(values[~aside], truth[~aside], dataset[~aside], 3.0)
    np.testing.assert_array_equal(found.shrink(values), expected.shrink(values))
    assert compared_datasets(np.where(dataset == 2, -1, dataset)) == 5


def test_classes_of_one_dataset_each_leave_nothing_to_shrink():
    values, truth, _ = shifted_datasets()
    found = within_class(values.astype(float), truth, truth, 3.0)
    directions, factors = found.directions, found.factors
    assert directions.shape == (0, 40)
    assert factors.shape == (0,)


def test_contributions_add_up_to_the_centred_logit():
    values, truth, dataset = shifted_datasets()
    model = fit(LinearOptions((0.1,), 3.0), values, truth, dataset)
    scores = DeepLift(model.dense_layers()).contributions(values, truth)
    np.testing.assert_allclose(scores, values * model.coefficients[truth], rtol=1e-5, atol=1e-6)
    logits = values @ model.coefficients.T
    centred = logits - logits.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(scores.sum(axis=1), centred[np.arange(len(truth)), truth], atol=1e-4)


def test_it_comes_back_from_its_bytes_and_a_wrong_shape_is_refused():
    values, truth, dataset = shifted_datasets()
    model = fit(LinearOptions((0.1,), 3.0), values, truth, dataset)
    again = LinearModel.from_bytes(model.to_bytes(), 40, 3, PLAIN)
    assert np.array_equal(again.predict(values), model.predict(values))
    with pytest.raises(ArtefactError, match="coefficients"):
        LinearModel.from_bytes(model.to_bytes(), 41, 3, PLAIN)
    with pytest.raises(ArtefactError, match="damaged"):
        LinearModel.from_bytes(model.to_bytes()[:50], 40, 3, PLAIN)


@given(
    seed=st.integers(0, 2**16),
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    scale=st.sampled_from([1e-3, 1.0, 1e6]),
    is_wide=st.booleans(),
)
def test_no_output_exceeds_its_limit(seed, widths, scale, is_wide):
    random = np.random.default_rng(seed)

    def drawn(*shape):
        return (scale * random.normal(size=shape)).astype(np.float32)

    layers = [(drawn(*shape), drawn(shape[1])) for shape in pairwise(widths)]
    wide = drawn(widths[0], widths[-1]) if is_wide else None
    largest = np.abs(drawn(widths[0]))
    limit = largest_output(layers, largest, wide)
    values = inputs = random.choice([-1, 0.5, 1], (50, widths[0])).astype(np.float32) * largest
    for number, (kernel, bias) in enumerate(layers):
        values = values @ kernel + bias
        assert np.abs(values).max() <= limit * (1 + 1e-5)
        values = np.maximum(values, 0) if number < len(layers) - 1 else values
    if wide is not None:
        assert np.abs(values + inputs @ wide).max() <= limit * (1 + 1e-5)


def test_what_exceeds_single_precision_has_no_limit():
    layers = [(np.full((2, 2), 1e30, np.float32), np.zeros(2, np.float32))] * 2
    assert not largest_output(layers, np.ones(2, np.float32)) < np.inf
