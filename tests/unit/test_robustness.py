"""What the robustness benchmark finds on a small simulated atlas."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from annotator.domain.profiles import Profiles
from annotator.learn.features.matrix import total_reads
from annotator.learn.models.presets import PRESETS
from benchmarks.accuracy import robustness

DEFAULT = PRESETS["default"]
LIGHT = DEFAULT.changed(
    {"network": None, "forest": None, "boosting": {"rounds": 8, "top_features": 100}}
)


@pytest.fixture(scope="module")
def split():
    cohort, ontology = robustness.simulated_cohort(samples=180, datasets=24)
    return robustness.split_of(cohort, ontology, LIGHT, seed=1)


@pytest.fixture(scope="module")
def measured(split):
    rows, known = robustness.measure(split)
    return {(row.distortion, row.level): row for row in rows}, known


def predicted(split, profiles):
    return split.model.predict(profiles)["combined"]


def small(counts, names=("hsa-miR-21-5p", "hsa-miR-22-3p", "hsa-let-7a-5p/7c-5p")) -> Profiles:
    counts = np.atleast_2d(np.asarray(counts, dtype=np.float32))
    return Profiles(
        np.array([f"S{i}" for i in range(len(counts))], dtype=object),
        np.array(names, dtype=object),
        np.full(len(names), "srna", dtype=object),
        csr_matrix(counts),
    )


def pooled(bins):
    return np.average([row["accuracy"] for row in bins], weights=[row["samples"] for row in bins])


def test_thinning_gives_about_the_reads_asked_for_and_never_more_of_a_feature() -> None:
    profiles = small([[6e6, 3e6, 1e6], [10, 20, 0]])
    thin = robustness.thinned(profiles, 1e4)
    totals = total_reads(thin)
    assert 9_500 < totals[0] < 10_500
    assert totals[1] == 30
    assert (thin.counts.toarray() <= profiles.counts.toarray()).all()
    np.testing.assert_allclose(thin.counts.toarray()[0] / totals[0], [0.6, 0.3, 0.1], atol=0.03)
    assert (thin.counts.data != 0).all()


def test_features_are_left_out_for_all_samples_alike() -> None:
    profiles = small(np.arange(1, 21).reshape(1, 20).repeat(2, 0), [f"f{i}" for i in range(20)])
    left = robustness.without_features(profiles, 0.9, seed=3)
    assert left.counts.shape == (2, 2)
    assert [f"f{count - 1:.0f}" for count in left.counts.toarray()[0]] == left.features.tolist()


def test_renamed_features_of_one_name_are_summed() -> None:
    profiles = small([[1, 2, 4, 8]], ("hsa-miR-21-5p", "hsa-miR-21-3p", "SNORD44", "hsa-miR-9-5p"))
    stem_loops = robustness.renamed(profiles, robustness.stem_loop)
    assert stem_loops.features.tolist() == ["hsa-mir-21", "SNORD44", "hsa-mir-9"]
    assert stem_loops.counts.toarray().tolist() == [[3, 4, 8]]


def test_what_names_become() -> None:
    assert robustness.accession("hsa-miR-21-5p") == "MIMAT0000076"
    assert robustness.accession("hsa-let-7a-5p/7c-5p") == "MIMAT0000062/MIMAT0000064"
    assert robustness.accession("SNORD44") == "SNORD44"
    assert robustness.without_species("hsa-let-7a-5p/7c-5p") == "let-7a-5p/7c-5p"
    assert robustness.other_release("hsa-miR-375") == "hsa-miR-375-3p"
    assert robustness.other_release("hsa-miR-375-3p") == "hsa-miR-375"
    assert robustness.without_arm("hsa-miR-21-5p") == "hsa-miR-21"
    assert robustness.without_arm("hsa-miR-21-3p") == "hsa-miR-21*"


def test_the_lowest_threshold_is_the_first_that_reaches_the_target() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    hits = np.array([True, True, False, True, False])
    assert robustness.lowest_threshold(confidence, hits, 0.75) == 0.6
    assert robustness.lowest_threshold(confidence, hits, 0.9) == 0.8
    assert robustness.lowest_threshold(confidence, ~hits, 0.9) == np.inf


@pytest.mark.parametrize("name", ["upper case", "no species", "accessions", "other release"])
def test_other_names_of_the_same_molecules_give_the_same_predictions(split, name) -> None:
    other = robustness.renamed(split.profiles, robustness.RENAMINGS[name])
    assert other.features.tolist() != split.profiles.features.tolist()
    expected = predicted(split, split.profiles)
    np.testing.assert_allclose(predicted(split, other), expected, atol=1e-6)
    # as in a mirror, whose older samples are in the model's own names
    mixed = robustness.beside(other, split.profiles.features.tolist())
    np.testing.assert_allclose(predicted(split, mixed), expected, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-2, 1e2])
def test_library_sizes_change_nothing(split, factor) -> None:
    scaled = replace(split.profiles, counts=split.profiles.counts * np.float32(factor))
    expected = predicted(split, split.profiles)
    np.testing.assert_allclose(predicted(split, scaled), expected, atol=1e-3)


def test_accuracy_falls_gently_with_fewer_reads(measured) -> None:
    rows, _ = measured
    plain = rows["none", ""]
    assert plain.accuracy > 0.9
    reads = [row for row in rows.values() if row.distortion == "reads"]
    assert rows["reads", "100000"].accuracy > plain.accuracy - 0.05
    assert rows["reads", "10000"].accuracy > plain.accuracy - 0.3
    assert rows["reads", "100"].accuracy < plain.accuracy - 0.4
    for more, fewer in pairwise(reads):
        assert fewer.accuracy <= more.accuracy + 0.1
        assert fewer.known <= more.known


def test_accuracy_falls_with_features_left_out_and_known_features_say_so(measured) -> None:
    rows, by_known = measured
    plain = rows["none", ""]
    left_out = [row for row in rows.values() if row.distortion == "features left out"]
    assert left_out[0].accuracy > plain.accuracy - 0.1
    assert left_out[-1].accuracy < plain.accuracy - 0.3
    known = [plain.known, *(row.known for row in left_out)]
    assert known == sorted(known, reverse=True)
    assert known[-1] < 0.1
    for what in ("reads", "features left out"):
        bins = [row for row in by_known if row["distortion"] == what]
        few = pooled([row for row in bins if row["known_from"] < 0.1])
        assert few < pooled([row for row in bins if row["known_from"] >= 0.5]) - 0.3


def test_names_that_are_not_understood_are_no_reads_and_stem_loops_are_approximate(
    measured,
) -> None:
    rows, _ = measured
    assert rows["names", "unknown names"].known == 0
    assert rows["names", "unknown names"].matched == 0
    assert rows["names", "accessions"].approximate == 0
    assert rows["names", "accessions"].matched > 0.9
    stem_loops = rows["names", "stem-loops"]
    assert stem_loops.approximate > 0.5
    assert stem_loops.accuracy > rows["names", "unknown names"].accuracy


def test_the_plot_is_written(measured, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    rows, _ = measured
    robustness.plot(list(rows.values()), tmp_path / "plots" / "robustness.svg")
    assert "features left out" in (tmp_path / "plots" / "robustness.svg").read_text("utf-8")
