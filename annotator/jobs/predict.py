"""From the expression of claimed samples to predictions with their reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from annotator.domain import (
    ClaimedSample,
    ClassContributions,
    Profiles,
    QuarantinedSample,
    SamplePrediction,
)
from annotator.explain.top import leading_features, top_contributions
from annotator.jobs.pooled import pooled_probabilities
from annotator.jobs.usable import unusable_samples
from annotator.learn.field_model import COMBINED
from annotator.learn.trust import Decision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.jobs.live_models import LiveModel
    from annotator.jobs.pooled import Mates
    from annotator.learn.field_model import FieldModel
    from annotator.settings import Settings
    from annotator.store.expression import ReadExpression


EXPLAINED = 2
"""Classes of a sample that are explained when it is annotated: the winner and the runner-up."""


def predict_samples(
    live: LiveModel,
    claimed: Sequence[ClaimedSample],
    read: ReadExpression,
    settings: Settings,
    mates: Mates | None = None,
) -> tuple[list[SamplePrediction], list[QuarantinedSample]]:
    """Predict what can be predicted and give a reason for everything else.

    Parameters
    ----------
    live
        The release's models.
    claimed
        The samples asked for.
    read
        Their expression, and which of them could not be used as read.
    settings
        ``minimum_reads``, ``minimum_known_features`` and ``top_contributions``.
    mates
        Other samples of the same datasets, that speak for these; ``None``: every sample
        stands alone.

    Returns
    -------
    tuple
        Predictions and quarantined samples; together exactly ``claimed``.
    """
    by_id = {sample.sample_id: sample for sample in claimed}
    unusable = {
        sample_id: (error, False)
        for sample_id, error in read.rejected.items()
        if sample_id in by_id
    }
    unusable |= unusable_samples(live, read.profiles, settings)
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
    usable = Profiles(
        sample_ids=read.profiles.sample_ids[rows],
        features=read.profiles.features,
        kinds=read.profiles.kinds,
        counts=read.profiles.counts[rows],
    )
    samples = [by_id[name] for name in usable.sample_ids]
    speaking = mates.without(unusable) if mates is not None else None
    return _predict(live, samples, usable, read.hashes[rows], settings, speaking), quarantined


def _predict(
    live: LiveModel,
    samples: Sequence[ClaimedSample],
    profiles: Profiles,
    hashes: NDArray[np.object_],
    settings: Settings,
    mates: Mates | None,
) -> list[SamplePrediction]:
    model = live.model
    inputs, expression = model.inputs(profiles), model.expression(profiles)
    raw = model.predict_raw_inputs(inputs)
    probabilities = pooled_probabilities(
        model,
        raw,
        [sample.sample_id for sample in samples],
        [sample.dataset_id for sample in samples],
        mates,
    )
    best_first = np.argsort(-probabilities[COMBINED], axis=1, kind="stable")
    decisions = decide(model, probabilities[COMBINED], model.novelty_scores(profiles, raw))
    known = model.known_features(profiles)
    numbers = model.numbers(inputs) if model.number_half_width is not None else None
    reasons = reasons_for(
        live, inputs, best_first[:, :EXPLAINED], expression, settings.top_contributions
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
                confidence=min(1.0, decision.probability),
                status="suggested" if decision.value is not None else "abstained",
                reason=decision.reason,
                novelty=decision.novelty,
                models=_answers(model.classes, probabilities, row),
                top_features=leading_features(reasons[0][row]),
                contributions=tuple(
                    of_kind for of_class in reasons for of_kind in of_class[row].values()
                ),
                prediction_set=decision.prediction_set,
                set_coverage=model.trust.prediction_sets.coverage if model.trust else None,
                known_features=float(known[row]),
                **_number(numbers, model.number_half_width, row),
            )
        )
    return predictions


def reasons_for(
    live: LiveModel,
    inputs: NDArray[np.float32],
    best_first: NDArray[np.int64],
    expression: NDArray[np.float32],
    count: int,
) -> list[list[dict[str, ClassContributions]]]:
    """Return the features that speak most for or against classes of each sample.

    Parameters
    ----------
    live
        The release's models.
    inputs, expression
        What the models saw, and the same features in reads per million, each
        ``(samples, features)``, float32.
    best_first
        The classes to explain, each sample's most probable one first,
        ``(samples, asked)``.
    count
        Features a class and model kind, at most.

    Returns
    -------
    list of list of dict
        ``[place in best_first][sample]``: model kind to its contributions.
    """
    model = live.model
    explained = live.contributions(inputs, best_first)
    found: list[list[dict[str, ClassContributions]]] = []
    for place, classes in enumerate(best_first.T):
        names = [model.classes[column] for column in classes]
        per_kind = {
            kind: top_contributions(
                kind, method, names, place + 1, scores[place], model.features, expression, count
            )
            for kind, (method, scores) in explained.items()
        }
        found.append(
            [{kind: of[row] for kind, of in per_kind.items()} for row in range(len(inputs))]
        )
    return found


def decide(
    model: FieldModel, combined: NDArray[np.float64], novelty: NDArray[np.float64]
) -> list[Decision]:
    """Return what is answered for each sample.

    Parameters
    ----------
    model
        The release's models.
    combined
        Probabilities of the classes, ``(samples, classes)``.
    novelty
        Raw novelty scores, ``(samples,)``.
    """
    if model.trust is not None:
        return model.trust.decide(combined, novelty, model.classes, model.lineages, model.field)
    # A release that was never measured on new datasets names its best class.
    best = combined.argmax(axis=1)
    return [
        Decision(
            value=model.classes[column],
            probability=float(combined[row, column]),
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
    """Return the predicted number and its interval, where the release gives any."""
    if numbers is None or half_width is None:
        return {}
    number = float(numbers[row])
    return {"number": number, "number_low": number - half_width, "number_high": number + half_width}


def _answers(
    classes: Sequence[str], probabilities: Mapping[str, NDArray[np.float64]], row: int
) -> dict[str, dict[str, object]]:
    """Each model kind's most probable class, and that of their combination."""
    answers: dict[str, dict[str, object]] = {}
    for kind, table in probabilities.items():
        best = int(np.argmax(table[row]))
        answers[kind] = {"value": classes[best], "probability": round(float(table[row, best]), 6)}
    return answers
