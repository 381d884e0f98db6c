"""Retrain a field: cohort, validation on unseen datasets, fit, gate, promote."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain import FIELDS
from annotator.errors import AnnotatorError, CohortError, RetryableError
from annotator.jobs.status import INTERRUPTED
from annotator.jobs.training import (
    folds_for,
    label_options,
    parallelism,
    preset_named,
    read_labelled,
    trust_options,
)
from annotator.learn.cross_calibration import release_calibration
from annotator.learn.evaluate import (
    Validation,
    one_dataset_out,
)
from annotator.learn.fitting import fit_field_model
from annotator.learn.folds import take_cohort
from annotator.learn.gate import GateOptions, judge
from annotator.learn.labels import leaf_labels, lineages_of, make_labels, training_numbers
from annotator.learn.metrics import metrics_of
from annotator.learn.options import Preset, configuration
from annotator.learn.prediction_sets import dataset_quantile
from annotator.learn.suspects import suspect_labels
from annotator.learn.trust import curves, fit_trust
from annotator.learn.versions import library_versions
from annotator.logs import log_context, silent
from annotator.store import registry, runs
from annotator.store.service import advisory_lock, record_event
from annotator.store.validation import held_out_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from annotator.domain import Cohort, GateVerdict, HeldOutPredictions, Metric
    from annotator.learn.field_model import FieldModel
    from annotator.learn.ontology import Ontology
    from annotator.settings import Settings
    from annotator.store.cohorts import ReadCohort
    from annotator.store.connection import Database

logger = logging.getLogger(__name__)

UNLABELLED = "unlabelled"

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class RetrainOutcome:
    """How the retraining of one field ended."""

    field: str
    status: str
    reasons: tuple[str, ...]
    release_id: int | None = None
    metrics: tuple[Metric, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a person should look."""
        return self.status == "failed"


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A fitted candidate with everything that the release row will say."""

    validation: Validation
    verdict: GateVerdict
    labels: NDArray[np.object_]
    model: FieldModel
    metrics: tuple[Metric, ...]


def retrain(
    database: Database,
    settings: Settings,
    field: str,
    *,
    progress: Progress = silent,
) -> RetrainOutcome:
    """Make a candidate release of a field and promote it if it is good enough.

    Only one retraining of a field runs at a time on one database. A failure is
    written to the training run and leaves the live release live.

    Parameters
    ----------
    database, settings
        Where the labels are; preset, seed, folds, margins.
    field
        Name of the field.
    progress
        Told how many folds are done and how many there are.

    Returns
    -------
    RetrainOutcome
        ``promoted``, ``rejected``, ``skipped`` (nothing changed), ``unlabelled``, ``busy``
        (another process is at it) or ``failed``.
    """
    with (
        database.connect(autocommit=True) as lock_connection,
        advisory_lock(lock_connection, f"retrain {field}") as is_ours,
    ):
        if not is_ours:
            return RetrainOutcome(field, "busy", (f"{field} is being retrained elsewhere",))
        runs.fail_orphaned_runs(lock_connection, field)
        registry.sweep_orphans(lock_connection)
        return _retrain_alone(database, settings, field, progress)


def _retrain_alone(
    database: Database, settings: Settings, field: str, progress: Progress
) -> RetrainOutcome:
    preset = preset_named(settings.preset, field)
    try:
        read, ontology = read_labelled(database, field, settings)
    except AnnotatorError as error:
        if isinstance(error, RetryableError):
            raise
        if isinstance(error, CohortError):
            return RetrainOutcome(field, UNLABELLED, (str(error),))
        with database.connect() as connection:
            record_event(connection, "failure", field, {"reason": str(error)})
        return RetrainOutcome(field, "failed", (str(error),))
    described = _configuration(preset, ontology, read.cohort, settings)
    configuration_hash = _hash(described)
    with database.connect() as connection:
        last = runs.last_attempt(connection, field)
        run = runs.start_run(
            connection,
            field=field,
            preset=preset.name,
            seed=settings.seed,
            configuration=described,
            configuration_hash=configuration_hash,
            versions=library_versions(),
            host=socket.gethostname(),
        )
        if last is not None and (last.cohort_hash, last.configuration_hash) == (
            read.hash,
            configuration_hash,
        ):
            reason = (
                f"neither the cohort nor the configuration of {field} changed since the last"
                f" retraining, whose release is {last.release_status}"
            )
            runs.finish_run(connection, run, "skipped", reason)
            return RetrainOutcome(field, "skipped", (reason,))
    with log_context(field=field, run=run):
        return _run(database, settings, preset, run, read, ontology, progress)


def _run(
    database: Database,
    settings: Settings,
    preset: Preset,
    run: int,
    read: ReadCohort,
    ontology: Ontology,
    progress: Progress,
) -> RetrainOutcome:
    """Carry a training run through to its end, and write down how it ended."""
    field = read.cohort.field
    try:
        candidate = _make_candidate(database, settings, preset, read, ontology, progress)
        return _save(database, settings, run, read, candidate)
    except BaseException as error:
        reason = str(error) if isinstance(error, AnnotatorError) else repr(error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            reason = INTERRUPTED
        with database.connect() as connection:
            runs.finish_run(connection, run, "failed", reason)
        if isinstance(error, RetryableError) or not isinstance(error, Exception):
            raise
        if not isinstance(error, AnnotatorError):
            logger.exception("retraining %s failed", field)  # ours to mend; other fields go on
        return RetrainOutcome(field, "failed", (reason,))


def _configuration(
    preset: Preset, ontology: Ontology, cohort: Cohort, settings: Settings
) -> dict[str, Any]:
    """Everything besides the cohort that decides what the release will be."""
    options = label_options(settings)
    return {
        "preset": configuration(preset),
        "labels": {
            "minimum_samples": options.minimum_samples,
            "minimum_datasets": options.minimum_datasets,
            "tissue_level": options.tissue_level,
            "age_limits": list(options.age_limits),
            "ontology_hash": _hash({term: list(up) for term, up in ontology.parents.items()}),
        },
        "folds": folds_for(cohort, settings),
        "gate": {
            "gate_margin": settings.gate_margin,
            "baseline_margin": settings.baseline_margin,
        },
        "trust": {
            "target_precision": settings.target_precision,
            "set_coverage": settings.set_coverage,
            "maximum_novelty": settings.maximum_novelty,
        },
        "learn_from_reviews": settings.learn_from_reviews,
        "seed": settings.seed,
    }


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _make_candidate(
    database: Database,
    settings: Settings,
    preset: Preset,
    read: ReadCohort,
    ontology: Ontology,
    progress: Progress,
) -> _Candidate:
    cohort = read.cohort
    validation = one_dataset_out(
        cohort,
        ontology,
        preset,
        label_options(settings),
        settings.seed,
        folds=folds_for(cohort, settings),
        parallel=parallelism(settings),
        progress=progress,
        trust=trust_options(settings, cohort.field),
    )
    with database.connect() as connection:
        live = registry.live_release(connection, cohort.field)
        live_held_out = held_out_of(connection, live.run_id) if live else None
    verdict = judge(
        validation,
        validation.baselines,
        live_held_out,
        GateOptions(settings.gate_margin, settings.baseline_margin),
    )
    _, labels = make_labels(cohort, ontology, label_options(settings))
    return _Candidate(
        validation=validation,
        verdict=verdict,
        labels=labels,
        model=_fit_on_everything(cohort, labels, validation, preset, ontology, settings),
        metrics=(*validation.metrics, *metrics_of(validation.baselines)),
    )


def _fit_on_everything(
    cohort: Cohort,
    labels: NDArray[np.object_],
    validation: Validation,
    preset: Preset,
    ontology: Ontology,
    settings: Settings,
) -> FieldModel:
    options = label_options(settings)
    leaves = leaf_labels(cohort, ontology, options, labels)
    labelled = np.flatnonzero(labels != "")
    part = take_cohort(cohort, labelled)
    classes = validation.label_set.classes
    lineages = lineages_of(classes, ontology, FIELDS[cohort.field])
    numbers, limits = training_numbers(part, validation.label_set, options)
    model = fit_field_model(
        part.profiles,
        labels[labelled],
        part.dataset_ids,
        classes,
        cohort.field,
        preset,
        settings.seed,
        release_calibration(validation.raw, preset),
        lineages=lineages,
        leaves=leaves[labelled],
        numbers=numbers,
        limits=limits,
        threads=parallelism(settings).threads,
    )
    if not preset.calibrate:
        return model
    return replace(
        model,
        trust=fit_trust(validation.predictions, lineages, trust_options(settings, cohort.field)),
        number_half_width=_number_half_width(validation.predictions, settings.set_coverage),
    )


def _number_half_width(held_out: HeldOutPredictions, coverage: float) -> float | None:
    """Return half the width of the interval around predicted numbers.

    It holds the true number of so many samples of new datasets; ``None`` where the
    predictions are no closer than the means of what is already known.
    """
    if held_out.numbers is None:
        return None
    truth, predicted, known_mean = held_out.numbers.T
    if np.abs(truth - predicted).mean() >= np.abs(truth - known_mean).mean():
        return None
    width = dataset_quantile(np.abs(truth - predicted), held_out.dataset_ids, coverage)
    return width if np.isfinite(width) else None


def _save(
    database: Database, settings: Settings, run: int, read: ReadCohort, candidate: _Candidate
) -> RetrainOutcome:
    """Store the candidate, then promote or reject it: one transaction."""
    cohort = read.cohort
    reasons = candidate.verdict.reasons
    with database.connect() as connection, connection.transaction():
        runs.save_cohort(
            connection,
            run,
            cohort.field,
            read.hash,
            [
                (sample_id, dataset_id, value, label or None)
                for sample_id, dataset_id, value, label in zip(
                    cohort.profiles.sample_ids,
                    cohort.dataset_ids,
                    cohort.values,
                    candidate.labels,
                    strict=True,
                )
            ],
        )
        release_id = registry.save_candidate(
            connection,
            run,
            cohort.field,
            candidate.model.classes,
            len(candidate.model.features),
            candidate.model.to_artefacts(),
            candidate.validation.predictions,
            {candidate.validation.scheme: candidate.metrics},
            curves=curves(candidate.validation.predictions),
            suspicions=suspect_labels(candidate.validation.predictions),
        )
        if candidate.verdict.promoted:
            registry.promote(connection, release_id, reasons)
        else:
            registry.reject(connection, release_id, reasons)
        runs.finish_run(connection, run, "succeeded", None, folds=candidate.validation.description)
        registry.retire_artefacts(connection, settings.keep_releases)
    status = "promoted" if candidate.verdict.promoted else "rejected"
    logger.info(
        "%s release %d of %s",
        status,
        release_id,
        cohort.field,
        extra={"release": release_id, "reasons": list(reasons)},
    )
    return RetrainOutcome(cohort.field, status, reasons, release_id, candidate.metrics)
