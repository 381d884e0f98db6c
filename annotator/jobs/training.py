"""What evaluating and retraining a field start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain import FIELDS, LabelScheme
from annotator.errors import CohortError, InputError
from annotator.learn.evaluate import Parallelism
from annotator.learn.labels import LabelOptions
from annotator.learn.ontology import Ontology, ontology_or_built_in
from annotator.learn.presets import PRESETS, preset_for
from annotator.learn.splits import choose_folds
from annotator.learn.trust import TrustOptions
from annotator.store.cohorts import ReadCohort, read_cohort, read_term_parents
from annotator.store.schema import check_schema

if TYPE_CHECKING:
    from annotator.domain import Cohort
    from annotator.learn.options import Preset
    from annotator.settings import Settings
    from annotator.store.connection import Database

Progress = Callable[[int, int], None]
"""Told how many folds are done and how many there are."""


def label_options(settings: Settings) -> LabelOptions:
    """Return how labels become classes."""
    return LabelOptions(
        minimum_samples=settings.minimum_samples,
        minimum_datasets=settings.minimum_datasets,
        tissue_level=settings.tissue_level,
        age_limits=settings.age_limits,
    )


def preset_named(name: str, field: str) -> Preset:
    """Return the preset as it is for a field.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}; known: {', '.join(PRESETS)}")
    return preset_for(name, field)


def trust_options(settings: Settings, field: str) -> TrustOptions:
    """Return when samples of a field are to be answered."""
    return TrustOptions(
        settings.target_precision,
        settings.set_coverage,
        settings.maximum_novelty,
        ordered_classes=FIELDS[field].scheme is LabelScheme.INTERVALS,
    )


def read_labelled(
    database: Database, field: str, settings: Settings
) -> tuple[ReadCohort, Ontology]:
    """Read the cohort of a field and the ontology that its labels roll up along.

    Raises
    ------
    InputError
        There is no such field.
    CohortError
        Not one usable sample is labelled.
    """
    if field not in FIELDS:
        raise InputError(f"there is no field {field!r}; known: {', '.join(FIELDS)}")
    with database.connect() as connection:
        check_schema(connection)
        read = read_cohort(connection, field, settings.learn_from_reviews)
        parents = read_term_parents(connection)
    if len(read.cohort.values) == 0:
        raise CohortError(
            f"no usable sample has a {field} label; import some with `annotator import`"
        )
    return read, ontology_or_built_in(parents)


def folds_for(cohort: Cohort, settings: Settings) -> int | None:
    """Return how many folds a retraining groups datasets into; ``None`` for each by itself."""
    if settings.folds:
        return settings.folds
    return choose_folds(len(np.unique(cohort.dataset_ids)), settings.quick_datasets)


def parallelism(settings: Settings) -> Parallelism:
    """Return what folds run on."""
    return Parallelism(settings.parallel_backend, settings.workers)
