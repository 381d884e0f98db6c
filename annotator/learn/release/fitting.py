"""Fitting of a field model to training samples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

import numpy as np

from annotator.errors import CohortError
from annotator.learn.features.matrix import fit_features
from annotator.learn.labels.classes import class_index
from annotator.learn.models.balanced_weights import balanced_weights
from annotator.learn.models.contradicted_labels import compared_index
from annotator.learn.models.kind import TrainingPart
from annotator.learn.models.registry import KINDS
from annotator.learn.release.field_model import FieldModel, expressed_features, log_rpm
from annotator.learn.selective.novelty import fit_novelty

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from annotator.domain.fields import FieldDefinition
    from annotator.domain.profiles import Profiles
    from annotator.gpu import Device
    from annotator.learn.features.matrix import FittedFeatures
    from annotator.learn.models.kind import KindModel
    from annotator.learn.models.preset import Preset


def _checked_index(
    labels: NDArray[np.object_], classes: Sequence[str], field: str
) -> NDArray[np.int64]:
    """Return the column of each label, or raise if a class has no sample."""
    if len(classes) < 2:
        raise CohortError(
            f"{field}: {len(classes)} classes are left, at least 2 are needed;"
            " curate more samples or lower the minimum per class"
        )
    unknown = sorted(set(labels.tolist()) - set(classes))
    if unknown:
        raise CohortError(f"{field}: label {unknown[0]!r} is not one of the classes to learn")
    index = class_index(labels, classes)
    empty = np.flatnonzero(np.bincount(index, minlength=len(classes)) == 0)
    if len(empty):
        raise CohortError(f"{field}: class {classes[empty[0]]!r} has no training sample")
    return index


@dataclass(frozen=True, eq=False)
class TrainingSamples:
    """The samples that a field model is fitted on.

    Attributes
    ----------
    profiles
        Raw counts.
    labels, dataset_ids
        Class and dataset of each sample, ``(samples,)``, dtype object (str).
    classes
        All classes, in the order of the columns; each has a sample.
    numbers, limits
        For a field of intervals: the number of each sample, NaN if only its interval is
        known, ``(samples,)``, and the intervals' limits.
    """

    profiles: Profiles
    labels: NDArray[np.object_]
    dataset_ids: NDArray[np.object_]
    classes: tuple[str, ...]
    numbers: NDArray[np.float64] | None = None
    limits: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class KindsToFit:
    """Everything that model kinds are fitted from.

    Attributes
    ----------
    samples
        The training samples.
    definition, preset, seed, threads
        As for :func:`fit_field_model`.
    fitted
        The models that are fitted already.
    device
        The device that networks are trained on.
    part
        What :func:`training_part` makes of the samples; ``None`` to make it where a kind is
        fitted.
    """

    samples: TrainingSamples
    definition: FieldDefinition
    preset: Preset
    seed: int
    threads: int
    fitted: Mapping[str, KindModel]
    part: TrainingPart | None
    device: Device = "cpu"


def fit_kind(given: KindsToFit, place: int) -> tuple[str, KindModel]:
    """Fit the model kind at a place in :data:`KINDS`; return its name and the model."""
    from threadpoolctl import threadpool_limits

    name = tuple(KINDS)[place]
    # A kind's seed does not depend on which other kinds the preset has.
    seeds = np.random.SeedSequence(given.seed).generate_state(len(KINDS))
    with threadpool_limits(limits=given.threads or None):
        part = given.part
        if part is None:
            part = training_part(given.samples, given.definition, given.preset)[1]
        model = KINDS[name].fit(
            replace(part, fitted=given.fitted, device=given.device),
            given.preset.kinds[name],
            int(seeds[place]) % 2**31,
            given.threads,
        )
    return name, model


def _one_by_one(given: KindsToFit, places: Sequence[int]) -> list[tuple[str, KindModel]]:
    return [fit_kind(given, place) for place in places]


def fit_field_model(
    samples: TrainingSamples,
    definition: FieldDefinition,
    preset: Preset,
    seed: int,
    threads: int = 0,
    fit_kinds: Callable[[KindsToFit, Sequence[int]], Sequence[tuple[str, KindModel]]] = _one_by_one,
    device: Device = "cpu",
) -> FieldModel:
    """Fit features and every model kind of a preset on training samples.

    Only these samples are used.

    Parameters
    ----------
    samples
        The training samples.
    definition
        The field: its name and the feature kinds that models may see.
    preset
        All hyper-parameters.
    seed
        Seed of all random choices: the same data, preset, seed and number of threads give
        identical models (within the limits described in
        :mod:`annotator.learn.models.network`).
    threads
        Number of threads that fitting may use, 0 for one per core.
    fit_kinds
        Function that calls :func:`fit_kind` for several places and returns the results in any
        order; one after the other by default.
    device
        The device that networks are trained on.

    Returns
    -------
    FieldModel
        A model without calibration; each class is its own lineage.

    Raises
    ------
    CohortError
        There are fewer than two classes, a class without samples, or no usable feature.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=threads or None):
        fitted, part = training_part(samples, definition, preset)
        given = KindsToFit(samples, definition, preset, seed, threads, {}, part, device)
        for places in _rounds(preset):
            given = replace(given, fitted={**given.fitted, **dict(fit_kinds(given, places))})
        return FieldModel(
            field=definition.name,
            classes=samples.classes,
            fitted_features=fitted,
            preset=preset,
            models={name: given.fitted[name] for name in preset.kinds},
            lineages={name: (name,) for name in samples.classes},
            usual_features=float(np.median(expressed_features(samples.profiles, fitted.names))),
            novelty_reference=fit_novelty(
                log_rpm(samples.profiles, fitted.names),
                part.class_index,
                samples.dataset_ids,
                part.classes,
            ),
            seed=seed,
            organism=samples.profiles.organism,
        )


def training_part(
    samples: TrainingSamples, definition: FieldDefinition, preset: Preset
) -> tuple[FittedFeatures, TrainingPart]:
    """Fit the features to training samples, and return what model kinds are fitted on."""
    index = _checked_index(samples.labels, samples.classes, definition.name)
    dataset_ids = samples.dataset_ids
    datasets = np.unique(dataset_ids.astype(str), return_inverse=True)[1].astype(np.int64)
    fitted = fit_features(samples.profiles, preset.features, definition.feature_kinds)
    inputs = fitted.transform(samples.profiles)
    numbers = samples.numbers
    with_numbers = numbers is not None and bool(np.isfinite(numbers).any())
    return fitted, TrainingPart(
        inputs=inputs,
        class_index=index,
        dataset_index=datasets,
        compared_index=(
            compared_index(inputs, index, datasets) if _compares_datasets(preset) else datasets
        ),
        weights=balanced_weights(
            index, dataset_ids, preset.balance_classes, preset.balance_datasets
        ),
        classes=len(samples.classes),
        numbers=numbers if with_numbers else None,
        limits=samples.limits if with_numbers else (),
    )


def _rounds(preset: Preset) -> Iterator[list[int]]:
    """Yield the places of the model kinds that can be fitted next, those built on others last."""
    needs = {name: set(KINDS[name].after) & preset.kinds.keys() for name in preset.kinds}
    order: TopologicalSorter[str] = TopologicalSorter(needs)
    order.prepare()
    while order.is_active():
        ready = order.get_ready()
        yield sorted(tuple(KINDS).index(name) for name in ready)
        order.done(*ready)


def _compares_datasets(preset: Preset) -> bool:
    return any(KINDS[name].compares_datasets(options) for name, options in preset.kinds.items())
