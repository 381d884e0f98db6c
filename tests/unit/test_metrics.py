from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from annotator.domain.held_out import HeldOutPredictions
from annotator.learn.validation.metrics import area_under_roc, log_loss, metrics_of


def _held_out(truth, said, datasets, classes=("a", "b", "c"), confidence=0.8):
    probabilities = np.full((len(truth), len(classes)), (1 - confidence) / (len(classes) - 1))
    probabilities[np.arange(len(said)), [classes.index(name) for name in said]] = confidence
    return HeldOutPredictions(
        sample_ids=np.array([f"s{i}" for i in range(len(truth))], dtype=object),
        dataset_ids=np.array(list(datasets), dtype=object),
        truth=np.array(list(truth), dtype=object),
        folds=np.zeros(len(truth), dtype=np.int64),
        classes=classes,
        probabilities={"forest": probabilities},
    )


def _figures(predictions):
    return {(m.model_kind, m.name, m.class_name): m for m in metrics_of(predictions)}


def test_figures_by_hand():
    # a: dataset 1 holds 4 (all right), dataset 2 holds 1 (wrong); b: dataset 2 holds 3 (1 right).
    predictions = _held_out("aaaaabbb", "aaaabbaa", "11112222")
    figures = _figures(predictions)
    value = {key[1:]: metric.value for key, metric in figures.items()}
    assert value["accuracy", None] == pytest.approx(5 / 8)
    assert value["balanced_accuracy", None] == pytest.approx((4 / 5 + 1 / 3) / 2)
    assert value["mean_over_datasets", None] == pytest.approx((1 + 1 / 4) / 2)
    assert value["class_accuracy", "a"] == pytest.approx(4 / 5)
    assert value["class_accuracy", "b"] == pytest.approx(1 / 3)
    assert value["class_accuracy_over_datasets", "a"] == pytest.approx((1 + 0) / 2)
    assert value["class_accuracy_over_datasets", "b"] == pytest.approx(1 / 3)
    # Said to be a: four of dataset 1, which are, and two of dataset 2, which are not.
    assert value["class_precision", "a"] == pytest.approx(4 / 6)
    assert value["class_precision", "b"] == pytest.approx(1 / 2)
    assert value["mean_over_classes", None] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert value["expected_calibration_error", None] == pytest.approx(0.8 - 5 / 8)
    of_a = figures["forest", "class_accuracy", "a"]
    assert (of_a.samples, of_a.datasets) == (5, 2)
    said_a = figures["forest", "class_precision", "a"]
    assert (said_a.samples, said_a.datasets) == (6, 2)
    overall = figures["forest", "accuracy", None]
    assert (overall.samples, overall.datasets) == (8, 2)
    for name in ("class_accuracy", "class_accuracy_over_datasets", "class_precision"):
        assert ("forest", name, "c") not in figures
    assert ("forest", "auc", None) not in figures


def test_a_class_that_is_never_true_may_be_predicted():
    figures = _figures(_held_out("ab", "ac", "12"))
    assert figures["forest", "class_precision", "c"].value == 0
    assert ("forest", "class_accuracy", "c") not in figures


def test_rules_under_equal_priors_have_one_balanced_accuracy():
    """They are not divided by the shares of classes again; a model is."""
    predictions = _held_out("aaaab", "aaabb", "12345", classes=("a", "b"), confidence=0.7)
    predictions = replace(predictions, folds=np.array([0, 1, 0, 1, 0]))
    (probabilities,) = predictions.probabilities.values()
    found = {
        kind: {m.name: m.value for m in metrics_of(replace(predictions, probabilities={kind: p}))}
        for kind, p in (("known_fields", probabilities), ("forest", probabilities))
    }
    names = ("balanced_accuracy", "balanced_accuracy_at_equal_priors")
    known, forest = ([found[kind][name] for name in names] for kind in ("known_fields", "forest"))
    assert known[0] == known[1] == forest[0]
    assert forest[0] != forest[1]


def test_two_classes_have_an_auc_only_where_both_occur():
    assert ("forest", "auc", None) in _figures(_held_out("ab", "ab", "12", ("a", "b")))
    assert ("forest", "auc", None) not in _figures(_held_out("aa", "ab", "12", ("a", "b")))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auc_agrees_with_scikit_learn(pairs):
    scores = np.array([score / 5 for score, _ in pairs])
    positive = np.array([flag for _, flag in pairs])
    if positive.all() or not positive.any():
        assert np.isnan(area_under_roc(scores, positive))
    else:
        assert area_under_roc(scores, positive) == pytest.approx(
            reference.roc_auc_score(positive, scores)
        )


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_accuracies_and_log_loss_agree_with_scikit_learn(seed, n_classes):
    generator = np.random.default_rng(seed)
    classes = tuple("abcde"[:n_classes])
    truth = generator.integers(0, n_classes, 30)
    probabilities = generator.dirichlet(np.ones(n_classes), 30)
    predictions = HeldOutPredictions(
        sample_ids=np.arange(30).astype(str).astype(object),
        dataset_ids=generator.choice(np.array(["1", "2"], dtype=object), 30),
        truth=np.array(classes, dtype=object)[truth],
        folds=np.zeros(30, dtype=np.int64),
        classes=classes,
        probabilities={"combined": probabilities},
    )
    value = {(m.name, m.class_name): m.value for m in metrics_of(predictions)}
    said = probabilities.argmax(axis=1)
    assert value["accuracy", None] == pytest.approx(reference.accuracy_score(truth, said))
    recalls = [np.mean(said[truth == name] == name) for name in set(truth)]
    columns = {"average": None, "zero_division": np.nan, "labels": range(n_classes)}
    for name, expected in (
        ("class_accuracy", reference.recall_score(truth, said, **columns)),
        ("class_precision", reference.precision_score(truth, said, **columns)),
    ):
        for letter, number in zip(classes, expected, strict=True):
            assert value.get((name, letter), np.nan) == pytest.approx(number, nan_ok=True)
    assert value["balanced_accuracy", None] == pytest.approx(np.mean(recalls))
    assert value["log_loss", None] == pytest.approx(
        reference.log_loss(truth, probabilities, labels=range(n_classes))
    )


def test_log_loss_of_a_certain_mistake_is_finite():
    assert np.isfinite(log_loss(np.array([[1.0, 0.0]]), np.array([1])))


def test_samples_are_selected_in_every_array():
    chosen = _held_out("abc", "abc", "123").take(np.array([2, 0]))
    assert chosen.sample_ids.tolist() == ["s2", "s0"]
    assert chosen.truth.tolist() == ["c", "a"]
    assert chosen.dataset_ids.tolist() == ["3", "1"]
    assert chosen.probabilities["forest"].argmax(axis=1).tolist() == [2, 0]
