"""One fold of a validation: the unit of work that can run anywhere.

What a fold fits, it fits on its training part. Nothing here sees the label of
a held-out sample, but to know whether its class can be predicted at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.learn.metrics import class_index
from annotator.learn.splits import dataset_folds, scored_mask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from annotator.domain import Cohort, Profiles
    from annotator.learn.calibration import Calibration
    from annotator.learn.field_model import FieldModel
    from annotator.learn.presets import Preset


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
    preset, seed
        How models are made.
    threads
        Threads of one fit; the same everywhere, since the last bits of a sum
        can depend on it.
    """

    field: str
    profiles: Profiles
    dataset_ids: NDArray[np.object_]
    labels: NDArray[np.object_]
    classes: tuple[str, ...]
    fold_of: NDArray[np.int64]
    preset: Preset
    seed: int
    threads: int


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
    predictions
        The same after calibration, with ``"combined"``.
    """

    fold: int
    rows: NDArray[np.int64]
    raw: dict[str, NDArray[np.float64]]
    predictions: dict[str, NDArray[np.float64]]


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
        return FoldResult(fold, rows, {}, {})
    training = np.flatnonzero(data.fold_of != fold)
    held_out = take_profiles(data.profiles, rows)
    with threadpool_limits(limits=data.threads):
        calibration = inner_calibration(data, training, fold)
        model = fit_part(data, training, fold_seed(data.seed, fold))
        raw = model.predict_raw(held_out)
        predictions = model.with_calibration(calibration).predict(held_out)
    return FoldResult(
        fold,
        rows,
        _in_columns(raw, model.classes, data.classes),
        _in_columns(predictions, model.classes, data.classes),
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
    from annotator.learn.field_model import fit_field_model

    return fit_field_model(
        take_profiles(data.profiles, rows),
        data.labels[rows],
        data.dataset_ids[rows],
        _present(data.classes, data.labels[rows]),
        data.field,
        data.preset,
        seed,
        threads=data.threads,
    )


def inner_calibration(data: FoldData, training: NDArray[np.int64], fold: int) -> Calibration | None:
    """Fit the calibration of a fold on datasets held out within its training part.

    Parameters
    ----------
    data
        What all folds share.
    training
        Row numbers of the training part.
    fold
        Number of the outer fold, for the seeds.

    Returns
    -------
    Calibration or None
        ``None`` where the preset does not calibrate, or where no class occurs in
        two datasets of the training part.
    """
    from annotator.learn.calibration import fit_calibration

    datasets, labels = data.dataset_ids[training], data.labels[training]
    if not data.preset.calibrate or len(set(datasets)) < 2:
        return None
    classes = _present(data.classes, labels)
    inner = dataset_folds(datasets, labels, data.preset.inner_folds, fold_seed(data.seed, fold, 0))
    scored = scored_mask(labels, inner)
    parts: list[Mapping[str, NDArray[np.float64]]] = []
    truth: list[NDArray[np.int64]] = []
    for number in np.unique(inner):
        held_out = np.flatnonzero((inner == number) & scored)
        if len(held_out) == 0:
            continue
        seed = fold_seed(data.seed, fold, int(number) + 1)
        model = fit_part(data, training[inner != number], seed)
        raw = model.predict_raw(take_profiles(data.profiles, training[held_out]))
        parts.append(_in_columns(raw, model.classes, classes))
        truth.append(class_index(labels[held_out], classes))
    if not parts:
        return None
    together = {kind: np.concatenate([part[kind] for part in parts]) for kind in parts[0]}
    return fit_calibration(together, np.concatenate(truth))


def _present(classes: tuple[str, ...], labels: NDArray[np.object_]) -> tuple[str, ...]:
    held = set(labels)
    return tuple(name for name in classes if name in held)


def _in_columns(
    probabilities: Mapping[str, NDArray[np.float64]],
    classes: tuple[str, ...],
    all_classes: tuple[str, ...],
) -> dict[str, NDArray[np.float64]]:
    """Put the columns of some classes into those of all; the rest is 0."""
    columns = [all_classes.index(name) for name in classes]
    result = {}
    for kind, values in probabilities.items():
        result[kind] = np.zeros((len(values), len(all_classes)))
        result[kind][:, columns] = values
    return result
