"""COUNTS and SAMPLES files together."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotator.domain.imports import SampleRecord
from annotator.errors import InputError
from annotator.reading.importers import check_match


def record(sample_id: str) -> SampleRecord:
    return SampleRecord(sample_id, "D1", {}, {})


def test_counts_and_samples_must_speak_of_the_same_samples() -> None:
    counts, samples = Path("c.tsv"), Path("s.tsv")
    both = [record("S2"), record("S1")]
    check_match(("S1", "S2"), both, counts, samples, require_counts=True)
    with pytest.raises(InputError, match=r"'S3' has no line in s\.tsv") as caught:
        check_match(("S1", "S3", "S2"), both, counts, samples, require_counts=True)
    assert (caught.value.source, caught.value.line, caught.value.column) == ("c.tsv", 1, 3)
    with pytest.raises(InputError, match=r"'S1' has no column in c\.tsv") as caught:
        check_match(("S2",), both, counts, samples, require_counts=True)
    assert (caught.value.source, caught.value.line) == ("s.tsv", 3)
    check_match(("S2",), both, counts, samples, require_counts=False)
