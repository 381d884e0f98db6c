"""Files of several studies and of several classes of features, imported one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annotator.cli.import_text import import_lines
from annotator.domain.fields import FeatureKind
from annotator.errors import InputError
from annotator.jobs.import_files import ImportOptions, import_files
from annotator.jobs.watch.doctor import libraries
from tests.support.store import rows

SAMPLES = "sample_id\tdataset_id\ttissue\nS1\tD1\tliver\nS2\tD1\t\n"
MIRNA = "feature\tS1\tS2\nhsa-let-7a-5p\t120\t80\nhsa-miR-21-5p\t5000\t4100\n"
PIRNA = "feature\tS1\tS2\nhsa_piR_000001\t30\t12\n"


@pytest.fixture
def load(database, tmp_path):
    """Write the two files and import them; returns the summary."""

    def of(counts: str, samples: str = SAMPLES, **options: Any):
        files = [tmp_path / "counts.tsv", tmp_path / "samples.tsv"]
        for path, text in zip(files, (counts, samples), strict=True):
            path.write_text(text)
        return import_files(database, *files, options=ImportOptions(**options))

    return of


def sample_datasets(database) -> list[tuple[str, str]]:
    return rows(database, "select sample_id, dataset_id from atlas.sample order by 1")


def reads(database, sample: str) -> dict[str, float]:
    query = "select feature, count from atlas.expression_long where sample_id = %s"
    return dict(rows(database, query, sample))


def test_a_file_per_class_of_features_adds_to_the_samples(database, load):
    load(MIRNA)
    summary = load(PIRNA)
    assert reads(database, "S1") == {
        "hsa-let-7a-5p": 120,
        "hsa-miR-21-5p": 5000,
        "hsa_piR_000001": 30,
    }
    assert "kept 2 features of 2 samples that this file does not name" in import_lines(
        summary, dry_run=False
    )


def test_changed_counts_are_in_the_summary(load):
    load(MIRNA)
    summary = load(MIRNA.replace("4100", "0"))
    assert "changed 1 stored count that" in import_lines(summary, dry_run=False)


def test_removed_features_are_in_the_summary(database, load):
    load(MIRNA)
    summary = load(PIRNA, replace=True)
    assert reads(database, "S1") == {"hsa_piR_000001": 30}
    assert "removed 2 features of 2 samples" in import_lines(summary, dry_run=False)


def test_the_same_ids_in_another_study_are_refused(database, load):
    load(MIRNA)
    with pytest.raises(InputError, match="'S1' from 'D1' to 'D2'"):
        load(MIRNA.replace("120", "7"), SAMPLES.replace("D1", "D2"))
    assert sample_datasets(database) == [("S1", "D1"), ("S2", "D1")]
    assert reads(database, "S1")["hsa-let-7a-5p"] == 120


def test_the_dataset_as_a_prefix_keeps_studies_apart(database, load):
    load(MIRNA, sample_prefix="dataset")
    load(MIRNA, SAMPLES.replace("D1", "D2"), sample_prefix="dataset")
    assert sample_datasets(database) == [
        ("D1:S1", "D1"),
        ("D1:S2", "D1"),
        ("D2:S1", "D2"),
        ("D2:S2", "D2"),
    ]
    assert reads(database, "D2:S1")["hsa-let-7a-5p"] == 120
    assert load(MIRNA, sample_prefix="dataset").samples_unchanged == 2


def test_a_prefix_of_ones_own_is_put_before_ids(database, load):
    load(MIRNA, sample_prefix="lab-A ")
    load("feature\tS2\nvirus\t4\n", kind=FeatureKind.CONTAMINANT, sample_prefix="lab-A ")
    assert [name for name, _ in sample_datasets(database)] == ["lab-A S1", "lab-A S2"]
    assert reads(database, "lab-A S2")["virus"] == 4


@pytest.mark.parametrize("prefix", ["", "  ", " a", "a\tb", "a\udcff"])
def test_a_prefix_that_cannot_be_read_back_is_refused(load, prefix):
    with pytest.raises(InputError, match="--sample-prefix"):
        load(MIRNA, sample_prefix=prefix)


def test_an_id_that_a_prefix_makes_too_long_is_refused(load):
    with pytest.raises(InputError, match="longer than 1,000 bytes"):
        load(MIRNA, sample_prefix="x" * 999)


def test_reads_of_spike_ins_are_kept_outside_the_library(database, load):
    load(MIRNA + "cel-miR-39-3p\t900\t0\n")
    assert "cel-miR-39-3p" not in reads(database, "S1")
    query = "select attributes ->> 'spike_in_reads' from atlas.sample order by sample_id"
    assert rows(database, query) == [("900",), ("0",)]


def library(generator: np.random.Generator) -> np.ndarray:
    return generator.lognormal(6, 1.5, 80).astype(int) + 30


def table(sample: str, counts: np.ndarray) -> str:
    lines = [f"hsa-miR-{number}-5p\t{count}" for number, count in enumerate(counts, start=2000)]
    return "\n".join([f"feature\t{sample}", *lines]) + "\n"


def of_dataset(sample: str, dataset: str) -> str:
    return f"sample_id\tdataset_id\n{sample}\t{dataset}\n"


def test_a_copy_with_slightly_other_counts_is_found(load):
    counts = library(np.random.default_rng(1))
    again = counts.copy()
    again[:3] += 1
    load(table("A", counts), of_dataset("A", "D1"))
    summary = load(table("B", again), of_dataset("B", "D2"))
    (copied,) = summary.copies
    assert (copied.sample_id, copied.copy_of, copied.dataset_of_copy) == ("B", "A", "D1")


def test_libraries_of_their_own_are_no_copies(load):
    generator = np.random.default_rng(2)
    load(table("A", library(generator)), of_dataset("A", "D1"))
    assert load(table("B", library(generator)), of_dataset("B", "D2")).copies == ()


def test_a_large_mirror_is_searched_for_equal_counts_alone(load, monkeypatch):
    monkeypatch.setattr(libraries, "MOST_AT_IMPORT", 1)
    counts = library(np.random.default_rng(1))
    load(table("A", counts), of_dataset("A", "D1"))
    summary = load(table("B", counts), of_dataset("B", "D2"))
    assert [one.copy_of for one in summary.copies] == ["A"]
    assert "annotator doctor" in import_lines(summary, dry_run=False)
