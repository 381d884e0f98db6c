"""The simulated atlas is what it says it is: reproducible, hard, and known."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.atlas.names import biotype_of, planted_names, table4
from annotator.atlas.simulate import (
    SimulatedAtlas,
    SimulationOptions,
    simulate_atlas,
    write_atlas,
)
from annotator.atlas.simulated_counts import EffectSizes, draw_counts
from annotator.atlas.simulated_design import COMMON_TISSUES, RARE_TISSUES, group_of
from annotator.errors import InputError
from annotator.reading.importers import read_counts, read_ontology, read_samples

SMALL = SimulationOptions(samples=24, datasets=5, srnas=70, contaminants=9, seed=3)


@pytest.fixture(scope="module")
def atlas() -> SimulatedAtlas:
    return simulate_atlas()


@pytest.fixture(scope="module")
def counts(atlas: SimulatedAtlas) -> np.ndarray:
    return atlas.profiles.counts.toarray().astype(np.float64)


@pytest.fixture(scope="module")
def rpm(atlas: SimulatedAtlas) -> np.ndarray:
    return reads_per_million(atlas)


def reads_per_million(atlas: SimulatedAtlas) -> np.ndarray:
    """Per million of all sRNA reads; failed libraries are NaN."""
    counts = atlas.profiles.counts.toarray().astype(np.float64)
    reads = counts[:, atlas.profiles.kinds == "srna"].sum(axis=1)
    scale = np.where(reads >= 1000, 1e6 / np.maximum(reads, 1), np.nan)
    return counts * scale[:, None]


def truth(atlas: SimulatedAtlas, field: str) -> np.ndarray:
    return np.array([atlas.truth[field][sample] for sample in atlas.profiles.sample_ids])


def groups(atlas: SimulatedAtlas) -> np.ndarray:
    return np.array([group_of(str(tissue)) for tissue in truth(atlas, "tissue")])


def datasets(atlas: SimulatedAtlas) -> np.ndarray:
    return np.array([sample.dataset_id for sample in atlas.samples])


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---- reproducible


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_atlas(simulate_atlas(SMALL), tmp_path / name)
    assert written(tmp_path / "one") == written(tmp_path / "two")
    assert set(written(tmp_path / "one")) == {
        "counts_srna.tsv.gz",
        "counts_contaminant.tsv.gz",
        "samples.tsv",
        "ontology.tsv",
        "truth.tsv",
    }


def test_another_seed_gives_another_atlas() -> None:
    one, two = simulate_atlas(SMALL), simulate_atlas(replace(SMALL, seed=4))
    assert (one.profiles.counts != two.profiles.counts).nnz > 0
    assert one.truth != two.truth


def test_effects_change_counts_but_not_who_was_sampled() -> None:
    one = simulate_atlas(SMALL)
    two = simulate_atlas(replace(SMALL, effects=EffectSizes(dataset=2.0)))
    assert one.truth == two.truth
    assert one.samples == two.samples
    assert (one.profiles.counts != two.profiles.counts).nnz > 0


# ---- files


def test_written_files_read_back_as_the_atlas(tmp_path: Path) -> None:
    atlas = simulate_atlas(SMALL)
    files = write_atlas(atlas, tmp_path)
    assert read_samples(files.samples).records == atlas.samples
    assert {k: set(v) for k, v in read_ontology(files.ontology).parents.items()} == {
        k: set(v) for k, v in atlas.terms.items()
    }
    for path, kind in ((files.counts_srna, "srna"), (files.counts_contaminant, "contaminant")):
        of_kind = atlas.profiles.kinds == kind
        with read_counts(path) as counts_file:
            assert list(counts_file.sample_ids) == list(atlas.profiles.sample_ids)
            assert list(counts_file.feature_names) == list(atlas.profiles.features[of_kind])
            read = np.concatenate([matrix.toarray() for _, matrix in counts_file.batches(7)])
        assert np.array_equal(read, atlas.profiles.counts[:, of_kind].toarray())


def test_truth_file_has_every_sample_and_no_gaps(tmp_path: Path) -> None:
    atlas = simulate_atlas(SMALL)
    header, *rows = write_atlas(atlas, tmp_path).truth.read_text().splitlines()
    assert header.split("\t") == ["sample_id", "tissue", "sex", "age"]
    assert len(rows) == 24
    for row in rows:
        sample, tissue, sex, age = row.split("\t")
        assert atlas.truth["tissue"][sample] == tissue
        assert atlas.truth["sex"][sample] == sex
        assert atlas.truth["age"][sample] == float(age)


# ---- counts


def test_profiles_keep_their_contract(atlas: SimulatedAtlas) -> None:
    matrix = atlas.profiles.counts
    assert matrix.shape == (360, 1050)
    assert matrix.dtype == np.float32
    assert matrix.has_sorted_indices
    assert (matrix.data > 0).all()
    assert np.array_equal(matrix.data, np.floor(matrix.data))
    assert [s.sample_id for s in atlas.samples] == list(atlas.profiles.sample_ids)
    assert len(set(atlas.profiles.sample_ids)) == 360
    assert len(set(datasets(atlas))) == 36


def test_libraries_span_two_orders_of_magnitude_and_some_failed(counts: np.ndarray) -> None:
    reads = counts.sum(axis=1)
    failed = reads < 1000
    assert failed.sum() == SimulationOptions().failed_libraries
    assert reads[~failed].min() > 5e4
    assert reads[~failed].max() < 3e7
    assert np.log10(np.quantile(reads[~failed], [0.05, 0.95])) == pytest.approx([5.1, 6.9], abs=0.2)


def test_counts_are_negative_binomial() -> None:
    generator = np.random.default_rng(1)
    reads = np.full(4000, 1000.0)
    drawn = draw_counts(generator, np.zeros((4000, 10)), reads).astype(np.float64)
    mean, variance = drawn.mean(axis=0), drawn.var(axis=0)
    assert mean == pytest.approx(np.full(10, 100.0), rel=0.05)
    dispersion = (variance - mean) / mean**2
    assert (dispersion > 0.02).all()
    assert (dispersion < 1.0).all()


def test_counts_within_a_dataset_vary_more_than_chance(
    atlas: SimulatedAtlas, rpm: np.ndarray
) -> None:
    largest = max(set(datasets(atlas)), key=lambda d: (datasets(atlas) == d).sum())
    rows = rpm[datasets(atlas) == largest]
    rows = rows[~np.isnan(rows[:, 0])]
    mean, variance = rows.mean(axis=0), rows.var(axis=0, ddof=1)
    seen = mean > 10
    assert (variance[seen] > mean[seen]).mean() > 0.95


def test_few_mirnas_take_most_reads_and_many_counts_are_zero(
    atlas: SimulatedAtlas, rpm: np.ndarray
) -> None:
    srnas = rpm[:, atlas.profiles.kinds == "srna"]
    usable = ~np.isnan(srnas[:, 0])
    ordered = np.sort(srnas[usable], axis=1)[:, ::-1]
    assert np.median(ordered[:, :20].sum(axis=1)) > 5e5
    assert 0.2 < (srnas[usable] == 0).mean() < 0.8


def test_contaminants_are_a_small_part(atlas: SimulatedAtlas, counts: np.ndarray) -> None:
    share = counts[:, atlas.profiles.kinds == "contaminant"].sum(axis=1) / counts.sum(axis=1)
    usable = counts.sum(axis=1) >= 1000
    assert 0.002 < np.median(share[usable]) < 0.1
    assert share[usable].max() < 0.35


# ---- what shows in the counts


def test_planted_markers_are_higher_in_their_tissue(atlas: SimulatedAtlas, rpm: np.ndarray) -> None:
    column = {name: number for number, name in enumerate(atlas.profiles.features)}
    group, usable = groups(atlas), ~np.isnan(rpm[:, 0])
    higher = [
        np.median(rpm[usable & (group == name)][:, column[marker]])
        > np.median(rpm[usable & (group != name)][:, column[marker]])
        for name, markers in atlas.markers.items()
        for marker in markers
    ]
    assert len(higher) == 60
    assert np.mean(higher) > 0.9


@pytest.mark.parametrize("field", ["sex", "age"])
@pytest.mark.parametrize("kind", ["srna", "contaminant"])
def test_no_feature_gives_sex_or_age_away(atlas: SimulatedAtlas, field: str, kind: str) -> None:
    assert np.abs(areas_under_curves(atlas, field, kind) - 0.5).max() < 0.25


@pytest.mark.parametrize("field", ["sex", "age"])
def test_many_srnas_say_a_little_of_sex_and_age(atlas: SimulatedAtlas, field: str) -> None:
    without = simulate_atlas(SimulationOptions(effects=EffectSizes(**{field: 0.0})))
    assert without.truth == atlas.truth
    areas, chance = (areas_under_curves(of, field, "srna") for of in (atlas, without))
    assert np.square(areas - 0.5).mean() > 1.25 * np.square(chance - 0.5).mean()


@pytest.mark.parametrize("field", ["sex", "age"])
def test_contaminants_say_something_of_sex_and_age(field: str) -> None:
    # Too little by default to be seen in so few taxa one by one: four times as much.
    name = f"contaminant_{field}"
    default = getattr(EffectSizes(), name)
    assert default > 0
    strong, without = (
        simulate_atlas(SimulationOptions(effects=EffectSizes(**{name: size})))
        for size in (4 * default, 0.0)
    )
    areas, chance = (areas_under_curves(of, field, "contaminant") for of in (strong, without))
    assert np.square(areas - 0.5).mean() > 2 * np.square(chance - 0.5).mean()


def areas_under_curves(atlas: SimulatedAtlas, field: str, kind: str) -> np.ndarray:
    """How well each feature by itself tells women from men, or old from young."""
    values = truth(atlas, field)
    positive = values == "female" if field == "sex" else values.astype(float) > 65
    rpm = reads_per_million(atlas)[:, atlas.profiles.kinds == kind]
    usable = ~np.isnan(rpm[:, 0])
    seen = (rpm[usable] > 0).mean(axis=0) > 0.5
    return np.array([area_under_curve(of, positive[usable]) for of in rpm[usable][:, seen].T])


def area_under_curve(values: np.ndarray, positive: np.ndarray) -> float:
    """Share of pairs in the right order (ties hardly matter here)."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(1, len(values) + 1)
    positives = int(positive.sum())
    below = ranks[positive].sum() - positives * (positives + 1) / 2
    return float(below / (positives * (len(values) - positives)))


def test_datasets_leave_a_mark_beyond_their_tissue(atlas: SimulatedAtlas, rpm: np.ndarray) -> None:
    usable = ~np.isnan(rpm[:, 0])
    tissue, dataset = truth(atlas, "tissue"), datasets(atlas)
    log_rpm = np.log1p(rpm[:, atlas.profiles.kinds == "srna"])
    within, between = [], []
    for name in COMMON_TISSUES:
        members = np.flatnonzero(usable & (tissue == name))
        correlation = np.corrcoef(log_rpm[members])
        same = dataset[members][:, None] == dataset[members]
        pair = ~np.eye(len(members), dtype=bool)
        within.append(correlation[same & pair].mean())
        between.append(correlation[~same].mean())
    assert np.mean(within) > np.mean(between) + 0.02


# ---- who is in it


def test_datasets_are_confounded_with_tissue(atlas: SimulatedAtlas) -> None:
    tissue, dataset = truth(atlas, "tissue"), datasets(atlas)
    common = np.isin(tissue, COMMON_TISSUES)
    held = [len(set(tissue[common & (dataset == name)])) for name in sorted(set(dataset))]
    assert np.mean(np.array(held) == 1) > 0.5
    assert max(held) in (2, 3)
    spread = [len(set(dataset[tissue == name])) for name in COMMON_TISSUES]
    assert min(spread) >= 3


def test_each_dataset_has_one_kit_and_several_kits_are_used(atlas: SimulatedAtlas) -> None:
    pairs = {(s.dataset_id, s.attributes["library_kit"]) for s in atlas.samples}
    assert len(pairs) == 36
    assert len({kit for _, kit in pairs}) in (3, 4)


def test_rare_tissues_are_below_the_thresholds(atlas: SimulatedAtlas) -> None:
    tissue, dataset = truth(atlas, "tissue"), datasets(atlas)
    met = [name for name in RARE_TISSUES if (tissue == name).any()]
    assert len(met) >= 8
    for name in met:
        assert (tissue == name).sum() < 9
        assert len(set(dataset[tissue == name])) <= 2
    assert set(tissue) <= set(RARE_TISSUES) | set(COMMON_TISSUES)


def test_the_ontology_has_three_levels_two_parents_somewhere_and_no_cycle(
    atlas: SimulatedAtlas,
) -> None:
    def depth(term: str, above: tuple[str, ...] = ()) -> int:
        assert term not in above
        return 1 + max((depth(p, (*above, term)) for p in atlas.terms[term]), default=0)

    assert max(depth(term) for term in atlas.terms) >= 3
    assert any(len(parents) == 2 for parents in atlas.terms.values())
    roots = {term for term, parents in atlas.terms.items() if not parents}
    assert roots == set(atlas.markers)
    assert set(truth(atlas, "tissue")) <= set(atlas.terms)


def test_a_fifth_are_cell_lines(atlas: SimulatedAtlas) -> None:
    assert np.mean([s.is_cell_line for s in atlas.samples]) == pytest.approx(0.2, abs=0.05)
    stem_cells = truth(atlas, "tissue") == "embryonic stem cell"
    assert all(s.is_cell_line for s, stem in zip(atlas.samples, stem_cells, strict=True) if stem)


def test_sex_and_age_are_mixed_in_every_group_but_the_unborn(atlas: SimulatedAtlas) -> None:
    sex, age, group = truth(atlas, "sex"), truth(atlas, "age").astype(float), groups(atlas)
    assert set(sex) == {"female", "male"}
    assert ((age == 0) | ((age >= 18) & (age <= 96))).all()
    for name in set(atlas.markers) - {"embryonic tissue"}:
        members = group == name
        assert 0.15 < (sex[members] == "female").mean() < 0.85
        assert 0.15 < (age[members] > 65).mean() < 0.85


# ---- what the curator knows


@pytest.mark.parametrize("field", ["tissue", "sex", "age"])
def test_annotations_are_missing_mostly_for_whole_datasets(
    atlas: SimulatedAtlas, field: str
) -> None:
    missing = np.array([field not in sample.values for sample in atlas.samples])
    assert missing.mean() == pytest.approx(SimulationOptions().missing_share[field], abs=0.02)
    dataset = datasets(atlas)
    whole = np.isin(dataset, [d for d in set(dataset) if missing[dataset == d].all()])
    assert 0.5 < whole.sum() / missing.sum() < 0.95


def test_labels_that_are_there_are_true_but_for_the_mislabelled(atlas: SimulatedAtlas) -> None:
    wrong = {
        sample.sample_id
        for sample in atlas.samples
        if sample.values.get("tissue", atlas.truth["tissue"][sample.sample_id])
        != atlas.truth["tissue"][sample.sample_id]
    }
    assert wrong == set(atlas.mislabelled)
    assert len(wrong) == SimulationOptions().mislabelled
    for sample in atlas.samples:
        if "sex" in sample.values:
            assert sample.values["sex"] == atlas.truth["sex"][sample.sample_id]
        if "age" in sample.values:
            assert sample.numbers["age"] == atlas.truth["age"][sample.sample_id]
            assert sample.values["age"] == str(int(sample.numbers["age"]))
        else:
            assert sample.numbers == {}


# ---- names


def test_table4_is_whole_and_planted(atlas: SimulatedAtlas) -> None:
    assert {category: len(names) for category, names in table4().items()} == {
        "skin": 10,
        "blood": 10,
        "brain": 10,
        "muscle": 10,
        "intestine": 10,
        "embryonic tissue": 10,
    }
    assert atlas.markers == table4()
    assert set(planted_names()) <= set(atlas.profiles.features)
    assert len(planted_names()) == 59
    assert "hsa-miR-133a-3p" in table4()["muscle"]


def test_most_classes_of_small_rna_are_in_the_default_atlas(atlas: SimulatedAtlas) -> None:
    srnas = atlas.profiles.features[atlas.profiles.kinds == "srna"]
    biotypes = {biotype_of(name) for name in srnas}
    assert biotypes >= {"miRNA", "piRNA", "snoRNA", "scaRNA", "snRNA", "tRNA"}


# ---- options


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.integers(1, 40).flatmap(
        lambda samples: st.tuples(st.just(samples), st.integers(1, samples))
    ),
    srnas=st.integers(59, 120),
    contaminants=st.integers(0, 40),
    share=st.floats(0, 1),
    few=st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
def test_any_size_works(
    sizes: tuple[int, int], srnas: int, contaminants: int, share: float, few: int, seed: int
) -> None:
    samples, number_of_datasets = sizes
    atlas = simulate_atlas(
        SimulationOptions(
            samples=samples,
            datasets=number_of_datasets,
            srnas=srnas,
            contaminants=contaminants,
            missing_share={"tissue": share, "age": share},
            cell_line_share=share,
            mislabelled=few,
            failed_libraries=few,
            seed=seed,
        )
    )
    assert len(set(datasets(atlas))) == number_of_datasets
    assert atlas.profiles.counts.shape == (samples, srnas + contaminants)
    data = atlas.profiles.counts.data
    assert (data > 0).all()
    assert np.array_equal(data, np.floor(data))
    assert all("sex" in sample.values for sample in atlas.samples)
    missing = sum("tissue" not in sample.values for sample in atlas.samples)
    assert abs(missing - share * samples) <= 1
    assert len(atlas.mislabelled) <= few


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"samples": 3, "datasets": 4}, "samples >= 4"),
        ({"datasets": 0}, "datasets >= 1"),
        ({"srnas": 58}, "srnas >= 59"),
        ({"contaminants": -1}, "contaminants >= 0"),
        ({"seed": -1}, "seed >= 0"),
        ({"cell_line_share": 1.5}, "cell line share"),
        ({"missing_share": {"sex": float("nan")}}, "sex share"),
        ({"missing_share": {"colour": 0.5}}, "'colour'"),
    ],
)
def test_options_out_of_range_are_refused_by_name(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=re.escape(named)):
        SimulationOptions(**wrong)  # type: ignore[arg-type]
