"""Make a candidate release: validate it, judge it, fit it on everything, and explain it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.jobs.retrain.explanations import explain_release, held_out_scores
from annotator.learn.labels.classes import lineages_of, make_labels
from annotator.learn.release.fitting import fit_field_model
from annotator.learn.selective.prediction_sets import dataset_quantile
from annotator.learn.validation.cross_calibration import release_calibration, with_calibration
from annotator.learn.validation.final_fit import kinds_on
from annotator.learn.validation.gate import judge
from annotator.learn.validation.metrics import metrics_of
from annotator.learn.validation.selective_metrics import fit_policy
from annotator.learn.validation.validate import (
    Labelled,
    Validation,
    cross_validate,
    labelled_samples,
    one_dataset_out,
)
from annotator.store.releases import registry
from annotator.store.releases.held_out import held_out_of
from annotator.store.releases.live_accuracy import live_accuracy_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from annotator.domain.answers import LiveAccuracy
    from annotator.domain.explanations import ReleaseExplanations
    from annotator.domain.held_out import HeldOutPredictions, Metric
    from annotator.domain.profiles import Cohort
    from annotator.domain.releases import GateVerdict
    from annotator.jobs.retrain.plan import Plan, Progress
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.release.field_model import FieldModel
    from annotator.learn.running.parallel import Parallelism
    from annotator.learn.validation.plan import ModelPlan
    from annotator.store.server.connection import Database


@dataclass(frozen=True, eq=False)
class Candidate:
    """A fitted candidate with everything that is stored with its release.

    Attributes
    ----------
    validation
        The validation with whole datasets held out.
    verdict
        The verdict of the gate.
    labels
        The class of each sample of the cohort, ``""`` if it has none, ``(samples,)``.
    model
        The model, fitted on all samples with a class.
    metrics
        Validation scheme to its metrics and those of the baselines.
    explanations
        The explanations of the model.
    """

    validation: Validation
    verdict: GateVerdict
    labels: NDArray[np.object_]
    model: FieldModel
    metrics: Mapping[str, tuple[Metric, ...]]
    explanations: ReleaseExplanations


def make_candidate(
    database: Database,
    plan: Plan,
    cohort: Cohort,
    ontology: Ontology,
    parallel: Parallelism,
    progress: Progress,
) -> Candidate:
    """Make a candidate from a cohort; nothing is stored.

    Parameters
    ----------
    database
        The database with the live release that the candidate is compared with.
    plan, cohort, ontology
        The data that the models are fitted on, and how.
    parallel
        The processes and threads that folds, fits and explanations run on.
    progress
        Called with the number of folds done and the total.

    Raises
    ------
    AnnotatorError
        There is too little to learn from, or the models cannot be explained.
    """
    validation, cross_validation = _validate(cohort, ontology, plan, parallel, progress)
    with database.connect() as connection:
        live = registry.live_release(connection, cohort.field, plan.organism)
        live_held_out = held_out_of(connection, live.run_id) if live else None
        became = live_accuracy_of(connection, live.release_id) if live else None
    verdict = judge(validation, validation.baselines, live_held_out, plan.gate)
    labelled = labelled_samples(cohort, ontology, plan.models.labels).drawn(plan.models)
    model = _fit_on_everything(labelled, validation, plan.models, ontology, parallel)
    return Candidate(
        validation=validation,
        verdict=with_live_accuracy(verdict, became),
        labels=make_labels(cohort, ontology, plan.models.labels)[1],
        model=model,
        # The scheme with held-out datasets comes first: curves belong to it.
        metrics={
            found.scheme: (*found.metrics, *metrics_of(found.baselines))
            for found in (validation, cross_validation)
            if found is not None
        },
        explanations=explain_release(
            model,
            labelled,
            validation.inspected,
            plan.explanations,
            parallel,
        ),
    )


def _validate(
    cohort: Cohort,
    ontology: Ontology,
    plan: Plan,
    parallel: Parallelism,
    progress: Progress,
) -> tuple[Validation, Validation | None]:
    """Hold out whole datasets, for the gate, and random samples, for information only."""
    further = plan.cross_validation_folds
    held_out = 0

    def of_datasets(done: int, total: int) -> None:
        nonlocal held_out
        held_out = total
        progress(done, total + further)

    validation = one_dataset_out(
        cohort,
        ontology,
        plan.models,
        folds=plan.folds_for(len(np.unique(cohort.dataset_ids))),
        parallel=parallel,
        progress=of_datasets,
        inspect=held_out_scores,
    )
    if not further:
        return validation, None
    scored = len(validation.predictions.sample_ids)
    return validation, cross_validate(
        cohort,
        ontology,
        plan.models,
        folds=max(2, min(further, scored)),
        parallel=parallel,
        progress=lambda done, total: progress(held_out + done, held_out + total),
    )


def with_live_accuracy(verdict: GateVerdict, became: LiveAccuracy | None) -> GateVerdict:
    """Add the live accuracy of the live release, which does not affect the verdict."""
    if became is None:
        return verdict
    sentence = (
        f"In use, {became.confirmed} of the {became.judged} suggestions of live release"
        f" {became.release_id} that got a label later were right"
        f" ({became.confirmed / became.judged:.3f}, 95 % interval {became.lowest:.3f} to"
        f" {became.highest:.3f}); this counts neither for nor against the candidate."
    )
    return replace(verdict, reasons=(*verdict.reasons, sentence))


def _fit_on_everything(
    labelled: Labelled,
    validation: Validation,
    plan: ModelPlan,
    ontology: Ontology,
    parallel: Parallelism,
) -> FieldModel:
    label_set, definition = labelled.label_set, labelled.cohort.definition
    lineages = lineages_of(label_set.classes, ontology, definition, label_set.too_general)
    model = fit_field_model(
        labelled.training_samples(),
        definition,
        plan.preset,
        plan.seed,
        parallel.threads,
        kinds_on(parallel),
        parallel.device,
    )
    calibration = release_calibration(validation.raw, plan.preset)
    model = replace(model, lineages=lineages, calibration=calibration)
    asked = validation.selective or plan.selective
    if calibration is None or asked is None:
        return model
    return replace(
        model,
        policy=fit_policy(with_calibration(validation.raw, calibration), lineages, asked),
        number_half_width=_number_half_width(validation.predictions, asked.set_coverage),
    )


def _number_half_width(held_out: HeldOutPredictions, coverage: float) -> float | None:
    """Return half the width of the interval around predicted numbers.

    The interval contains the true number for the share ``coverage`` of samples of new
    datasets. Returns ``None`` if the predictions are no closer than the means of the
    known fields.
    """
    if held_out.numbers is None:
        return None
    known = np.isfinite(held_out.numbers).all(axis=1)
    truth, predicted, known_mean = held_out.numbers[known].T
    if not known.any() or np.abs(truth - predicted).mean() >= np.abs(truth - known_mean).mean():
        return None
    width = dataset_quantile(np.abs(truth - predicted), held_out.dataset_ids[known], coverage)
    return width if np.isfinite(width) else None
