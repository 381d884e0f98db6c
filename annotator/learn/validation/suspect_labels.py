"""Suspect labels: existing labels that are probably wrong.

Models fitted without a dataset contradict many correct labels too, but those errors
come in groups: for all samples of the dataset with one label, the models predict the
same other class. A mixed-up label is an isolated case. So a label is compared with
every other class by Bayes' rule, using three pieces of evidence:

1. the frequency of each class among the *other* samples in the dataset, shrunk
   towards its frequency in all datasets;
2. the fit of the sample's probabilities to those of the samples of each class: the
   *other* samples in the dataset, shrunk towards samples of that class in *other*
   datasets. This is the soft confusion matrix of confident learning (Northcutt et
   al. 2021, "Confident learning: estimating uncertainty in dataset labels"), with
   datasets as a level of its own;
3. the prior knowledge that few labels are wrong.

A sample is never evidence for its own label. The method has two limits: a dataset
whose labels are all wrong in the same way looks like an error of the models; and
fewer labels are found that were exchanged within a dataset of several classes, where
the other labels provide little evidence (``benchmarks/accuracy/wrong_labels.py``
measures both). Expression profiles are not used: the evidence consists of predictions
by models fitted without the dataset, and of the distribution of its labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, logsumexp

from annotator.domain.held_out import COMBINED, LabelSuspicion
from annotator.domain.profiles import rows_by

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain.held_out import HeldOutPredictions


WRONG_SHARE = 0.03
"""Prior share of wrong labels; the ranks do not depend on it."""

LARGEST_SHARE = 0.10
"""Largest share of the held-out samples that is listed."""

LEAST_SUSPICION = 0.01
"""Smallest suspicion that is listed."""

# Weight of the evidence from other datasets, in samples of the dataset itself.
_COMPOSITION_SAMPLES = 3.0
_CONFUSION_SAMPLES = 3.0
# Weight of the prior that the models mostly predict a class correctly.
_CLASS_WEIGHT = 2.0
_CORRECT_SHARE = 0.6
_FLOOR = 1e-3  # No single probability is proof.


@dataclass(frozen=True, eq=False)
class _Evidence:
    """The held-out samples as arrays: probabilities, columns of the labels, datasets."""

    probabilities: NDArray[np.float64]
    label: NDArray[np.int64]
    datasets: tuple[NDArray[np.int64], ...]
    """The rows of each dataset."""


def suspect_labels(held_out: HeldOutPredictions) -> tuple[LabelSuspicion, ...]:
    """List the labels that are probably wrong, most suspicious first.

    Parameters
    ----------
    held_out
        Predictions with whole datasets held out, calibrated, with a
        ``"combined"`` entry.

    Returns
    -------
    tuple of LabelSuspicion
        The samples whose best guess differs from the label, ranked from 1 on: at
        most :data:`LARGEST_SHARE` of all held-out samples, none with less suspicion
        than :data:`LEAST_SUSPICION`. ``suspicion`` is the probability that the label
        is wrong if :data:`WRONG_SHARE` of all labels are; a cautious value, intended
        for ranking. ``evidence`` is plain data for JSON, see :func:`_evidence_of`.

    Raises
    ------
    ValueError
        There is no combined probability.
    """
    if COMBINED not in held_out.probabilities:
        raise ValueError(f"suspicions need the {COMBINED!r} probabilities of held-out samples")
    samples = len(held_out.truth)
    if samples == 0 or len(held_out.classes) < 2:
        return ()
    log_odds = label_log_odds(held_out)
    label = held_out.truth_index
    best = held_out.probabilities[COMBINED].argmax(axis=1)
    order = np.lexsort((held_out.sample_ids.astype(str), -log_odds))
    suspicion = expit(log_odds)
    listed = [
        int(row) for row in order if best[row] != label[row] and suspicion[row] >= LEAST_SUSPICION
    ][: math.ceil(LARGEST_SHARE * samples)]
    standing = _Standing(held_out, label)
    return tuple(
        LabelSuspicion(
            sample_id=str(held_out.sample_ids[row]),
            label=str(held_out.truth[row]),
            predicted=held_out.classes[best[row]],
            suspicion=float(suspicion[row]),
            rank=rank,
            evidence=_evidence_of(held_out, standing, row),
        )
        for rank, row in enumerate(listed, start=1)
    )


def label_log_odds(held_out: HeldOutPredictions) -> NDArray[np.float64]:
    """Compare every label with all other classes.

    Parameters
    ----------
    held_out
        As for :func:`suspect_labels`, with at least two classes.

    Returns
    -------
    NDArray[float64]
        Shape ``(samples,)``: the logarithm of P(label wrong) / P(label right).
    """
    label = held_out.truth_index
    floored = np.maximum(held_out.probabilities[COMBINED], _FLOOR)
    evidence = _Evidence(
        floored / floored.sum(axis=1, keepdims=True),
        label,
        tuple(rows_by(held_out.dataset_ids).values()),
    )
    posterior = _class_logarithms(evidence)
    classes = len(held_out.classes)
    rows = np.arange(len(label))
    right = posterior[rows, label] + math.log1p(-WRONG_SHARE)
    posterior[rows, label] = -np.inf
    wrong = logsumexp(posterior, axis=1) + math.log(WRONG_SHARE / (classes - 1))
    return np.asarray(wrong - right, dtype=np.float64)


def _class_logarithms(evidence: _Evidence) -> NDArray[np.float64]:
    """Return log(P(class in the dataset) · P(probabilities | class, dataset)), up to a constant.

    A sample's own label is not used.
    """
    samples, classes = evidence.probabilities.shape
    usual = evidence.probabilities.mean(axis=0)
    overall = np.bincount(evidence.label, minlength=classes) + 1.0  # no class is impossible
    elsewhere = _Elsewhere.of(evidence, usual)
    result = np.empty((samples, classes))
    for rows in evidence.datasets:
        own, predicted = evidence.label[rows], evidence.probabilities[rows]
        here = np.arange(len(rows))
        counts, sums = _label_sums(own, predicted)
        confusion = elsewhere.without(counts, sums)
        # P(probabilities | class), and again for the own label without the sample itself.
        ratio = predicted / usual
        fitted = (sums + _CONFUSION_SAMPLES * confusion) / (counts + _CONFUSION_SAMPLES)[:, None]
        likelihood = ratio @ fitted.T
        others = sums[own] - predicted + _CONFUSION_SAMPLES * confusion[own]
        others /= (counts[own] - 1 + _CONFUSION_SAMPLES)[:, None]
        likelihood[here, own] = (ratio * others).sum(axis=1)
        weight = _COMPOSITION_SAMPLES / overall.sum()
        composition = np.tile(counts + weight * overall, (len(rows), 1))
        composition[here, own] -= 1 + weight
        result[rows] = np.log(composition) + np.log(likelihood)
    return result


@dataclass(frozen=True, eq=False)
class _Elsewhere:
    """The soft confusion matrix of all datasets, before normalisation.

    The weight of a dataset is the square root of its number of samples of the class.
    """

    sums: NDArray[np.float64]
    weights: NDArray[np.float64]
    prior: NDArray[np.float64]

    @classmethod
    def of(cls, evidence: _Evidence, usual: NDArray[np.float64]) -> _Elsewhere:
        classes = len(usual)
        sums, weights = np.zeros((classes, classes)), np.zeros(classes)
        for rows in evidence.datasets:
            counts, of_dataset = _label_sums(evidence.label[rows], evidence.probabilities[rows])
            scale = _dataset_scale(counts)
            sums += of_dataset * scale[:, None]
            weights += counts * scale
        prior = _CORRECT_SHARE * np.eye(classes) + (1 - _CORRECT_SHARE) * usual
        return cls(sums, weights, prior)

    def without(
        self, counts: NDArray[np.float64], sums: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return P(predicted class | class) in all datasets but this one; rows sum to one."""
        scale = _dataset_scale(counts)
        # Differences of equal sums may be below 0 by a rounding error.
        others = np.maximum(self.sums - sums * scale[:, None], 0.0)
        weights = np.maximum(self.weights - counts * scale, 0.0)
        total: NDArray[np.float64] = others + _CLASS_WEIGHT * self.prior
        return total / (weights + _CLASS_WEIGHT)[:, None]


def _dataset_scale(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / np.sqrt(np.maximum(counts, 1.0)), dtype=np.float64)


def _label_sums(
    label: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how many samples have each label, and the sums of their probabilities."""
    member = np.zeros((len(label), probabilities.shape[1]))
    member[np.arange(len(label)), label] = 1.0
    return member.sum(axis=0), member.T @ probabilities


class _Standing:
    """Counts of the predictions for the samples of each dataset and label."""

    def __init__(self, held_out: HeldOutPredictions, label: NDArray[np.int64]) -> None:
        combined = held_out.probabilities[COMBINED]
        self.label = label
        self.best = combined.argmax(axis=1)
        _, self.dataset = np.unique(held_out.dataset_ids.astype(str), return_inverse=True)
        shape = (int(self.dataset.max()) + 1, combined.shape[1])
        self.labelled = np.zeros(shape, dtype=np.int64)
        self.as_labelled = np.zeros(shape, dtype=np.int64)
        np.add.at(self.labelled, (self.dataset, label), 1)
        np.add.at(self.as_labelled, (self.dataset, label), self.best == label)
        self.kinds = {
            kind: values.argmax(axis=1)
            for kind, values in held_out.probabilities.items()
            if kind != COMBINED
        }


def _evidence_of(held_out: HeldOutPredictions, standing: _Standing, row: int) -> dict[str, Any]:
    """Return the evidence for and against one label, as plain data.

    ``label_probability`` and ``predicted_probability`` are combined probabilities;
    ``model_kinds`` counts all kinds, ``model_kinds_against`` those that predict
    another class than the label. ``labelled_same`` and ``labelled_as_predicted``
    count the other samples in the dataset whose label is this sample's label, or the
    predicted class. ``labelled_same_confirmed`` and ``labelled_as_predicted_confirmed``
    count those of them whose own prediction is their label. ``summary`` is the same
    in words.
    """
    combined = held_out.probabilities[COMBINED][row]
    label, best, dataset = standing.label[row], standing.best[row], standing.dataset[row]
    same = int(standing.labelled[dataset, label]) - 1
    confirmed = int(standing.as_labelled[dataset, label]) - int(best == label)
    against = sum(int(answers[row] != label) for answers in standing.kinds.values())
    found: dict[str, Any] = {
        "label_probability": float(combined[label]),
        "predicted_probability": float(combined[best]),
        "model_kinds": len(standing.kinds),
        "model_kinds_against": against,
        "labelled_same": same,
        "labelled_same_confirmed": confirmed,
        "labelled_as_predicted": int(standing.labelled[dataset, best]),
        "labelled_as_predicted_confirmed": int(standing.as_labelled[dataset, best]),
    }
    names = str(held_out.truth[row]), held_out.classes[best]
    return found | {"summary": _summary(found, *names)}


def _summary(found: dict[str, Any], label: str, predicted: str) -> str:
    """Return the evidence as a sentence or two."""
    parts = [
        f"{predicted} has probability {found['predicted_probability']:.2f},"
        f" {label} {found['label_probability']:.2f}"
    ]
    if found["model_kinds"]:
        parts.append(
            f"{found['model_kinds_against']} of {found['model_kinds']} model kinds contradict"
        )
    if found["labelled_same"]:
        parts.append(
            f"{found['labelled_same_confirmed']} of {found['labelled_same']} other samples of the"
            f" dataset labelled {label} are predicted as labelled"
        )
    else:
        parts.append(f"no other sample of the dataset is labelled {label}")
    if found["labelled_as_predicted"]:
        parts.append(
            f"{found['labelled_as_predicted_confirmed']} of {found['labelled_as_predicted']}"
            f" labelled {predicted} are"
        )
    return "; ".join(parts)
