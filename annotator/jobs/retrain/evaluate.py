"""Validate the models of a field without storing anything."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from annotator.domain.held_out import CROSS_VALIDATION
from annotator.jobs.retrain.plan import notes_of, parallelism, plan_of, read_labelled
from annotator.learn.validation.validate import Validation, cross_validate, one_dataset_out
from annotator.logs import silent

if TYPE_CHECKING:
    from annotator.domain.profiles import Cohort
    from annotator.jobs.retrain.plan import Plan, Progress
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.running.parallel import Parallelism
    from annotator.settings import Settings
    from annotator.store.server.connection import Database

CROSS_VALIDATION_FOLDS = 5  # paper, section 2.3.3


def evaluate(
    database: Database,
    settings: Settings,
    field: str,
    scheme: str,
    *,
    progress: Progress = silent,
) -> Validation:
    """Validate the models of a field; nothing is stored.

    Parameters
    ----------
    database, settings
        The database with the labels; preset, seed, folds and labels.
    field
        Name of the field.
    scheme
        ``cv`` for random 5-fold cross-validation, ``one-dataset-out``.
    progress
        Called with the number of folds done and the total.
    """
    plan = plan_of(settings, field)
    read, ontology = read_labelled(database, plan)
    found = validate(read.cohort, ontology, plan, scheme, parallelism(settings, read), progress)
    return replace(found, notes=(*notes_of(read, plan), *found.notes))


def validate(
    cohort: Cohort,
    ontology: Ontology,
    plan: Plan,
    scheme: str,
    parallel: Parallelism,
    progress: Progress,
) -> Validation:
    """Validate the models of a cohort by one of the two schemes."""
    if scheme == CROSS_VALIDATION:
        return cross_validate(
            cohort,
            ontology,
            plan.models,
            folds=plan.folds or CROSS_VALIDATION_FOLDS,
            parallel=parallel,
            progress=progress,
        )
    return one_dataset_out(
        cohort,
        ontology,
        plan.models,
        folds=plan.folds or None,  # by default every dataset by itself, as in the paper
        parallel=parallel,
        progress=progress,
    )


def as_json(field: str, preset: str, validation: Validation) -> dict[str, Any]:
    """Return the metrics of a validation as plain data."""
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
