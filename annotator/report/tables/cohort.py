"""Tables of what a release was trained on."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.report.tables.cells import Table, count, names, table_of, text, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from annotator.domain.reports import CohortPart
    from annotator.report.contents import ReportContents

MOST_CLASSES_NAMED = 6


@dataclass(frozen=True, slots=True)
class CohortSize:
    """How much a release was trained on; ``left_out`` samples found no class."""

    samples: int
    datasets: int
    left_out: int


def cohort_size(parts: Iterable[CohortPart]) -> CohortSize:
    """Count the samples and datasets of a cohort."""
    kept = [part for part in parts if part.class_name]
    return CohortSize(
        sum(part.samples for part in kept),
        len({part.dataset_id for part in kept}),
        sum(part.samples for part in parts if not part.class_name),
    )


def class_sizes(contents: ReportContents) -> Table | None:
    """Return a row for each class: its group, samples and datasets."""
    of_class: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for part in contents.cohort:
        if part.class_name:
            of_class[part.class_name][part.dataset_id] += part.samples
    has_groups = any(name != group for name, group in contents.groups.items())
    group = words("Group"), lambda name: text(contents.groups.get(name, name))
    return table_of(
        "classes",
        "The classes and how many labelled samples and datasets each was learned from",
        sorted(of_class, key=lambda name: (-of_class[name].total(), name)),
        [
            (words("Class"), text),
            *([group] if has_groups else []),
            ("Samples", lambda name: count(of_class[name].total())),
            ("Datasets", lambda name: count(len(of_class[name]))),
            ("Samples in the largest dataset", lambda name: count(max(of_class[name].values()))),
        ],
        (1 + has_groups, "descending"),
    )


def dataset_sizes(contents: ReportContents) -> Table | None:
    """Return a row for each dataset: its title, samples and classes."""
    by_dataset: defaultdict[str, Counter[str]] = defaultdict(Counter)
    left_out: Counter[str] = Counter()
    titles: dict[str, str] = {}
    for part in contents.cohort:
        titles[part.dataset_id] = part.dataset_title
        if part.class_name:
            by_dataset[part.dataset_id][part.class_name] += part.samples
        else:
            left_out[part.dataset_id] += part.samples
    has_titles = any(titles.values())
    title = words("Title", long=True), lambda name: text(titles[name])
    return table_of(
        "datasets",
        "The datasets that labelled samples came from",
        sorted(titles, key=lambda name: (-by_dataset[name].total(), name)),
        [
            (words("Dataset"), text),
            *([title] if has_titles else []),
            ("Samples", lambda name: count(by_dataset[name].total())),
            ("Left out", lambda name: count(left_out[name])),
            (words("Classes", long=True), lambda name: names(_named(by_dataset[name]))),
        ],
        (1 + has_titles, "descending"),
    )


def _named(of_class: Mapping[str, int]) -> list[str]:
    """Return the classes of a dataset with their samples, the largest first."""
    ordered = sorted(
        ((name, samples) for name, samples in of_class.items() if samples),
        key=lambda item: (-item[1], item[0]),
    )
    shown = [f"{name} ({samples})" for name, samples in ordered[:MOST_CLASSES_NAMED]]
    further = len(ordered) - len(shown)
    return [*shown, f"and {further} more"] if further else shown
