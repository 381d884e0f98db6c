from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.learn.models import contradicted_labels as module
from annotator.learn.models.contradicted_labels import LEAST_SUPPORT, compared_index, label_support
from annotator.learn.models.kind import TrainingPart
from annotator.learn.models.linear import LinearOptions, fit_linear
from annotator.learn.models.network import NetworkOptions
from annotator.learn.models.registry import KINDS


def tissues(truth, seed=0, features=60, distance=2.0):
    """Each class has features of its own."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(truth.max() + 1, features)) * distance
    values = centres[truth] + random.normal(size=(len(truth), features))
    return (values - values.mean(axis=0)).astype(np.float32)


def by_hand(values, label, dataset):
    """Compute the documented formula sample by sample."""
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    classes = sorted(set(label))
    said = np.zeros((len(label), len(classes)))
    for sample in range(len(label)):
        dataset_samples = [each for each in range(len(label)) if dataset[each] == dataset[sample]]
        votes = {
            each: np.exp(30 * unit[each] @ unit[sample])
            for each in dataset_samples
            if each != sample
        }
        for each, vote in votes.items():
            said[sample, classes.index(label[each])] += vote / sum(votes.values())
    support = []
    for sample in range(len(label)):
        dataset_samples = dataset == dataset[sample]
        against = 0.0
        for column, name in enumerate(classes):
            if name != label[sample]:
                right = said[dataset_samples & (label == name), column].sum()
                against += said[sample, column] * right / (said[dataset_samples, column].sum() + 1)
        support.append(1 - against)
    return np.array(support)


def test_it_is_what_it_is_said_to_be():
    dataset = np.array([3, 0, 0, 1, 0, 1, 0, 1, 1, 0, 5, 5])
    label = np.array([0, 0, 1, 2, 1, 0, 0, 2, 0, 2, 0, 1])
    values = tissues(label, distance=0.3)
    np.testing.assert_allclose(
        label_support(values, label, dataset), by_hand(values, label, dataset), atol=1e-5
    )


def test_a_slip_among_samples_that_look_alike_has_little():
    truth = np.repeat([0, 1], 12)
    label = truth.copy()
    label[5] = 1
    support = label_support(tissues(truth), label, np.zeros(24, dtype=int))
    assert support[5] < 0.2
    assert (np.delete(support, 5) > LEAST_SUPPORT).all()


def test_of_one_sample_of_each_class_none_is_contradicted():
    label = np.arange(20)
    assert (label_support(tissues(label), label, np.zeros(20, dtype=int)) == 1).all()


def test_one_and_two_samples_say_nothing_of_one_another():
    label, dataset = np.array([0, 0, 1]), np.array([7, 9, 9])
    assert (label_support(tissues(label), label, dataset) == 1).all()


def test_the_only_one_of_its_class_among_many_of_another_is_contradicted():
    label = np.array([0] + [1] * 12)
    assert label_support(tissues(label), label, np.zeros(13, dtype=int))[0] < LEAST_SUPPORT


def test_a_sample_without_reads_says_nothing_and_is_not_contradicted():
    label = np.array([0, 0, 0, 1, 1, 1])
    values = tissues(label)
    values[2] = 0
    support = label_support(values, label, np.zeros(6, dtype=int))
    assert (support > LEAST_SUPPORT).all()


def test_large_datasets_are_done_in_parts(monkeypatch):
    truth = np.arange(50) % 3
    values, dataset = tissues(truth, distance=0.5), np.arange(50) % 2
    whole = label_support(values, truth, dataset)
    monkeypatch.setattr(module, "CHUNK", 4)
    np.testing.assert_allclose(label_support(values, truth, dataset), whole, atol=1e-6)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=40))
def test_it_is_a_share_and_the_order_of_samples_makes_no_difference(pairs):
    label, dataset = np.array(pairs).T
    values = tissues(label, distance=0.5)
    support = label_support(values, label, dataset)
    assert (support >= -1e-9).all()
    assert (support <= 1 + 1e-9).all()
    for each in np.unique(dataset):
        assert (support[dataset == each] < LEAST_SUPPORT).mean() < 0.5
    order = np.random.default_rng(0).permutation(len(label))
    np.testing.assert_allclose(
        label_support(values[order], label[order], dataset[order]), support[order], atol=1e-5
    )


def test_datasets_are_compared_without_slips():
    truth = np.repeat([0, 1, 0], 12)
    dataset = np.repeat([0, 1, 2], 12)
    label = truth.copy()
    label[[5, 20]] = 1, 0
    expected = dataset.copy()
    expected[[5, 20]] = -1
    assert compared_index(tissues(truth), label, dataset).tolist() == expected.tolist()


def test_a_class_of_slips_alone_is_compared_by_them():
    truth = np.zeros(24, dtype=int)
    label, dataset = truth.copy(), np.repeat([0, 1], 12)
    label[[5, 20]] = 1
    assert compared_index(tissues(truth), label, dataset).tolist() == dataset.tolist()


def _linear(values, label, compared):
    options = LinearOptions(penalties=(0.05,), within_class=5.0)
    weights = np.ones(len(label))
    part = TrainingPart(values, label, compared, compared, weights, int(label.max()) + 1)
    return fit_linear(part, options)


def test_slips_do_less_harm_on_unseen_datasets():
    right = {"all": [], "without slips": []}
    for seed in range(5):
        random = np.random.default_rng(seed)
        dataset = np.repeat(np.arange(30), 8)
        truth = dataset % 4
        values = tissues(truth, seed, distance=0.4)
        useless = random.normal(size=(2, values.shape[1]))
        values += (random.normal(size=(30, 2)) @ useless)[dataset].astype(np.float32)
        known = dataset < 20
        label = truth[known].copy()
        slips = random.permutation(len(label))[: len(label) // 16]
        label[slips] = (label[slips] + 1) % 4
        compared = compared_index(values[known], label, dataset[known])
        for name, index in (("all", dataset[known]), ("without slips", compared)):
            said = _linear(values[known], label, index).predict(values[~known])
            right[name].append((said.argmax(axis=1) == truth[~known]).mean())
    assert np.mean(right["without slips"]) > np.mean(right["all"]) + 0.02


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("network", NetworkOptions((4,), (0.0,), epochs=1, batch_size=30, within_class=5.0)),
        ("linear", LinearOptions((0.05,), within_class=5.0)),
    ],
)
def test_kinds_that_compare_datasets_leave_slips_aside(kind, options):
    dataset = np.repeat(np.arange(6), 5)
    truth = dataset % 2
    part = TrainingPart(
        inputs=tissues(truth, distance=0.3),
        class_index=truth,
        dataset_index=dataset,
        compared_index=dataset,
        weights=np.ones(30),
        classes=2,
    )
    nobody = replace(part, compared_index=np.full(30, -1))
    fit = KINDS[kind].fit
    assert fit(part, options, 1, 1).to_bytes() != fit(nobody, options, 1, 1).to_bytes()
    # With nobody to compare nothing is shrunk.
    unshrunk = fit(part, replace(options, within_class=0.0), 1, 1)
    np.testing.assert_allclose(
        fit(nobody, options, 1, 1).predict(part.inputs), unshrunk.predict(part.inputs), atol=1e-6
    )
