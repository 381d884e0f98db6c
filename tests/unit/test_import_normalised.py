"""Counts of reads are taken, with fractions too; normalised values are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from annotator.errors import InputError
from annotator.reading.counts.layout import MemoryTable
from annotator.reading.counts.screen import screened

COUNTS = Path("counts.tsv")
seeds = st.integers(0, 10**6)
quick = settings(max_examples=40, deadline=None)


def table(values: NDArray[np.float64]) -> MemoryTable:
    return MemoryTable(
        tuple(f"S{row}" for row in range(values.shape[0])),
        tuple(f"hsa-miR-{column}" for column in range(values.shape[1])),
        csr_matrix(values.astype(np.float32)),
    )


def taken(values: NDArray[np.float64], path: Path = COUNTS) -> tuple[NDArray[np.float32], str]:
    found = screened(table(values), path)
    matrix = np.concatenate([counts.toarray() for _, counts in found.batches(2)])
    return matrix, " | ".join(found.notes)


def reason(values: NDArray[np.float64], path: Path = COUNTS) -> str:
    with pytest.raises(InputError) as caught:
        screened(table(values), path)
    return str(caught.value)


def library(seed: int, samples: int = 4, features: int = 300) -> NDArray[np.float64]:
    """Return counts as a sequencer gives them: a few features have most of the reads."""
    rng = np.random.default_rng(seed)
    means = rng.lognormal(1.0, 2.5, features) * rng.uniform(0.3, 3, (samples, 1))
    return rng.negative_binomial(1.0, 1 / (1 + means)).astype(np.float64)


@quick
@given(seed=seeds, samples=st.integers(1, 5), features=st.integers(1, 400))
def test_whole_counts_are_taken_as_they_are(seed: int, samples: int, features: int) -> None:
    counts = library(seed, samples, features)
    np.testing.assert_array_equal(taken(counts)[0], counts)


@quick
@given(data=st.data(), samples=st.integers(1, 3), features=st.integers(1, 4))
def test_tiny_tables_of_whole_counts_are_taken(
    data: st.DataObject, samples: int, features: int
) -> None:
    size = samples * features
    drawn = data.draw(st.lists(st.integers(0, 99), min_size=size, max_size=size))
    counts = np.array(drawn, dtype=np.float64).reshape(samples, features)
    np.testing.assert_array_equal(taken(counts)[0], counts)


@quick
@given(
    seed=seeds,
    parts=st.lists(st.sampled_from([1, 2, 3, 4, 5, 6, 8, 10]), min_size=1, max_size=4),
    size=st.sampled_from([(1, 3), (2, 10), (4, 300)]),
)
def test_reads_that_fit_several_places_are_taken_and_rounded(
    seed: int, parts: list[int], size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    counts = library(seed, *size)
    for k in parts:
        counts += rng.poisson(0.2, size) / k
    matrix, notes = taken(counts.round(6))
    np.testing.assert_array_equal(matrix, np.rint(counts.round(6).astype(np.float32)))
    assert (counts.round(6) % 1 > 0).any() == ("rounded" in notes)


@quick
@given(seed=seeds)
def test_estimated_counts_with_any_fractions_are_taken(seed: int) -> None:
    counts = library(seed) * 3
    rng = np.random.default_rng(seed)
    estimated = (counts + (counts > 0) * rng.uniform(-0.5, 0.5, counts.shape)).round(3)
    assume(estimated.max() > 40)
    np.testing.assert_array_equal(taken(estimated)[0], np.rint(estimated.astype(np.float32)))


def test_rarefied_counts_are_taken_with_a_note() -> None:
    counts = np.array([[500.0, 499, 1], [10, 90, 900]])
    matrix, notes = taken(counts)
    assert matrix.sum() == 2000
    assert "rarefied" in notes


def test_whole_counts_are_taken_whatever_the_name_of_the_file(tmp_path: Path) -> None:
    counts = library(1)
    assert "'norm'" in taken(counts, tmp_path / "tumour_norm.tsv")[1]
    assert "normal" not in taken(counts, tmp_path / "normal_tissue.tsv")[1]


def per_million(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e6


NORMALISED = {
    "per million": per_million,
    "per million, 2 places": lambda counts: per_million(counts).round(2),
    "per million, 4 places": lambda counts: per_million(counts).round(4),
    "per million, whole": lambda counts: per_million(counts).round(),
    "shares": lambda counts: per_million(counts) / 1e6,
    "per cent": lambda counts: per_million(counts).round(1) / 1e4,
    "same depth": lambda counts: per_million(counts) * 0.0371,
    "log2": lambda counts: np.log2(counts + 1),
    "log2, 2 places": lambda counts: np.log2(counts + 1).round(2),
    "ln": np.log1p,
    "log10": lambda counts: np.log10(counts + 1),
    "log of millions": lambda counts: np.log2(per_million(counts) + 1),
    "divided by factors": lambda counts: (
        counts / np.linspace(0.71234, 1.37913, len(counts))[:, np.newaxis]
    ),
    "divided by factors, 4 places": lambda counts: (
        counts / np.linspace(0.71234, 1.37913, len(counts))[:, np.newaxis]
    ).round(4),
    "per million, some rows": lambda counts: per_million(counts)[:, :150].round(4),
}


@pytest.mark.parametrize("how", NORMALISED.values(), ids=NORMALISED)
@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_normalised_values_are_refused(how: object, seed: int) -> None:
    assert callable(how)
    assert "no counts of reads" in reason(how(library(seed)))


def test_the_name_of_a_file_is_evidence(tmp_path: Path) -> None:
    counts = library(3) + np.random.default_rng(3).uniform(0, 0.9, (4, 300))
    taken(counts, tmp_path / "miR.Counts.csv")
    for name in ("exceRpt_miRNA_ReadsPerMillion.txt", "miR.RPM.csv", "a_normalized_CPM.txt"):
        assert "name of the file" in reason(counts, tmp_path / name)


def test_one_sample_of_a_million_whole_reads_is_taken() -> None:
    assert taken(np.array([[999_000.0, 1000]]))[0].sum() == 1e6


def test_the_loss_of_many_small_parts_of_reads_is_noted() -> None:
    parts = np.array([[0.3333] * 9 + [0.25] * 8 + [0.2] * 5 + [7.0, 1.5, 30.0, 40.0]])
    assert "from 84.5 to 79 reads" in taken(parts)[1]


def test_a_few_values_that_look_like_parts_of_reads_by_chance_are_no_counts() -> None:
    """Five of these ten fractions are within two decimals of halves, thirds and the like."""
    millions = [[1.5, 2.3333, 7.25, 9.4, 3.6667, 12.46, 8.54, 5.063, 40.31, 77.82]]
    assert "normalized" in reason(np.array(millions) + 100, Path("normalized_counts.txt"))
