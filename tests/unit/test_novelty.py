from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotator.errors import ArtefactError
from annotator.learn.models.tensors import read_tensors, write_tensors
from annotator.learn.selective.novelty import (
    DIRECTIONS,
    FEW_CLASSES,
    Novelty,
    array_shapes,
    entropy,
    fit_novelty,
)

CLASSES, FEATURES, DATASETS = 6, 120, 4
ANCHORS = np.random.default_rng(0).normal(0, 2.5, (CLASSES + 1, FEATURES))  # the last: unknown
LOADINGS = np.random.default_rng(1).normal(0, 1.0, (3, FEATURES))


def log_rpm(of_class, dataset, samples, seed):
    """Profiles of a class in a dataset, which varies along three directions of its own."""
    random = np.random.default_rng([seed, of_class, dataset])
    batch = np.random.default_rng([99, of_class, dataset]).normal(0, 2, 3) @ LOADINGS
    values = 6 + ANCHORS[of_class] + batch + random.normal(0, 1, (samples, FEATURES))
    rpm = np.exp2(values)
    return np.log2(1 + rpm / rpm.sum(axis=1, keepdims=True) * 1e6).astype(np.float32)


def problem(classes=CLASSES, samples=8, datasets=range(DATASETS), seed=0):
    parts, index, names = [], [], []
    for of_class in range(classes):
        for dataset in datasets:
            parts.append(log_rpm(of_class, dataset, samples, seed))
            index += [of_class] * samples
            names += [f"D{dataset}"] * samples
    return np.concatenate(parts), np.array(index), np.array(names, dtype=object), classes


@pytest.fixture(scope="module")
def fitted() -> Novelty:
    return fit_novelty(*problem())


def new_known():
    return problem(datasets=[20, 21, 22], samples=6, seed=5)[0]


def new_unknown():
    return np.concatenate([log_rpm(CLASSES, dataset, 10, 5) for dataset in (30, 31, 32)])


def auroc(known, other) -> float:
    return float(np.mean(other[:, None] > known[None, :]))


def test_samples_of_a_class_left_out_score_higher_than_new_datasets_of_known_ones(fitted) -> None:
    assert auroc(fitted.score(new_known()), fitted.score(new_unknown())) > 0.95


def test_what_varies_within_classes_counts_less_than_it_does_by_itself() -> None:
    # Datasets far off along the directions in which datasets of one class usually differ.
    training = problem()
    fitted = fit_novelty(*training)
    plain = Novelty(
        fitted.offset,
        fitted.scale,
        fitted.directions[:0],
        fitted.factors[:0],
        fit_novelty_references_without_normalisation(training, fitted),
    )
    known, unknown = new_known(), new_unknown()
    normalised = np.median(fitted.score(unknown)) / np.median(fitted.score(known))
    unnormalised = np.median(plain.score(unknown)) / np.median(plain.score(known))
    assert normalised > 1.2 * unnormalised


def fit_novelty_references_without_normalisation(training, fitted):
    values, index, _, classes = training
    inputs = (np.log(np.exp2(values) + 9) - fitted.offset) * fitted.scale
    centroids = np.stack([inputs[index == each].mean(axis=0) for each in range(classes)])
    return (centroids / np.linalg.norm(centroids, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("few", [False, True])
def test_profiles_that_make_no_sense_score_higher_than_known_samples(few) -> None:
    classes = FEW_CLASSES - 3 if few else CLASSES
    fitted = fit_novelty(*problem(classes))
    known = fitted.score(problem(classes, datasets=[20, 21], seed=5)[0])
    random = np.random.default_rng(3)
    shuffled = random.permuted(new_known(), axis=1)
    one_feature = np.zeros((20, FEATURES), dtype=np.float32)
    one_feature[np.arange(20), random.integers(0, FEATURES, 20)] = np.log2(1e6 + 1)
    even = np.full((1, FEATURES), np.log2(1e6 / FEATURES + 1), dtype=np.float32)
    empty = np.zeros((1, FEATURES), dtype=np.float32)
    for strange in (shuffled, one_feature, even, empty):
        assert auroc(known, fitted.score(strange)) > 0.9


def test_doubt_of_the_models_raises_the_score_and_certainty_does_not(fitted) -> None:
    known = new_known()
    sure = np.eye(CLASSES)[np.zeros(len(known), dtype=int)]
    torn = np.full((len(known), CLASSES), 1 / CLASSES)
    np.testing.assert_array_equal(fitted.score(known, sure), fitted.score(known))
    assert (fitted.score(known, torn) > fitted.score(known)).all()


def test_sure_models_do_not_hide_a_sample_that_is_like_no_class(fitted) -> None:
    strange = np.random.default_rng(3).permuted(new_known(), axis=1)
    torn = np.full((len(strange), CLASSES), 1 / CLASSES)
    most_doubtful = fitted.score(new_known(), torn)
    sure = np.eye(CLASSES)[np.zeros(len(strange), dtype=int)]
    assert np.median(fitted.score(strange, sure)) > np.median(most_doubtful)


def test_scores_are_within_their_range_and_do_not_depend_on_the_other_samples(fitted) -> None:
    values = np.concatenate([new_known(), new_unknown()])
    probabilities = np.random.default_rng(1).dirichlet(np.ones(CLASSES), len(values))
    together = fitted.score(values, probabilities)
    assert together.dtype == np.float64
    assert together.shape == (len(values),)
    assert ((together >= 0) & (together <= 2)).all()
    one_by_one = [fitted.score(values[[i]], probabilities[[i]])[0] for i in range(len(values))]
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)
    np.testing.assert_array_equal(fitted.score(values[:0]), np.zeros(0))


def test_the_order_and_the_number_of_samples_of_a_dataset_change_little() -> None:
    values, index, datasets, classes = problem()
    order = np.random.default_rng(2).permutation(len(values))
    one = fit_novelty(values, index, datasets, classes)
    other = fit_novelty(values[order], index[order], datasets[order], classes)
    np.testing.assert_allclose(one.score(new_known()), other.score(new_known()), atol=1e-4)
    # All samples of the first dataset five times: it still counts once in the centroids.
    more = np.concatenate([np.arange(len(values)), *[np.flatnonzero(datasets == "D0")] * 4])
    heavier = fit_novelty(values[more], index[more], datasets[more], classes)
    np.testing.assert_allclose(heavier.offset, one.offset, atol=1e-3)


def test_few_classes_are_compared_with_dataset_by_dataset(fitted) -> None:
    assert fitted.references.shape == (CLASSES, FEATURES)
    two = fit_novelty(*problem(2))
    assert two.references.shape == (2 * DATASETS, FEATURES)
    for novelty in (fitted, two):
        np.testing.assert_allclose(np.linalg.norm(novelty.references, axis=1), 1, atol=1e-5)


def test_normalisation_is_the_inverse_root_of_the_shrunk_covariance() -> None:
    values, index, datasets, classes = problem()
    fitted = fit_novelty(values, index, datasets, classes)
    assert len(fitted.directions) <= min(DIRECTIONS, FEATURES)
    inputs = (np.log(np.exp2(values.astype(np.float64)) + 9) - fitted.offset) * fitted.scale
    inputs = np.clip(inputs, -5, 5)
    means = np.stack([inputs[index == each].mean(axis=0) for each in range(classes)])
    deviations = inputs - means[index]
    covariance = deviations.T @ deviations / len(deviations)
    shrunk = 0.5 * covariance + 0.5 * np.trace(covariance) / FEATURES * np.eye(FEATURES)
    variances, vectors = np.linalg.eigh(shrunk)
    root = vectors @ np.diag(variances**-0.5) @ vectors.T
    expected = means @ root
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted.references, expected, atol=0.02)


def test_more_features_than_samples_give_the_same_kind_of_answer() -> None:
    wide = fit_novelty(*problem(samples=2, datasets=range(3)))  # 36 samples, 120 features
    products = wide.directions @ wide.directions.T
    np.testing.assert_allclose(products, np.eye(len(products)), atol=1e-3)
    assert auroc(wide.score(new_known()), wide.score(new_unknown())) > 0.9


def test_one_sample_a_class_and_constant_features_are_no_trouble() -> None:
    values = problem(samples=1, datasets=[0])[0]
    values[:, 3] = 0
    fitted = fit_novelty(values, np.arange(CLASSES), np.array(["D"] * CLASSES, object), CLASSES)
    assert np.isfinite(fitted.score(new_known())).all()
    np.testing.assert_allclose(fitted.score(values), 0, atol=1e-5)


def test_arrays_come_back_as_they_were_and_damage_is_refused(fitted) -> None:
    content = write_tensors(fitted.arrays())
    shapes = array_shapes(FEATURES)
    again = Novelty.from_arrays(read_tensors(content, shapes, "novelty"))
    np.testing.assert_array_equal(again.score(new_known()), fitted.score(new_known()))
    arrays = fitted.arrays()
    with pytest.raises(ArtefactError, match="factors"):
        Novelty.from_arrays({**arrays, "novelty_factors": arrays["novelty_factors"][:-1]})
    with pytest.raises(ArtefactError, match="nothing to compare"):
        Novelty.from_arrays({**arrays, "novelty_references": arrays["novelty_references"][:0]})
    with pytest.raises(ArtefactError, match="novelty_"):
        read_tensors(write_tensors(arrays), array_shapes(FEATURES + 1), "novelty")


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda each: sum(each) > 1e-3))
def test_entropy_is_between_certainty_and_no_idea(weights) -> None:
    row = np.array([weights]) / sum(weights)
    assert -1e-12 <= entropy(row)[0] <= 1 + 1e-12
    assert entropy(np.full((1, len(weights)), 1 / len(weights)))[0] == pytest.approx(1)
    assert entropy(np.eye(len(weights))).tolist() == [0.0] * len(weights)
