"""COUNTS and SAMPLES files together."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotator.domain.imports import SampleRecord
from annotator.errors import InputError
from annotator.reading.importers import Matched, Which, match_samples

COUNTS, SAMPLES = Path("c.tsv"), Path("s.tsv")


def records(*ids: str) -> list[SampleRecord]:
    return [SampleRecord(one, "D1", {}, {}) for one in ids]


def match(
    counts: tuple[str, ...],
    samples: list[SampleRecord],
    which: str = "same",
    *,
    require_counts: bool = True,
) -> Matched:
    return match_samples(
        counts, samples, COUNTS, SAMPLES, which=Which(which), require_counts=require_counts
    )


def refusal(counts: tuple[str, ...], samples: list[SampleRecord], which: str = "same") -> str:
    with pytest.raises(InputError) as caught:
        match(counts, samples, which)
    return " | ".join(caught.value.findings or (str(caught.value),))


def test_the_same_samples_in_another_order_match() -> None:
    matched = match(("S1", "S2"), records("S2", "S1"))
    assert matched.id_of == {"S1": "S1", "S2": "S2"}
    assert not matched.notes


def test_samples_of_one_file_only_are_counted_and_listed() -> None:
    message = refusal(("S1", "other"), records("S1", "S2", "S3"))
    assert "1 sample has no line in s.tsv: 'other'" in message
    assert "2 samples have no counts in c.tsv: 'S2', 'S3'" in message


def test_contaminants_may_cover_some_samples() -> None:
    assert len(match(("S2",), records("S2", "S1"), require_counts=False).samples) == 2
    with pytest.raises(InputError, match="'S3'"):
        match(("S3",), records("S1"), require_counts=False)


def test_common_takes_the_samples_of_both_files() -> None:
    matched = match(("S1", "other"), records("S1", "S2"), "common")
    assert [one.sample_id for one in matched.samples] == ["S1"]
    assert matched.id_of == {"S1": "S1"}
    assert len(matched.notes) == 2


def test_all_also_takes_samples_without_counts() -> None:
    matched = match(("S1",), records("S1", "S2"), "all")
    assert [one.sample_id for one in matched.samples] == ["S1", "S2"]
    assert "no dataset" in refusal(("S1", "other"), records("S1", "S2"), "all")


@pytest.mark.parametrize("which", ["common", "all"])
def test_files_without_a_common_sample_are_refused(which: str) -> None:
    assert "no sample" in refusal(("abc",), records("S1"), which)


RULES = {
    "X": (("X1", "X2"), ("1", "2")),
    "dots": (("A.1", "A.2"), ("A-1", "A-2")),
    "dots and X": (("X1.a", "X2.b"), ("1-a", "2 b")),
    "case": (("s1", "s2"), ("S1", "S2")),
    "folders": (("/data/run 1/S1", "/data/run 2/S2"), ("S1", "S2")),
    "append": (("S1.fastq.gz", "S2_R1.fastq.gz"), ("S1", "S2")),
    "mature": (("S1.mature", "S2.mature"), ("S1", "S2")),
    "bam": (("bam/S1.sorted.bam", "bam/S2.sorted.bam"), ("S1", "S2")),
    "lane": (("182_S25_R1_001", "112_S27_R1_001"), ("182", "112")),
    "'study7_'": (("study7_S1", "study7_S2"), ("S1", "S2")),
    "'-mirnas'": (("S1-mirnas", "S2-mirnas"), ("S1", "S2")),
}


@pytest.mark.parametrize(("counts", "samples"), RULES.values(), ids=RULES)
def test_ids_that_differ_by_one_rule_are_named_and_taken_with_common(
    counts: tuple[str, ...], samples: tuple[str, ...]
) -> None:
    message = refusal(counts, records(*samples))
    assert "differ by one rule" in message
    assert "no counts" not in message
    matched = match(counts, records(*samples), "common")
    assert matched.id_of == dict(zip(counts, samples, strict=True))
    assert any("by a rule" in note for note in matched.notes)


def test_a_rule_that_is_ambiguous_is_not_applied() -> None:
    assert "no sample" in refusal(("a", "A"), records("á", "b"), "common")
    matched = match(("X1", "S2", "s1"), records("S1", "S2", "1"), "common")
    assert matched.id_of["S2"] == "S2"
    assert "no sample" in refusal(("S1.bam", "S1.fastq"), records("S1"), "common")


def test_the_nearest_id_is_suggested() -> None:
    assert "is it 'liver_12'" in refusal(("livr_12", "S1"), records("S1", "liver_12"))
