"""Prepare a retraining or evaluation: its plan, and the cohort it starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.fields import FieldDefinition, Groups, LabelScheme
from annotator.domain.organisms import DEFAULT_ORGANISM, organism_named
from annotator.domain.wording import counted, some
from annotator.errors import CohortError, InputError, SettingsError
from annotator.gpu import usable_device
from annotator.jobs.annotate.plan import quality_of
from annotator.jobs.annotate.quality import left_out_notes, unusable_labelled
from annotator.jobs.retrain.explanations import ExplanationOptions, explanation_options
from annotator.jobs.retrain.mirror_source import mirror_source
from annotator.jobs.retrain.one_library import (
    copy_notes,
    renaming_notes,
    with_one_name,
    without_copies,
)
from annotator.learn.labels.ontology import Ontology, grouped_by_table_2, ontology_or_built_in
from annotator.learn.labels.roll_up import LabelOptions
from annotator.learn.models.preset import configuration
from annotator.learn.models.preset_file import read_preset
from annotator.learn.models.presets import PRESETS, preset_for
from annotator.learn.running.cluster import Cluster
from annotator.learn.running.parallel import DASK, Parallelism
from annotator.learn.selective.policy import SelectiveOptions
from annotator.learn.validation.gate import GateOptions
from annotator.learn.validation.plan import ModelPlan
from annotator.learn.validation.splits import choose_folds
from annotator.plain_data import plain
from annotator.store.mirror.cohorts import (
    ReadCohort,
    quarantine_left_out,
    read_cohort,
)
from annotator.store.mirror.label_values import samples_with_attribute
from annotator.store.mirror.terms import read_terms
from annotator.store.server.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

    from annotator.domain.quality import Quality
    from annotator.learn.models.preset import Preset
    from annotator.settings import Settings
    from annotator.store.server.connection import Database

Progress = Callable[[int, int], None]
"""Called with the number of folds done and the total."""


_PLAIN = (
    *("folds", "quick_datasets", "cross_validation_folds", "gate", "quality"),
    *("learn_from_reviews", "organism"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """All inputs of a retraining or evaluation of a field, apart from the cohort.

    Attributes
    ----------
    field
        The field.
    models
        How its models are fitted and validated.
    folds, quick_datasets
        Number of folds that datasets are grouped into; 0 to decide by the number of
        datasets: up to ``quick_datasets``, each is held out by itself.
    cross_validation_folds
        Number of folds of the random cross-validation, 0 for none.
    gate
        Conditions for a candidate to go live.
    explanations
        The extent of the explanations of a release.
    quality
        Requirements that a sample must meet to be learned from.
    learn_from_reviews
        Whether values that a curator accepted or corrected count as labels.
    organism
        The organism whose samples are learned from.
    """

    field: FieldDefinition
    models: ModelPlan
    folds: int
    quick_datasets: int
    cross_validation_folds: int
    gate: GateOptions
    explanations: ExplanationOptions
    quality: Quality
    learn_from_reviews: bool
    organism: str

    def configuration(self) -> dict[str, Any]:
        """Return the plan as plain data, which is hashed and stored with a training run."""
        models = self.models
        field = plain(self.field)
        del field["columns"]  # of files: they change no model
        return {
            **{name: plain(getattr(self, name)) for name in _PLAIN},
            "field": field,
            "preset": configuration(models.preset),
            "labels": plain(models.labels),
            "seed": models.seed,
            "trust": plain(models.selective),
            "explanations": self.explanations.as_configuration(),
        }

    def folds_for(self, datasets: int) -> int | None:
        """Return how many folds to group datasets into; ``None`` to hold out each by itself."""
        return self.folds or choose_folds(datasets, self.quick_datasets)


def plan_of(settings: Settings, field: str, organism: str | None = None) -> Plan:
    """Return the plan of a field with these settings; reads the files that they name.

    Parameters
    ----------
    settings
        The settings.
    field
        A key of :attr:`~annotator.settings.Settings.fields`.
    organism
        The organism; that of the settings by default.

    Raises
    ------
    InputError
        There is no such field or preset, or a file cannot be read.
    SettingsError
        Two files of feature sets have the same name.
    """
    definition = definition_of(settings, field)
    return Plan(
        field=definition,
        models=ModelPlan(
            preset=preset_named(settings.preset, definition, settings),
            labels=LabelOptions(settings.minimum_samples, settings.minimum_datasets),
            seed=settings.seed,
            selective=SelectiveOptions(
                settings.target_precision,
                settings.set_coverage,
                settings.maximum_novelty,
                ordered_classes=definition.scheme is LabelScheme.INTERVALS,
            ),
        ),
        folds=settings.folds,
        quick_datasets=settings.quick_datasets,
        cross_validation_folds=settings.cross_validation_folds,
        gate=GateOptions(settings.gate_margin, settings.baseline_margin),
        explanations=explanation_options(settings, field),
        quality=quality_of(settings),
        learn_from_reviews=settings.learn_from_reviews,
        organism=organism_named(organism or settings.default_organism),
    )


def definition_of(settings: Settings, field: str) -> FieldDefinition:
    """Return the definition of a field.

    Raises
    ------
    InputError
        There is no such field.
    """
    if field not in settings.fields:
        raise InputError(f"there is no field {field!r}; known: {', '.join(settings.fields)}")
    return settings.fields[field]


def preset_named(name: str, definition: FieldDefinition, settings: Settings) -> Preset:
    """Return a preset, adapted to a field.

    Raises
    ------
    InputError
        There is no preset of that name, or its file is not a preset.
    """
    if name.endswith(".toml"):
        return read_preset(Path(name), definition.name, settings.fields)
    if name not in PRESETS:
        raise InputError(f"there is no preset {name!r}; known: {', '.join(PRESETS)}")
    return preset_for(name, definition.name)


def read_labelled(
    database: Database, plan: Plan, *, quarantine: bool = False
) -> tuple[ReadCohort, Ontology]:
    """Read the cohort of a field and the ontology along which its labels are rolled up.

    Labelled samples with too few reads or features are left out, as they would not be
    annotated either (:mod:`annotator.jobs.annotate.quality`). Each molecule has one name,
    and each library counts once (:mod:`annotator.jobs.retrain.one_library`).

    Parameters
    ----------
    database, plan
        The database with the labels; which labels to use and the requirements for samples.
    quarantine
        Whether to quarantine the samples that are left out.

    Raises
    ------
    CohortError
        No usable sample is labelled.
    """
    field = plan.field
    with database.connect() as connection:
        check_schema(connection)
        read = read_cohort(connection, field, plan.learn_from_reviews, plan.organism)
        read = without_copies(_without_unusable(with_one_name(read), plan))
        ontology = read_ontology(connection, field, read.cohort.values.tolist())
    if quarantine and read.left_out:
        with database.connect() as connection:
            quarantine_left_out(connection, read)
    if len(read.cohort.values) == 0:
        left_out = "".join(f"; {note}" for note in notes_of(read, plan)).rstrip(".")
        with database.connect() as connection:
            waiting = samples_with_attribute(connection, [field]).get(field.name)
        hint = f"; {waiting}: import their files again, now that it is a field" if waiting else ""
        of_organism = "" if plan.organism == DEFAULT_ORGANISM else f" of {plan.organism}"
        raise CohortError(
            f"no usable sample{of_organism} has a {field.name} label; import some with"
            f" `annotator import`{hint}{left_out}"
        )
    return read, ontology


def _without_unusable(read: ReadCohort, plan: Plan) -> ReadCohort:
    cohort = read.cohort
    unusable = unusable_labelled(cohort, plan.models.preset, plan.quality)
    rows = np.flatnonzero([name not in unusable for name in cohort.profiles.sample_ids])
    return replace(
        read,
        cohort=cohort.take(rows),
        lines=read.lines[rows],
        left_out={**read.left_out, **unusable},
    )


def notes_of(read: ReadCohort, plan: Plan) -> tuple[str, ...]:
    """Return notes on a cohort: how many samples are left out and why, and renamed features."""
    labelled = len(read.cohort.values) + len(read.left_out) + len(read.copies)
    return (
        *left_out_notes(read.left_out, labelled, plan.quality),
        *copy_notes(read.copies, labelled),
        *renaming_notes(read.renamed),
    )


def dropped_notes(dropped: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence with the values that belong to no class, and why, if there are any."""
    values: dict[str, list[str]] = {}
    for value, reason in dropped.items():
        if value:
            values.setdefault(reason, []).append(value)
    if not values:
        return ()
    reasons = [
        reason if repr(given[0]) in reason else f"{some(given, repr, most=3)} ({reason})"
        for reason, given in values.items()
    ]
    number = counted(sum(map(len, values.values())), "value belongs", "values belong")
    return (f"{number} to no class: {some(reasons, most=3, joint='; ')}.",)


def read_ontology(
    connection: psycopg.Connection, definition: FieldDefinition, labels: Iterable[str]
) -> Ontology:
    """Read the ontology; for a field of terms, add the requested groups on top of it.

    Parameters
    ----------
    connection
        Connection; the ontology is read in the caller's transaction.
    definition
        The field.
    labels
        The labels to group.
    """
    index = read_terms(connection)
    parents, names = index.class_parents(), index.class_names()
    is_ontology = definition.scheme is LabelScheme.ONTOLOGY
    if is_ontology and definition.groups is Groups.TABLE_2:
        return grouped_by_table_2(parents, labels, names)
    return ontology_or_built_in(parents, names)


def parallelism(settings: Settings, read: ReadCohort) -> Parallelism:
    """Return the processes and threads that folds, fits and explanations run on.

    Parameters
    ----------
    settings
        The backend, and the cluster if it is one.
    read
        The cohort, which workers of a cluster read themselves.

    Raises
    ------
    SettingsError
        This installation cannot use the backend.
    """
    cluster = cluster_of(settings)
    if cluster is not None:
        cluster = replace(cluster, source=mirror_source(read))
    # Only the workers of a cluster know whether they have a GPU.
    device = settings.device if cluster is not None else usable_device(settings.device)
    return Parallelism(settings.parallel_backend, settings.workers, cluster=cluster, device=device)


def cluster_of(settings: Settings) -> Cluster | None:
    """Return the cluster of the settings, ``None`` if everything runs on this machine.

    Raises
    ------
    SettingsError
        This installation cannot use the cluster.
    """
    if settings.parallel_backend != DASK:
        return None
    if settings.dask_scheduler is None:
        raise SettingsError(
            "dask_scheduler: parallel_backend 'dask' needs the address of a scheduler,"
            " tcp://HOST:PORT or tls://HOST:PORT"
        )
    cluster = Cluster(
        settings.dask_scheduler,
        settings.dask_ca_file,
        settings.dask_certificate,
        settings.dask_key,
    )
    cluster.check()
    return cluster
