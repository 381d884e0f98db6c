"""Cohorts in which each molecule has one name, and each library counts once."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FeatureKind
from annotator.domain.profiles import rows_by
from annotator.domain.wording import some
from annotator.errors import SampleError
from annotator.learn.features.canonical import canonical_profiles
from annotator.learn.features.copies import copies
from annotator.learn.features.naming import naming_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from annotator.domain.profiles import Cohort, Profiles
    from annotator.store.mirror.cohorts import ReadCohort

COPY = "copy"
DIFFERENT_LABELS = "copy_with_another_label"
EXAMPLES = 3


def with_one_name(read: ReadCohort) -> ReadCohort:
    """Give each molecule one name in all datasets of a cohort."""
    found = canonical_profiles(read.cohort.profiles, read.cohort.dataset_ids)
    if not found.renamed:
        return read
    return replace(
        read, cohort=replace(read.cohort, profiles=found.profiles), renamed=found.renamed
    )


def without_copies(read: ReadCohort) -> ReadCohort:
    """Keep one sample of each library that a cohort has under several ids.

    The one that is kept belongs to the dataset that shares copies with the fewest other
    datasets, so that a study is kept rather than a collection of studies; among these to the
    largest one, then to the first by id. If the labels of copies differ, none is kept.
    """
    cohort = read.cohort
    groups = copies(_srnas(cohort.profiles))  # a copy may lack its contaminants
    if not groups:
        return read
    ids: list[str] = cohort.profiles.sample_ids.tolist()
    datasets: list[str] = cohort.dataset_ids.tolist()
    partners: defaultdict[str, set[str]] = defaultdict(set)
    for group in groups:
        of_group = {datasets[row] for row in group}
        for dataset in of_group:
            partners[dataset] |= of_group
    sizes = Counter(datasets)
    left_out: dict[str, SampleError] = {}
    for group in groups:
        first, *others = sorted(
            group,
            key=lambda row: (
                len(partners[datasets[row]]),
                -sizes[datasets[row]],
                datasets[row],
                ids[row],
            ),
        )
        if len({_label(cohort, row) for row in group}) > 1:
            names = ", ".join(f"{ids[row]} of {datasets[row]}" for row in group[:EXAMPLES])
            reason = f"{len(group)} samples are one library with different labels: {names}"
            left_out.update((ids[row], SampleError(DIFFERENT_LABELS, reason)) for row in group)
            continue
        reason = f"copy of sample {ids[first]} of dataset {datasets[first]}"
        left_out.update((ids[row], SampleError(COPY, reason)) for row in others)
    kept = np.flatnonzero([name not in left_out for name in ids])
    return replace(read, cohort=cohort.take(kept), lines=read.lines[kept], copies=left_out)


def _srnas(profiles: Profiles) -> Profiles:
    columns = np.flatnonzero(profiles.kinds == FeatureKind.SRNA.value)
    if len(columns) == len(profiles.features):
        return profiles
    return replace(
        profiles,
        features=profiles.features[columns],
        kinds=profiles.kinds[columns],
        counts=profiles.counts[:, columns],
    )


def _label(cohort: Cohort, row: int) -> str | float:
    number = float(cohort.numbers[row])
    return number if np.isfinite(number) else str(cohort.values[row]).casefold()


def copy_notes(left_out: Mapping[str, SampleError], labelled: int) -> tuple[str, ...]:
    """Return sentences on the samples that are left out because they are copies."""
    notes = []
    for code, words in (
        (COPY, "are copies of others and left out, so that each library counts once"),
        (DIFFERENT_LABELS, "are left out: copies of one library with different labels"),
    ):
        found = {name: error for name, error in left_out.items() if error.code == code}
        if found:
            examples = [f"{name}: {error.reason}" for name, error in sorted(found.items())]
            notes.append(
                f"{len(found)} of {labelled} labelled samples {words}"
                f" ({some(examples, most=EXAMPLES, joint='; ')})."
            )
    return tuple(notes)


def renaming_notes(renamed: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Return a sentence on the datasets whose features have other names than most."""
    if not renamed:
        return ()
    largest = max(renamed, key=lambda dataset: (len(renamed[dataset]), dataset))
    old, new = min(renamed[largest].items())
    return (
        f"The names of features of {len(renamed)} datasets are replaced by those of the others:"
        f" {len(renamed[largest])} names in {largest}, such as {old} by {new}.",
    )


def naming_facts(read: ReadCohort) -> dict[str, dict[str, Any]]:
    """Return, per dataset, the convention by which its features are named."""
    profiles, datasets = read.cohort.profiles, read.cohort.dataset_ids
    is_srna = profiles.kinds == FeatureKind.SRNA.value
    facts = {}
    for dataset, rows in rows_by(datasets).items():
        expressed = np.zeros(len(profiles.features), dtype=bool)
        expressed[profiles.counts[rows].indices] = True
        back = {new: old for old, new in read.renamed.get(dataset, {}).items()}
        names = [back.get(name, name) for name in profiles.features[expressed & is_srna]]
        naming = naming_of(names)
        facts[dataset] = {
            "naming": str(naming.naming),
            "mirbase_release": naming.release,
            "features": naming.features,
            "renamed": len(read.renamed.get(dataset, {})),
            "not_known": dict(naming.unknown),
            "species": dict(naming.species),
        }
    return facts
