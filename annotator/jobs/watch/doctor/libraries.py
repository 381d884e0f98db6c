"""Check the samples of the mirror: copies of libraries, and names of features."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FeatureKind
from annotator.domain.imports import CopiedSample
from annotator.domain.wording import counted, some
from annotator.jobs.watch.doctor.findings import Finding, good, warning
from annotator.learn.features.canonical import canonical_profiles
from annotator.learn.features.copies import copies
from annotator.learn.features.naming import DatasetNaming, naming_of
from annotator.store.mirror.expression import read_profiles
from annotator.store.server.health import datasets_of_samples

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    import psycopg
    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles

MOST_SAMPLES = 50_000
"""Number of samples up to which libraries are compared, in memory."""

MOST_AT_IMPORT = 5_000
"""Number of samples up to which an import compares libraries: it takes a few seconds."""

EXAMPLES = 3


def copies_in_mirror(
    connection: psycopg.Connection, sample_ids: Collection[str]
) -> tuple[CopiedSample, ...] | None:
    """Find copies of samples in other datasets, also those with slightly other counts.

    Returns
    -------
    tuple of CopiedSample or None
        One per sample, with the first of its copies, in the order of the samples; ``None`` if
        the mirror has more than :data:`MOST_AT_IMPORT` samples, which are not compared.
    """
    dataset_of = datasets_of_samples(connection)
    if len(dataset_of) > MOST_AT_IMPORT:
        return None
    profiles = read_profiles(connection, kinds=[str(FeatureKind.SRNA)]).profiles
    names = [str(name) for name in profiles.sample_ids]
    datasets = np.array([dataset_of.get(name, "") for name in names], dtype=object)
    wanted, found = set(sample_ids), []
    for group in copies(canonical_profiles(profiles, datasets).profiles):
        for row in group:
            other = next((each for each in group if datasets[each] != datasets[row]), None)
            if names[row] in wanted and other is not None:
                pair = (names[row], str(datasets[row]), names[other], str(datasets[other]))
                found.append(CopiedSample(*pair))
    return tuple(sorted(found, key=lambda each: each.sample_id))


def check_libraries(connection: psycopg.Connection) -> Iterator[Finding]:
    """Look for copies of libraries, and for names of features that no model understands."""
    dataset_of = datasets_of_samples(connection)
    if len(dataset_of) > MOST_SAMPLES:
        yield good(
            "copies",
            f"libraries are not compared with each other beyond {MOST_SAMPLES} samples;"
            " retraining compares those with a label",
        )
        return
    profiles = read_profiles(connection, kinds=[str(FeatureKind.SRNA)]).profiles
    datasets = np.array([dataset_of.get(name, "") for name in profiles.sample_ids], dtype=object)
    if not len(datasets):
        return
    yield from _names(profiles, datasets)
    yield from _copies(canonical_profiles(profiles, datasets).profiles, datasets)


def _copies(profiles: Profiles, datasets: NDArray[np.object_]) -> Iterator[Finding]:
    groups = copies(profiles)
    if not groups:
        yield good("copies", f"none of {len(datasets)} libraries is a copy of another one")
        return
    across = [group for group in groups if len(set(datasets[list(group)])) > 1]
    shown = [
        " = ".join(f"{datasets[row]}:{profiles.sample_ids[row]}" for row in group[:EXAMPLES])
        for group in (across or groups)[:EXAMPLES]
    ]
    yield warning(
        "copies",
        f"{sum(map(len, groups))} of {len(datasets)} samples are copies of {len(groups)} libraries,"
        f" {len(across)} of them in several datasets: {'; '.join(shown)}"
        f"{'; ...' if len(across or groups) > EXAMPLES else ''}",
        "remove copies from the atlas, or leave them: retraining counts each library once",
    )


def _names(profiles: Profiles, datasets: NDArray[np.object_]) -> Iterator[Finding]:
    found = {}
    for dataset in sorted(set(datasets)):
        columns = np.unique(profiles.counts[datasets == dataset].indices)
        found[str(dataset)] = naming_of(profiles.features[columns].tolist())
    of_label: defaultdict[str, list[str]] = defaultdict(list)
    for dataset, naming in found.items():
        of_label[naming.label].append(dataset)
    ordered = sorted(of_label.items(), key=lambda item: (-len(item[1]), item[0]))
    yield good(
        "names",
        "sRNAs are named by " + ", ".join(f"{label} in {_some(of)}" for label, of in ordered),
    )
    yield from _not_understood(found)


def _not_understood(found: dict[str, DatasetNaming]) -> Iterator[Finding]:
    unknown: Counter[str] = Counter()
    for naming in found.values():
        unknown.update(naming.unknown)
    for convention, count in sorted(unknown.items()):
        of = [dataset for dataset, naming in found.items() if convention in naming.unknown]
        yield warning(
            "names",
            f"{count} names in {_some(of)} are {convention} ids, which are not known",
            "import these datasets with names or accessions of miRBase",
        )
    foreign = {name: one.foreign_species for name, one in found.items() if one.foreign_species}
    for species in sorted(set(foreign.values()), key=str):
        of = [dataset for dataset, one in foreign.items() if one == species]
        yield warning(
            "names",
            f"miRNAs in {_some(of)} are of another organism ({species}); they are never matched"
            " with human ones",
            "keep datasets of other organisms in an atlas of their own",
        )


def _some(datasets: list[str]) -> str:
    return f"{counted(len(datasets), 'dataset')} ({some(datasets, most=EXAMPLES)})"
