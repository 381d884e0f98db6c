"""Validation only: how well models of a field would do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from annotator.domain.held_out import CROSS_VALIDATION
from annotator.jobs.retrain.plan import (
    label_options,
    notes_of,
    parallelism,
    preset_named,
    read_labelled,
    trust_options,
)
from annotator.learn.validation.validate import Validation, cross_validate, one_dataset_out
from annotator.logs import silent

if TYPE_CHECKING:
    from collections.abc import Callable

    from annotator.settings import Settings
    from annotator.store.server.connection import Database

CROSS_VALIDATION_FOLDS = 5  # paper, section 2.3.3


def evaluate(
    database: Database,
    settings: Settings,
    field: str,
    scheme: str,
    *,
    progress: Callable[[int, int], None] = silent,
) -> Validation:
    """Validate the models of a field; nothing is stored.

    Parameters
    ----------
    database, settings
        Where the labels are; preset, seed, folds and labels.
    field
        Name of the field.
    scheme
        ``cv`` for random 5-fold cross-validation, ``one-dataset-out``.
    progress
        Told how many folds are done and how many there are.
    """
    read, ontology = read_labelled(database, field, settings)
    preset, options = preset_named(settings.preset, field), label_options(settings)
    if scheme == CROSS_VALIDATION:
        validation = cross_validate(
            read.cohort,
            ontology,
            preset,
            options,
            settings.seed,
            folds=settings.folds or CROSS_VALIDATION_FOLDS,
            parallel=parallelism(settings),
            progress=progress,
            trust=trust_options(settings, field),
        )
    else:
        validation = one_dataset_out(
            read.cohort,
            ontology,
            preset,
            options,
            settings.seed,
            folds=settings.folds or None,  # the paper's way: every dataset by itself
            parallel=parallelism(settings),
            progress=progress,
            trust=trust_options(settings, field),
        )
    return replace(validation, notes=notes_of(read, settings))


def as_json(field: str, preset: str, validation: Validation) -> dict[str, Any]:
    """Return the figures of a validation as plain data."""
    return {
        "field": field,
        "preset": preset,
        "scheme": validation.scheme,
        "held_out": validation.description,
        "notes": list(validation.notes),
        "classes": list(validation.label_set.classes),
        "dropped": dict(validation.label_set.dropped),
        "samples_left_out": validation.label_set.left_out,
        "metrics": [
            {
                "model_kind": metric.model_kind,
                "name": metric.name,
                "class": metric.class_name,
                "value": metric.value,
                "samples": metric.samples,
                "datasets": metric.datasets,
            }
            for metric in validation.metrics
        ],
    }
