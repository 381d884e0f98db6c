"""Check the samples of the mirror: copies of libraries, and names of features."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from annotator.domain.fields import FeatureKind
from annotator.domain.wording import counted, some
from annotator.jobs.watch.doctor.findings import Finding, good, warning
from annotator.learn.features.canonical import canonical_profiles
from annotator.learn.features.copies import copies
from annotator.learn.features.naming import DatasetNaming, naming_of
from annotator.store.mirror.expression import read_profiles
from annotator.store.server.health import datasets_of_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from numpy.typing import NDArray

    from annotator.domain.profiles import Profiles

MOST_SAMPLES = 50_000
"""Number of samples up to which libraries are compared, in memory."""

EXAMPLES = 3


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
