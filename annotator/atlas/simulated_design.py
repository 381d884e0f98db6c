"""Simulate the design of an atlas: datasets, tissues, donors, kits and labels.

Nothing here was measured in real donors. Tissue names are those of the paper's
Tables 2 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.random import Generator
    from numpy.typing import NDArray

TERMS: Mapping[str, tuple[str, ...]] = {
    "blood": (),
    "blood plasma": ("blood",),
    "blood serum": ("blood",),
    "peripheral blood": ("blood",),
    "umbilical cord blood": ("blood",),
    "lymphoblastoid cell": ("blood",),
    "buffy coat": ("peripheral blood",),
    "brain": (),
    "cingulate gyrus": ("brain",),
    "neocortex": ("brain",),
    "prefrontal cortex": ("neocortex",),
    "motor cortex": ("neocortex",),
    "embryonic brain": ("brain", "embryonic tissue"),
    "skin": (),
    "dermis": ("skin",),
    "epidermis": ("skin",),
    "breast": ("skin",),
    "muscle": (),
    "skeletal muscle": ("muscle",),
    "vastus lateralis": ("skeletal muscle",),
    "heart": ("muscle",),
    "intestine": (),
    "colon": ("intestine",),
    "sigmoid colon": ("colon",),
    "ileum": ("intestine",),
    "ileal mucosa": ("ileum",),
    "embryonic tissue": (),
    "embryonic stem cell": ("embryonic tissue",),
}
"""The ontology: term to its parents; a term comes after its first parent."""

COMMON_TISSUES = (
    "blood plasma",
    "prefrontal cortex",
    "skin",
    "colon",
    "skeletal muscle",
    "embryonic stem cell",
    "blood serum",
    "cingulate gyrus",
    "breast",
    "ileal mucosa",
    "heart",
    "peripheral blood",
)
RARE_TISSUES: Mapping[str, tuple[int, ...]] = {
    "umbilical cord blood": (4, 4),
    "lymphoblastoid cell": (5,),
    "buffy coat": (3,),
    "motor cortex": (5,),
    "neocortex": (4, 4),
    "embryonic brain": (4,),
    "dermis": (4,),
    "epidermis": (3,),
    "vastus lateralis": (4,),
    "sigmoid colon": (3,),
}
"""Samples in each dataset with a rare tissue: too few to be a class of their own."""

_UNBORN = ("embryonic stem cell", "embryonic brain", "umbilical cord blood")
_ALWAYS_CELL_LINES = ("embryonic stem cell", "lymphoblastoid cell")
# Moderate on purpose: the tissue alone must predict sex and age a little, but not well.
_FEMALE_SHARE = {"breast": 0.75, "heart": 0.4, "skin": 0.55, "skeletal muscle": 0.4}
_MEAN_AGE = {
    "blood": 60.0,
    "brain": 65.0,
    "skin": 60.0,
    "muscle": 60.0,
    "intestine": 63.0,
    "embryonic tissue": 60.0,
}
KITS = (
    "TruSeq Small RNA",
    "NEBNext Small RNA",
    "NEXTflex Small RNA-Seq",
    "QIAseq miRNA",
)
_PLATFORMS = ("Illumina HiSeq 2000", "Illumina HiSeq 2500", "Illumina NextSeq 500")


@dataclass(frozen=True, eq=False)
class Design:
    """The true properties of every sample.

    Attributes
    ----------
    sample_ids, dataset_ids, tissues, sexes
        Shape ``(samples,)``, dtype object (str).
    datasets
        Number of the sample's dataset, int64.
    ages
        Whole years, float64.
    kits
        Number of the library kit in :data:`KITS`, int64, one kit per dataset.
    platforms
        Sequencer, dtype object (str).
    cell_lines, failed
        Whether the sample is a cell line; whether its library failed. bool.
    titles
        Dataset to its title.
    first_tissues
        The main tissue of each dataset.
    """

    sample_ids: NDArray[np.object_]
    dataset_ids: NDArray[np.object_]
    datasets: NDArray[np.int64]
    tissues: NDArray[np.object_]
    sexes: NDArray[np.object_]
    ages: NDArray[np.float64]
    kits: NDArray[np.int64]
    platforms: NDArray[np.object_]
    cell_lines: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    titles: Mapping[str, str]
    first_tissues: tuple[str, ...]


def group_of(term: str) -> str:
    """Return the root that a term reaches through its first parents."""
    while TERMS[term]:
        term = TERMS[term][0]
    return term


def make_design(
    generator: Generator,
    *,
    samples: int,
    datasets: int,
    cell_line_share: float,
    failed_libraries: int,
) -> Design:
    """Draw the samples and their true properties.

    Parameters
    ----------
    generator
        Source of randomness.
    samples, datasets
        Numbers of samples and datasets; every dataset has at least one sample.
    cell_line_share
        Share of samples that are cell lines, whole datasets at a time.
    failed_libraries
        Number of libraries with almost no reads.
    """
    sizes = _dataset_sizes(generator, samples, datasets)
    dataset = np.repeat(np.arange(datasets), sizes)
    # Every common tissue is used before one is repeated, in random order of the datasets.
    first_tissue = [COMMON_TISSUES[i % len(COMMON_TISSUES)] for i in range(datasets)]
    first_tissue = [first_tissue[i] for i in generator.permutation(datasets)]
    tissues = np.concatenate(
        [
            _dataset_tissues(generator, tissue, size)
            for tissue, size in zip(first_tissue, sizes.tolist(), strict=True)
        ]
    )
    _place_rare_tissues(generator, tissues, dataset, first_tissue)
    cell_lines = _choose_cell_lines(generator, tissues, dataset, first_tissue, cell_line_share)
    digits = max(3, len(str(samples)))
    dataset_ids = np.array([f"SIM-D{i + 1:03d}" for i in range(datasets)], dtype=object)
    failed = np.zeros(samples, dtype=bool)
    failed[generator.choice(samples, min(failed_libraries, samples), replace=False)] = True
    return Design(
        sample_ids=np.array([f"SIM-S{i + 1:0{digits}d}" for i in range(samples)], dtype=object),
        dataset_ids=dataset_ids[dataset],
        datasets=dataset,
        tissues=tissues,
        sexes=_draw_sexes(generator, tissues, dataset, datasets),
        ages=_draw_ages(generator, tissues, dataset, datasets),
        kits=generator.integers(0, len(KITS), datasets)[dataset],
        platforms=np.array(_PLATFORMS, dtype=object)[
            generator.integers(0, len(_PLATFORMS), datasets)
        ][dataset],
        cell_lines=cell_lines,
        failed=failed,
        titles={
            dataset_id: f"Simulated small RNA study of {tissue}"
            for dataset_id, tissue in zip(dataset_ids.tolist(), first_tissue, strict=True)
        },
        first_tissues=tuple(first_tissue),
    )


def _dataset_sizes(generator: Generator, samples: int, datasets: int) -> NDArray[np.int64]:
    """Distribute the samples unevenly, at least one per dataset."""
    weights = generator.gamma(5.0, size=datasets)
    return 1 + generator.multinomial(samples - datasets, weights / weights.sum())


def _dataset_tissues(generator: Generator, first: str, size: int) -> NDArray[np.object_]:
    """Draw the tissues of a dataset: mostly one, sometimes two or three, mostly related ones."""
    tissues = np.full(size, first, dtype=object)
    further = generator.choice([0, 1, 2], p=[0.65, 0.25, 0.1])
    related = [t for t in COMMON_TISSUES if group_of(t) == group_of(first) and t != first]
    for number in range(further):
        pool = related if related and generator.random() < 0.6 else list(COMMON_TISSUES)
        other = pool[generator.integers(len(pool))]
        start = math.ceil(size * (number + 1) / (further + 1))
        tissues[start:] = other
    return tissues


def _place_rare_tissues(
    generator: Generator,
    tissues: NDArray[np.object_],
    dataset: NDArray[np.int64],
    first_tissue: list[str],
) -> None:
    """Place a few samples of each rare tissue in datasets of its group, in place."""
    taken: set[int] = set()
    for term, counts in RARE_TISSUES.items():
        hosts = [i for i, first in enumerate(first_tissue) if group_of(first) == group_of(term)]
        hosts = [hosts[i] for i in generator.permutation(len(hosts))]
        for count in counts:
            for host in hosts:
                members = np.flatnonzero(dataset == host)
                if host not in taken and len(members) >= 2 * count:
                    tissues[members[-count:]] = term
                    taken.add(host)
                    break


def _choose_cell_lines(
    generator: Generator,
    tissues: NDArray[np.object_],
    dataset: NDArray[np.int64],
    first_tissue: list[str],
    share: float,
) -> NDArray[np.bool_]:
    """Make whole datasets cell lines until about ``share`` of the samples are."""
    cell_lines: NDArray[np.bool_] = np.isin(tissues, _ALWAYS_CELL_LINES) & (share > 0)
    for number in generator.permutation(len(first_tissue)):
        members = dataset == number
        if (cell_lines | members).mean() <= share:
            cell_lines |= members
    return cell_lines


def _draw_sexes(
    generator: Generator,
    tissues: NDArray[np.object_],
    dataset: NDArray[np.int64],
    datasets: int,
) -> NDArray[np.object_]:
    share = np.array([_FEMALE_SHARE.get(tissue, 0.5) for tissue in tissues])
    logit = np.log(share / (1 - share)) + generator.normal(0.0, 0.5, datasets)[dataset]
    female = generator.random(len(tissues)) < 1 / (1 + np.exp(-logit))
    return np.where(female, "female", "male").astype(object)


def _draw_ages(
    generator: Generator,
    tissues: NDArray[np.object_],
    dataset: NDArray[np.int64],
    datasets: int,
) -> NDArray[np.float64]:
    mean = np.array([_MEAN_AGE[group_of(tissue)] for tissue in tissues])
    mean += generator.normal(0.0, 5.0, datasets)[dataset]
    ages = np.clip(np.rint(mean + generator.normal(0.0, 16.0, len(tissues))), 18.0, 96.0)
    ages[np.isin(tissues, _UNBORN)] = 0.0
    return ages


def missing_annotations(
    generator: Generator, design: Design, share: float, *, one_dataset_a_tissue: bool
) -> NDArray[np.bool_]:
    """Choose the samples that lose one field: mostly whole datasets, as in real atlases.

    Parameters
    ----------
    generator
        Source of randomness.
    design
        The samples.
    share
        Share of the samples that lose the field; four fifths of it in whole
        datasets, the rest one by one.
    one_dataset_a_tissue
        Lose at most one whole dataset of each tissue, so that the tissue stays
        learnable.

    Returns
    -------
    numpy.ndarray
        Shape ``(samples,)``, bool.
    """
    samples = len(design.sample_ids)
    missing = np.zeros(samples, dtype=bool)
    lost: set[str] = set()
    for number in generator.permutation(len(design.first_tissues)):
        first_tissue = design.first_tissues[number]
        members = design.datasets == number
        if one_dataset_a_tissue and first_tissue in lost:
            continue
        if (missing | members).sum() <= 0.8 * share * samples + 0.5:
            missing |= members
            lost.add(first_tissue)
    left = np.flatnonzero(~missing)
    singles = max(0, min(round(share * samples) - int(missing.sum()), len(left)))
    missing[generator.choice(left, singles, replace=False)] = True
    return missing


def mislabel(
    generator: Generator, design: Design, annotated: NDArray[np.bool_], count: int
) -> Mapping[int, str]:
    """Choose the samples with a wrong curated tissue, and the wrong tissue of each.

    Returns
    -------
    Mapping
        Number of the sample to a common tissue of another group.
    """
    candidates = np.flatnonzero(annotated & ~design.failed)
    chosen = generator.choice(candidates, min(count, len(candidates)), replace=False)
    wrong = {}
    for sample in sorted(chosen.tolist()):
        own = group_of(design.tissues[sample])
        others = [tissue for tissue in COMMON_TISSUES if group_of(tissue) != own]
        wrong[sample] = others[generator.integers(len(others))]
    return wrong
