"""How the benchmark of random divisions divides and counts; it is itself run on real data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from benchmarks.accuracy import divisions

CLASSES = ("blood", "brain")


def names(numbers) -> np.ndarray:
    return np.array([f"D{each}" for each in numbers], dtype=object)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(0, 5), st.randoms())
def test_thirds_are_a_partition_whatever_the_order_of_samples(numbers, repeat, random) -> None:
    datasets = names(numbers)
    third = divisions.third_of(datasets, repeat)
    assert set(third) <= {0, 1, 2}
    of_dataset = {name: set(third[datasets == name]) for name in datasets}
    assert all(len(each) == 1 for each in of_dataset.values())  # tested once in a repeat
    sizes = np.bincount([each.pop() for each in of_dataset.values()], minlength=3)
    assert sizes.max() - sizes.min() <= 1
    order = list(range(len(datasets)))
    random.shuffle(order)
    assert (divisions.third_of(datasets[order], repeat) == third[order]).all()
    assert (divisions.third_of(datasets, repeat) == third).all()


def test_repeats_divide_in_other_ways() -> None:
    datasets = names(range(30))
    first, second = (divisions.third_of(datasets, repeat) for repeat in (0, 1))
    assert (first != second).any()
    assert sorted(first) == sorted(second)


def scored(datasets, metrics=None, **correct) -> divisions.Scored:
    """Return the result of a division whose models are right where they are said to be."""
    right = {model: np.array(each, dtype=bool) for model, each in correct.items()}
    return divisions.Scored(
        correct=right,
        metrics={
            model: metrics[model] if metrics else {"accuracy": float(each.mean())}
            for model, each in right.items()
        },
        confidence=np.full(len(datasets), 0.8),
        dataset_ids=names(datasets),
        truth=np.zeros(len(datasets), dtype=np.int64),
        answers={},
    )


def test_gains_are_means_over_datasets_each_counting_once() -> None:
    parts = [
        # D1 gains 1, of D2 one of three, D3 loses.
        scored([1, 2, 2, 2], ours=[1, 1, 1, 0], other=[0, 0, 1, 0]),
        scored([3, 3], ours=[0, 1], other=[1, 1]),
        # D1 again, without a gain: it counts with one half.
        scored([1, 1], ours=[1, 0], other=[0, 1]),
    ]
    mean, low, high = divisions.gain_over_datasets(parts, "ours", "other")
    gains = np.array([0.5, 1 / 3, -0.5])
    half = student.ppf(0.975, 2) * gains.std(ddof=1) / np.sqrt(3)
    assert mean == pytest.approx(gains.mean())
    assert (low, high) == (pytest.approx(mean - half), pytest.approx(mean + half))
    backwards = divisions.gain_over_datasets(parts, "other", "ours")
    assert backwards == (pytest.approx(-mean), pytest.approx(-high), pytest.approx(-low))


def test_wins_count_the_divisions_in_which_one_is_ahead_of_the_other() -> None:
    parts = [
        scored([1, 2], a=[1, 1], b=[1, 0], c=[1, 1]),
        scored([1, 2], a=[1, 1], b=[0, 0], c=[0, 0]),
        scored([1, 2], a=[0, 0], b=[1, 0], c=[0, 0]),
    ]
    assert divisions.wins(parts, "accuracy") == [
        ["a", "", "2", "1"],
        ["b", "1", "", "1"],
        ["c", "0", "1", ""],
    ]


def test_the_calibration_error_is_that_of_all_test_samples_together() -> None:
    # Each division by itself is off by 0.3 and 0.2, on different sides.
    parts = [scored([1, 2], combined=[0, 1]), scored([1, 2], combined=[1, 1])]
    assert divisions.pooled_calibration_error(parts) == pytest.approx(abs(3 / 4 - 0.8))


def stored(target, seed=0, datasets=24, size=6, skill=3.0) -> dict[str, np.ndarray]:
    """Write what is kept of a division: kinds that know something, and a model that does not."""
    random = np.random.default_rng(seed)

    def part(count):
        truth = random.integers(0, 2, count * size)

        def probabilities(strength):
            margin = strength * (truth - 0.5) + random.normal(size=len(truth))
            second = 1 / (1 + np.exp(-margin))
            return np.column_stack([1 - second, second])

        return truth, np.repeat(np.arange(count), size), probabilities

    truth, dataset, predicted = part(datasets)
    test_truth, test_dataset, test_predicted = part(9)
    arrays = {
        "classes": np.array(CLASSES),
        "kinds": np.array(["forest", "network"]),
        "others": np.array(["plain"]),
        "test_truth": np.array(CLASSES)[test_truth],
        "test_datasets": names(test_dataset + 100).astype(str),
        "test_novelty": np.zeros(len(test_truth)),
        "test forest": test_predicted(skill),
        "test network": test_predicted(skill),
        "test plain": test_predicted(0.0),
        "inner_truth": np.array(CLASSES)[truth],
        "inner_datasets": names(dataset).astype(str),
        "inner_folds": dataset % 5,
        "inner_novelty": np.zeros(len(truth)),
        "inner forest": predicted(skill),
        "inner network": predicted(skill),
    }
    divisions._store(target, arrays)
    return arrays


def test_a_division_is_scored_on_its_test_part_alone(tmp_path) -> None:
    file = tmp_path / "divisions" / "a.0.npz"
    arrays = stored(file)
    assert list(file.parent.iterdir()) == [file]
    lineages = {name: (name,) for name in CLASSES}
    found = divisions.score_division(file, lineages)
    assert set(found.metrics) == {"combined", "forest", "network", "plain"}
    assert len(found.truth) == 54
    truth = (arrays["test_truth"] == "brain").astype(int)
    assert found.truth.tolist() == truth.tolist()
    # Calibrating one kind changes none of its answers.
    for name in ("plain", "network", "forest"):
        right = arrays[f"test {name}"].argmax(axis=1) == truth
        if name == "plain":
            assert found.correct[name].tolist() == right.tolist()
        assert found.metrics[name]["accuracy"] == pytest.approx(right.mean(), abs=0.05)
    assert found.metrics["combined"]["AUC"] > found.metrics["plain"]["AUC"] + 0.2
    assert 0 <= found.answers["answered"] <= 1
    assert found.answers["largest share"] <= 1
    turned = dict(arrays) | {"test_truth": np.array(CLASSES)[1 - truth]}
    divisions._store(file, turned)
    again = divisions.score_division(file, lineages)
    np.testing.assert_array_equal(again.confidence, found.confidence)
    assert again.answers["threshold"] == found.answers["threshold"]


def test_a_report_names_every_model_and_what_the_threshold_does(tmp_path) -> None:
    lineages = {name: (name,) for name in CLASSES}
    parts = []
    for seed in (0, 1, 2):
        stored(tmp_path / f"{seed}.npz", seed)
        parts.append(divisions.score_division(tmp_path / f"{seed}.npz", lineages))
    text = divisions.report("cellular-group", parts)
    assert "means over 3 divisions" in text
    for model in ("combined", "forest", "network", "plain"):
        assert model in text
    assert "nan" not in text
