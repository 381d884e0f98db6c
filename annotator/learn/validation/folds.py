"""One fold of a validation: the unit of work that can run anywhere.

What a fold fits, it fits on its training part. Nothing here sees the label of
a held-out sample, but to know whether its class can be predicted at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.fields import FIELDS
from annotator.learn.validation.baselines import reference_probabilities
from annotator.learn.validation.splits import scored_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from annotator.domain.fields import FeatureKind
    from annotator.domain.profiles import Cohort, Profiles
    from annotator.learn.models.options import Preset
    from annotator.learn.release.field_model import FieldModel

    Inspect = Callable[[FieldModel, Profiles, NDArray[np.object_]], Any]


@dataclass(frozen=True, eq=False)
class FoldData:
    """What all folds of a validation share.

    Attributes
    ----------
    field
        Name of the field.
    profiles
        The labelled samples.
    dataset_ids, labels, fold_of
        Dataset, class and fold of each, shape ``(samples,)``.
    classes
        All classes, in the order of the columns.
    numbers, limits
        For a field of intervals: the number of each sample, ``(samples,)``, NaN where
        there is none, and the limits of the classes; else ``None`` and none.
    feature_kinds
        Features that may be used, ``None`` for those of the field.
    preset, seed
        How models are made.
    threads
        Threads of one fit; the same everywhere, since the last bits of a sum
        can depend on it.
    inspect
        A function of a module, called where a fold is fitted with its model, its
        training samples and their classes; what it returns comes back with the fold.
    """

    field: str
    profiles: Profiles
    dataset_ids: NDArray[np.object_]
    labels: NDArray[np.object_]
    numbers: NDArray[np.float64] | None
    limits: tuple[float, ...]
    feature_kinds: tuple[FeatureKind, ...] | None
    classes: tuple[str, ...]
    fold_of: NDArray[np.int64]
    preset: Preset
    seed: int
    threads: int
    inspect: Inspect | None = None


@dataclass(frozen=True, eq=False)
class FoldResult:
    """What one fold's models said of its held-out samples.

    Attributes
    ----------
    fold
        Its number.
    rows
        The held-out samples that can be scored, ascending.
    raw
        Model kind to uncalibrated probabilities, ``(rows, classes)``, float64.
    reference
        Of a plain logistic regression, ``(rows, classes)``, float64.
    novelty
        Raw novelty scores, ``(rows,)``, float64.
    numbers
        Predicted numbers, ``(rows,)``, ``None`` where no model predicts one.
    inspected
        What ``inspect`` returned, ``None`` without it.
    """

    fold: int
    rows: NDArray[np.int64]
    raw: dict[str, NDArray[np.float64]]
    reference: NDArray[np.float64]
    novelty: NDArray[np.float64]
    numbers: NDArray[np.float64] | None
    inspected: Any = None


def take_profiles(profiles: Profiles, rows: NDArray[np.int64]) -> Profiles:
    """Return the profiles of some samples, by row numbers."""
    return replace(profiles, sample_ids=profiles.sample_ids[rows], counts=profiles.counts[rows])


def take_cohort(cohort: Cohort, rows: NDArray[np.int64]) -> Cohort:
    """Return some samples of a cohort, by row numbers."""
    return replace(
        cohort,
        profiles=take_profiles(cohort.profiles, rows),
        dataset_ids=cohort.dataset_ids[rows],
        values=cohort.values[rows],
        numbers=cohort.numbers[rows],
        known={name: values[rows] for name, values in cohort.known.items()},
    )


def fold_seed(seed: int, *place: int) -> int:
    """Derive the seed of one fit from the seed of a validation and the fit's place in it."""
    state = np.random.SeedSequence(seed, spawn_key=place).generate_state(1)
    return int(state[0]) & 0x7FFFFFFF


def fit_and_predict(data: FoldData, fold: int) -> FoldResult:
    """Fit on everything outside a fold and predict what is inside.

    Parameters
    ----------
    data
        What all folds share.
    fold
        The fold that is held out.

    Returns
    -------
    FoldResult
        Without rows where no held-out sample has a class of the training part,
        or where that has fewer than two classes; nothing is fitted then.
    """
    from threadpoolctl import threadpool_limits

    scored = scored_mask(data.labels, data.fold_of)
    rows = np.flatnonzero((data.fold_of == fold) & scored)
    if len(rows) == 0:
        nothing = np.zeros(0)
        return FoldResult(fold, rows, {}, np.zeros((0, len(data.classes))), nothing, None)
    training = np.flatnonzero(data.fold_of != fold)
    held_out = take_profiles(data.profiles, rows)
    with threadpool_limits(limits=data.threads):
        model = fit_part(data, training, fold_seed(data.seed, fold))
        part = take_profiles(data.profiles, training)
        inputs = model.inputs(held_out)
        raw = model.predict_raw_inputs(inputs)
        novelty = model.novelty_scores(held_out, raw)
        numbers = model.numbers(inputs)
        reference = reference_probabilities(
            part,
            data.labels[training],
            held_out,
            model.classes,
            data.feature_kinds or FIELDS[data.field].feature_kinds,
        )
        inspected = data.inspect(model, part, data.labels[training]) if data.inspect else None
    return FoldResult(
        fold,
        rows,
        {kind: _in_columns(p, model.classes, data.classes) for kind, p in raw.items()},
        _in_columns(reference, model.classes, data.classes),
        novelty,
        numbers,
        inspected,
    )


def fit_part(data: FoldData, rows: NDArray[np.int64], seed: int) -> FieldModel:
    """Fit the models, uncalibrated, on some samples and the classes that these have.

    Parameters
    ----------
    data
        What all folds share.
    rows
        The training part.
    seed
        Of everything random in this fit.
    """
    from annotator.learn.release.fitting import fit_field_model

    return fit_field_model(
        take_profiles(data.profiles, rows),
        data.labels[rows],
        data.dataset_ids[rows],
        _present(data.classes, data.labels[rows]),
        data.field,
        data.preset,
        seed,
        numbers=_completed_numbers(data, rows),
        limits=data.limits,
        feature_kinds=data.feature_kinds,
        threads=data.threads,
    )


def _completed_numbers(data: FoldData, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return the numbers of a training part, which may lack an interval that others have."""
    from annotator.learn.models.random_units import completed_numbers

    if data.numbers is None or not np.isfinite(data.numbers[rows]).any():
        return None
    index = np.array([data.classes.index(label) for label in data.labels[rows].tolist()])
    return completed_numbers(data.numbers[rows], index, data.limits)


def _present(classes: tuple[str, ...], labels: NDArray[np.object_]) -> tuple[str, ...]:
    held = set(labels)
    return tuple(name for name in classes if name in held)


def _in_columns(
    probabilities: NDArray[np.float64],
    classes: tuple[str, ...],
    all_classes: tuple[str, ...],
) -> NDArray[np.float64]:
    """Put the columns of some classes into those of all; the rest is 0."""
    result = np.zeros((len(probabilities), len(all_classes)))
    result[:, [all_classes.index(name) for name in classes]] = probabilities
    return result
