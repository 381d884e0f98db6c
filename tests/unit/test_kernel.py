from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.errors import ArtefactError
from annotator.learn.kernel import KernelModel, _solve, fit_kernel, interval_probabilities
from annotator.learn.options import KernelOptions

OPTIONS = KernelOptions(ridge=0.2, rate=0.5, weight_power=0.75, largest_cohort=500)
LIMITS = (0.0, 45.0, 65.0, 110.0)


def weak_signal(seed=0, n=160, features=30, datasets=8):
    random = np.random.default_rng(seed)
    values = random.normal(size=(n, features)).astype(np.float32)
    dataset = np.arange(n) % datasets
    years = 55 + 8 * values[:, 0] + 8 * values[:, 1] + random.normal(0, 6, n)
    return values, np.clip(years, 1, 109), dataset


def classes_of(years):
    return np.searchsorted(LIMITS[1:-1], years, side="left")


def fit_years(values, years, dataset, **options):
    return fit_kernel(
        values, classes_of(years), 3, OPTIONS, 1, dataset, numbers=years, limits=LIMITS, **options
    )


def test_residuals_of_left_out_datasets_are_those_of_refitting_without_them():
    values, years, dataset = weak_signal()
    centred = (years - years.mean())[:, None]
    duals, unseen = _solve(values, 0.1, 0.2, centred, dataset)
    for left_out in (0, 5):
        rest = dataset != left_out
        distances = np.sqrt(((values[:, None] - values[rest][None]) ** 2).sum(-1)).astype(float)
        kernel = np.exp(-0.1 * distances)
        inner = kernel[rest] + 0.2 * np.eye(rest.sum())
        said = kernel[~rest] @ np.linalg.solve(inner, centred[rest])
        np.testing.assert_allclose(unseen[~rest], centred[~rest] - said, atol=2e-3)
    assert duals.shape == (160, 1)


def test_numbers_are_predicted_for_unseen_samples_and_keep_the_order_of_classes():
    values, years, dataset = weak_signal()
    model = fit_years(values, years, dataset)
    new, truth, _ = weak_signal(seed=1)
    said = model.numbers(new)
    assert np.abs(said - truth).mean() < 0.85 * np.abs(truth - years.mean()).mean()
    probabilities = model.predict(new)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    order = np.argsort(said)
    assert (np.diff(probabilities[order, 0]) <= 1e-9).all()
    assert (np.diff(probabilities[order, 2]) >= -1e-9).all()


def test_classes_without_numbers_become_calibrated_probabilities():
    values, years, dataset = weak_signal(n=240)
    truth = (years > 55).astype(np.int64)
    model = fit_kernel(values, truth, 2, OPTIONS, 1, dataset)
    new, new_years, _ = weak_signal(seed=1, n=240)
    probabilities = model.predict(new)
    right = probabilities.argmax(axis=1) == (new_years > 55)
    assert right.mean() > 0.7
    assert abs(probabilities.max(axis=1).mean() - right.mean()) < 0.1


def test_more_samples_than_allowed_are_thinned_out():
    values, years, dataset = weak_signal()
    few = KernelOptions(0.2, 0.5, 0.75, largest_cohort=40)
    first, again, other = (
        fit_kernel(values, classes_of(years), 3, few, seed, dataset, years, LIMITS)
        for seed in (1, 1, 2)
    )
    assert len(first.samples) == 40
    assert first.to_bytes() == again.to_bytes()
    assert first.to_bytes() != other.to_bytes()


@given(
    st.lists(st.floats(-50, 200), min_size=1, max_size=5),
    st.lists(st.floats(-40, 40), min_size=2, max_size=9),
)
def test_interval_probabilities_are_probabilities(predicted, residuals):
    found = interval_probabilities(
        np.array(predicted), np.array(LIMITS), np.sort(np.array(residuals))
    )
    assert found.shape == (len(predicted), 3)
    assert (found > 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("of_number", [True, False])
def test_it_comes_back_from_its_bytes_and_what_does_not_fit_is_refused(of_number):
    values, years, dataset = weak_signal()
    model = (
        fit_years(values, years, dataset)
        if of_number
        else fit_kernel(values, classes_of(years), 3, OPTIONS, 1, dataset)
    )
    again = KernelModel.from_bytes(model.to_bytes(), 30, 3, OPTIONS)
    assert np.array_equal(again.predict(values), model.predict(values))
    for features, classes in ((31, 3), (30, 4)):
        with pytest.raises(ArtefactError):
            KernelModel.from_bytes(model.to_bytes(), features, classes, OPTIONS)
    with pytest.raises(ArtefactError, match="do not fit"):
        KernelModel.from_bytes(model.to_bytes(), 30, 3, KernelOptions(0.2, 0.5, 0.75, 10))
