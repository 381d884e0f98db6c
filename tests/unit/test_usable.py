"""Labelled samples with too little in them to be learned from."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from annotator.domain.fields import FIELDS
from annotator.domain.profiles import Cohort, Profiles
from annotator.errors import SampleError
from annotator.jobs.annotate.plan import annotate_plan, quality_of
from annotator.jobs.annotate.quality import (
    left_out_notes,
    unusable_labelled,
    unusable_samples,
)
from annotator.learn.models.presets import preset_for
from annotator.settings import Settings

QUALITY = quality_of(Settings())
PLAN = annotate_plan(Settings())


def profiles_of(counts: np.ndarray, kinds: list[str] | None = None) -> Profiles:
    samples, features = counts.shape
    return Profiles(
        np.array([f"S{row}" for row in range(samples)], dtype=object),
        np.array([f"miR-{column}" for column in range(features)], dtype=object),
        np.array(kinds or ["srna"] * features, dtype=object),
        csr_matrix(counts.astype(np.float32)),
    )


def found(counts, quality=QUALITY, field="tissue", kinds=None) -> dict[str, SampleError]:
    samples = len(counts)
    cohort = Cohort(
        definition=FIELDS[field],
        profiles=profiles_of(counts, kinds),
        dataset_ids=np.full(samples, "D", dtype=object),
        values=np.full(samples, "x", dtype=object),
        numbers=np.full(samples, np.nan),
        known={},
    )
    return unusable_labelled(cohort, preset_for("default", field), quality)


def live_release(field: str) -> SimpleNamespace:
    return SimpleNamespace(release=SimpleNamespace(release_id=1, field=field))


@pytest.fixture
def counts() -> np.ndarray:
    """Twenty samples with 40 of 50 features each, 50 reads of every one."""
    table = np.zeros((20, 50))
    for row in range(20):
        table[row, (np.arange(40) + row) % 50] = 50
    return table


def test_a_cohort_of_usual_samples_stays_whole(counts) -> None:
    assert found(counts) == {}


def test_a_sample_needs_as_many_reads_as_for_annotating(counts) -> None:
    counts[3] *= 39 / counts[3].sum()
    error = found(counts)["S3"]
    assert (error.code, error.reason) == (
        "too_few_reads",
        "39 mapped reads; at least 1000 are needed",
    )
    assert found(counts, replace(QUALITY, minimum_reads=30)) == {}


def test_a_sample_needs_a_share_of_the_features_that_are_usual(counts) -> None:
    counts[3] = 0
    counts[3, :7] = 900
    counts[4] = 0
    counts[4, :8] = 900  # exactly a fifth of the median
    errors = found(counts)
    assert {name: error.code for name, error in errors.items()} == {"S3": "too_few_known_features"}
    assert "expresses 17.5% as many of the features" in errors["S3"].reason
    assert found(counts, replace(QUALITY, minimum_known_features=0.175)) == {}


def test_features_that_hardly_a_sample_expresses_are_not_usual(counts) -> None:
    counts = np.vstack([counts, counts])
    alien = np.zeros((40, 300))
    alien[3] = 50
    counts[3] = 0
    assert set(found(np.hstack([counts, alien]))) == {"S3"}


def test_samples_with_too_few_reads_do_not_decide_what_is_usual(counts) -> None:
    # More of them than of the others, with two features each.
    poor = np.zeros((60, 50))
    poor[:, :2] = 1
    few = np.zeros((1, 50))
    few[0, :2] = 5000
    errors = found(np.vstack([counts, poor, few]))
    assert errors.pop("S80").code == "too_few_known_features"
    assert {error.code for error in errors.values()} == {"too_few_reads"}
    assert set(errors) == {f"S{row}" for row in range(20, 80)}


def test_only_features_of_the_fields_kinds_are_usual(counts) -> None:
    kinds = ["srna"] * 10 + ["contaminant"] * 40
    counts[:, :10] = 100
    counts[3, :10] = 0
    assert set(found(counts, kinds=kinds)) == {"S3"}
    assert found(counts, field="sex", kinds=kinds) == {}


def test_without_a_usual_feature_only_reads_count() -> None:
    alone = np.zeros((60, 60))
    np.fill_diagonal(alone, 5000)
    alone[3, 3] = 5
    assert {name: error.code for name, error in found(alone).items()} == {"S3": "too_few_reads"}


def test_nothing_is_found_among_no_samples() -> None:
    assert found(np.zeros((0, 5))) == {}


def test_what_is_left_out_is_counted_by_reason() -> None:
    left_out = {
        "a": SampleError("too_few_reads", ""),
        "b": SampleError("no_counts", ""),
        "c": SampleError("too_few_reads", ""),
        "d": SampleError("too_few_known_features", ""),
    }
    (note,) = left_out_notes(left_out, 40, QUALITY)
    assert note.startswith("4 of 40 labelled samples are left out: ")
    for part in (
        "2 with fewer than 1000 mapped reads",
        "1 with fewer than 20% of the usual number of features",
        "1 whose counts are not usable (no_counts)",
    ):
        assert part in note
    assert left_out_notes({}, 40, QUALITY) == ()


@pytest.mark.parametrize("species", ["mmu", "hsa"])
def test_a_sample_of_another_organism_is_quarantined_as_such(species):
    profiles = replace(
        profiles_of(np.full((1, 3), 9000)),
        features=np.array([f"{species}-miR-{n}-5p" for n in (1, 9, 21)], dtype=object),
    )
    found = unusable_samples(live_release("tissue"), profiles, PLAN, np.zeros(1))
    assert ("another organism (mmu)" in found["S0"][0].reason) == (species == "mmu")


@pytest.mark.parametrize(("field", "usable"), [("tissue", False), ("sex", True)])
def test_only_reads_of_the_kinds_of_a_field_count_with_and_without_a_label(field, usable):
    """990 reads of sRNAs and 20 of contaminants, where 1,000 are needed."""
    counts, kinds = np.array([[990, 20]]), ["srna", "contaminant"]
    without_label = profiles_of(counts, kinds)
    annotated = unusable_samples(live_release(field), without_label, PLAN, np.ones(1))
    of_kinds = np.isin(kinds, FIELDS[field].feature_kinds)
    labelled = found(counts[:, of_kinds], field=field, kinds=list(np.array(kinds)[of_kinds]))
    assert ("S0" not in annotated) == ("S0" not in labelled) == usable
