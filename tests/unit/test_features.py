from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from annotator.domain.profiles import Profiles
from annotator.errors import CohortError
from annotator.learn.features.matrix import fit_features, reads_per_million, total_reads
from annotator.learn.models.balanced_weights import balanced_weights
from annotator.learn.models.preset import FeatureOptions
from annotator.learn.models.presets import PRESETS

BOTH = ("srna", "contaminant")
PLAIN = FeatureOptions("rpm", "none", maximum_zero_share=0.9)


def profiles_of(counts, kinds=None, names=None) -> Profiles:
    matrix = csr_matrix(np.asarray(counts, dtype=np.float32))
    samples, features = matrix.shape
    names = [f"f{i}" for i in range(features)] if names is None else names
    return Profiles(
        np.array([f"S{i}" for i in range(samples)], dtype=object),
        np.array(names, dtype=object),
        np.array(["srna"] * features if kinds is None else kinds, dtype=object),
        matrix,
    )


def random_profiles(seed=0, samples=20, features=30, zeros=0.4) -> Profiles:
    random = np.random.default_rng(seed)
    counts = random.negative_binomial(1, 0.01, (samples, features)) + 1
    return profiles_of(counts * (random.random((samples, features)) > zeros))


def test_million_refers_to_all_srna_reads_for_contaminants_too() -> None:
    profiles = profiles_of([[30, 10, 60], [0, 0, 5]], kinds=["srna", "srna", "contaminant"])
    assert total_reads(profiles).tolist() == [40, 0]
    assert reads_per_million(profiles, ("f0", "f2")).tolist() == [[750000, 1500000], [0, 0]]


def test_the_total_counts_features_that_the_filter_leaves_out() -> None:
    profiles = profiles_of([[50, 50], [50, 0], [50, 0]])
    fitted = fit_features(profiles, replace(PLAIN, maximum_zero_share=0.5), BOTH)
    assert fitted.names == ("f0",)
    assert fitted.transform(profiles)[:, 0].tolist() == [500000, 1000000, 1000000]


def test_the_zero_filter_keeps_a_feature_at_its_limit() -> None:
    counts = np.ones((10, 3))
    counts[:3, 1] = 0
    counts[:4, 2] = 0
    fitted = fit_features(profiles_of(counts), PRESETS["paper"].features, BOTH)
    assert fitted.names == ("f0", "f1")


def test_only_features_of_the_fields_kinds_are_used() -> None:
    profiles = profiles_of(np.ones((4, 3)), kinds=["srna", "contaminant", "srna"])
    assert fit_features(profiles, PLAIN, ("srna",)).names == ("f0", "f2")
    assert fit_features(profiles, PLAIN, BOTH).names == ("f0", "f1", "f2")


def test_min_max_is_scikit_learns() -> None:
    training, unseen = random_profiles(1), random_profiles(2)
    fitted = fit_features(training, replace(PRESETS["paper"].features, maximum_zero_share=1), BOTH)
    scaler = MinMaxScaler().fit(reads_per_million(training, fitted.names))
    expected = scaler.transform(reads_per_million(unseen, fitted.names))
    np.testing.assert_allclose(fitted.transform(unseen), expected, rtol=1e-5, atol=1e-6)


def test_standard_scaling_is_scikit_learns_with_clipping() -> None:
    training, unseen = random_profiles(1), random_profiles(2)
    options = FeatureOptions("log_rpm", "standard", maximum_zero_share=0.9, clip=2)
    fitted = fit_features(training, options, BOTH)
    scaler = StandardScaler().fit(np.log2(1 + reads_per_million(training, fitted.names)))
    expected = scaler.transform(np.log2(1 + reads_per_million(unseen, fitted.names)))
    np.testing.assert_allclose(fitted.transform(unseen), expected.clip(-2, 2), rtol=1e-4, atol=1e-4)


def test_pareto_scaling_divides_by_the_square_root_of_the_deviation() -> None:
    training, unseen = random_profiles(1), random_profiles(2)
    options = FeatureOptions("log_rpm", "pareto", maximum_zero_share=0.9, pseudocount=10)
    fitted = fit_features(training, options, BOTH)
    known = np.log2(1 + reads_per_million(training, fitted.names) / 10)
    expected = np.log2(1 + reads_per_million(unseen, fitted.names) / 10)
    expected = (expected - known.mean(axis=0)) / np.sqrt(known.std(axis=0))
    np.testing.assert_allclose(fitted.transform(unseen), expected, rtol=1e-4, atol=1e-4)


def test_a_constant_feature_does_not_divide_by_zero() -> None:
    profiles = profiles_of(np.ones((4, 2)))
    for preset in PRESETS.values():
        assert np.isfinite(fit_features(profiles, preset.features, BOTH).transform(profiles)).all()


def test_features_are_aligned_by_name_and_absent_ones_are_zero_reads() -> None:
    fitted = fit_features(profiles_of(np.ones((4, 3)), names=["a", "b", "c"]), PLAIN, BOTH)
    other = profiles_of([[8, 1, 1]], names=["c", "new", "a"])
    np.testing.assert_allclose(fitted.transform(other), [[1e5, 0, 8e5]], rtol=1e-6)
    stranger = profiles_of([[8]], names=["other"])
    assert fitted.transform(stranger).tolist() == [[0, 0, 0]]


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(12)), st.sampled_from(sorted(PRESETS)))
def test_the_order_of_features_does_not_matter(order, preset) -> None:
    training = random_profiles(3, samples=8, features=12, zeros=0.1)
    fitted = fit_features(training, replace(PRESETS[preset].features, maximum_zero_share=1), BOTH)
    shuffled = Profiles(
        training.sample_ids, training.features[order], training.kinds, training.counts[:, order]
    )
    assert np.array_equal(fitted.transform(shuffled), fitted.transform(training))


def test_sequencing_depth_does_not_matter() -> None:
    training = random_profiles(4)
    fitted = fit_features(training, PRESETS["default"].features, BOTH)
    deeper = replace(training, counts=training.counts * np.float32(8))
    np.testing.assert_allclose(fitted.transform(deeper), fitted.transform(training), rtol=1e-4)


def test_no_expressed_feature_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(CohortError, match="looser zero filter"):
        fit_features(profiles_of(np.zeros((4, 3))), PLAIN, BOTH)


def test_inputs_are_float32() -> None:
    profiles = random_profiles()
    for preset in PRESETS.values():
        fitted = fit_features(profiles, replace(preset.features, maximum_zero_share=0.9), BOTH)
        assert fitted.transform(profiles).dtype == np.float32


def test_balanced_weights_give_classes_and_datasets_the_same_total() -> None:
    classes = np.array([0] * 9 + [1] * 3)
    datasets = np.array(["a"] * 8 + ["b"] + ["a", "c", "c"], dtype=object)
    weights = balanced_weights(classes, datasets, balance_classes=True, balance_datasets=True)
    assert weights.mean() == pytest.approx(1)
    totals = {
        (c, d): weights[(classes == c) & (datasets == d)].sum()
        for c, d in zip(classes.tolist(), datasets, strict=True)
    }
    np.testing.assert_allclose(list(totals.values()), 3)


def test_weights_without_balance_are_one_and_datasets_alone_keep_class_totals() -> None:
    classes = np.array([0, 0, 0, 1])
    datasets = np.array(["a", "a", "b", "b"], dtype=object)
    assert balanced_weights(classes, datasets, False, False).tolist() == [1, 1, 1, 1]
    weights = balanced_weights(classes, datasets, False, True)
    np.testing.assert_allclose(weights, [0.75, 0.75, 1.5, 1])
