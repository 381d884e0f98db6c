"""What evaluating and retraining a field start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FIELDS, LabelScheme
from annotator.errors import CohortError, InputError
from annotator.jobs.annotate.quality import left_out_notes, unusable_labelled
from annotator.learn.labels.classes import LabelOptions
from annotator.learn.labels.ontology import (
    TABLE_2,
    Ontology,
    grouped_by_table_2,
    ontology_or_built_in,
)
from annotator.learn.models.preset_file import read_preset
from annotator.learn.models.presets import PRESETS, preset_for
from annotator.learn.validation.folds import take_cohort
from annotator.learn.validation.selective_metrics import TrustOptions
from annotator.learn.validation.splits import choose_folds
from annotator.learn.validation.validate import Parallelism
from annotator.store.mirror.cohorts import (
    ReadCohort,
    quarantine_left_out,
    read_cohort,
    read_term_names,
    read_term_parents,
)
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from annotator.domain.profiles import Cohort
    from annotator.learn.models.options import Preset
    from annotator.settings import Settings
    from annotator.store.server.connection import Database

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
        There is none of that name, or its file is no preset.
    """
    if name.endswith(".toml"):
        return read_preset(Path(name), field)
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
    database: Database, field: str, settings: Settings, *, quarantine: bool = False
) -> tuple[ReadCohort, Ontology]:
    """Read the cohort of a field and the ontology that its labels roll up along.

    A labelled sample with too little in it is left out, as it would not be annotated
    either (:mod:`annotator.jobs.annotate.quality`).

    Parameters
    ----------
    database, field, settings
        Where the labels are, which ones, and what a sample needs.
    quarantine
        Whether the samples that are left out are put in quarantine.

    Raises
    ------
    InputError
        There is no such field or preset.
    CohortError
        Not one usable sample is labelled.
    """
    if field not in FIELDS:
        raise InputError(f"there is no field {field!r}; known: {', '.join(FIELDS)}")
    preset = preset_named(settings.preset, field)
    with database.connect() as connection:
        check_schema(connection)
        read = read_cohort(connection, field, settings.learn_from_reviews)
        read = _without_unusable(read, preset, settings)
        ontology = _ontology(connection, field, read.cohort.values.tolist(), settings)
    if quarantine and read.left_out:
        with database.connect() as connection:
            quarantine_left_out(connection, read)
    if len(read.cohort.values) == 0:
        left_out = "".join(f"; {note}" for note in notes_of(read, settings)).rstrip(".")
        raise CohortError(
            f"no usable sample has a {field} label; import some with `annotator import`{left_out}"
        )
    return read, ontology


def _without_unusable(read: ReadCohort, preset: Preset, settings: Settings) -> ReadCohort:
    cohort = read.cohort
    unusable = unusable_labelled(cohort.profiles, cohort.field, preset, settings)
    rows = np.flatnonzero([name not in unusable for name in cohort.profiles.sample_ids])
    return replace(
        read,
        cohort=take_cohort(cohort, rows),
        lines=read.lines[rows],
        left_out={**read.left_out, **unusable},
    )


def notes_of(read: ReadCohort, settings: Settings) -> tuple[str, ...]:
    """Return what a person has to know about a cohort: how many samples are left out, and why."""
    labelled = len(read.cohort.values) + len(read.left_out)
    return left_out_notes(read.left_out, labelled, settings)


def _ontology(
    connection: psycopg.Connection, field: str, labels: Iterable[str], settings: Settings
) -> Ontology:
    if FIELDS[field].scheme is not LabelScheme.ONTOLOGY:
        return ontology_or_built_in(read_term_parents(connection))
    return read_ontology(connection, labels, settings.tissue_groups)


def read_ontology(
    connection: psycopg.Connection, labels: Iterable[str], tissue_groups: str
) -> Ontology:
    """Read the ontology of a field of terms, with the groups that were asked for on top.

    Parameters
    ----------
    connection
        Read in the caller's transaction.
    labels
        The labels that are to be grouped.
    tissue_groups
        :data:`~annotator.learn.labels.ontology.ONTOLOGY` or
        :data:`~annotator.learn.labels.ontology.TABLE_2`.
    """
    parents = read_term_parents(connection)
    if tissue_groups == TABLE_2:
        return grouped_by_table_2(parents, labels, read_term_names(connection))
    return ontology_or_built_in(parents)


def folds_for(cohort: Cohort, settings: Settings) -> int | None:
    """Return how many folds a retraining groups datasets into; ``None`` for each by itself."""
    if settings.folds:
        return settings.folds
    return choose_folds(len(np.unique(cohort.dataset_ids)), settings.quick_datasets)


def parallelism(settings: Settings) -> Parallelism:
    """Return what folds run on."""
    return Parallelism(settings.parallel_backend, settings.workers)
