"""Confusion of classes when whole datasets are held out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from annotator.domain.wording import counted
from annotator.report.figures.class_order import class_order, group_breaks
from annotator.report.figures.drawing import draw
from annotator.report.figures.matrix import Matrix, draw_matrix
from annotator.report.figures.theme import PAPER_KINDS
from annotator.report.tables.cells import kind_words
from annotator.report.words import listed, percent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from annotator.domain.held_out import HeldOutPredictions
    from annotator.report.contents import ReportContents
    from annotator.report.figures.drawing import Figure

BAR: Final = tuple((share**0.5, f"{100 * share:.0f}") for share in (0, 0.1, 0.4, 1))


def confusions(contents: ReportContents) -> Iterable[Figure]:
    """Yield a confusion matrix for each of the kinds that there are predictions of."""
    if contents.held_out is None or len(contents.held_out.truth) == 0:
        return
    for kind in PAPER_KINDS:
        if kind in contents.held_out.probabilities:
            yield _confusion(contents, contents.held_out, kind)


def confusion_counts(
    held_out: HeldOutPredictions, kind: str, classes: tuple[str, ...]
) -> NDArray[np.int64]:
    """Count samples by their class and the most probable class, ``(classes, classes)``."""
    place = {name: number for number, name in enumerate(classes)}
    column = np.array([place[name] for name in held_out.classes])
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    predicted = column[held_out.probabilities[kind].argmax(axis=1)]
    np.add.at(counts, ([place[name] for name in held_out.truth], predicted), 1)
    return counts


def _confusion(contents: ReportContents, held_out: HeldOutPredictions, kind: str) -> Figure:
    classes = class_order(contents, held_out.classes)
    counts = confusion_counts(held_out, kind, classes)
    sizes = counts.sum(axis=1)
    shares = counts / np.maximum(sizes, 1)[:, None]
    matrix = Matrix(
        rows=classes,
        columns=classes,
        shares=np.where(sizes[:, None] > 0, np.sqrt(shares), np.nan),
        texts=[[f"{100 * x:.0f}" if x >= 0.005 else "" for x in row] for row in shares],
        ramp="sequential",
        row_title="curated",
        column_title="predicted",
        bar=BAR,
        bar_title="per cent of the samples of the curated class",
        notes=[f"{size:,}" for size in sizes],
        notes_title="samples",
        breaks=group_breaks(contents, classes),
    )
    return draw(
        f"confusion-{kind}",
        f"Curated and predicted classes, {kind_words(kind)}",
        _description(counts, classes),
        partial(draw_matrix, matrix),
    )


def _description(counts: NDArray[np.int64], classes: tuple[str, ...]) -> str:
    total, right = int(counts.sum()), int(np.trace(counts))
    text = (
        f"Of {counted(total, 'sample')} in datasets held out, {percent(right / total)} are on the"
        " diagonal: predicted as curated. Each row sums to 100 %."
    )
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    worst = [
        f"{classes[row]} taken for {classes[column]} ({wrong[row, column]:,} of"
        f" {counts[row].sum():,})"
        for row, column in (
            np.unravel_index(place, wrong.shape)
            for place in np.argsort(-wrong, axis=None, kind="stable")[:5]
        )
        if wrong[row, column] > 0
    ]
    return f"{text} Most frequent mistakes: {listed(worst)}." if worst else text
