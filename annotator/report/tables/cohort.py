"""Tables of what a release was trained on."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.report.tables.cells import Table, count, names, table, text, words

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
    samples: Counter[str] = Counter()
    datasets: defaultdict[str, set[str]] = defaultdict(set)
    largest: Counter[str] = Counter()
    for part in contents.cohort:
        if part.class_name:
            samples[part.class_name] += part.samples
            datasets[part.class_name].add(part.dataset_id)
            largest[part.class_name] = max(largest[part.class_name], part.samples)
    has_groups = any(name != group for name, group in contents.groups.items())
    rows = []
    for name in sorted(samples, key=lambda name: (-samples[name], name)):
        group = [text(contents.groups.get(name, name))] if has_groups else []
        counts = (samples[name], len(datasets[name]), largest[name])
        rows.append([text(name), *group, *map(count, counts)])
    head = [words("Class"), *([words("Group")] if has_groups else [])]
    return table(
        "classes",
        "The classes and how many labelled samples and datasets each was learned from",
        [*head, "Samples", "Datasets", "Samples in the largest dataset"],
        rows,
        (len(head), "descending"),
    )


def dataset_sizes(contents: ReportContents) -> Table | None:
    """Return a row for each dataset: its title, samples and classes."""
    by_dataset: defaultdict[str, Counter[str]] = defaultdict(Counter)
    titles: dict[str, str] = {}
    for part in contents.cohort:
        titles[part.dataset_id] = part.dataset_title
        by_dataset[part.dataset_id][part.class_name] += part.samples
    has_titles = any(titles.values())
    rows = []
    for dataset_id, of_class in sorted(
        by_dataset.items(), key=lambda item: (-item[1].total() + item[1][""], item[0])
    ):
        title = [text(titles[dataset_id])] if has_titles else []
        left_out = of_class[""]
        rows.append(
            [
                text(dataset_id),
                *title,
                count(of_class.total() - left_out),
                count(left_out),
                names(_named(of_class)),
            ]
        )
    head = [words("Dataset"), *([words("Title", long=True)] if has_titles else [])]
    return table(
        "datasets",
        "The datasets that labelled samples came from",
        [*head, "Samples", "Left out", words("Classes", long=True)],
        rows,
        (len(head), "descending"),
    )


def _named(of_class: Mapping[str, int]) -> list[str]:
    """Return the classes of a dataset with their samples, the largest first."""
    ordered = sorted(
        ((name, samples) for name, samples in of_class.items() if name and samples),
        key=lambda item: (-item[1], item[0]),
    )
    shown = [f"{name} ({samples})" for name, samples in ordered[:MOST_CLASSES_NAMED]]
    further = len(ordered) - len(shown)
    return [*shown, f"and {further} more"] if further else shown
