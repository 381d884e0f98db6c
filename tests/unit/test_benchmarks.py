"""What the benchmark computes and writes; the benchmark itself runs on real data."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from annotator.domain.held_out import HeldOutPredictions
from annotator.learn.selective.policy import SelectiveOptions
from annotator.learn.validation.cross_calibration import Part
from annotator.learn.validation.metrics import (
    is_correct_at_equal_priors,
    metrics_of,
)
from annotator.learn.validation.selective_metrics import cross_fitted
from benchmarks.accuracy import bootstrap, partitions, real_data, report, runs

CLASSES = ("blood", "brain", "skin")


def held_out(classes=CLASSES, models=("combined",), datasets=9, size=11, seed=1, skill=1.5):
    """Datasets of unequal difficulty; ties among the probabilities."""
    random = np.random.default_rng(seed)
    samples = datasets * size
    truth = random.integers(0, len(classes), samples)
    probabilities = {}
    for place, model in enumerate(models):
        score = random.normal(size=(samples, len(classes)))
        score[np.arange(samples), truth] += skill + place
        shares = np.round(np.exp(score) / np.exp(score).sum(axis=1, keepdims=True), 1)
        shares[:, 0] += 1 - shares.sum(axis=1)
        probabilities[model] = shares
    return bootstrap.HeldOut(
        sample_ids=np.array([f"s{i:03}" for i in range(samples)], dtype=object),
        dataset_ids=np.array([f"d{i % datasets}" for i in range(samples)], dtype=object),
        truth=truth,
        folds=np.arange(samples) % datasets % 3,
        classes=classes,
        probabilities=probabilities,
    )


def by_metrics(given, rows):
    """The figures as the program itself computes them."""
    names = np.array(given.classes, dtype=object)
    predictions = HeldOutPredictions(
        sample_ids=given.sample_ids[rows],
        dataset_ids=given.dataset_ids[rows],
        truth=names[given.truth[rows]],
        folds=given.folds[rows],
        classes=given.classes,
        probabilities={model: p[rows] for model, p in given.probabilities.items()},
    )
    return {m.name: m.value for m in metrics_of(predictions) if m.class_name is None}


def at_equal_priors(given, rows):
    """Balanced accuracy where the class of each sample is the one that all samples give it."""
    everything = HeldOutPredictions(
        sample_ids=given.sample_ids,
        dataset_ids=given.dataset_ids,
        truth=np.array(given.classes, dtype=object)[given.truth],
        folds=given.folds,
        classes=given.classes,
        probabilities=given.probabilities,
    )
    right = is_correct_at_equal_priors(everything, "combined")[rows]
    truth = given.truth[rows]
    return np.mean([right[truth == each].mean() for each in np.unique(truth)])


@pytest.mark.parametrize("classes", [CLASSES, ("female", "male")])
def test_the_first_row_is_what_the_program_says(classes):
    given = held_out(classes)
    found = bootstrap.replicated(given, "combined", bootstrap.draws(9, replicates=3))
    expected = by_metrics(given, np.arange(len(given.truth)))
    assert ("auc" in found) == (len(classes) == 2)
    for name, values in found.items():
        assert values[0] == pytest.approx(expected[name], abs=1e-12), name


@pytest.mark.parametrize("classes", [CLASSES, ("female", "male")])
def test_a_weight_is_as_many_copies_of_a_dataset(classes, monkeypatch):
    monkeypatch.setattr(bootstrap, "CHUNK", 150)  # more than one chunk
    given = held_out(classes)
    weights = bootstrap.draws(9, replicates=4, seed=7)
    found = bootstrap.replicated(given, "combined", weights)
    names = sorted(set(given.dataset_ids))
    for replicate in range(1, 5):
        rows, copies = [], []
        for name, times in zip(names, weights[replicate].astype(int), strict=True):
            for copy in range(times):
                of_dataset = np.flatnonzero(given.dataset_ids == name)
                rows.append(of_dataset)
                copies += [f"{name}.{copy}"] * len(of_dataset)
        drawn = runs.take(given, np.concatenate(rows))
        drawn = bootstrap.HeldOut(
            drawn.sample_ids,
            np.array(copies, dtype=object),
            drawn.truth,
            drawn.folds,
            drawn.classes,
            drawn.probabilities,
        )
        expected = by_metrics(drawn, np.arange(len(copies)))
        # Replicates keep the class shares of the data as they are.
        expected["balanced_accuracy_at_equal_priors"] = at_equal_priors(given, np.concatenate(rows))
        for name, values in found.items():
            assert values[replicate] == pytest.approx(expected[name], abs=1e-12), name


def test_baselines_have_the_balanced_accuracies_of_the_program():
    given = held_out(("female", "male"), models=("combined", "baseline known_fields"))
    weights = bootstrap.draws(9, replicates=1)
    found = bootstrap.replicated(given, "baseline known_fields", weights)
    assert found["balanced_accuracy_at_equal_priors"][0] == found["balanced_accuracy"][0]


def test_the_two_balanced_accuracies_have_titles_of_their_own():
    titles = [report.TITLES[name] for name in report.TITLES if name.startswith("balanced")]
    assert titles == ["balanced accuracy", "balanced accuracy at equal priors"]


def test_intervals_are_those_of_datasets_not_of_samples():
    """Samples of one dataset that are all right or all wrong say as much as one sample."""
    random = np.random.default_rng(3)
    right = np.repeat(random.random(30) < 0.7, 40)
    given = bootstrap.HeldOut(
        sample_ids=np.array([f"s{i}" for i in range(1200)], dtype=object),
        dataset_ids=np.repeat([f"d{i:02}" for i in range(30)], 40).astype(object),
        truth=np.where(right, 0, 1),
        folds=np.repeat(np.arange(30) % 3, 40),
        classes=("a", "b"),
        probabilities={"combined": np.tile([0.9, 0.1], (1200, 1))},
    )
    found = bootstrap.replicated(given, "combined", bootstrap.draws(30, seed=1))["accuracy"]
    share = right.mean()
    assert np.std(found[1:]) == pytest.approx(math.sqrt(share * (1 - share) / 30), rel=0.15)
    interval = bootstrap.estimate(found)
    assert interval.value == pytest.approx(share)
    assert interval.low < share < interval.high


def test_draws_are_reproducible_and_an_empty_interval_says_so():
    assert np.array_equal(bootstrap.draws(5, 20, seed=2), bootstrap.draws(5, 20, seed=2))
    assert (bootstrap.draws(5, 20).sum(axis=1) == 5).all()
    nothing = bootstrap.estimate(np.array([0.5, np.nan, np.nan]))
    assert nothing.value == 0.5
    assert math.isnan(nothing.low)


def test_shares_are_weighted_by_dataset():
    part, datasets = np.array([1.0, 0.0, 1.0]), np.array(["a", "a", "b"], dtype=object)
    weights = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    assert bootstrap.shares(part, np.ones(3), datasets, weights).tolist() == [2 / 3, 0.5, 1.0]


def some_runs():
    paper = held_out(models=("network", "forest", "combined"), seed=1, skill=0.5)
    ours = held_out(models=("network", "combined", "baseline majority"), seed=2, skill=1.0)
    figures = {"answered": 0.75, "precision": 0.96, "prediction_set_coverage": 0.9}
    paper_run = runs.Run(paper, "9 datasets", {})
    # The same samples in another order.
    ours = bootstrap.HeldOut(
        ours.sample_ids,
        ours.dataset_ids,
        paper.truth,
        paper.folds,
        CLASSES,
        ours.probabilities,
    )
    order = np.random.default_rng(0).permutation(len(ours.truth))
    return {"paper": paper_run, "default": runs.Run(runs.take(ours, order), "9 datasets", figures)}


def test_the_gain_is_paired_and_over_the_better_one():
    two = some_runs()
    gain = runs.differences(two)["paper"]
    figures = {name: runs.metric_estimates(run.held_out) for name, run in two.items()}
    for name in ("accuracy", "mean_over_classes"):
        papers = [figures["paper"][model][name]["value"] for model in ("network", "forest")]
        ours = figures["default"]["combined"][name]["value"]
        assert gain[name]["value"] == pytest.approx(ours - max(papers), abs=2e-5)
        assert gain[name]["low"] <= gain[name]["value"] <= gain[name]["high"]
    error = "expected_calibration_error"
    papers = [figures["paper"][model][error]["value"] for model in ("network", "forest")]
    ours = figures["default"]["combined"][error]["value"]
    assert gain[error]["value"] == pytest.approx(min(papers) - ours, abs=2e-5)
    assert "paper" not in runs.differences({"default": two["default"]})


def test_answers_are_those_that_the_program_measures():
    """Each metric of selective prediction has the program's value, now with an interval."""
    random = np.random.default_rng(5)
    given = held_out(datasets=20, size=15, skill=2.0)
    names = np.array(CLASSES, dtype=object)
    folds = np.array([int(name[1:]) % 5 for name in given.dataset_ids])
    p = given.probabilities["combined"] * 0.97 + 0.01
    predictions = HeldOutPredictions(
        given.sample_ids,
        given.dataset_ids,
        names[given.truth],
        folds,
        CLASSES,
        {"combined": p},
        novelty=random.random(len(folds)),
    )
    lineages = {"blood": ("blood", "inner"), "brain": ("brain", "inner"), "skin": ("skin",)}
    options = SelectiveOptions(target_precision=0.8, set_coverage=0.9, maximum_novelty=0.95)
    parts = tuple(Part(folds == fold, predictions.take(folds != fold)) for fold in range(5))
    measured = {m.name: m.value for m in cross_fitted(predictions, parts, lineages, options)}
    answers = runs.answers_of(predictions, parts, lineages, options)
    found = runs.selective_estimates(runs.Run(given, "", measured, answers))
    assert 0 < measured["answered"] < 1
    assert measured["precision"] < 1
    for name, estimate in found.items():
        assert estimate["value"] == pytest.approx(measured[name], abs=1e-5), name
    for name in ("answered", "precision", "prediction_set_coverage", "prediction_set_size"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"], name


def test_runs_are_kept(tmp_path):
    answers = {"answered": np.ones(99), "right": np.arange(99) % 2.0}
    run = replace(some_runs()["default"], answers=answers)
    runs.save_run(tmp_path / "run.npz", run)
    again = runs.load_run(tmp_path / "run.npz")
    assert again.metrics == run.metrics
    assert again.answers["right"].tolist() == answers["right"].tolist()
    assert again.held_out.classes == CLASSES
    assert again.held_out.sample_ids.tolist() == run.held_out.sample_ids.tolist()
    assert runs.metric_estimates(again.held_out) == runs.metric_estimates(run.held_out)


def test_results_are_made_in_parts(tmp_path):
    """One preset at a time, and after that in one go, gives the same JSON, plot and tables."""
    two = some_runs()
    (tmp_path / "predictions").mkdir()
    for preset in ("paper", "default"):
        results = real_data.Results(tmp_path)  # reads what the run before has written
        assert not results.holds("cellular-group", preset)
        runs.save_run(results.predictions("cellular-group", preset), two[preset])
        results.update("cellular-group", preset, {"seconds": 12.4, "megabytes": 800.0})
        assert real_data.Results(tmp_path).holds("cellular-group", preset)
    content = json.loads((tmp_path / "real_data.json").read_text(), parse_constant=pytest.fail)
    task = content["tasks"]["cellular-group"]
    assert list(task["presets"]) == ["paper", "default"]
    assert list(task["baselines"]) == ["majority"]
    assert set(task["differences"]) == {"paper", "baselines"}
    assert task["presets"]["paper"]["cost"]["seconds"] == 12.4
    assert (task["samples"], task["datasets"]) == (99, 9)
    assert {"versions", "cores", "commit"} <= set(content["made_with"])
    # A JSON without its predictions keeps the figures, of which no difference can be taken.
    results.predictions("cellular-group", "paper").unlink()
    results = real_data.Results(tmp_path)
    results.update("cellular-group", "default", {"seconds": 1.0})
    left = results.content["tasks"]["cellular-group"]
    assert left["presets"]["paper"]["figures"] == task["presets"]["paper"]["figures"]
    assert set(left["differences"]) == {"baselines"}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    (folder / "predictions").mkdir()
    results = real_data.Results(folder)
    for preset, run in some_runs().items():
        runs.save_run(results.predictions("tcga-tissue", preset), run)
        results.update("tcga-tissue", preset, {"seconds": 61.2, "retrain_seconds": 70.0})
    return folder, results.content


def test_tables_and_plot(content):
    folder, results = content
    task = results["tasks"]["tcga-tissue"]
    heads, rows = report.side_by_side(results)
    assert [row[1] for row in rows] == ["mean over classes", "accuracy"]
    value = task["presets"]["default"]["figures"]["combined"]["accuracy"]["value"]
    assert rows[1][heads.index("`default`")].startswith(f"{value:.3f} [")
    assert rows[1][heads.index("best baseline")].endswith("(majority)")
    gain = rows[1][heads.index("gain over the better of the paper's")]
    assert gain[0] in "+-"
    heads, rows = report.every_metric(results)
    assert "AUC" in heads
    assert {(row[1], row[2]) for row in rows} == {
        *(("paper", model) for model in ("network", "forest", "combined")),
        *(("default", model) for model in ("network", "combined")),
        ("baselines", "majority"),
    }
    heads, rows = report.selective_table(results)
    assert dict(zip(heads, rows[0], strict=True))["precision"] == "0.960"
    assert "set size" not in heads
    assert report.cost_table(results)[1][0] == ["TCGA, tissue", "paper", "61", "70"]
    drawing = (folder / "real_data.svg").read_bytes()
    assert b"TCGA, tissue: mean over classes" in drawing
    report.plot(results, folder / "again.svg")
    assert (folder / "again.svg").read_bytes() == drawing


def test_a_document_is_filled_between_its_markers(content, tmp_path):
    folder, results = content
    document = tmp_path / "accuracy.md"
    document.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for _ in range(2):  # filling again changes nothing
        real_data.write_document(real_data.Results(folder), document)
        text = document.read_text()
        assert text.startswith(f"before\n{report.BEGIN}\n| data")
        assert text.endswith(f"\n{report.END}\nafter\n")
        assert "old" not in text
        assert text == report.fill_document(text, results)
    for wrong in ("", report.BEGIN, f"{report.END}{report.BEGIN}", report.END + report.END):
        with pytest.raises(ValueError, match="once each"):
            report.fill_document(wrong, results)
    with pytest.raises(SystemExit, match="run the benchmark first"):
        real_data.write_document(real_data.Results(tmp_path), document)


def test_names_on_the_command_line():
    assert real_data.chosen(["a", "b", "c"], "c, a") == ["a", "c"]
    for wrong in ("", "a,d"):
        with pytest.raises(real_data.argparse.ArgumentTypeError):
            real_data.chosen(["a", "b"], wrong)


def test_partitions_are_made_in_parts(tmp_path, monkeypatch, capsys):
    """Only what is missing is run, each with its own seed and folds; the table has all."""
    two, made = some_runs(), []

    def evaluate(key, preset, home, target, *, folds, workers, seed):
        made.append((preset, folds, seed))
        target.parent.mkdir(parents=True, exist_ok=True)
        runs.save_run(target, two[preset])
        return 1.0, 1.0

    monkeypatch.setattr(partitions, "evaluate_apart", evaluate)
    monkeypatch.setattr(partitions, "import_atlas", lambda folder, home: None)
    (tmp_path / "cellular_micrornaome").mkdir()
    arguments = ["partitions.py", "--data", str(tmp_path), "--out", str(tmp_path), "--seeds", "1,2"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--presets", "paper"])
    partitions.main()
    assert made == [("paper", 10, 1), ("paper", 10, 2), ("paper", 0, runs.SEED)]
    made.clear()
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", arguments)
    partitions.main()
    assert made == [("default", 10, 1), ("default", 10, 2), ("default", 0, runs.SEED)]
    printed = capsys.readouterr().out
    content = json.loads(
        (tmp_path / "partitions.cellular-group.json").read_text(), parse_constant=pytest.fail
    )
    titles = [result["title"] for result in content["partitions"]]
    assert titles == ["10 folds, seed 1", "10 folds, seed 2", "each dataset by itself"]
    gain = runs.differences(two)["paper"]["accuracy"]
    assert [result["gain"]["accuracy"] for result in content["partitions"]] == [gain] * 3
    assert printed.count(report.shown(gain, signed=True)) == 3
    made.clear()
    monkeypatch.setattr(sys, "argv", [*arguments[:-1], "3", "--show", "--out", str(tmp_path / "a")])
    with pytest.raises(SystemExit, match="leave out --show"):
        partitions.main()
    assert made == []


def test_an_evaluation_apart_is_the_one_that_was_asked_for(tmp_path, monkeypatch):
    """The started process evaluates what the starting one passed on."""
    started, evaluated = [], []
    monkeypatch.setattr(real_data, "timed", lambda *call: started.append(call) or (1.0, 2.0))
    monkeypatch.setattr(real_data, "evaluate_one", lambda *call: evaluated.append(call))
    home, target = tmp_path / "home", tmp_path / "new" / "run.npz"
    cost = real_data.evaluate_apart(
        "cellular-group", "paper", home, target, folds=0, workers=2, seed=7
    )
    assert cost == (1.0, 2.0)
    assert target.parent.is_dir()
    ((arguments, _),) = started
    assert arguments[:2] == ["-m", "benchmarks.accuracy.real_data"]
    monkeypatch.setattr(sys, "argv", arguments[1:])
    real_data.main()
    assert evaluated == [("cellular-group", "paper", home, 0, 2, 7, target)]


def test_a_run_that_is_cut_off_leaves_none(tmp_path, monkeypatch):
    def cut_off(path, **arrays):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.np, "savez_compressed", cut_off)
    with pytest.raises(KeyboardInterrupt):
        runs.save_run(tmp_path / "run.npz", some_runs()["paper"])
    assert not (tmp_path / "run.npz").exists()
