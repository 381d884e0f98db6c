"""Read and check the files for ``annotator import``.

Every reader raises :class:`~annotator.errors.InputError`, with the file, line and
column, for any error in a file; none of them uses a database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from annotator.atlas.counts_file import CountsFile, read_counts
from annotator.atlas.ontology import read_ontology
from annotator.atlas.samples_file import read_samples
from annotator.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from annotator.domain.imports import SampleRecord

__all__ = ["CountsFile", "check_match", "read_counts", "read_ontology", "read_samples"]


def check_match(
    counts_sample_ids: Sequence[str],
    samples: Sequence[SampleRecord],
    counts_path: Path,
    samples_path: Path,
    *,
    require_counts: bool,
) -> None:
    """Check that a COUNTS and a SAMPLES file have the same samples.

    Parameters
    ----------
    counts_sample_ids
        Sample ids in the order of the columns of COUNTS.
    samples
        Records in the order of the lines of SAMPLES, as returned by :func:`read_samples`.
    counts_path, samples_path
        The files, for the error message.
    require_counts
        Whether every sample must have counts.

    Raises
    ------
    InputError
        A column of COUNTS has no line in SAMPLES, or, if counts are required, a line of
        SAMPLES has no column in COUNTS.
    """
    known = {sample.sample_id for sample in samples}
    for column, sample_id in enumerate(counts_sample_ids, start=2):
        if sample_id not in known:
            raise InputError(
                f"sample {sample_id!r} has no line in {samples_path}",
                source=str(counts_path),
                line=1,
                column=column,
            )
    if not require_counts:
        return
    counted = set(counts_sample_ids)
    for line, sample in enumerate(samples, start=2):
        if sample.sample_id not in counted:
            raise InputError(
                f"sample {sample.sample_id!r} has no column in {counts_path}",
                source=str(samples_path),
                line=line,
                column="sample_id",
            )
