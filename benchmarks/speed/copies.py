"""Measure how the search for copies of libraries grows with the cohort.

Cohorts are drawn from the cellular microRNAome (:mod:`benchmarks.speed.cohorts`) and searched as
every retraining does it. Close pairs are those whose counts are compared.

    python -m benchmarks.speed.copies --data ../shared/data
    python -m benchmarks.speed.copies --data ../shared/data --samples 5000,20000,100000
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy.sparse import csr_matrix, vstack
from tabulate import tabulate

from annotator.domain.profiles import Profiles
from annotator.learn.features import copies
from benchmarks.speed.annotation_speed import CELLS, numbers
from benchmarks.speed.cohorts import Real, drawn, read_real

SEED = 20200330


def search(real: Real, samples: int) -> tuple[float, int, int]:
    """Search a drawn cohort; return processor seconds, compared pairs and groups of copies."""
    portions = list(drawn(real, samples, SEED))
    profiles = Profiles(
        sample_ids=np.array([one.sample_id for of, _ in portions for one in of], dtype=object),
        features=np.array(real.features, dtype=object),
        kinds=np.full(len(real.features), "srna", dtype=object),
        counts=csr_matrix(vstack([counts for _, counts in portions])),
    )
    with patch.object(copies, "is_copy", wraps=copies.is_copy) as compared:
        started = time.process_time()
        found = copies.copies(profiles)
        return time.process_time() - started, compared.call_count, len(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real atlases")
    parser.add_argument("--samples", type=numbers, default=[5000, 10_000, 20_000])
    options = parser.parse_args()
    real = read_real(options.data / CELLS)
    rows: list[list[float | None]] = []
    for samples in options.samples:
        seconds, compared, found = search(real, samples)
        rows.append([samples, seconds, compared, found, seconds / rows[0][1] if rows else None])
    headers = ("samples", "processor seconds", "pairs compared", "groups", "times the first row's")
    print(tabulate(rows, headers=headers, tablefmt="github", floatfmt=".1f"))


if __name__ == "__main__":
    main()
