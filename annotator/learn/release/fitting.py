"""How a field model is made from training samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FIELDS
from annotator.errors import CohortError
from annotator.learn.features.matrix import fit_features
from annotator.learn.models.balanced_weights import balanced_weights
from annotator.learn.models.contradicted_labels import compared_index
from annotator.learn.models.linear import LinearModel
from annotator.learn.models.registry import KINDS, KindModel, TrainingPart, kinds_of
from annotator.learn.release.field_model import FieldModel, expressed_features, log_rpm
from annotator.learn.selective.novelty import fit_novelty

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.fields import FeatureKind
    from annotator.domain.profiles import Profiles
    from annotator.learn.models.options import Preset
    from annotator.learn.selective.calibration import Calibration


def _class_index(
    labels: NDArray[np.object_], classes: Sequence[str], field: str
) -> NDArray[np.int64]:
    """Return the column of each label; every class must have a sample."""
    if len(classes) < 2:
        raise CohortError(
            f"{field}: {len(classes)} classes are left, at least 2 are needed;"
            " curate more samples or lower the minimum per class"
        )
    column = {name: position for position, name in enumerate(classes)}
    unknown = sorted(set(labels.tolist()) - column.keys())
    if unknown:
        raise CohortError(f"{field}: label {unknown[0]!r} is none of the classes to learn")
    index = np.array([column[label] for label in labels.tolist()], dtype=np.int64)
    empty = np.flatnonzero(np.bincount(index, minlength=len(classes)) == 0)
    if len(empty):
        raise CohortError(f"{field}: class {classes[empty[0]]!r} has no training sample")
    return index


def fit_field_model(
    profiles: Profiles,
    labels: NDArray[np.object_],
    dataset_ids: NDArray[np.object_],
    classes: Sequence[str],
    field: str,
    preset: Preset,
    seed: int,
    calibration: Calibration | None = None,
    *,
    lineages: Mapping[str, tuple[str, ...]] | None = None,
    numbers: NDArray[np.float64] | None = None,
    limits: tuple[float, ...] = (),
    feature_kinds: tuple[FeatureKind, ...] | None = None,
    threads: int = 0,
) -> FieldModel:
    """Fit features and every model kind of a preset on training samples.

    Nothing but these samples is looked at.

    Parameters
    ----------
    profiles
        Raw counts of the training samples.
    labels, dataset_ids
        Class and dataset of each, ``(samples,)``, dtype object (str).
    classes
        All classes, in the order of the columns; each has a sample.
    field
        Decides which feature kinds are used.
    preset
        Every hyper-parameter.
    seed
        Of everything random: the same data, preset, seed and number of threads
        give identical models (:mod:`annotator.learn.models.network` says where that ends).
    calibration
        Fitted elsewhere on held-out predictions.
    lineages
        Class to lineage; each class by itself where not given.
    numbers, limits
        For a field of intervals: the number of each sample, NaN where only its interval is
        known, and the intervals' limits.
    feature_kinds
        Features that may be used; those of the field where not given.
    threads
        That fitting may use, 0 for one a core.

    Returns
    -------
    FieldModel

    Raises
    ------
    CohortError
        Fewer than two classes, a class without samples, or no usable feature.
    """
    index = _class_index(labels, classes, field)
    datasets = np.unique(dataset_ids.astype(str), return_inverse=True)[1].astype(np.int64)
    fitted = fit_features(profiles, preset.features, feature_kinds or FIELDS[field].feature_kinds)
    inputs = fitted.transform(profiles)
    with_numbers = numbers is not None and bool(np.isfinite(numbers).any())
    part = TrainingPart(
        inputs=inputs,
        class_index=index,
        dataset_index=datasets,
        compared_index=(
            compared_index(inputs, index, datasets) if _compares_datasets(preset) else datasets
        ),
        weights=balanced_weights(
            index, dataset_ids, preset.balance_classes, preset.balance_datasets
        ),
        classes=len(classes),
        numbers=numbers if with_numbers else None,
        limits=limits if with_numbers else (),
    )
    models = _fit_kinds(part, preset, seed, threads)
    return FieldModel(
        field=field,
        classes=tuple(classes),
        fitted_features=fitted,
        preset=preset,
        models=models,
        lineages=dict(lineages) if lineages is not None else {name: (name,) for name in classes},
        usual_features=float(np.median(expressed_features(profiles, fitted.names))),
        novelty_reference=fit_novelty(
            log_rpm(profiles, fitted.names), index, dataset_ids, len(classes)
        ),
        seed=seed,
        calibration=calibration,
    )


def _fit_kinds(part: TrainingPart, preset: Preset, seed: int, threads: int) -> dict[str, KindModel]:
    """Fit every kind of the preset, the linear one first: a network may build on it."""
    options = kinds_of(preset)
    # A kind's seed does not depend on which other kinds there are.
    seeds = dict(zip(KINDS, np.random.SeedSequence(seed).generate_state(len(KINDS)), strict=True))
    models: dict[str, KindModel] = {}
    for kind in sorted(options, key=lambda name: name != "linear"):
        models[kind] = KINDS[kind].fit(part, options[kind], int(seeds[kind]) % 2**31, threads)
        fitted = models[kind]
        if isinstance(fitted, LinearModel):
            part = replace(part, linear=fitted)
    return models


def _compares_datasets(preset: Preset) -> bool:
    return any(getattr(option, "within_class", 0.0) > 0 for option in kinds_of(preset).values())
