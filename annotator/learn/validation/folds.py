"""One fold of a validation: the unit of work that can run anywhere.

Everything in a fold is fitted on its training part. The label of a held-out
sample is only used to check whether its class can be predicted at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.learn.labels.classes import class_index
from annotator.learn.models.random_units import completed_numbers
from annotator.learn.release.fitting import TrainingSamples, fit_field_model
from annotator.learn.validation.baselines import reference_probabilities
from annotator.learn.validation.drawing import drawn_rows
from annotator.learn.validation.splits import scored_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.profiles import Profiles
    from annotator.gpu import Device
    from annotator.learn.models.preset import Preset
    from annotator.learn.release.field_model import FieldModel

    Inspect = Callable[[FieldModel, Profiles, NDArray[np.object_]], Any]


@dataclass(frozen=True, eq=False)
class FoldData:
    """The data that all folds of a validation share.

    Attributes
    ----------
    samples
        The labelled samples, with all classes.
    definition
        The field.
    fold_of
        The fold of each sample, ``(samples,)``.
    preset, seed
        The options and the seed of the models.
    threads
        Threads of one fit; the same everywhere, since the last bits of a sum
        can depend on it.
    device
        The device that networks are trained on.
    inspect
        A function at module level, called in the process that fits a fold with the fold's
        model, training samples and their classes; its result is returned with the fold.
    """

    samples: TrainingSamples
    definition: FieldDefinition
    fold_of: NDArray[np.int64]
    preset: Preset
    seed: int
    threads: int
    device: Device = "cpu"
    inspect: Inspect | None = None


@dataclass(frozen=True, eq=False)
class FoldResult:
    """The predictions of one fold's models for its held-out samples.

    Attributes
    ----------
    fold
        The number of the fold.
    rows
        The held-out samples that can be scored, ascending.
    raw
        The uncalibrated probabilities of each model kind, ``(rows, classes)``, float64.
    reference
        The probabilities of a plain logistic regression, ``(rows, classes)``, float64.
    novelty
        Raw novelty scores, ``(rows,)``, float64.
    numbers
        Predicted numbers, ``(rows,)``, ``None`` if no model predicts one.
    inspected
        The result of ``inspect``, ``None`` without it.
    """

    fold: int
    rows: NDArray[np.int64]
    raw: dict[str, NDArray[np.float64]]
    reference: NDArray[np.float64]
    novelty: NDArray[np.float64]
    numbers: NDArray[np.float64] | None
    inspected: Any = None


def fold_seed(seed: int, *place: int) -> int:
    """Derive the seed of one fit from the seed of a validation and the fit's place in it."""
    state = np.random.SeedSequence(seed, spawn_key=place).generate_state(1)
    return int(state[0]) & 0x7FFFFFFF


def fit_and_predict(data: FoldData, fold: int) -> FoldResult:
    """Fit on all samples outside a fold and predict those inside.

    Parameters
    ----------
    data
        The data that all folds share.
    fold
        The fold that is held out.

    Returns
    -------
    FoldResult
        It has no rows, and nothing is fitted, if no held-out sample has a class of the
        training part, or if that has fewer than two classes.
    """
    from threadpoolctl import threadpool_limits

    samples = data.samples
    scored = scored_mask(samples.labels, data.fold_of)
    rows = np.flatnonzero((data.fold_of == fold) & scored)
    if len(rows) == 0:
        nothing = np.zeros(0)
        return FoldResult(fold, rows, {}, np.zeros((0, len(samples.classes))), nothing, None)
    seed = fold_seed(data.seed, fold)
    training = _training_rows(data, fold, seed)
    held_out = samples.profiles.take(rows)
    with threadpool_limits(limits=data.threads):
        model = fit_part(data, training, seed)
        part, labels = samples.profiles.take(training), samples.labels[training]
        inputs = model.inputs(held_out)
        raw = model.predict_raw_inputs(inputs)
        novelty = model.novelty_scores(held_out, raw)
        numbers = model.numbers(inputs)
        reference = reference_probabilities(
            part, labels, held_out, model.classes, data.definition.feature_kinds
        )
        inspected = data.inspect(model, part, labels) if data.inspect else None
    return FoldResult(
        fold,
        rows,
        {kind: _in_columns(p, model.classes, samples.classes) for kind, p in raw.items()},
        _in_columns(reference, model.classes, samples.classes),
        novelty,
        numbers,
        inspected,
    )


def _training_rows(data: FoldData, fold: int, seed: int) -> NDArray[np.int64]:
    """Return the samples outside a fold, or those that are drawn of them."""
    samples = data.samples
    outside = np.flatnonzero(data.fold_of != fold)
    drawn = drawn_rows(
        samples.labels[outside],
        samples.dataset_ids[outside],
        data.preset.training_samples,
        seed,
    )
    return outside[drawn]


def fit_part(data: FoldData, rows: NDArray[np.int64], seed: int) -> FieldModel:
    """Fit uncalibrated models on some samples and their classes.

    Parameters
    ----------
    data
        The data that all folds share.
    rows
        The rows of the training part.
    seed
        Seed of all random choices in this fit.
    """
    samples = data.samples
    part = replace(
        samples,
        profiles=samples.profiles.take(rows),
        labels=samples.labels[rows],
        dataset_ids=samples.dataset_ids[rows],
        classes=_present(samples.classes, samples.labels[rows]),
        numbers=_completed_numbers(samples, rows),
    )
    return fit_field_model(
        part, data.definition, data.preset, seed, data.threads, device=data.device
    )


def _completed_numbers(
    samples: TrainingSamples, rows: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return the completed numbers of a training part, which may lack some intervals."""
    if samples.numbers is None or not np.isfinite(samples.numbers[rows]).any():
        return None
    index = class_index(samples.labels[rows], samples.classes)
    return completed_numbers(samples.numbers[rows], index, samples.limits)


def _present(classes: tuple[str, ...], labels: NDArray[np.object_]) -> tuple[str, ...]:
    held = set(labels)
    return tuple(name for name in classes if name in held)


def _in_columns(
    probabilities: NDArray[np.float64],
    classes: tuple[str, ...],
    all_classes: tuple[str, ...],
) -> NDArray[np.float64]:
    """Put the columns of some classes in those of all classes; the rest is 0."""
    result = np.zeros((len(probabilities), len(all_classes)))
    result[:, [all_classes.index(name) for name in classes]] = probabilities
    return result
