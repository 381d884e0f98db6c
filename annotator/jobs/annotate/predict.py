"""Turn the expression of claimed samples into predictions with contributions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.answers import (
    ClaimedSample,
    ClassContributions,
    QuarantinedSample,
    SamplePrediction,
)
from annotator.domain.held_out import COMBINED
from annotator.domain.statuses import PredictionStatus
from annotator.explain.top import Explained, leading_features, top_contributions
from annotator.jobs.annotate.dataset_context import pooled_answers, predict_once
from annotator.jobs.annotate.quality import unusable_samples
from annotator.learn.selective.policy import Decision
from annotator.store.mirror.row_checks import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.jobs.annotate.dataset_context import DatasetSamples, Remembered
    from annotator.jobs.annotate.live_models import LiveModel
    from annotator.jobs.annotate.plan import AnnotatePlan
    from annotator.learn.features.matrix import AlignedProfiles
    from annotator.learn.release.field_model import Answers, FieldModel
    from annotator.store.mirror.expression import ReadExpression


EXPLAINED = 2
"""Number of classes explained when a sample is annotated: the best one and the runner-up."""

VALUES_AT_ONCE = 500_000
"""Samples times features explained at a time; every model kind has a score for each."""


def predict_samples(
    live: LiveModel,
    claimed: Sequence[ClaimedSample],
    read: ReadExpression,
    plan: AnnotatePlan,
    dataset_samples: DatasetSamples | None = None,
    remembered: Remembered | None = None,
) -> tuple[list[SamplePrediction], list[QuarantinedSample]]:
    """Predict the claimed samples; quarantine those that cannot be used, with the reason.

    Parameters
    ----------
    live
        The release's models.
    claimed
        The samples to predict.
    read
        Their expression, and the samples whose expression was rejected.
    plan
        Requirements that samples must meet, and how many contributions are stored.
    dataset_samples
        Other samples in the same datasets to pool with; ``None`` to predict every sample
        by itself.
    remembered
        Earlier predictions of the pass.

    Returns
    -------
    tuple
        Predictions and quarantined samples; together exactly ``claimed``.
    """
    by_id = {sample.sample_id: sample for sample in claimed}
    unusable = {
        # A view may be corrected without a change of the sample.
        sample_id: (error, error.code == UNREADABLE)
        for sample_id, error in read.rejected.items()
        if sample_id in by_id
    }
    aligned = live.model.aligned(read.profiles)
    known = live.model.known_ratio(aligned.expressed)
    unusable |= unusable_samples(live, read.profiles, plan, known)
    quarantined = [
        QuarantinedSample(
            sample_id=sample_id,
            field=by_id[sample_id].field,
            sample_updated_at=by_id[sample_id].sample_updated_at,
            code=error.code,
            reason=error.reason,
            only_this_release=only_this_release,
        )
        for sample_id, (error, only_this_release) in unusable.items()
    ]
    rows = np.array(
        [i for i, name in enumerate(read.profiles.sample_ids) if name not in unusable], dtype=int
    )
    if len(rows) == 0:
        return [], quarantined
    samples = [by_id[name] for name in read.profiles.sample_ids[rows].tolist()]
    usable = dataset_samples.without(unusable) if dataset_samples is not None else None
    found = _predict(live, samples, aligned.take(rows), read.hashes[rows], plan, usable, remembered)
    return found, quarantined


def _predict(
    live: LiveModel,
    samples: Sequence[ClaimedSample],
    aligned: AlignedProfiles,
    hashes: NDArray[np.object_],
    plan: AnnotatePlan,
    dataset_samples: DatasetSamples | None,
    remembered: Remembered | None,
) -> list[SamplePrediction]:
    model = live.model
    sample_ids = [sample.sample_id for sample in samples]
    inputs = model.aligned_inputs(aligned)
    raw = predict_once(
        model, sample_ids, hashes, inputs, remembered if dataset_samples is not None else None
    )
    answered = pooled_answers(
        model, raw, sample_ids, [sample.dataset_id for sample in samples], dataset_samples
    )
    probabilities = answered.probabilities
    best_first = np.argsort(-probabilities[COMBINED], axis=1, kind="stable")
    decisions = decide(model, probabilities[COMBINED], model.aligned_novelty(aligned, raw))
    known = model.known_ratio(aligned.expressed).tolist()
    numbers = model.numbers(inputs) if model.number_half_width is not None else None
    answers = _answers(model.classes, probabilities)
    class_probabilities = list(map(tuple, np.clip(probabilities[COMBINED], 0, 1).tolist()))
    contributions = contributions_to(
        live, inputs, answered, best_first[:, :EXPLAINED], aligned.rpm, plan.top_contributions
    )
    predictions = []
    for row, sample in enumerate(samples):
        decision = decisions[row]
        predictions.append(
            SamplePrediction(
                sample_id=sample.sample_id,
                dataset_id=sample.dataset_id,
                field=sample.field,
                input_hash=hashes[row],
                sample_updated_at=sample.sample_updated_at,
                value=decision.value,
                lineage=decision.lineage,
                confidence=min(1.0, decision.confidence),
                status=(
                    PredictionStatus.ABSTAINED
                    if decision.value is None
                    else PredictionStatus.SUGGESTED
                ),
                reason=decision.reason,
                novelty=decision.novelty,
                models=answers[row],
                top_features=leading_features(contributions[0][row]),
                contributions=tuple(
                    of_kind for of_class in contributions for of_kind in of_class[row].values()
                ),
                prediction_set=decision.prediction_set,
                set_coverage=model.policy.prediction_sets.coverage if model.policy else None,
                known_features=known[row],
                class_probabilities=class_probabilities[row],
                **_number(numbers, model.number_half_width, row),
            )
        )
    return predictions


def contributions_to(
    live: LiveModel,
    inputs: NDArray[np.float32],
    answers: Answers,
    best_first: NDArray[np.int64],
    expression: NDArray[np.float32],
    count: int,
) -> list[list[dict[str, ClassContributions]]]:
    """Return the features that contribute most to the given classes of each sample.

    Parameters
    ----------
    live
        The release's models.
    inputs, expression
        Inputs of the models, and the same features in reads per million, each
        ``(samples, features)``, float32.
    answers
        Answers for the same samples.
    best_first
        The classes to explain, each sample's most probable one first,
        ``(samples, asked)``.
    count
        Maximum number of features per class and model kind.

    Returns
    -------
    list of list of dict
        ``[place in best_first][sample]``: contributions per model kind, and under
        ``"combined"`` those to the combination.
    """
    rows_at_once = max(1, VALUES_AT_ONCE // inputs.shape[1])
    others = other_samples(live, answers, best_first)
    found: list[list[dict[str, ClassContributions]]] = [[] for _ in best_first.T]
    for start in range(0, len(inputs), rows_at_once):
        here = slice(start, start + rows_at_once)
        own_weights = None if answers.own_weights is None else answers.own_weights[here]
        explained = live.explainer.contributions(inputs[here], best_first[here], own_weights)
        for place, classes in enumerate(best_first[here].T.tolist()):
            names = [live.model.classes[column] for column in classes]
            per_kind = {
                kind: top_contributions(
                    Explained(kind, method, place + 1),
                    names,
                    scores[place],
                    live.model.features,
                    expression[here],
                    count,
                )
                for kind, (method, scores) in explained.items()
            }
            if others is not None:
                per_kind[COMBINED] = [
                    replace(of_sample, other_samples=other)
                    for of_sample, other in zip(
                        per_kind[COMBINED], others[here, place].tolist(), strict=True
                    )
                ]
            found[place] += [
                {kind: of[row] for kind, of in per_kind.items()} for row in range(len(names))
            ]
    return found


def other_samples(
    live: LiveModel, answers: Answers, classes: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return the contribution of the other samples in the dataset to the answer's logits.

    Together with it, the contributions of the features add up to the difference between the
    pooled logit and the logit of the reference, which is not pooled.

    Parameters
    ----------
    live
        The release's models.
    answers
        Answers for some samples.
    classes
        The classes to explain, ``(samples, asked)``.

    Returns
    -------
    NDArray[float64] or None
        Shape ``(samples, asked)``; ``None`` if nothing is pooled.
    """
    if answers.own_weights is None or answers.others is None or not live.model.pools:
        return None
    reference = live.explainer.references(len(live.model.classes))
    of_reference = (answers.own_weights[:, None] - 1) * (reference - reference.mean())[classes]
    return np.asarray(np.take_along_axis(answers.others, classes, axis=1) + of_reference)


def decide(
    model: FieldModel, combined: NDArray[np.float64], novelty: NDArray[np.float64]
) -> list[Decision]:
    """Return the decision for each sample: a suggestion or an abstention.

    Parameters
    ----------
    model
        The release's models.
    combined
        Probabilities of the classes, ``(samples, classes)``.
    novelty
        Raw novelty scores, ``(samples,)``.
    """
    if model.policy is not None:
        return model.policy.decide(combined, novelty, model.classes, model.lineages, model.field)
    # Without calibration, as with the preset `paper`, the most probable class is the answer.
    best = combined.argmax(axis=1)
    return [
        Decision(
            value=model.classes[column],
            confidence=float(combined[row, column]),
            prediction_set=(),
            novelty=None,
            reason=None,
            best_class=model.classes[column],
            best_probability=float(combined[row, column]),
            lineage=model.lineages[model.classes[column]],
        )
        for row, column in enumerate(best.tolist())
    ]


def _number(
    numbers: NDArray[np.float64] | None, half_width: float | None, row: int
) -> dict[str, float]:
    """Return the predicted number and its interval, if the release predicts numbers."""
    if numbers is None or half_width is None:
        return {}
    number = float(numbers[row])
    return {"number": number, "number_low": number - half_width, "number_high": number + half_width}


def _answers(
    classes: Sequence[str], probabilities: Mapping[str, NDArray[np.float64]]
) -> list[dict[str, dict[str, object]]]:
    """Return each model kind's most probable class per sample, and that of their combination."""
    of_kinds = []
    for table in probabilities.values():
        best = table.argmax(axis=1)
        most = table[np.arange(len(table)), best]
        of_kinds.append(
            [
                {"value": classes[column], "probability": round(probability, 6)}
                for column, probability in zip(best.tolist(), most.tolist(), strict=True)
            ]
        )
    return [
        dict(zip(probabilities, of_sample, strict=True))
        for of_sample in zip(*of_kinds, strict=True)
    ]
