"""Tables of mistakes on held-out datasets, and of labels that are probably wrong."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from annotator.domain.held_out import COMBINED
from annotator.report.tables.cells import (
    Table,
    count,
    first_of,
    names,
    number,
    share,
    table,
    table_of,
    text,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from annotator.domain.held_out import HeldOutPredictions
    from annotator.report.contents import ReportContents

MOST_CONFUSIONS = 25
MOST_DATASETS = 25
MOST_SUSPECTS = 100


def confusions(contents: ReportContents) -> Table | None:
    """Return the pairs of classes that are mistaken most often, both ways apart."""
    found: Counter[tuple[str, str]] = Counter()
    datasets: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    labelled: Counter[str] = Counter()
    for dataset_id, label, predicted in _answers(contents.held_out):
        labelled[label] += 1
        if label != predicted:
            found[label, predicted] += 1
            datasets[label, predicted].add(dataset_id)
    rows = [
        [
            text(label),
            text(predicted),
            count(samples),
            share(samples / labelled[label]),
            count(len(datasets[label, predicted])),
        ]
        for (label, predicted), samples in sorted(
            found.items(), key=lambda item: (-item[1], item[0])
        )
    ]
    return table(
        "confusions",
        f"The most frequent mistakes on held-out datasets{first_of(rows, MOST_CONFUSIONS)}",
        [
            words("Labelled"),
            words("Predicted"),
            "Samples",
            "Share of the class",
            "Datasets",
        ],
        rows[:MOST_CONFUSIONS],
        (2, "descending"),
    )


def worst_datasets(contents: ReportContents) -> Table | None:
    """Return the datasets that were recognised worst while held out.

    They are ordered by the upper end of the 95 % interval (Wilson 1927) of the share
    that is right, so that one wrong sample of a small dataset does not come first.
    """
    answers: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for dataset_id, label, predicted in _answers(contents.held_out):
        answers[dataset_id].append((label, predicted))
    titles = {part.dataset_id: part.dataset_title for part in contents.cohort}
    ranked = []
    for dataset_id, pairs in answers.items():
        right = sum(label == predicted for label, predicted in pairs)
        if right < len(pairs):
            ranked.append((_wilson_upper(right, len(pairs)), dataset_id, right, pairs))
    ranked.sort(key=lambda item: item[:2])
    has_titles = any(titles.get(dataset_id) for _, dataset_id, _, _ in ranked[:MOST_DATASETS])
    rows = [
        [
            text(dataset_id),
            *([text(titles.get(dataset_id))] if has_titles else []),
            count(len(pairs)),
            count(right),
            share(right / len(pairs), bar=True),
            names(_most(label for label, _ in pairs)),
            names(_most(predicted for label, predicted in pairs if label != predicted)),
        ]
        for _, dataset_id, right, pairs in ranked
    ]
    return table(
        "worst-datasets",
        "The datasets that were recognised worst when they were held out"
        + first_of(rows, MOST_DATASETS),
        [
            words("Dataset"),
            *([words("Title", long=True)] if has_titles else []),
            "Samples",
            "Right",
            "Share right",
            words("Labelled", long=True),
            words("Wrong predictions, most frequent first", long=True),
        ],
        rows[:MOST_DATASETS],
    )


def suspects(contents: ReportContents) -> Table | None:
    """Return the labels that probably are wrong, the most suspicious first."""
    return table_of(
        "suspects",
        "Labels that are contradicted by models trained without their dataset"
        f"{first_of(contents.suspects, MOST_SUSPECTS)}",
        contents.suspects[:MOST_SUSPECTS],
        [
            (words("Sample"), lambda each: text(each.sample_id)),
            ("Rank", lambda each: count(each.rank)),
            (words("Dataset"), lambda each: text(each.dataset_id)),
            (words("Label"), lambda each: text(each.label)),
            (words("Predicted"), lambda each: text(each.predicted)),
            ("Suspicion", lambda each: number(each.suspicion, 3)),
            (
                words("Evidence", long=True),
                lambda each: text(str(each.evidence.get("summary", ""))),
            ),
        ],
        (1, "ascending"),
    )


def _answers(held_out: HeldOutPredictions | None) -> Iterator[tuple[str, str, str]]:
    """Yield dataset, label and most probable class of every held-out sample."""
    if held_out is None or COMBINED not in held_out.probabilities:
        return
    best = held_out.probabilities[COMBINED].argmax(axis=1)
    for row, column in enumerate(best):
        yield (
            str(held_out.dataset_ids[row]),
            str(held_out.truth[row]),
            held_out.classes[int(column)],
        )


def _most(values: Iterator[str]) -> list[str]:
    ordered = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    return [f"{name} ({times})" for name, times in ordered[:3]]


def _wilson_upper(right: int, samples: int, z: float = 1.96) -> float:
    at = right / samples
    middle = at + z**2 / (2 * samples)
    spread = z * math.sqrt(at * (1 - at) / samples + z**2 / (4 * samples**2))
    return (middle + spread) / (1 + z**2 / samples)
