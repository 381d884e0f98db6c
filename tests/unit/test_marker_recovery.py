"""What the benchmark of markers reads and counts; fitting is left to the benchmark."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from annotator.atlas.names import table4
from annotator.domain.explanations import ClassMarker
from annotator.jobs.retrain.enrichment import reference_sets, release_enrichments
from benchmarks.accuracy import marker_recovery

CLASSES = ("brain", "liver", "skin")
BACKGROUND = ("hsa-miR-124-3p", "hsa-miR-9-5p", "hsa-miR-205-5p", "hsa-miR-122-5p", "SNORD44")
EXPECTED = dict.fromkeys(table4(), ()) | {"brain": ("brain",), "skin": ("skin",)}
MARKERS = (
    ClassMarker("brain", 1, "hsa-miR-124-3p", 2.0, None, None, None, (90.0, 0.0, 0.0)),
    ClassMarker("brain", 2, "hsa-miR-205-5p", 1.0, None, None, None, (0.0, 3.0, 90.0)),  # lacks it
    ClassMarker("liver", 1, "hsa-miR-9-5p", 1.0, None, None, None, (0.0, 2.0, 1.0)),
    ClassMarker("skin", 1, "SNORD44", 1.0, None, None, None, (0.0, 0.0, 5.0)),
)
MEANS = np.array(
    [[90.0, 0.0, 0.0, 0.0, 0.0], [0.0, 2.0, 3.0, 0.0, 0.0], [0.0, 1.0, 90.0, 0.0, 5.0]]
)


@pytest.mark.parametrize("task", marker_recovery.TASKS.values(), ids=marker_recovery.TASKS)
def test_every_category_is_expected_somewhere(task):
    assert task.expected.keys() == table4().keys()
    assert all(task.expected.values())


def test_only_the_expected_classes_are_reported():
    tests = release_enrichments(reference_sets([]), MARKERS, CLASSES, BACKGROUND, MEANS)
    found = marker_recovery.recovered(tests, EXPECTED)
    assert [(one.set_name, one.class_name, one.overlap) for one in found] == [
        ("skin", "skin", 0),
        ("brain", "brain", 1),
    ]


def test_places_are_of_what_a_class_has():
    found = {
        place["mirna"]: place
        for place in marker_recovery.places(MARKERS, CLASSES, BACKGROUND, MEANS, EXPECTED)
    }
    assert found.keys() == {"hsa-miR-205-5p", "hsa-miR-9-5p", "hsa-miR-124-3p"}
    assert found["hsa-miR-124-3p"]["ranks"] == {"brain": 1}
    assert found["hsa-miR-9-5p"]["ranks"] == {"brain": None}
    assert (found["hsa-miR-9-5p"]["best_class"], found["hsa-miR-9-5p"]["best_rank"]) == ("liver", 1)
    assert found["hsa-miR-205-5p"]["best_class"] is None


def test_an_atlas_is_read_in_the_order_of_its_counts(tmp_path):
    with gzip.open(tmp_path / "counts.tsv.gz", "wt") as file:
        file.write("feature\tb\ta\nhsa-miR-9-5p\t3\t0\n")
    (tmp_path / "samples.tsv").write_text(
        "sample_id\tdataset_id\ttissue\na\tD1\tbrain\nb\tD2\t\nc\tD2\tskin\n"
    )
    cohort, ontology = marker_recovery.read_atlas(tmp_path)
    assert cohort.profiles.sample_ids.tolist() == ["b", "a"]
    assert cohort.profiles.counts.toarray().tolist() == [[3.0], [0.0]]
    assert cohort.dataset_ids.tolist() == ["D2", "D1"]
    assert cohort.values.tolist() == ["", "brain"]
    assert "blood" in ontology.parents  # the built-in one
