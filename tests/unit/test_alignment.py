from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from annotator.domain.profiles import Profiles
from annotator.learn.features.alignment import aligned_counts, feature_coverage
from annotator.learn.features.matrix import FittedFeatures, reads_per_million
from annotator.learn.models.presets import PRESETS

MODEL = ("hsa-miR-21-5p", "hsa-let-7a-5p/7c-5p", "hsa-miR-22-3p", "SNORD44", "Escherichia_coli")
ACCESSIONS = ("MIMAT0000076", "MIMAT0000062", "MIMAT0000064", "MIMAT0000077")
STEM_LOOPS = ("hsa-mir-21", "hsa-mir-22", "hsa-mir-9001-1")


def profiles_of(names, counts) -> Profiles:
    kinds = ["contaminant" if name == "Escherichia_coli" else "srna" for name in names]
    counts = np.atleast_2d(np.asarray(counts, dtype=np.float32))
    return Profiles(
        np.array([f"S{i}" for i in range(len(counts))], dtype=object),
        np.array(names, dtype=object),
        np.array(kinds, dtype=object),
        csr_matrix(counts),
    )


def shares(coverage):
    return [
        [round(float(value), 6) for value in part]
        for part in (coverage.own_name, coverage.other_name, coverage.approximate)
    ]


def test_equal_names_are_taken_as_they_are_in_any_order() -> None:
    names = ["new", *reversed(MODEL)]
    profiles = profiles_of(names, [[5, 4, 3, 2, 1, 0], [10, 0, 0, 0, 0, 10]])
    assert aligned_counts(profiles, MODEL).tolist() == [[0, 1, 2, 3, 4], [10, 0, 0, 0, 0]]
    coverage = feature_coverage(profiles, MODEL)
    # of sRNA reads only: the contaminant's 4 are no part of it
    assert shares(coverage) == [[round(6 / 11, 6), 0.5], [0, 0], [0, 0]]
    np.testing.assert_allclose(coverage.found, [6 / 11, 0.5])


def test_a_dataset_in_other_names_is_found_beside_the_columns_of_the_old_ones() -> None:
    names = [*MODEL, *ACCESSIONS]
    old = [7, 6, 5, 4, 3, 0, 0, 0, 0]
    new = [0, 0, 0, 4, 3, 7, 2, 4, 5]
    aligned = aligned_counts(profiles_of(names, [old, new]), MODEL)
    assert aligned.tolist() == [[7, 6, 5, 4, 3]] * 2
    coverage = feature_coverage(profiles_of(names, [old, new]), MODEL)
    assert shares(coverage)[:2] == [[1, round(4 / 22, 6)], [0, round(18 / 22, 6)]]


def test_another_name_for_what_a_sample_has_under_its_own_is_not_added() -> None:
    profiles = profiles_of([*MODEL, *ACCESSIONS], [7, 6, 5, 4, 3, 100, 1, 1, 0])
    assert aligned_counts(profiles, MODEL).tolist() == [[7, 6, 5, 4, 3]]


def test_three_namespaces_in_one_mirror() -> None:
    capitals = tuple(name.upper() for name in MODEL[:3])
    names = [*MODEL, *ACCESSIONS, *capitals]
    rows = np.zeros((3, len(names)))
    rows[0, :5] = [7, 6, 5, 4, 3]
    rows[1, [3, 4, 5, 6, 7, 8]] = [4, 3, 7, 2, 4, 5]
    rows[2, [3, 4, 9, 10, 11]] = [4, 3, 7, 6, 5]
    assert aligned_counts(profiles_of(names, rows), MODEL).tolist() == [[7, 6, 5, 4, 3]] * 3


def test_stem_loops_are_taken_only_where_little_else_is_known() -> None:
    names = [*MODEL, *STEM_LOOPS]
    stem_loops = [0, 0, 0, 10, 0, 50, 30, 10]
    profiles = profiles_of(names, stem_loops)
    assert aligned_counts(profiles, MODEL).tolist() == [[50, 0, 30, 10, 0]]
    assert shares(feature_coverage(profiles, MODEL)) == [[0.1], [0], [0.8]]
    mostly_own = [0, 60, 0, 10, 0, 15, 15, 0]
    profiles = profiles_of(names, mostly_own)
    assert aligned_counts(profiles, MODEL).tolist() == [[0, 60, 0, 10, 0]]
    assert shares(feature_coverage(profiles, MODEL)) == [[0.7], [0], [0]]


def test_a_few_approximate_reads_are_not_believed() -> None:
    names = [*MODEL, *STEM_LOOPS, "rRNA"]
    strange = [0, 1, 0, 0, 0, 9, 0, 0, 90]
    assert aligned_counts(profiles_of(names, strange), MODEL).tolist() == [[0, 1, 0, 0, 0]]
    strange[5], strange[8] = 10, 89
    assert aligned_counts(profiles_of(names, strange), MODEL).tolist() == [[10, 1, 0, 0, 0]]


def test_nothing_known_and_nothing_read() -> None:
    profiles = profiles_of(["a", "b"], [[1, 2], [0, 0]])
    assert not aligned_counts(profiles, MODEL).any()
    assert not feature_coverage(profiles, MODEL).found.any()
    empty = profiles_of([], np.zeros((2, 0)))
    assert aligned_counts(empty, MODEL).shape == (2, 5)
    assert aligned_counts(profiles, ()).shape == (2, 0)


ROWS = st.lists(
    st.lists(st.integers(0, 9), min_size=12, max_size=12).filter(any), min_size=1, max_size=4
)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.permutations(range(12)))
def test_neither_other_samples_nor_the_order_of_columns_matter(rows, order) -> None:
    names = [*MODEL, *ACCESSIONS, *STEM_LOOPS]
    together = aligned_counts(profiles_of(names, rows), MODEL)
    alone = [aligned_counts(profiles_of(names, row), MODEL)[0] for row in rows]
    np.testing.assert_array_equal(together, alone)
    shuffled = profiles_of([names[i] for i in order], np.array(rows)[:, order])
    np.testing.assert_array_equal(aligned_counts(shuffled, MODEL), together)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_no_read_is_counted_twice_and_shares_agree_with_counts(rows) -> None:
    names = [*MODEL, *ACCESSIONS, *STEM_LOOPS]
    profiles = profiles_of(names, rows)
    aligned, coverage = aligned_counts(profiles, MODEL), feature_coverage(profiles, MODEL)
    assert (aligned.sum(axis=1) <= np.array(rows).sum(axis=1)).all()
    is_srna = profiles.kinds == "srna"
    totals = np.array(rows)[:, is_srna].sum(axis=1)
    np.testing.assert_allclose(coverage.found * totals, aligned[:, :4].sum(axis=1), rtol=1e-6)
    assert ((coverage.found >= 0) & (coverage.found <= 1 + 1e-9)).all()


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("reads", [1e4, 1e6, 1e8, 1e-3])
def test_inputs_are_the_same_for_libraries_of_any_size(preset, reads) -> None:
    shares = np.array([0.5, 0.25, 0.125, 0.12, 0.7])
    expected = reads_per_million(profiles_of(MODEL, shares * 2**20), MODEL)
    profiles = profiles_of(MODEL, shares * reads)
    np.testing.assert_allclose(reads_per_million(profiles, MODEL), expected, rtol=1e-5)
    ones = np.ones(len(MODEL), np.float32)
    fitted = FittedFeatures(MODEL, PRESETS[preset].features, 0 * ones, ones)
    assert np.isfinite(fitted.transform(profiles)).all()
