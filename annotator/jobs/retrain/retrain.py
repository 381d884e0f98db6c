"""Retrain a field: read the cohort, validate on held-out datasets, fit, and apply the gate."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotator.domain.fields import LabelScheme
from annotator.domain.organisms import DEFAULT_ORGANISM, organism_named
from annotator.domain.releases import CandidateRelease
from annotator.domain.statuses import RunStatus
from annotator.errors import AnnotatorError, CohortError, RetryableError
from annotator.jobs.annotate.quality import left_out_counts
from annotator.jobs.retrain.candidate import Candidate, make_candidate
from annotator.jobs.retrain.one_library import naming_facts
from annotator.jobs.retrain.plan import (
    Plan,
    cluster_of,
    definition_of,
    dropped_notes,
    notes_of,
    parallelism,
    plan_of,
    preset_named,
    read_labelled,
)
from annotator.learn.labels.classes import make_labels
from annotator.learn.labels.spelling import spellings
from annotator.learn.release.files import read_model, write_model
from annotator.learn.release.versions import library_versions
from annotator.learn.validation.drawing import drawn_rows
from annotator.learn.validation.selective_metrics import curves
from annotator.learn.validation.suspect_labels import suspect_labels
from annotator.logs import log_context, silent
from annotator.plain_data import plain
from annotator.store.answers.history import delete_history
from annotator.store.mirror.cohorts import labelled_organisms
from annotator.store.mirror.label_values import declare_words, read_value_use
from annotator.store.mirror.organisms import note_organisms
from annotator.store.releases import artefacts, lifecycle, registry, runs
from annotator.store.releases.runs import RunStart
from annotator.store.server.connection import Database, check_writable, translating
from annotator.store.server.locks import Holder, session_lock
from annotator.store.server.schema import check_schema, hold_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from annotator.domain.held_out import Metric
    from annotator.domain.values.reading import ValueUse
    from annotator.jobs.retrain.plan import Progress
    from annotator.learn.labels.ontology import Ontology
    from annotator.learn.running.parallel import Parallelism
    from annotator.settings import Settings
    from annotator.store.mirror.cohorts import ReadCohort

logger = logging.getLogger(__name__)

UNLABELLED = "unlabelled"
TOO_FEW = "too few labels"


@dataclass(frozen=True, slots=True)
class RetrainOutcome:
    """The outcome of the retraining of one field for one organism.

    Attributes
    ----------
    values
        How many values of the field in the mirror are used, and why the others are not;
        ``None`` if another process is retraining the field.
    """

    field: str
    status: str
    reasons: tuple[str, ...]
    release_id: int | None = None
    metrics: tuple[Metric, ...] = ()
    organism: str = DEFAULT_ORGANISM
    values: ValueUse | None = None

    @property
    def failed(self) -> bool:
        """Whether a person should look into it."""
        return self.status == "failed"

    @property
    def has_nothing_to_learn(self) -> bool:
        """Whether there are no labels, or too few."""
        return self.status in (UNLABELLED, TOO_FEW)


def organisms_to_train(
    database: Database, settings: Settings, field: str, wanted: str | None = None
) -> tuple[str, ...]:
    """Return the organisms that have labels of a field, those with the most labels first.

    Parameters
    ----------
    database, settings
        The database with the labels; ``default_organism`` and ``learn_from_reviews``.
    field
        Name of the field.
    wanted
        The only organism to train, whether it has labels or not.

    Returns
    -------
    tuple of str
        At least one: the default organism if there are no labels at all.

    Raises
    ------
    SchemaError
        The database is not at the schema that this version works with.
    ReadOnlyError
        The database accepts no changes.
    """
    default = organism_named(settings.default_organism)
    with database.connect() as connection:
        check_schema(connection)
        check_writable(connection)
        note_organisms(connection, default)
        found = labelled_organisms(connection, field, settings.learn_from_reviews)
    if wanted is not None:
        return (organism_named(wanted),)
    return tuple(sorted(found, key=lambda name: (-found[name], name))) or (default,)


def retrain(
    database: Database,
    settings: Settings,
    field: str,
    organism: str | None = None,
    *,
    is_required: bool = True,
    progress: Progress = silent,
) -> RetrainOutcome:
    """Make a candidate release of a field and promote it if it passes the gate.

    Only one retraining per field and organism runs at a time on a database. A failure is
    recorded in the training run, and the live release stays live.

    Parameters
    ----------
    database, settings
        The database with the labels; preset, seed, folds and margins.
    field
        Name of the field.
    organism
        The organism whose samples are learned from; that of the settings by default.
    is_required
        Whether too few labels are a failure. They are not for one organism of several.
    progress
        Called with the number of folds done and the total.

    Returns
    -------
    RetrainOutcome
        ``promoted``, ``rejected``, ``skipped`` (nothing changed), ``unlabelled``,
        ``too few labels``, ``busy`` (another process is retraining it) or ``failed``, also
        if another process has been retraining it for longer than a retraining takes.

    Raises
    ------
    SchemaError
        The database is not at the schema that this version works with.
    RetryableError
        The connection was lost, or a statement took too long.
    """
    organism = organism_named(organism or settings.default_organism)
    with database.connect(autocommit=True) as lock_connection:
        check_schema(lock_connection)  # a daemon of another version may have started this
        with session_lock(lock_connection, f"retrain {field} of {organism}") as holder:
            if holder is not None:
                outcome = _busy(field, holder, settings.retrain_hours)
                return replace(outcome, organism=organism)
            runs.fail_orphaned_runs(lock_connection, field, organism)
            lifecycle.sweep_orphans(lock_connection)
            # A wrong preset or backend is the person's who asked; nothing is written about it.
            preset_named(settings.preset, definition_of(settings, field), settings)
            cluster_of(settings)
            note_organisms(lock_connection, settings.default_organism)
            declare_words(lock_connection, settings.fields)
            (values,) = read_value_use(lock_connection, settings.fields, (field,))
            asked = _Asked(database, settings, field, organism, is_required)
            outcome = replace(_retrain_alone(asked, progress), values=values)
            if settings.keep_predictions is not None:
                _delete_history(asked, settings.keep_predictions)
    return replace(outcome, organism=organism)


def _delete_history(asked: _Asked, keep: int) -> None:
    """Delete the predictions of releases that were superseded long ago, and log how many."""
    with translating(), asked.database.connect() as connection:
        deleted = delete_history(connection, asked.field, asked.organism, keep)
    if deleted.predictions:
        logger.info(
            "deleted the predictions of superseded releases of %s",
            asked.field,
            extra=deleted._asdict(),
        )


def _busy(field: str, holder: Holder, hours: int) -> RetrainOutcome:
    reason = (
        f"{field} is being retrained by server process {holder.pid} of role {holder.role}, for"
        f" {holder.seconds / 3600:.1f} hours"
    )
    if holder.seconds <= hours * 3600:
        return RetrainOutcome(field, "busy", (reason,))
    reason += f": a retraining takes at most {hours} (retrain_hours); end its process"
    return RetrainOutcome(field, "failed", (reason,))


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments of :func:`retrain`."""

    database: Database
    settings: Settings
    field: str
    organism: str
    is_required: bool


def _retrain_alone(asked: _Asked, progress: Progress) -> RetrainOutcome:
    database, settings, field = asked.database, asked.settings, asked.field
    try:
        plan = plan_of(settings, field, asked.organism)
        read, ontology = read_labelled(database, plan, quarantine=True)
        facts = _cohort_facts(read, ontology, plan)
    except AnnotatorError as error:
        if isinstance(error, RetryableError):
            raise
        if isinstance(error, CohortError):
            return RetrainOutcome(field, UNLABELLED, (str(error),))
        with database.connect() as connection:
            run = _start(connection, asked, {}, None)
            runs.finish_run(connection, run, RunStatus.FAILED, str(error))
        return RetrainOutcome(field, "failed", (str(error),))
    if not asked.is_required and facts["classes"] < 2:
        return RetrainOutcome(field, TOO_FEW, (_too_few(facts["classes"], plan),))
    parents = {term: list(up) for term, up in ontology.parents.items()}
    described = {**plan.configuration(), "ontology_hash": _hash(parents)}
    if read.renamed:
        described["renamed_hash"] = _hash(read.renamed)
    if respelled := _respelled(read, ontology):
        described["spellings"] = respelled
    configuration_hash = _hash(described)
    # Not hashed: samples left out of the cohort and another device are no reason to train again.
    described |= {"cohort": facts, "naming": naming_facts(read), "device": settings.device}
    with database.connect() as connection:
        last = runs.last_attempt(connection, field, asked.organism)
        run = _start(connection, asked, described, configuration_hash)
        if last is not None and (last.cohort_hash, last.configuration_hash) == (
            read.hash,
            configuration_hash,
        ):
            reason = (
                f"neither the cohort nor the configuration of {field} changed since the last"
                f" retraining, whose release is {last.release_status}; another seed trains again"
            )
            runs.finish_run(connection, run, RunStatus.SKIPPED, reason)
            return RetrainOutcome(field, "skipped", (reason,))
    parallel = parallelism(settings, read)
    job = _Job(database, plan, run, settings.keep_releases, parallel, asked.is_required)
    with log_context(field=field, run=run):
        return _run(job, read, ontology, progress)


@dataclass(frozen=True, slots=True)
class _Job:
    """One training run: its database, plan and limits."""

    database: Database
    plan: Plan
    run: int
    keep_releases: int
    parallel: Parallelism
    is_required: bool


def _too_few(classes: int, plan: Plan) -> str:
    labels = plan.models.labels
    return (
        f"{classes} classes of {plan.field.name} have enough labelled samples of"
        f" {plan.organism}, at least 2 are needed (minimum per class: {labels.minimum_samples}"
        f" samples, {labels.minimum_datasets} datasets)"
    )


def _start(
    connection: psycopg.Connection,
    asked: _Asked,
    described: Mapping[str, Any],
    configuration_hash: str | None,
) -> int:
    settings = asked.settings
    return runs.start_run(
        connection,
        RunStart(
            field=asked.field,
            preset=Path(settings.preset).stem,
            seed=settings.seed,
            configuration=described,
            configuration_hash=configuration_hash,
            versions=library_versions(),
            host=socket.gethostname(),
            organism=asked.organism,
        ),
    )


def _run(job: _Job, read: ReadCohort, ontology: Ontology, progress: Progress) -> RetrainOutcome:
    """Carry out a training run and record its outcome."""
    field = read.cohort.field
    try:
        with translating():
            candidate = make_candidate(
                job.database, job.plan, read.cohort, ontology, job.parallel, progress
            )
            return _save(job, read, candidate)
    except BaseException as error:
        reason = str(error) if isinstance(error, AnnotatorError) else repr(error)
        too_few = isinstance(error, CohortError) and not job.is_required
        with translating(), job.database.connect() as connection:
            if too_few:
                runs.finish_run(connection, job.run, RunStatus.SKIPPED, reason)
            elif isinstance(error, KeyboardInterrupt | SystemExit):
                runs.finish_run(connection, job.run, RunStatus.INTERRUPTED, None)
            else:
                runs.finish_run(connection, job.run, RunStatus.FAILED, reason)
        if isinstance(error, RetryableError) or not isinstance(error, Exception):
            raise
        if not isinstance(error, AnnotatorError):
            logger.exception("retraining %s failed", field)  # a bug; other fields continue
        status = TOO_FEW if too_few else "failed"
        return RetrainOutcome(field, status, (reason, *notes_of(read, job.plan)))


def _cohort_facts(read: ReadCohort, ontology: Ontology, plan: Plan) -> dict[str, Any]:
    """Return facts about a cohort besides its samples, for people."""
    label_set, labels = make_labels(read.cohort, ontology, plan.models.labels)
    has_class = labels != ""
    fitted = drawn_rows(
        labels[has_class],
        read.cohort.dataset_ids[has_class],
        plan.models.preset.training_samples,
        plan.models.seed,
    )
    return {
        **plain(plan.quality),
        "left_out": left_out_counts({**read.left_out, **read.copies}),
        "too_general": sorted(label_set.too_general),
        "classes": len(label_set.classes),
        "fitted": len(fitted),
    }


def _respelled(read: ReadCohort, ontology: Ontology) -> dict[str, str]:
    """Return the labels that are spelled otherwise than their term or commonest spelling."""
    cohort = read.cohort
    if cohort.definition.scheme is not LabelScheme.ONTOLOGY:
        return {}
    found = spellings(cohort.values.tolist(), ontology)
    return {label: spelling for label, spelling in sorted(found.items()) if label != spelling}


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _save(job: _Job, read: ReadCohort, candidate: Candidate) -> RetrainOutcome:
    """Store the candidate, then promote or reject it, in one transaction."""
    cohort, verdict = read.cohort, candidate.verdict
    classes, features = candidate.model.classes, len(candidate.model.features)
    models = write_model(candidate.model)
    read_model(models, classes, features)  # nothing is stored that could not be loaded
    dropped = dropped_notes(candidate.validation.label_set.dropped)
    notes = (*candidate.validation.notes, *notes_of(read, job.plan))
    reasons = (*verdict.reasons, *notes, *dropped)
    with job.database.connect() as connection, connection.transaction():
        hold_schema(connection)  # hours may have passed since it was checked
        runs.save_cohort(
            connection,
            job.run,
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
            job.run,
            CandidateRelease(
                cohort.field,
                classes,
                features,
                models,
                candidate.validation.predictions,
                candidate.metrics,
                curves=curves(candidate.validation.predictions),
                suspicions=suspect_labels(candidate.validation.predictions),
                explanations=candidate.explanations,
                weights=candidate.model.weights,
                organism=job.plan.organism,
            ),
        )
        decide = lifecycle.promote if verdict.promoted else lifecycle.reject
        decide(connection, release_id, reasons, verdict.comparisons)
        description = candidate.validation.description
        runs.finish_run(connection, job.run, RunStatus.SUCCEEDED, None, folds=description)
        artefacts.retire_artefacts(connection, job.keep_releases)
    status = "promoted" if verdict.promoted else "rejected"
    # The reasons are part of the outcome, which the command prints, and of the database.
    logger.info(
        "%s release %d of %s",
        status,
        release_id,
        cohort.field,
        extra={
            "release": release_id,
            "comparisons": len(verdict.comparisons),
            "passed": sum(each.passed for each in verdict.comparisons),
        },
    )
    shown = candidate.metrics[candidate.validation.scheme]
    return RetrainOutcome(cohort.field, status, reasons, release_id, shown)
