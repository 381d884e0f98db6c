"""Measure which copies of libraries are found, and that replicates are not taken for copies.

    python -m benchmarks.accuracy.copies --data ../shared/data
    python -m benchmarks.accuracy.copies --data ../shared/data --samples 20000

For each atlas: the groups that are found in it; how different the closest of its other
pairs are, relative to the noise of counting (1 for two runs of one RNA); and the share of
changed copies that are found. With ``--samples``, the time and the peak memory of a larger
atlas, whose samples are mixtures of two samples of the first one.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack
from tabulate import tabulate

from annotator.domain.profiles import Profiles
from annotator.learn.features.copies import copies, relative_difference

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Change = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float64]]

CHANGED = 300
PAIRS = 20_000


def thinned(share: float) -> Change:
    """Return a change that keeps each read with a probability."""
    return lambda counts, random: random.binomial(counts.astype(np.int64), share).astype(float)


def noisy(size: float) -> Change:
    """Return a change of every count by a relative standard deviation."""
    return lambda counts, random: np.round(counts * random.normal(1, size, len(counts)).clip(0.5))


def with_feature(counts: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float64]:
    """Add a feature with four fifths of all reads."""
    changed = counts.astype(float)
    changed[random.choice(np.flatnonzero(counts == 0))] = counts.sum() * 4
    return changed


CHANGES: dict[str, Change] = {
    "counts changed by 1 %": noisy(0.01),
    "counts changed by 3 %": noisy(0.03),
    "80 % of the reads": thinned(0.8),
    "50 % of the reads": thinned(0.5),
    "30 % of the reads": thinned(0.3),
    "20 % of the reads": thinned(0.2),
    "10 % of the reads": thinned(0.1),
    "scaled by 0.37": lambda counts, _: np.round(counts * 0.37),
    "one more feature": with_feature,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of atlases")
    parser.add_argument("--samples", type=int, help="measure time and memory instead")
    options = parser.parse_args()
    folders = sorted(path.parent for path in options.data.glob("*/counts.tsv.gz"))
    if options.samples is not None:
        measure_cost(read_atlas(folders[0])[0], options.samples)
        return
    for folder in folders:
        describe(folder)


def read_atlas(folder: Path) -> tuple[Profiles, NDArray[np.object_]]:
    """Return the profiles of a folder and the dataset of each sample."""
    with (folder / "samples.tsv").open(encoding="utf-8", newline="") as handle:
        dataset_of = {
            row["sample_id"]: row["dataset_id"] for row in csv.DictReader(handle, delimiter="\t")
        }
    table = pd.read_csv(folder / "counts.tsv.gz", sep="\t", index_col=0)
    names = table.columns.to_numpy(dtype=object)
    datasets = np.array([dataset_of[name] for name in names], dtype=object)
    return profiles_of(csr_matrix(table.to_numpy(dtype=np.float32).T)), datasets


def profiles_of(counts: csr_matrix) -> Profiles:
    """Return profiles with numbers for names."""
    samples, features = counts.shape
    return Profiles(
        np.arange(samples).astype(str).astype(object),
        np.arange(features).astype(str).astype(object),
        np.full(features, "srna", dtype=object),
        csr_matrix(counts),
    )


def describe(folder: Path) -> None:
    """Print the copies in an atlas, its closest other pairs, and the copies that are found."""
    profiles, datasets = read_atlas(folder)
    groups = copies(profiles)
    across = sum(len(set(datasets[list(group)])) > 1 for group in groups)
    print(
        f"{folder.name}: {len(datasets)} samples, {len(set(datasets))} datasets:"
        f" {len(groups)} groups of copies, {across} of them in several datasets"
    )
    within, between = closest(profiles.counts.toarray(), datasets, groups)
    print(f"closest other pairs: {within:.2f} within a dataset, {between:.2f} between datasets")
    random = np.random.default_rng(0)
    chosen = random.choice(len(datasets), min(CHANGED, len(datasets)), replace=False)
    rows = []
    for name, change in CHANGES.items():
        changed = [
            csr_matrix(change(profiles.counts[[row]].toarray()[0], random)) for row in chosen
        ]
        found = copies(profiles_of(vstack([profiles.counts, *changed]).astype(np.float32)))
        group_of = {row: number for number, group in enumerate(found) for row in group}
        pairs = [(row, len(datasets) + place) for place, row in enumerate(chosen.tolist())]
        share = np.mean([a in group_of and group_of[a] == group_of.get(b) for a, b in pairs])
        rows.append([name, f"{share:.3f}"])
    print(tabulate(rows, ["copy", "share found"]), end="\n\n")


def closest(
    counts: NDArray[np.float32], datasets: NDArray[np.object_], groups: tuple[tuple[int, ...], ...]
) -> tuple[float, float]:
    """Return the smallest differences of pairs that are no copies, among the most correlated."""
    logarithms = np.log2(1 + counts / counts.sum(axis=1, keepdims=True) * 1e6)
    correlation = np.corrcoef(logarithms).astype(np.float32)
    first, second = np.triu_indices(len(counts), 1)
    order = np.argsort(-correlation[first, second], kind="stable")[:PAIRS]
    known = {frozenset((a, b)) for group in groups for a in group for b in group}
    smallest = {True: np.inf, False: np.inf}
    for a, b in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if frozenset((a, b)) not in known:
            same = bool(datasets[a] == datasets[b])
            difference = relative_difference(counts[a], counts[b])[0]
            smallest[same] = min(smallest[same], difference)
    return smallest[True], smallest[False]


def measure_cost(profiles: Profiles, samples: int) -> None:
    """Print time and peak memory for mixtures of samples, a tenth of which are copies."""
    random = np.random.default_rng(0)
    counts, blocks = profiles.counts, []
    for done in range(0, samples, 1000):
        size = min(1000, samples - done)
        first, second = random.integers(0, counts.shape[0], (2, size))
        weight = random.uniform(0.2, 0.8, (size, 1))
        mixed = counts[first].multiply(weight) + counts[second].multiply(1 - weight)
        block = csr_matrix(mixed, dtype=np.float32)
        block.data = np.ceil(block.data)
        blocks.append(block)
    copied = blocks[0][: max(1, samples // 10)].copy()
    copied.data = random.binomial(copied.data.astype(np.int64), 0.5).astype(np.float32)
    copied.eliminate_zeros()
    table = profiles_of(vstack([*blocks, copied]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, start_cpu = time.perf_counter(), time.process_time()
    groups = copies(table)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    group_of = {row: number for number, group in enumerate(groups) for row in group}
    found = sum(
        row in group_of and group_of[row] == group_of.get(samples + row)
        for row in range(copied.shape[0])
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{table.counts.shape[0]} samples, {table.counts.shape[1]} features,"
        f" {table.counts.nnz / 1e6:.0f} million counts: {seconds:.1f} s"
        f" ({cpu:.1f} s of processors), {(peak - before) / 1024:.0f} MB beside the counts;"
        f" {found} of {copied.shape[0]} copies found"
    )


if __name__ == "__main__":
    main()
