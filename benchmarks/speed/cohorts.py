"""Large labelled cohorts that are drawn from real ones.

Every dataset of such a cohort is a real dataset again, with its labels, seen through another
laboratory: a factor per feature for the whole dataset, a smaller one per sample, and the
noise of counting. No library is a copy of another by the limits of
:mod:`annotator.learn.features.copies`. There are as many samples per dataset as in the real
cohort, so datasets grow in proportion to samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix, vstack

from annotator.domain.imports import ImportedCounts, SampleRecord
from annotator.reading.ontology.reading import read_ontology
from annotator.store.mirror.importing import apply_import

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

OF_DATASET = 0.5
"""Standard deviation of the logarithm of a dataset's factors, about that between studies."""

OF_SAMPLE = 0.25
FIELD = "tissue"
AT_ONCE = 10_000
"""Samples that are made and imported at a time."""


@dataclass(frozen=True)
class Real:
    """A real cohort.

    Attributes
    ----------
    features
        Names of the features.
    counts
        Reads, ``(samples, features)``.
    dataset_ids, labels
        Of each sample, ``(samples,)``.
    """

    features: list[str]
    counts: csr_matrix
    dataset_ids: np.ndarray
    labels: np.ndarray


def read_real(folder: Path) -> Real:
    """Read the COUNTS and SAMPLES of a real atlas."""
    samples = pd.read_csv(folder / "samples.tsv", sep="\t", dtype=str, index_col=0)
    counts = pd.read_csv(folder / "counts.tsv.gz", sep="\t", index_col=0)[samples.index]
    return Real(
        features=counts.index.tolist(),
        counts=csr_matrix(counts.T.to_numpy(np.float32)),
        dataset_ids=samples["dataset_id"].to_numpy(object),
        labels=samples["tissue"].fillna("").to_numpy(object),
    )


def drawn(real: Real, samples: int, seed: int) -> Iterator[tuple[list[SampleRecord], csr_matrix]]:
    """Yield a cohort of a number of samples in portions of whole datasets.

    Parameters
    ----------
    real
        The cohort to draw from; all its datasets are used before one is used again.
    samples
        Number of samples; the last dataset may be cut short.
    seed
        Seed of all random numbers.
    """
    rows_of = [
        np.flatnonzero(real.dataset_ids == dataset) for dataset in np.unique(real.dataset_ids)
    ]
    random = np.random.default_rng(seed)
    records: list[SampleRecord] = []
    matrices: list[csr_matrix] = []
    made = turn = 0
    while made < samples:
        for rows in rows_of:
            kept = rows[: samples - made]
            if len(kept) == 0:
                break
            dataset = f"{real.dataset_ids[kept[0]]}-{turn}"
            matrices.append(_seen_again(real.counts[kept], random))
            records += [
                SampleRecord(
                    f"S{made + place:07d}",
                    dataset,
                    {FIELD: str(real.labels[row])},
                    {},
                    given_fields=frozenset({FIELD}),
                )
                for place, row in enumerate(kept)
            ]
            made += len(kept)
            if len(records) >= AT_ONCE or made == samples:
                yield records, csr_matrix(vstack(matrices))
                records, matrices = [], []
        turn += 1


def _seen_again(counts: csr_matrix, random: np.random.Generator) -> csr_matrix:
    of_dataset = random.normal(0, OF_DATASET, counts.shape[1]).astype(np.float32)
    logs = of_dataset[counts.indices]
    logs += random.normal(0, OF_SAMPLE, len(counts.data)).astype(np.float32)
    seen = random.poisson(counts.data * np.exp(logs)).astype(np.float32)
    again = csr_matrix((seen, counts.indices, counts.indptr), shape=counts.shape)
    again.eliminate_zeros()
    return again


def load(
    connection: psycopg.Connection, real: Real, ontology: Path, samples: int, seed: int
) -> None:
    """Put a drawn cohort into an empty mirror; committed."""
    terms = read_ontology(ontology).terms
    for records, counts in drawn(real, samples, seed):
        names = tuple(record.sample_id for record in records)
        apply_import(
            connection,
            samples=records,
            counts=ImportedCounts(real.features, "srna", [(names, counts)]),
            terms=terms,
        )
        connection.commit()
        terms = ()
    connection.execute("analyze")
    connection.commit()
