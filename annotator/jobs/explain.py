"""Explain the answer of the live release for one sample, for every class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.held_out import COMBINED
from annotator.domain.organisms import organism_named
from annotator.errors import InputError, NeedsPersonError
from annotator.explain.top import leading_columns
from annotator.jobs.annotate.dataset_context import (
    DatasetSamples,
    pooled_answers,
    read_dataset_samples,
)
from annotator.jobs.annotate.live_models import LiveModel, LiveModels
from annotator.jobs.annotate.plan import AnnotatePlan, annotate_plan
from annotator.jobs.annotate.predict import contributions_to, decide, other_samples
from annotator.jobs.annotate.quality import unusable_samples
from annotator.store.answers.dataset_samples import dataset_of_sample
from annotator.store.answers.predictions import add_contributions, current_prediction
from annotator.store.mirror.expression import read_profiles
from annotator.store.mirror.organisms import organism_of_sample
from annotator.store.releases.explanations import training_classes
from annotator.store.releases.registry import LiveRelease, live_release
from annotator.store.server.connection import check_writable
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles
    from annotator.jobs.annotate.plan import AnnotatePlan
    from annotator.learn.release.field_model import Answers
    from annotator.learn.selective.policy import Decision
    from annotator.settings import Settings
    from annotator.store.mirror.expression import ReadExpression
    from annotator.store.server.connection import Database

ROWS_AT_ONCE = 500  # number of training samples whose expression is dense at a time


@dataclass(frozen=True, eq=False)
class KindExplanation:
    """The contributions of one model kind, or those to the answer.

    Attributes
    ----------
    method
        How the contributions were computed.
    scores
        Signed contributions, ``(classes, features)``, float32, classes as in
        :attr:`SampleExplanation.classes`.
    supporting, opposing
        Columns of the features with the largest contributions for and against the
        most probable class, in descending order of their absolute value.
    """

    method: str
    scores: NDArray[np.float32]
    supporting: tuple[int, ...]
    opposing: tuple[int, ...]

    @property
    def leading(self) -> tuple[int, ...]:
        """Columns of the leading features: those for the class, then those against it."""
        return self.supporting + self.opposing


@dataclass(frozen=True, eq=False)
class SampleExplanation:
    """The explanation of a release's answer for one sample.

    Attributes
    ----------
    sample_id
        The sample.
    release
        The release.
    decision
        The answer of the release.
    learned_as
        The class of the sample in the release's cohort, ``None`` if it is not in it.
    classes, probabilities
        Most probable first; probabilities ``(classes,)``, float64.
    features
        Features of the release's models.
    expression
        The sample's expression of them in reads per million, ``(features,)``, float32.
    kinds
        Model kind to its explanation; ``"combined"`` is the combination.
    weights
        Model kind to its weight in the combination.
    other_samples
        Contribution of the other samples in the dataset to the logit of each class,
        ``(classes,)``, float64; ``None`` if nothing is pooled.
    percentiles
        Column of a leading feature to the percentile of the sample's expression among
        the training samples of each class, ``(classes,)`` in [0, 100]; NaN for a class
        without any. The sample itself is not among them.
    stored
        How many contributions were stored for the current prediction; ``None`` if
        storing was not requested.
    """

    sample_id: str
    release: LiveRelease
    decision: Decision
    learned_as: str | None
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    features: tuple[str, ...]
    expression: NDArray[np.float32]
    kinds: Mapping[str, KindExplanation]
    weights: Mapping[str, float]
    other_samples: NDArray[np.float64] | None
    percentiles: Mapping[int, NDArray[np.float64]]
    stored: int | None = None


def explain_sample(
    database: Database,
    settings: Settings,
    sample_id: str,
    field: str,
    top: int,
    *,
    store: bool = False,
) -> SampleExplanation:
    """Explain the answer of the live release for a sample and its organism, labelled or not.

    Parameters
    ----------
    database, settings
        The database, and the settings with the requirements for samples.
    sample_id, field
        The sample, and a key of :attr:`annotator.settings.Settings.fields`.
    top
        Number of leading features for the class, and as many against it.
    store
        Also store the contributions to every class with the sample's current
        prediction.

    Raises
    ------
    InputError
        There is no such field or sample, or the sample cannot be used.
    NeedsPersonError
        No release is live, or, with ``store``, the release has no prediction for the
        sample with its current expression or the database accepts no changes.
    """
    if field not in settings.fields:
        raise InputError(f"there is no field {field!r}; known: {', '.join(settings.fields)}")
    plan = annotate_plan(settings)
    with database.connect() as connection:
        check_schema(connection)
        if store:
            check_writable(connection)
        dataset_id = dataset_of_sample(connection, sample_id)
        if dataset_id is None:
            raise InputError(
                f"the atlas has no sample {sample_id!r}, or the sample has no dataset; correct the"
                " id or the atlas"
            )
        default = organism_named(settings.default_organism)
        organism = organism_of_sample(connection, sample_id, default)
        release = live_release(connection, field, organism)
        if release is None:
            of_organism = "" if organism == default else f" for {organism}"
            raise NeedsPersonError(
                f"no release of {field}{of_organism} is live: run `annotator retrain` first"
            )
        live = LiveModels().load(connection, release)
        read = read_profiles(connection, [sample_id])
        _check_usable(live, read, sample_id, plan)
        dataset_samples = read_dataset_samples(connection, live, [(sample_id, dataset_id)], plan)
        learned = training_classes(connection, release.release_id)
        others = [name for name in learned if name != sample_id]
        training = read_profiles(connection, others).profiles
    predicted = _predict(live, read.profiles, dataset_id, dataset_samples)
    found = _explained(live, read.profiles, predicted, top, learned.get(sample_id))
    columns = sorted({column for kind in found.kinds.values() for column in kind.leading})
    of_class = np.array([learned[name] for name in training.sample_ids], dtype=object)
    values = _expression_of(live, training, columns)
    percentiles = {
        column: _percentiles(found.expression[column], values[:, place], of_class, found.classes)
        for place, column in enumerate(columns)
    }
    stored = _store(database, live, read, predicted, plan) if store else None
    return replace(found, percentiles=percentiles, stored=stored)


def _check_usable(
    live: LiveModel, read: ReadExpression, sample_id: str, plan: AnnotatePlan
) -> None:
    error = read.rejected.get(sample_id)
    if error is None:
        error, _ = unusable_samples(live, read.profiles, plan).get(sample_id, (None, False))
    if error is not None:
        raise InputError(f"{sample_id} cannot be explained or annotated: {error.reason}")


@dataclass(frozen=True, eq=False)
class _Predicted:
    """Inputs of the models for the sample, its novelty and the answers."""

    inputs: NDArray[np.float32]
    novelty: NDArray[np.float64]
    answers: Answers

    @property
    def combined(self) -> NDArray[np.float64]:
        return self.answers.probabilities[COMBINED]

    @property
    def best_first(self) -> NDArray[np.int64]:
        return np.argsort(-self.combined, axis=1, kind="stable")


def _predict(
    live: LiveModel, profiles: Profiles, dataset_id: str, dataset_samples: DatasetSamples | None
) -> _Predicted:
    model = live.model
    inputs = model.inputs(profiles)
    raw = model.predict_raw_inputs(inputs)
    names = profiles.sample_ids.tolist()
    answers = pooled_answers(model, raw, names, [dataset_id], dataset_samples)
    return _Predicted(inputs, model.novelty_scores(profiles, raw), answers)


def _explained(
    live: LiveModel, profiles: Profiles, predicted: _Predicted, top: int, learned_as: str | None
) -> SampleExplanation:
    model = live.model
    order = predicted.best_first
    kinds = {}
    explained = live.explainer.contributions(predicted.inputs, order, predicted.answers.own_weights)
    for kind, (method, scores) in explained.items():
        of_classes = scores[:, 0]
        leading = leading_columns(of_classes[0], model.features, top)
        kinds[kind] = KindExplanation(method, of_classes, *leading)
    others = other_samples(live, predicted.answers, order)
    return SampleExplanation(
        sample_id=str(profiles.sample_ids[0]),
        release=live.release,
        decision=decide(model, predicted.combined, predicted.novelty)[0],
        learned_as=learned_as,
        classes=tuple(model.classes[place] for place in order[0]),
        probabilities=predicted.combined[0, order[0]],
        features=model.features,
        expression=model.expression(profiles)[0],
        kinds=kinds,
        weights=model.weights,
        other_samples=None if others is None else others[0],
        percentiles={},
    )


def _expression_of(
    live: LiveModel, profiles: Profiles, columns: Sequence[int]
) -> NDArray[np.float32]:
    """Return some of the model's features in reads per million, ``(samples, columns)``."""
    # All features of the model are aligned, since matching depends on the full set of names.
    found = [np.zeros((0, len(columns)), np.float32)]
    for start in range(0, len(profiles.sample_ids), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(profiles.sample_ids)))
        found.append(live.model.expression(profiles.take(rows))[:, columns])
    return np.concatenate(found)


def _percentiles(
    own: np.float32,
    values: NDArray[np.float32],
    of_class: NDArray[np.object_],
    classes: Iterable[str],
) -> NDArray[np.float64]:
    """Return the share of each class's samples below a value, in per cent; ties count half."""
    below = np.where(values < own, 1.0, np.where(values == own, 0.5, 0.0))
    members = [below[of_class == name] for name in classes]
    return np.array([100 * each.mean() if len(each) else np.nan for each in members])


def _store(
    database: Database,
    live: LiveModel,
    read: ReadExpression,
    predicted: _Predicted,
    plan: AnnotatePlan,
) -> int:
    """Store the contributions to every class with the prediction; return how many."""
    (sample_id,), release = read.profiles.sample_ids.tolist(), live.release
    expression = live.model.expression(read.profiles)
    of_classes = contributions_to(
        live,
        predicted.inputs,
        predicted.answers,
        predicted.best_first,
        expression,
        plan.top_contributions,
    )
    contributions = [of_kind for of_class in of_classes for of_kind in of_class[0].values()]
    with database.connect() as connection:
        current = current_prediction(connection, sample_id, release.field)
        if current is None:
            raise NeedsPersonError(
                f"{sample_id} has no prediction of {release.field} to store contributions with:"
                " `annotator annotate` predicts only missing annotations"
            )
        if (current.release_id, current.input_hash) != (release.release_id, read.hashes[0]):
            raise NeedsPersonError(
                f"the prediction of {release.field} for {sample_id} was made by another release or"
                " from expression that has changed since: run `annotator annotate` first"
            )
        return add_contributions(connection, current.prediction_id, contributions)
