from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotator.domain.held_out import HeldOutPredictions
from annotator.learn.validation.suspect_labels import (
    LARGEST_SHARE,
    LEAST_SUSPICION,
    label_log_odds,
    suspect_labels,
)

CLASSES = ("brain", "liver", "skin")


def held_out(samples) -> HeldOutPredictions:
    """Samples as (dataset, label, probabilities)."""
    combined = np.array([probabilities for _, _, probabilities in samples], dtype=np.float64)
    count = len(samples)
    return HeldOutPredictions(
        sample_ids=np.array([f"s{number:03d}" for number in range(count)], dtype=object),
        dataset_ids=np.array([dataset for dataset, _, _ in samples], dtype=object),
        truth=np.array([label for _, label, _ in samples], dtype=object),
        folds=np.zeros(count, dtype=np.int64),
        classes=CLASSES,
        probabilities={"linear": combined, "forest": combined[:, ::-1], "combined": combined},
    )


def sure(class_name, probability=0.9):
    rest = (1 - probability) / (len(CLASSES) - 1)
    return [probability if name == class_name else rest for name in CLASSES]


def honest(datasets=6, size=10):
    """Every dataset holds one class and is predicted as labelled."""
    return [
        (f"d{number}", CLASSES[number % 3], sure(CLASSES[number % 3]))
        for number in range(datasets)
        for _ in range(size)
    ]


def odds_of(samples, row) -> float:
    return float(label_log_odds(held_out(samples))[row])


def test_a_label_that_stands_alone_comes_first() -> None:
    samples = honest()
    samples[3] = ("d0", "skin", sure("brain"))
    found = suspect_labels(held_out(samples))
    assert (found[0].sample_id, found[0].label, found[0].predicted, found[0].rank) == (
        "s003",
        "skin",
        "brain",
        1,
    )
    assert found[0].suspicion > 0.5


def test_honest_labels_give_no_list() -> None:
    assert suspect_labels(held_out(honest())) == ()


def test_a_group_that_models_mistake_is_less_suspicious_than_a_lone_label() -> None:
    """The same contradiction: of a whole dataset, and of one sample among others."""
    whole = [("whole", "skin", sure("brain"))] * 10
    lone = [("lone", "skin", sure("brain"))] + [("lone", "skin", sure("skin"))] * 9
    samples = honest() + whole + lone
    odds = label_log_odds(held_out(samples))
    assert odds[70] > odds[60:70].max() + 1


def test_the_dataset_speaks_for_the_predicted_class() -> None:
    """Where other samples of the dataset are of the predicted class, suspicion is greater."""
    one = ("new", "skin", sure("brain"))
    beside_brain = [one] + [("new", "brain", sure("brain"))] * 9
    beside_liver = [one] + [("new", "liver", sure("liver"))] * 9
    assert odds_of(honest() + beside_brain, 60) > odds_of(honest() + beside_liver, 60) + 1


def test_other_datasets_tell_what_a_class_is_taken_for() -> None:
    """Skin that is taken for brain in many datasets is no news in another."""
    usual = [(f"m{number}", "skin", sure("brain")) for number in range(12)]
    other = [(f"m{number}", "skin", sure("skin")) for number in range(12)]
    new = [("new", "skin", sure("brain"))]
    assert odds_of(honest() + usual + new, 72) < odds_of(honest() + other + new, 72) - 0.5


def test_a_surer_contradiction_is_more_suspicious() -> None:
    suspicions = [
        odds_of([*honest(), ("d0", "skin", sure("brain", probability))], 60)
        for probability in (0.4, 0.6, 0.8, 0.95)
    ]
    assert suspicions == sorted(suspicions)
    assert suspicions[-1] > suspicions[0] + 1


def test_a_sample_does_not_vouch_for_its_own_label() -> None:
    """Bayes' rule by hand for a dataset of one sample: others decide, not its own label."""
    samples = [*honest(), ("alone", "skin", sure("brain"))]
    found = odds_of(samples, 60)
    said = np.array(sure("brain"))
    probabilities = np.array([each for _, _, each in samples])
    usual = probabilities.mean(axis=0)
    prior = 0.6 * np.eye(3) + 0.4 * usual
    likelihood, overall = np.empty(3), np.empty(3)
    for column, name in enumerate(CLASSES):
        # Two datasets of ten samples; each weighs the square root of ten.
        weight = 2 * np.sqrt(10)
        confusion = (weight * np.array(sure(name)) + 2 * prior[column]) / (weight + 2)
        likelihood[column] = confusion @ (said / usual)
        overall[column] = 20 + 1
    posterior = likelihood * overall
    expected = np.log(posterior[:2].sum() / 2 * 0.03) - np.log(posterior[2] * 0.97)
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_evidence_counts_the_other_samples() -> None:
    samples = honest()
    samples[3] = ("d0", "skin", sure("brain", 0.8))
    samples[4] = ("d0", "skin", sure("skin"))
    samples[5] = ("d0", "brain", sure("liver"))
    first = suspect_labels(held_out(samples))[0]
    assert first.sample_id == "s003"
    evidence = dict(first.evidence)
    assert evidence.pop("summary") == (
        "brain has probability 0.80, skin 0.10; 1 of 2 model kinds contradict; 1 of 1 other"
        " samples of the dataset labelled skin are predicted as labelled; 7 of 8 labelled brain are"
    )
    assert evidence == {
        "label_probability": pytest.approx(0.1),
        "predicted_probability": 0.8,
        "model_kinds": 2,
        "model_kinds_against": 1,
        "labelled_same": 1,
        "labelled_same_confirmed": 1,
        "labelled_as_predicted": 8,
        "labelled_as_predicted_confirmed": 7,
    }


def test_a_label_alone_in_its_dataset_is_said_to_be() -> None:
    samples = honest()
    samples[3] = ("d0", "skin", sure("brain"))
    evidence = suspect_labels(held_out(samples))[0].evidence
    assert "no other sample of the dataset is labelled skin" in evidence["summary"]
    assert evidence["labelled_same"] == evidence["labelled_same_confirmed"] == 0


def test_evidence_is_json() -> None:
    samples = honest()
    samples[3] = ("d0", "skin", sure("brain"))
    first = suspect_labels(held_out(samples))[0]
    assert json.loads(json.dumps(dict(first.evidence))) == first.evidence


def test_combined_probabilities_are_needed() -> None:
    predictions = held_out(honest())
    only = {"linear": predictions.probabilities["linear"]}
    with pytest.raises(ValueError, match="combined"):
        suspect_labels(replace(predictions, probabilities=only))


def test_no_samples_give_no_list() -> None:
    empty = held_out([("d", "skin", sure("skin"))])
    nothing = np.empty(0, dtype=object)
    predictions = HeldOutPredictions(
        nothing, nothing, nothing, np.empty(0, np.int64), CLASSES, {"combined": np.empty((0, 3))}
    )
    assert suspect_labels(predictions) == ()
    assert suspect_labels(empty) == ()


def test_swapped_labels_are_found_among_honest_errors() -> None:
    """Two of twelve datasets are mistaken as a whole; the margin alone would list those."""
    random = np.random.default_rng(0)
    samples, swapped = [], set()
    for number in range(12):
        true = CLASSES[number % 3]
        taken = CLASSES[(number + 1) % 3] if number >= 10 else true
        for _ in range(25):
            if random.random() < 0.03:
                swapped.add(f"s{len(samples):03d}")
                label = random.choice([name for name in CLASSES if name != true])
            else:
                label = true
            samples.append((f"d{number:02d}", str(label), sure(taken, random.uniform(0.5, 0.95))))
    found = suspect_labels(held_out(samples))
    first = {each.sample_id for each in found[: len(samples) // 20]}
    assert len(swapped) >= 5
    assert len(first & swapped) >= 0.8 * len(swapped)


rows = st.lists(
    st.tuples(
        st.sampled_from(["d0", "d1", "d2"]),
        st.sampled_from(CLASSES),
        st.tuples(*[st.floats(0, 1)] * 3)
        .filter(lambda row: sum(row) > 0.01)
        .map(lambda row: [each / sum(row) for each in row]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_whatever_comes_is_ranked_whatever_its_order(samples, random) -> None:
    predictions = held_out(samples)
    odds = label_log_odds(predictions)
    assert np.isfinite(odds).all()
    found = suspect_labels(predictions)
    assert [each.rank for each in found] == list(range(1, len(found) + 1))
    assert len(found) <= np.ceil(LARGEST_SHARE * len(samples))
    suspicions = [each.suspicion for each in found]
    assert suspicions == sorted(suspicions, reverse=True)
    assert all(LEAST_SUSPICION <= each <= 1 for each in suspicions)
    assert all(each.label != each.predicted for each in found)
    order = list(range(len(samples)))
    random.shuffle(order)
    again = label_log_odds(held_out([samples[row] for row in order]))
    np.testing.assert_allclose(again, odds[order], rtol=1e-8, atol=1e-8)
