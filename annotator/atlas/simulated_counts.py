"""Simulate the counts of an atlas from known effects.

The logarithm (natural) of a feature's share of the reads is a sum of effects:
its own abundance, tissue, cell line, sex, age, dataset, kit and donor. Counts
are negative binomial with the library's size times that share as mean, the usual
model of sequencing counts (Robinson and Smyth 2007, Biostatistics 9:321).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from annotator.atlas.names import ABUNDANT, biotype_of, planted_names
from annotator.atlas.simulated_design import KITS, TERMS, Design, group_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.random import Generator

Matrix = NDArray[np.float64]

LIBRARY_SIZES = (1e5, 1e7)
"""Expected reads of a library, drawn uniformly on the log scale."""
FAILED_LIBRARY_SIZES = (20.0, 600.0)


@dataclass(frozen=True, slots=True)
class EffectSizes:
    """Standard deviations of effects on the natural log scale.

    Attributes
    ----------
    tissue
        Effect of a term on the tenth or so of the features that it affects.
    marker
        Mean effect of a planted marker in its tissue group.
    dataset
        Effect of the average dataset; some have twice as much, some almost none.
    kit
        Effect of a library kit on the third of the features that it affects.
    donor
        Differences between donors within a dataset.
    sex, age
        Effect on the quarter of the features that are affected: between the sexes, and
        per 20 years.
    contaminant_sex, contaminant_age
        Effect of sex and age on contaminants.
    """

    tissue: float = 1.6
    marker: float = 1.9
    dataset: float = 0.48
    kit: float = 0.7
    donor: float = 0.45
    sex: float = 0.235
    age: float = 0.22
    contaminant_sex: float = 0.4
    contaminant_age: float = 0.35


def library_sizes(generator: Generator, failed: NDArray[np.bool_]) -> Matrix:
    """Draw the expected reads of each library, shape ``(samples,)``."""
    low, high = np.log(LIBRARY_SIZES)
    sizes = np.exp(generator.uniform(low, high, len(failed)))
    failed_sizes = generator.uniform(*FAILED_LIBRARY_SIZES, len(failed))
    return np.where(failed, failed_sizes, sizes)


def srna_log_shares(
    generator: Generator,
    design: Design,
    names: tuple[str, ...],
    markers: Mapping[str, tuple[str, ...]],
    effects: EffectSizes,
) -> Matrix:
    """Draw log abundances of sRNAs up to a constant, shape ``(samples, features)``."""
    features = len(names)
    term_number = {term: number for number, term in enumerate(TERMS)}
    tissue_number = np.array([term_number[tissue] for tissue in design.tissues])
    tissue = _term_effects(generator, names, markers, effects)[tissue_number]
    # A cell line has lost part of its tissue's effect, and all share a common effect.
    cell_line = design.cell_lines[:, None]
    culture = _sparse(generator, features, 0.3, 0.6)
    log_shares: Matrix = _abundances(generator, names) + tissue * np.where(cell_line, 0.75, 1.0)
    log_shares += np.where(cell_line, culture, 0.0)
    log_shares += _batch(generator, design, features, effects.dataset)
    log_shares += _kit(generator, design, features, effects.kit)
    log_shares += _donor(generator, design, names, effects.donor)
    log_shares += _sex_and_age(generator, design, features, effects.sex, effects.age)
    return log_shares


def contaminant_log_shares(
    generator: Generator, design: Design, features: int, effects: EffectSizes
) -> Matrix:
    """Draw log abundances of contaminants up to a constant.

    They depend on the laboratory more than on the tissue; a taxon that a laboratory
    does not have is absent from all its samples (minus infinity).
    """
    datasets = len(design.titles)
    laboratory = generator.normal(0.0, 2.0, features)
    laboratory = laboratory + generator.normal(0.0, 1.2, (datasets, features))
    laboratory[generator.random((datasets, features)) < 0.25] = -np.inf
    groups = [term for term, parents in TERMS.items() if not parents]
    group_number = np.array([groups.index(group_of(tissue)) for tissue in design.tissues])
    flora = np.stack([_sparse(generator, features, 0.1, 0.6) for _ in groups])
    log_shares: Matrix = laboratory[design.datasets] + flora[group_number]
    log_shares += generator.normal(0.0, 0.7, log_shares.shape)
    log_shares += _sex_and_age(
        generator, design, features, effects.contaminant_sex, effects.contaminant_age
    )
    return log_shares


def contaminant_reads(generator: Generator, library: Matrix) -> Matrix:
    """Draw the expected contaminant reads of libraries, shape ``(samples,)``."""
    return library * 10.0 ** generator.uniform(-2.5, -1.0, len(library))


def draw_counts(generator: Generator, log_shares: Matrix, reads: Matrix) -> NDArray[np.float32]:
    """Draw negative-binomial counts.

    Parameters
    ----------
    generator
        Source of randomness.
    log_shares
        Log abundances up to a constant for each sample, ``-inf`` for none,
        shape ``(samples, features)``.
    reads
        Expected total of each sample, shape ``(samples,)``.

    Returns
    -------
    numpy.ndarray
        Whole numbers, shape ``(samples, features)``, float32. The variance is
        ``mean + dispersion * mean ** 2`` with one dispersion per feature.
    """
    samples, features = log_shares.shape
    if features == 0:
        return np.zeros((samples, 0), dtype=np.float32)
    highest = log_shares.max(axis=1, keepdims=True)
    shares = np.exp(log_shares - np.where(np.isfinite(highest), highest, 0.0))
    total = shares.sum(axis=1, keepdims=True)
    mean = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0) * reads[:, None]
    dispersion = np.exp(generator.normal(np.log(0.15), 0.5, features))
    rate = generator.gamma(1 / dispersion, mean * dispersion)
    counts: NDArray[np.float32] = generator.poisson(rate).astype(np.float32)
    return counts


def _sparse(generator: Generator, features: int, share: float, size: float) -> Matrix:
    """Draw effects of which only about ``share`` are not zero."""
    touched = generator.random(features) < share
    return np.where(touched, generator.normal(0.0, size, features), 0.0)


def _abundances(generator: Generator, names: tuple[str, ...]) -> Matrix:
    """Draw heavy-tailed abundances: a few miRNAs account for most of the reads."""
    abundances = generator.normal(0.0, 2.8, len(names))
    planted, abundant = set(planted_names()), set(ABUNDANT)
    for number, name in enumerate(names):
        if name in abundant:
            abundances[number] = 8.5 + abs(abundances[number]) / 2
        elif name in planted:
            abundances[number] = 2.5 + abundances[number] / 2
        elif biotype_of(name) != "miRNA":
            abundances[number] -= 1.5
    return abundances


def _term_effects(
    generator: Generator,
    names: tuple[str, ...],
    markers: Mapping[str, tuple[str, ...]],
    effects: EffectSizes,
) -> Matrix:
    """Draw the effects of each term of the ontology, shape ``(terms, features)``.

    The effect of a term is the mean effect of its parents plus an effect of its own.
    """
    column = {name: number for number, name in enumerate(names)}
    own: dict[str, Matrix] = {}
    for term, parents in TERMS.items():
        share = 0.13 if parents else 0.10
        own[term] = _sparse(generator, len(names), share, effects.tissue)
        for marker in markers.get(term, ()):
            own[term][column[marker]] = effects.marker * generator.uniform(0.6, 1.4)
    total: dict[str, Matrix] = {}

    def total_of(term: str) -> Matrix:
        if term not in total:
            inherited = [total_of(parent) for parent in TERMS[term]]
            total[term] = own[term] + (np.mean(inherited, axis=0) if inherited else 0.0)
        return total[term]

    return np.stack([total_of(term) for term in TERMS])


def _batch(generator: Generator, design: Design, features: int, size: float) -> Matrix:
    """Draw the effects of each dataset on each feature, stronger for some datasets."""
    datasets = len(design.titles)
    strength = size * generator.gamma(3.0, 1 / 3.0, datasets)
    batches: Matrix = generator.normal(0.0, 1.0, (datasets, features)) * strength[:, None]
    return batches[design.datasets]


def _kit(generator: Generator, design: Design, features: int, size: float) -> Matrix:
    """Draw the effects of each library kit on the features that it affects."""
    return np.stack([_sparse(generator, features, 0.33, size) for _ in KITS])[design.kits]


def _donor(generator: Generator, design: Design, names: tuple[str, ...], size: float) -> Matrix:
    """Draw differences between donors and in the degradation of their RNA."""
    samples, datasets = len(design.sample_ids), len(design.titles)
    degradation = generator.normal(0.0, 0.5, datasets)[design.datasets]
    degradation += generator.normal(0.0, 0.4, samples)
    is_fragment = np.array([biotype_of(name) != "miRNA" for name in names])
    donors: Matrix = generator.normal(0.0, size, (samples, len(names)))
    donors += degradation[:, None] * is_fragment
    return donors


def _sex_and_age(
    generator: Generator, design: Design, features: int, sex_size: float, age_size: float
) -> Matrix:
    """Draw small effects of sex and age on a quarter of the features each."""
    sex = np.where(design.sexes == "female", 0.5, -0.5)
    age = (np.clip(design.ages, 20.0, 100.0) - 60.0) / 20.0
    sex_effects = _sparse(generator, features, 0.25, sex_size)
    age_effects = _sparse(generator, features, 0.25, age_size)
    return sex[:, None] * sex_effects + age[:, None] * age_effects
