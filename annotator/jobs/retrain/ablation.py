"""Measure the effect of contaminants: the same models on sRNAs, contaminants, and both.

This is the comparison of the paper's figures 5 and 6. All three use the same samples
in the same folds; only the features of the models differ. Reads per million refer to
a sample's sRNA reads in all three.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.domain.fields import FeatureKind
from annotator.errors import CohortError
from annotator.jobs.retrain.evaluate import validate
from annotator.jobs.retrain.plan import notes_of, parallelism, plan_of, read_labelled
from annotator.learn.features.canonical import renamed_counts
from annotator.learn.validation.baselines import KNOWN_FIELDS, MAJORITY
from annotator.learn.validation.metrics import metrics_of
from annotator.logs import silent
from annotator.store.mirror.expression import read_profiles

if TYPE_CHECKING:
    from annotator.domain.held_out import Metric
    from annotator.domain.profiles import Cohort, Profiles
    from annotator.learn.validation.validate import Validation
    from annotator.settings import Settings
    from annotator.store.mirror.cohorts import ReadCohort
    from annotator.store.server.connection import Database

FEATURE_SETS: Mapping[str, tuple[FeatureKind, ...]] = {
    "sRNAs": (FeatureKind.SRNA,),
    "contaminants": (FeatureKind.CONTAMINANT,),
    "both": (FeatureKind.SRNA, FeatureKind.CONTAMINANT),
}
NO_FEATURES = "none"
LABELS_ALONE = (MAJORITY, KNOWN_FIELDS)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Ablation:
    """Validation metrics of models with each set of features.

    Attributes
    ----------
    field, preset, scheme
        The field, preset and validation scheme.
    description
        How samples were held out, as text.
    metrics
        Name of the feature set, a key of :data:`FEATURE_SETS`, to its metrics;
        :data:`NO_FEATURES` holds those of the baselines that use labels alone.
        A set that no models can be fitted with is absent.
    notes
        Notes for readers: how many labelled samples are left out and why, which
        sets are absent and why, and how many samples have no read of a kind.
    """

    field: str
    preset: str
    scheme: str
    description: str
    metrics: Mapping[str, tuple[Metric, ...]]
    notes: tuple[str, ...]


def ablate(
    database: Database,
    settings: Settings,
    field: str,
    scheme: str,
    *,
    progress: Progress = silent,
) -> Ablation:
    """Validate the models of a field with each set of features; nothing is stored.

    Parameters
    ----------
    database, settings
        The database with the labels; preset, seed, folds and labels.
    field
        Name of the field.
    scheme
        ``cv`` for random 5-fold cross-validation, ``one-dataset-out``.
    progress
        Called with the number of folds done, over all validations, and their total.

    Raises
    ------
    InputError
        There is no such field or preset.
    CohortError
        No set of features is enough to learn from.
    """
    plan = plan_of(settings, field)
    plan = replace(plan, models=replace(plan.models, selective=None))
    read, ontology = read_labelled(database, plan)
    cohort = _with_every_feature(database, read)
    sets, notes = _usable_sets(cohort.profiles)
    notes = [*notes_of(read, plan), *notes]
    parallel = parallelism(settings, read)
    validations: dict[str, Validation] = {}
    for place, name in enumerate(sets):
        shown = _part_of(progress, place, len(sets))
        try:
            validations[name] = validate(
                _seeing(cohort, FEATURE_SETS[name]), ontology, plan, scheme, parallel, shown
            )
        except CohortError as error:
            if len(sets) == 1 or (name == "both" and not validations):
                raise
            notes.append(f"{name}: no models, because {error}")
    first = next(iter(validations.values()))
    return Ablation(
        field=field,
        preset=settings.preset,
        scheme=first.scheme,
        description=first.description,
        metrics={name: _of_features(validation) for name, validation in validations.items()}
        | {NO_FEATURES: _of_labels_alone(first)},
        notes=(*notes, *first.notes),
    )


def _of_features(validation: Validation) -> tuple[Metric, ...]:
    """Return the metrics of models, and of the baselines that use features."""
    baselines = metrics_of(validation.baselines)
    return (
        *validation.metrics,
        *(metric for metric in baselines if metric.model_kind not in LABELS_ALONE),
    )


def _of_labels_alone(validation: Validation) -> tuple[Metric, ...]:
    """Return the metrics of the baselines that use no features."""
    baselines = metrics_of(validation.baselines)
    return tuple(metric for metric in baselines if metric.model_kind in LABELS_ALONE)


def _with_every_feature(database: Database, read: ReadCohort) -> Cohort:
    """Return the cohort with all kinds of features, whichever the field's own models use."""
    cohort = read.cohort
    with database.connect() as connection:
        every = read_profiles(connection, cohort.profiles.sample_ids.tolist())
    if every.rejected:
        sample_id, reason = next(iter(every.rejected.items()))
        raise CohortError(
            f"{sample_id}: {reason}, but it could be read a moment ago; an import is running,"
            " try again when it is done"
        )
    profiles = every.profiles
    counts = renamed_counts(profiles.counts, profiles.features, cohort.dataset_ids, read.renamed)
    return replace(
        cohort, profiles=replace(profiles, counts=counts, organism=cohort.profiles.organism)
    )


def _usable_sets(profiles: Profiles) -> tuple[list[str], list[str]]:
    """Return the feature sets that differ for these samples, and notes on the data."""
    notes = []
    samples = len(profiles.sample_ids)
    without = {}
    for kind in FeatureKind:
        of_kind = (profiles.kinds == kind.value).astype(np.float64)
        without[kind] = int(np.sum(profiles.counts @ of_kind <= 0))
        # A kind without any reads has its own note below.
        if 0 < without[kind] < samples:
            notes.append(
                f"{without[kind]} of {samples} labelled samples have no reads of any"
                f" {_singular(kind)}: their values are 0"
            )
    for name, kind in (("sRNAs", FeatureKind.SRNA), ("contaminants", FeatureKind.CONTAMINANT)):
        if without[kind] == samples:
            other = next(each for each in ("sRNAs", "contaminants") if each != name)
            notes.append(
                f"the cohort has no {name}: there is nothing to compare, only {other} are shown"
            )
            return [other], notes
    return list(FEATURE_SETS), notes


def _singular(kind: FeatureKind) -> str:
    return "sRNA" if kind is FeatureKind.SRNA else "contaminant"


def _part_of(progress: Progress, place: int, parts: int) -> Progress:
    """Return the progress of one of several validations with the same number of folds."""

    def shown(done: int, total: int) -> None:
        progress(place * total + done, parts * total)

    return shown


def _seeing(cohort: Cohort, kinds: tuple[FeatureKind, ...]) -> Cohort:
    """Return the cohort of a field whose models use these features."""
    return replace(cohort, definition=replace(cohort.definition, feature_kinds=kinds))


def as_json(ablation: Ablation) -> dict[str, Any]:
    """Return the metrics as plain data."""
    return {
        "field": ablation.field,
        "preset": ablation.preset,
        "scheme": ablation.scheme,
        "held_out": ablation.description,
        "notes": list(ablation.notes),
        "metrics": [
            {
                "features": name,
                "model_kind": metric.model_kind,
                "name": metric.name,
                "class": metric.class_name,
                "value": metric.value,
                "samples": metric.samples,
                "datasets": metric.datasets,
            }
            for name, metrics in ablation.metrics.items()
            for metric in metrics
        ],
    }
