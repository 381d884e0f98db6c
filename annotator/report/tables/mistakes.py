"""Tables of mistakes on held-out datasets, and of labels that are probably wrong."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotator.domain.held_out import COMBINED
from annotator.report.tables.cells import (
    Table,
    count,
    first_of,
    names,
    number,
    share,
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
    answers = list(_answers(contents.held_out))
    labelled = Counter(label for _, label, _ in answers)
    datasets: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for dataset_id, label, predicted in answers:
        if label != predicted:
            datasets[label, predicted].append(dataset_id)
    pairs = sorted(datasets, key=lambda pair: (-len(datasets[pair]), pair))
    return table_of(
        "confusions",
        f"The most frequent mistakes on held-out datasets{first_of(pairs, MOST_CONFUSIONS)}",
        pairs[:MOST_CONFUSIONS],
        [
            (words("Labelled"), lambda pair: text(pair[0])),
            (words("Predicted"), lambda pair: text(pair[1])),
            ("Samples", lambda pair: count(len(datasets[pair]))),
            ("Share of the class", lambda pair: share(len(datasets[pair]) / labelled[pair[0]])),
            ("Datasets", lambda pair: count(len(set(datasets[pair])))),
        ],
        (2, "descending"),
    )


@dataclass(frozen=True)
class _Judged:
    """A held-out dataset: its labels and predictions, and how many of them agree."""

    dataset_id: str
    pairs: list[tuple[str, str]]
    right: int


def worst_datasets(contents: ReportContents) -> Table | None:
    """Return the datasets that were recognised worst while held out.

    They are ordered by the upper end of the 95 % interval (Wilson 1927) of the share
    that is right, so that one wrong sample of a small dataset does not come first.
    """
    answers: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for dataset_id, label, predicted in _answers(contents.held_out):
        answers[dataset_id].append((label, predicted))
    judged = [
        _Judged(dataset_id, pairs, sum(label == predicted for label, predicted in pairs))
        for dataset_id, pairs in answers.items()
    ]
    ranked = sorted(
        (each for each in judged if each.right < len(each.pairs)),
        key=lambda each: (_wilson_upper(each.right, len(each.pairs)), each.dataset_id),
    )
    titles = {part.dataset_id: part.dataset_title for part in contents.cohort}
    shown = ranked[:MOST_DATASETS]
    has_titles = any(titles.get(each.dataset_id) for each in shown)
    title = words("Title", long=True), lambda each: text(titles.get(each.dataset_id))
    return table_of(
        "worst-datasets",
        "The datasets that were recognised worst when they were held out"
        f"{first_of(ranked, MOST_DATASETS)}",
        shown,
        [
            (words("Dataset"), lambda each: text(each.dataset_id)),
            *([title] if has_titles else []),
            ("Samples", lambda each: count(len(each.pairs))),
            ("Right", lambda each: count(each.right)),
            ("Share right", lambda each: share(each.right / len(each.pairs), bar=True)),
            (
                words("Labelled", long=True),
                lambda each: names(_most(label for label, _ in each.pairs)),
            ),
            (
                words("Wrong predictions, most frequent first", long=True),
                lambda each: names(_most(found for label, found in each.pairs if label != found)),
            ),
        ],
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
